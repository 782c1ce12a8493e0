//! What the checks of upstreams and the request path tell each other.

use std::time::Duration;

/// What the health checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nobody asks, or no check has ended yet.
    Unknown,
    Up,
    Down,
}

/// An upstream as its checks know it.
pub trait Checked: Send + Sync + 'static {
    /// Takes what the checks say.
    fn settle(&self, health: Health);

    /// Why the checks say that it is down from now on, for people. `at` is since 1970.
    fn note_down(&self, _at: Duration, _why: &str) {}

    /// Another number once it has answered visitors since the last look.
    fn answered(&self) -> u64;
}
