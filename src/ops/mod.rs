//! (to come)
pub mod api;
