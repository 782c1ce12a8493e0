//! The last door before the CA: every new order passes here, second challenges and rehearsals included.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::pace::{ORDERS_MAX, WINDOW_S};

/// Lets [`ORDERS_MAX`] through in any [`WINDOW_S`] seconds, the others one after the other.
pub(super) struct Gate {
    passed: Mutex<VecDeque<Instant>>,
}

impl Gate {
    /// `recent` orders were placed just before the start.
    pub(super) fn new(recent: usize, now: Instant) -> Self {
        Self { passed: Mutex::new(std::iter::repeat_n(now, recent.min(ORDERS_MAX)).collect()) }
    }

    pub(super) async fn pass(&self) {
        let window = Duration::from_secs(WINDOW_S.unsigned_abs());
        // Held while waiting: who comes later passes later.
        let mut passed = self.passed.lock().await;
        if passed.len() >= ORDERS_MAX
            && let Some(oldest) = passed.front().copied()
        {
            // Forgotten only afterwards: whoever gives up while waiting leaves the count as it was.
            tokio::time::sleep_until(oldest + window).await;
            passed.pop_front();
        }
        passed.push_back(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_ten_orders_pass_in_ten_seconds() {
        let gate = Gate::new(3, Instant::now());
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..40 {
            gate.pass().await;
            times.push(start.elapsed().as_secs());
        }
        assert_eq!(times.iter().filter(|at| **at == 0).count(), 7);
        for ten in times.windows(ORDERS_MAX + 1) {
            assert!(ten[ORDERS_MAX] - ten[0] >= 10, "{times:?}");
        }
    }
}
