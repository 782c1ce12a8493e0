//! What only the operating system can give: descriptors, limits, the environment, whole files.
//!
//! Promises: the only module with `unsafe`, each block with the reason why it is sound.
//! Refuses: anything that could be written without it; policy belongs to the callers.

pub mod env;
pub mod fds;
pub mod files;
pub mod limits;
pub mod memory;
pub mod notify;
pub mod peer;
pub mod terminal;
pub mod usage;
pub mod users;
