//! The ports in a test: time moves when told to, randomness repeats.

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::{Clock, Entropy};

/// A clock that stands still until `advance`.
#[derive(Debug)]
pub struct FakeClock {
    state: Mutex<(Instant, Duration)>,
}

impl FakeClock {
    /// Starts at `unix` after the epoch.
    pub fn at(unix: Duration) -> Self {
        Self { state: Mutex::new((Instant::now(), unix)) }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state.lock().expect("no test panicked while holding it");
        state.0 += by;
        state.1 += by;
    }

    /// Somebody sets the clock that people read; durations pass as they do.
    pub fn set(&self, unix: Duration) {
        self.state.lock().expect("no test panicked while holding it").1 = unix;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Instant {
        self.state.lock().expect("no test panicked while holding it").0
    }

    fn unix(&self) -> Duration {
        self.state.lock().expect("no test panicked while holding it").1
    }
}

/// Counts upward: 0, 1, 2, …
#[derive(Debug, Default)]
pub struct FakeEntropy(Mutex<u8>);

impl Entropy for FakeEntropy {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut next = self.0.lock().expect("no test panicked while holding it");
        for byte in bytes {
            *byte = *next;
            *next = next.wrapping_add(1);
        }
        Ok(())
    }
}
