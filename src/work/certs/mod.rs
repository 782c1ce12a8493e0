//! Certificates and their keys: issued by the built-in local CA, or read from files.
//!
//! Promises: a [`Certificate`] is only ever built with the key that belongs to it.
//! Refuses: keys that other users of the machine can read; certificates for other names than the site's.
//! Takes the time as a parameter (`now_unix_s`), never from a clock.

mod error;
mod files;
mod info;
mod kept;
mod local;
#[cfg(test)]
pub mod sample;

use std::sync::Arc;

use rustls::sign::CertifiedKey;

pub use error::CertError;
pub use files::{Key, load};
pub use info::{Facts, fingerprint};
pub use kept::Vault;
pub use local::{LEAF_DAYS, LocalCa, ROOT_FILE, hostname};

/// A chain with its key, ready for rustls, and what people want to know about it.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub key: Arc<CertifiedKey>,
    pub facts: Facts,
    /// The file it was read from, if from one.
    pub path: Option<String>,
    /// What is not wrong enough to refuse it, one sentence each.
    pub warnings: Vec<String>,
}
