//! The local API: what the daemon says about itself and what it may be told to do.
//!
//! Promises: one set of types (`api`) for server, client and tests; every answer carries `palisade-api`,
//! every refusal is a problem document (RFC 9457).
//! Refuses: other users on the control socket; foreign `Host` and any `Origin` on the ops address.
//! Bounds: connections, head sizes and the time a connection may take, on both.

pub mod api;
mod audit;
pub mod auth;
mod caller;
pub mod client;
mod live;
mod patience;
mod router;
#[cfg(test)]
pub(crate) mod sample;
mod server;
mod socket;
mod stream;

pub use caller::Caller;
pub use client::{Client, ClientError, EventStream};
pub use router::{Answer, Control, control_router, ops_router};
pub use server::{serve_control, serve_ops};
pub use socket::{BindError, bind_control};
pub use stream::shown_step;
