//! Why nothing was sealed, opened or changed: the place, the reason and the next step, never a secret.

use std::io;
use std::path::{Path, PathBuf};

use super::master::{Fingerprint, shown};
use crate::store::StoreError;
use crate::store::sealed::KeyId;

#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the sealed value in row {row} of {table} does not open with key {key}")]
    Unopened { table: &'static str, row: String, key: KeyId },
    #[error(
        "data key {key} has sealed as often as is safe\n  make a new one: palisade crypto rotate"
    )]
    UsedUp { key: KeyId },
    #[error("there are no more numbers for data keys")]
    NoMoreKeys,
    #[error("nothing was sealed: no randomness from the system: {0}")]
    NoRandomness(#[source] io::Error),
    #[error(
        "the master key from {place} is not 64 hexadecimal digits (it has {length} bytes)\n  make one with: openssl rand -hex 32"
    )]
    MasterMalformed { place: String, length: usize },
    #[error(
        "the master key from {place} is not 64 hexadecimal digits (it has {length} bytes), and the state holds secrets that only the right one opens\n  put the copy of it back; nothing was changed"
    )]
    MasterSpoilt { place: String, length: usize },
    #[error(
        "two master keys are given and they differ: {one} and {other}\n  remove the wrong one; nothing was changed"
    )]
    MastersDiffer { one: String, other: String },
    #[error(
        "the master key is missing: {} is not there, and the state holds secrets that only this key opens\n  put the copy of it back, or name its place as crypto.master_key; nothing was changed", path.display()
    )]
    MasterMissing { path: PathBuf },
    #[error(
        "the master key from {place} (fingerprint {}) is not the one that {} wrapped with (fingerprint {})\n  put the right one back; to change it, name the old one as crypto.previous_master_key; nothing was changed",
        shown(*given), listed(keys), shown(*wanted)
    )]
    WrongMaster { place: String, given: Fingerprint, keys: Vec<KeyId>, wanted: Fingerprint },
    #[error(
        "the master key from {place} was replaced: it has fingerprint {}, palisade runs with {}\n  put the right one back; to change it, name the old one as crypto.previous_master_key and restart palisade",
        shown(*given), shown(*in_use)
    )]
    MasterReplaced { place: String, given: Fingerprint, in_use: Fingerprint },
    #[error(
        "data key {key} is damaged: it names the master key from {place} and does not open with it\n  restore the state from a backup; nothing was changed"
    )]
    KeyDamaged { place: String, key: KeyId },
    #[error(
        "the new master key cannot be written to {}: {source}\n  {}", path.display(), unwritten_help(path, source)
    )]
    Unwritten { path: PathBuf, source: io::Error },
}

impl KeyringError {
    /// The same about a key that secrets are sealed with: making another one would lose them.
    pub(super) fn of_sealed(self) -> Self {
        match self {
            Self::MasterMalformed { place, length } => Self::MasterSpoilt { place, length },
            other => other,
        }
    }
}

/// `data key 2 is`, `data keys 1, 2 and 3 are`.
fn listed(keys: &[KeyId]) -> String {
    match keys {
        [] => "the data keys are".to_owned(),
        [only] => format!("data key {only} is"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(ToString::to_string).collect();
            format!("data keys {} and {last} are", first.join(", "))
        }
    }
}

fn unwritten_help(path: &Path, source: &io::Error) -> String {
    crate::sys::files::disk_remedy(source.kind(), path).unwrap_or_else(|| {
        "let palisade's user write there, or name another place as crypto.master_key".to_owned()
    })
}
