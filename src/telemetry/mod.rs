//! What palisade says about itself: metrics, the log, trace context.
//!
//! Promises: writing a line or counting a request never waits; a full log channel drops lines and counts them.
//! Refuses: values that are secrets; callers hand in paths without queries and no header values.

pub mod access;
pub mod events;
pub mod history;
pub mod json;
pub mod log;
pub mod metrics;
#[cfg(test)]
mod metrics_tests;
pub mod names;
pub mod originals;
pub mod trace;

pub use log::{Level, Log};
pub use metrics::{Ended, Metrics, Shard};
