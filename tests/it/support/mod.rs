//! What every test needs: a daemon, an app behind it, certificates, and clients in front of it.

mod acme_client;
pub mod acme_site;
pub mod ca;
mod certs;
mod client;
mod daemon;
mod dns;
mod fake_clock;
mod http;
pub mod no_room;
pub mod notation;
mod peers;
pub mod pebble;
mod ports;
mod pty;
pub mod tls_app;
pub mod totp;
mod upstream;
pub mod h2_raw;
pub mod wire;

use std::time::Duration;

pub use acme_client::acme_client;
pub use certs::{Authority, Issued};
pub use client::{Connection, TlsClient, plain};
pub use daemon::{Daemon, Exit, Place, palisade, within};
pub use dns::Dns;
pub use fake_clock::FakeClock;
pub use http::Answer;
pub use pebble::Pebble;
pub use peers::{Answered, Service, curl, peer, python};
pub use ports::Doors;
pub use pty::Pty;
pub use upstream::{Link, Seen, Upstream, digest};

/// Nothing takes as long as this unless it hangs; whatever waits fails then and shows what it has seen.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// When a wait that begins now ends.
#[expect(clippy::disallowed_methods, reason = "a test that hangs has to end in real time")]
pub fn deadline() -> std::time::Instant {
    std::time::Instant::now() + DEADLINE
}

/// What is left until then.
#[expect(clippy::disallowed_methods, reason = "a test that hangs has to end in real time")]
pub fn left(deadline: std::time::Instant) -> Duration {
    deadline.saturating_duration_since(std::time::Instant::now())
}
