//! The local API: what the daemon says about itself and what it may be told to do.
//!
//! Promises: one set of types (`api`) for server, client and tests; every answer carries `palisade-api` and
//! `palisade-version`,
//! every refusal is a problem document (RFC 9457);
//! every call stands in `calls` with the role, the scope and the second factor that it wants (`gate`), and in the
//! document that is made from it (`openapi`).
//! Refuses: users without a role on the sockets, and whoever has no token on the ops address; a foreign `Host` and any
//! `Origin`, at every door.
//! Bounds: connections, head sizes and the time a connection may take, on both.

mod access;
mod activity;
pub mod api;
mod audit;
mod auth;
mod basic;
mod caller;
mod calls;
pub mod client;
mod control;
mod errors;
mod gate;
mod live;
mod openapi;
mod patience;
mod queries;
mod router;
#[cfg(test)]
pub(crate) mod sample;
mod server;
mod socket;
mod stream;
mod switches;

pub use caller::{Caller, Door, Proof};
pub use client::{Client, ClientError, EventStream};
pub use control::{Access, Answer, Asked, Control, Holder, Switches};
pub use router::router;
pub use server::{serve_ops, serve_unix};
pub use socket::{BindError, SocketFile, SocketKind, bind_socket};
pub use stream::shown_step;
