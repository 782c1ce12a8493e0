//! What the checks of upstreams and the request path tell each other.

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

    /// Another number once it has answered visitors since the last look.
    fn answered(&self) -> u64;
}
