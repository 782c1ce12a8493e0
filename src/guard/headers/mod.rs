//! Security headers on every response.
//!
//! Threat: a browser that is left to its defaults frames the page, sniffs its types, sends its addresses elsewhere
//! and accepts plain HTTP the next time. Limits: what a header says, a browser must obey; nothing here protects
//! other clients. Failure policy: open; a header that cannot be set is not a reason to lose the response.
//! The app's own value stands where it is at least as strict (promise 27).

mod core;

pub use self::core::{Hardening, harden};
