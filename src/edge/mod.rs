//! The request path: from an accepted connection to the last byte of the response.
//!
//! Promises: nothing here calls the store, takes a contended lock or waits for the log. Everything a worker reads
//! comes from an immutable [`Policy`] that is swapped whole.

pub mod accept;
mod action;
#[cfg(test)]
mod action_tests;
mod announced;
mod body;
mod caps;
mod challenge;
#[cfg(test)]
mod challenge_tests;
mod complaints;
mod conn;
mod crowd;
mod deny;
pub mod explain;
mod forwarded;
mod h2_io;
pub mod h2_watch;
pub mod hello;
mod http1;
mod http2;
mod ids;
pub mod inspect;
mod io;
mod lease;
mod originals;
pub mod pages;
#[cfg(test)]
mod panic_tests;
pub mod policy;
pub mod probe;
mod proxy;
pub mod proxy_protocol;
mod request;
mod respond;
mod route;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod stall_tests;
mod steps;
mod strangers;
mod timers;
pub mod tls;
mod trailers;
mod trip;
mod tunnel;
pub mod upstream;
pub mod worker;

pub use caps::{Caps, Refusal};
pub use policy::Policy;
pub use worker::{Drain, Shared, Worker};
