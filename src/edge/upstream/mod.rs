//! Connections to the app: one pool per worker and upstream, HTTP/1.1 keep-alive.
//!
//! Promises: a connection is used again only when both directions of its last exchange ended cleanly and nothing
//! surplus came (13). Bounds: idle connections per pool and their age; the deadline of connecting.

mod body;
mod link;
mod pool;
mod record;

pub use body::{BetweenBytes, UpstreamBody};
pub use link::{Link, UpstreamStream};
pub use pool::{ConnectError, Group, Pool};
