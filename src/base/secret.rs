//! Where a secret is kept. The secret itself never passes through the configuration file.

use std::path::PathBuf;

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
