//! What palisade needs from the world, as traits: time, randomness, names, connections; and what the
//! request path needs from the rest of it.
//!
//! Promises: nothing else in the program asks the system for any of these (`.clippy.toml` sees to it), so a test
//! that hands in the fakes controls them all.

pub mod actions;
#[cfg(test)]
pub mod fake;
pub mod system;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// A future of a port. Ports are called once per connection or per timer tick, so the box is not on the request path.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The time, twice: one that never steps back, and one that people read.
pub trait Clock: Send + Sync + 'static {
    /// For durations and deadlines.
    fn now(&self) -> Instant;

    /// Since 1970-01-01T00:00:00Z; may step when somebody sets the clock.
    fn unix(&self) -> Duration;
}

/// Random bytes fit for secrets.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` completely.
    ///
    /// # Errors
    /// Only when the operating system has no random source.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// Names to addresses.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, in the order to try them.
    ///
    /// # Errors
    /// When the name does not exist or could not be asked for.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Pending<'a, io::Result<Vec<SocketAddr>>>;
}

/// Opens connections to the app.
pub trait Dial: Send + Sync + 'static {
    /// A TCP connection with Nagle's algorithm off.
    ///
    /// # Errors
    /// As `connect(2)`.
    fn tcp(&self, addr: SocketAddr) -> Pending<'_, io::Result<TcpStream>>;

    /// A stream connection to a Unix socket.
    ///
    /// # Errors
    /// As `connect(2)`.
    fn unix<'a>(&'a self, path: &'a Path) -> Pending<'a, io::Result<UnixStream>>;
}
