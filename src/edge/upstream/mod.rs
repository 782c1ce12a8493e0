//! Connections to the app: one pool per worker and upstream, HTTP/1.1 keep-alive, with a client of our own.
//!
//! Promises: a connection is used again only when both directions of its last exchange ended cleanly and nothing
//! surplus came (13); what two readers could understand differently is no response (11, 24). Bounds: idle connections
//! per pool and their age; the deadline of connecting; heads, fields, chunk lines and what is read or gathered at once.

mod body;
mod chunked;
mod fault;
mod head;
pub mod incoming;
#[cfg(test)]
mod incoming_tests;
mod link;
#[cfg(test)]
mod link_tests;
mod outgoing;
#[cfg(test)]
mod outgoing_tests;
mod peer;
mod pool;
mod records;
mod secure;
mod stream;
mod trust;
#[cfg(test)]
mod trust_tests;

pub use body::{BetweenBytes, UpstreamBody};
pub use fault::Fault;
pub use link::Link;
pub use peer::{Peer, Peers, groups};
pub use pool::{ConnectError, Group, Pool};
pub use secure::Secure;
pub use stream::UpstreamStream;
pub use trust::{Trust, Trusts};
