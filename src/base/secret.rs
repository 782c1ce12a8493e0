//! Secrets: where one is kept, and one that was fetched. It never passes through the configuration file.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A place to read a secret from, as written in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// `{ file = "…" }`: refused when other users of the machine can read it.
    File(PathBuf),
    /// `{ credential = "…" }`: a systemd credential, read from `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `{ env = "…" }`: read once at start and removed from the environment.
    Env(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A secret that was fetched. Wiped when it is dropped; printing it shows only where it was found.
#[derive(Clone)]
pub struct Secret {
    pub bytes: Zeroizing<Vec<u8>>,
    /// For messages.
    pub place: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(from {})", self.place)
    }
}
