//! What moves: feeds the history once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::control::Daemon;
use super::materials::unix_s;
use crate::edge::Shared;
use crate::ports::Clock;
use crate::sys;
use crate::telemetry::history::Sample;

/// Looks fall into the middle of a second, so that one that comes late or early still falls into the same.
const MIDDLE: Duration = Duration::from_millis(500);

/// Everything that the history wants to know, now.
pub(super) fn sample(
    clock: &dyn Clock,
    started: tokio::time::Instant,
    shared: Option<&Shared>,
) -> Sample {
    let usage = sys::usage::usage();
    let uptime = clock.now().saturating_duration_since(started);
    Sample {
        totals: shared.map(|shared| shared.metrics.totals()).unwrap_or_default(),
        connections: shared.map_or(0, |shared| shared.caps.open() as u64),
        rss_bytes: usage.rss_bytes,
        cpu_us: usage.cpu_us,
        uptime_us: u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX),
    }
}

/// Observes once a second until `stop`.
pub(super) async fn keep_history(daemon: Arc<Daemon>, mut stop: watch::Receiver<bool>) {
    let clock = Arc::clone(&daemon.shared.clock);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(until_next_middle(clock.unix())) => {}
        }
        let sample = sample(&*clock, daemon.started, Some(&daemon.shared));
        daemon.history.observe(unix_s(&*clock), sample);
    }
}

/// To the middle of the next second.
fn until_next_middle(unix: Duration) -> Duration {
    let into = Duration::from_nanos(unix.subsec_nanos().into());
    Duration::from_secs(1) + MIDDLE - into
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_is_looked_at_once_even_with_a_little_delay() {
        let mut now = Duration::from_millis(1_000_730);
        for second in 1001..1100 {
            now += until_next_middle(now) + Duration::from_millis(second % 7 * 60);
            assert_eq!(now.as_secs(), second);
        }
    }
}
