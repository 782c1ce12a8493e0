//! (to come)
pub mod pages;
