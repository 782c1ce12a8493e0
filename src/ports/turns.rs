//! Whose turn it is among those that wait for something to be done at a time of their own. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Those that are due, longest waiting first and at most `room` of them; and how long nobody else will be due, `idle` if
/// nobody waits. Whoever is due and finds no room has its turn when something has ended.
pub fn due<'a, K: Clone + 'a>(
    waiting: impl Iterator<Item = (Instant, &'a K)>,
    now: Instant,
    room: usize,
    idle: Duration,
) -> (Vec<K>, Duration) {
    let (mut due, later): (Vec<_>, Vec<_>) = waiting.partition(|(at, _)| *at <= now);
    let wait = later.iter().map(|(at, _)| *at - now).min().unwrap_or(idle);
    due.sort_by_key(|(at, _)| *at);
    (due.into_iter().take(room).map(|(_, key)| key.clone()).collect(), wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_have_waited_longest_are_first_and_the_next_time_is_told() {
        let base = Instant::now();
        let at = |seconds| base + Duration::from_secs(seconds);
        let waiting = [(at(3), 'c'), (at(1), 'a'), (at(2), 'b'), (at(9), 'd')];
        let waiting = || waiting.iter().map(|(at, key)| (*at, key));
        let idle = Duration::from_secs(60);
        let (due_now, wait) = due(waiting(), at(4), 2, idle);
        assert_eq!((due_now, wait), (vec!['a', 'b'], Duration::from_secs(5)));
        assert_eq!(due(waiting().take(1), at(4), 2, idle), (vec!['c'], idle));
    }
}
