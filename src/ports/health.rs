//! What the health checks say about an upstream, and whom they tell.

/// What the health checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nobody asks, or no check has ended yet.
    Unknown,
    Up,
    Down,
}

/// Who is told.
pub trait Settle: Send + Sync + 'static {
    fn settle(&self, health: Health);
}
