//! (to come)
pub mod settings;
