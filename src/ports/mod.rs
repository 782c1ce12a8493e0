//! What palisade needs from the world, as traits: time, randomness, names, connections; and what the
//! request path needs from the rest of it.
//!
//! Promises: nothing else in the program asks the system for any of these (`.clippy.toml` sees to it), so a test
//! that hands in the fakes controls them all.

pub mod actions;
pub mod dial;
#[cfg(test)]
pub mod fake;
pub mod handshake;
pub mod health;
pub mod names;
pub mod system;
pub mod turns;
mod system_dns;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
    /// All addresses of `host`, in the order to try them. Asks each time: whoever asks often keeps the answer.
    ///
    /// # Errors
    /// See [`Unresolved`].
    fn resolve<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Resolved, Unresolved>>;

    /// Who is asked, as far as it is known: for the log.
    fn servers(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What is said of servers that have let the deadline pass.
pub const SILENT: &str = "no DNS server answered in time";

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// In the order to try them; never empty.
    pub addresses: Vec<IpAddr>,
    /// How long they hold, as their owner says.
    pub valid_for: Duration,
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// DNS has answered: there is no such name.
    #[error("there is no such name in DNS")]
    Missing,
    /// DNS has answered: there is something of that name, but no address.
    #[error("the name has no address in DNS")]
    NoAddress,
    /// There was no answer, which says nothing about the name.
    #[error("{0}")]
    NoAnswer(String),
}

impl Unresolved {
    /// Whether DNS itself has said so, and what was known before counts no more.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        matches!(self, Self::Missing | Self::NoAddress)
    }

    /// What an operator has to look after.
    #[must_use]
    pub const fn next_step(&self) -> &'static str {
        match self {
            Self::Missing | Self::NoAddress => {
                "put the name right in DNS or in `upstream`; `dns.servers` says who is asked"
            }
            Self::NoAnswer(_) => "look after the DNS servers (`dns.servers`, or /etc/resolv.conf)",
        }
    }
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
