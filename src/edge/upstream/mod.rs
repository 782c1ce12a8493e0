//! Connections to the app: one pool per worker and upstream, HTTP/1.1 keep-alive, with a client of our own.
//!
//! Promises: a connection is used again only when both directions of its last exchange ended cleanly and nothing
//! surplus came (13); what two readers could understand differently is no response (11, 24); who is asked is chosen by
//! what all workers know (`group`). Bounds: idle connections per pool and their age; requests that wait for a place; the deadline of connecting; heads, fields, chunk lines and what is read or gathered at once.

mod balance;
mod body;
mod breaker;
mod budget;
mod carrier;
mod chunked;
mod fault;
mod group;
mod head;
mod heard;
pub mod incoming;
#[cfg(test)]
mod incoming_tests;
mod link;
#[cfg(test)]
mod link_tests;
mod multiplex;
mod outgoing;
#[cfg(test)]
mod outgoing_tests;
mod peer;
mod pool;
mod queue;
mod records;
mod secure;
mod silence;
mod strand;
#[cfg(test)]
mod strand_tests;
mod stream;
mod target;
mod trust;
#[cfg(test)]
mod trust_tests;
mod trouble;
mod visit;

pub use body::{BetweenBytes, UpstreamBody};
pub use breaker::{Failing, State};
pub use carrier::Carrier;
pub use fault::Fault;
pub use group::{Chosen, Group, Member, Nobody, Standing, Tried};
pub use peer::{LastFailure, Peer, Peers, Snapshot, Tally, groups};
pub use pool::{ConnectError, Pool};
pub use secure::Secure;
pub use stream::UpstreamStream;
pub use trouble::Trouble;
pub use trust::{Trust, Trusts};
pub use visit::Visit;
