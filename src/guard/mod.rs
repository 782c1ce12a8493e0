//! The guards on the request path, one folder each.

pub mod headers;
pub mod intake;
