//! What a site or a route takes in: the size of bodies, methods, media types; and whether the app's words about its own
//! errors go out.
//!
//! Threat: bodies that fill the app's memory or disk, and requests of kinds that it was never meant to handle. Limits:
//! what is inside a body is not looked at, nor what flows through a WebSocket. Failure policy: closed; nothing here can
//! fail. A body whose length is said is judged before the app is asked, one of unknown length is cut off.

mod core;
pub mod settings;

pub use self::core::check;
