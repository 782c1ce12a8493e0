//! Where the request path has its actions recorded.

use tokio::sync::oneshot;

use crate::base::IpKey;
use crate::base::audit::Intent;

/// The records of actions that happen on the request path.
pub trait Actions: Send + Sync + 'static {
    /// Takes a place for one record of a client, before the action may begin. Never waits.
    ///
    /// # Errors
    /// See [`NoPlace`].
    fn reserve(&self, client: IpKey) -> Result<Box<dyn Place>, NoPlace>;
}

/// Why there is no place for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    /// It could not be recorded now; why, for the log.
    Now(&'static str),
    /// The client has as many as one may have.
    Client,
}

/// A place for one record. Dropped unused, it is free again.
pub trait Place: Send {
    /// Hands the record over; it will be written even if nobody waits for it. Never waits.
    fn record(self: Box<Self>, intent: Intent) -> Recorded;
}

/// Says that a record is on disk; ends without a word only when the process ends before it is.
pub type Recorded = oneshot::Receiver<()>;
