//! Whether the next start would find the master key that this one runs with.
//!
//! Promises: reads the file only when it has changed, and when somebody is about to depend on it; no message carries a
//! part of a key. Keys from the environment cannot be looked at again: they were forgotten at the start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::base::{Secret, SecretRef};
use crate::config::{Environment, SecretError, resolve_secret};
use crate::keyring::{Fingerprint, MasterKey};

/// The file of the master key, and the key that it has to hold.
pub(super) struct MasterWatch {
    file: Option<PathBuf>,
    in_use: Fingerprint,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Nothing before the first look.
    stamp: Option<Stamp>,
    trouble: Option<String>,
}

/// Device, inode, length, and time of the last change of content or mode; nothing if there is no file.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl MasterWatch {
    pub fn new(file: Option<PathBuf>, in_use: Fingerprint) -> Self {
        Self { file, in_use, seen: Mutex::default() }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// What the next start would meet, and what to do.
    pub fn check(&self) -> Result<(), String> {
        let Some(file) = &self.file else { return Ok(()) };
        let secret = fetch(file).map_err(|error| {
            format!(
                "the master key cannot be had any more: {error}\n  put the file or the copy of it back; \
                 without it the next start is refused"
            )
        })?;
        let key = MasterKey::parse(&secret).and_then(|key| key.check(self.in_use));
        key.map_err(|error| error.to_string())
    }

    /// Reads the file if it has changed since the last look.
    pub fn look(&self) {
        let Some(file) = &self.file else { return };
        let now = stamp(file);
        let mut seen = self.seen();
        if seen.stamp != Some(now) {
            // Looked at before reading: what changes in between is read again at the next look.
            *seen = Seen { stamp: Some(now), trouble: self.check().err() };
        }
    }

    /// What the last look found.
    pub fn trouble(&self) -> Option<String> {
        self.seen().trouble.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fetch(file: &Path) -> Result<Secret, SecretError> {
    let place = SecretRef::File(file.to_owned());
    let bytes = Zeroizing::new(resolve_secret(&place, &Environment::default())?);
    Ok(Secret { bytes, place: place.to_string() })
}

fn stamp(file: &Path) -> Stamp {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.dev(), meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn write(path: &Path, digit: &str) {
        let _ = fs::remove_file(path);
        fs::write(path, digit.repeat(64)).expect("written");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
    }

    #[test]
    fn a_key_that_is_gone_replaced_or_open_to_others_is_trouble_until_it_is_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("master.key");
        write(&file, "a");
        let key = MasterKey::parse(&fetch(&file).expect("read")).expect("a key");
        let watch = MasterWatch::new(Some(file.clone()), key.fingerprint());
        let trouble = || {
            watch.look();
            watch.trouble().unwrap_or_default()
        };
        assert_eq!(trouble(), "");
        write(&file, "b");
        let found = trouble();
        assert!(found.contains("master.key was replaced: it has fingerprint "), "{found}");
        assert!(!found.contains("aaaa") && !found.contains("bbbb"), "{found}");
        fs::remove_file(&file).expect("removed");
        assert!(trouble().contains("put the file or the copy of it back"), "{}", trouble());
        write(&file, "a");
        assert_eq!(trouble(), "");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
        assert!(trouble().contains("chmod o="), "{}", trouble());
    }

    #[test]
    fn a_key_from_the_environment_is_not_looked_for() {
        let watch = MasterWatch::new(None, Fingerprint::default());
        watch.look();
        assert_eq!((watch.check(), watch.trouble()), (Ok(()), None));
    }
}
