//! What goes on beside the request path, one folder per capability.

pub mod acme;
pub mod audit;
pub mod certs;
pub mod dns;
pub mod health;
pub mod tokens;
pub mod totp;
