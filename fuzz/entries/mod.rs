//! What each target does with the bytes it is given, and what must hold then. Called by the fuzzer (`fuzz_targets/`)
//! and by an ordinary test (`tests/it/fuzz.rs`), so that both mean the same.
//!
//! An entry takes any bytes, and panics where something does not hold.

pub mod activity;
pub mod client_hello;
pub mod config;
pub mod forwarded_for;
pub mod h2_watch;
pub mod host;
pub mod inspect;
pub mod path;
pub mod proxy_protocol;
pub mod record;
pub mod response;
pub mod rewriting;
pub mod top;
