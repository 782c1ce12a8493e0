//! Fetches a secret from where the configuration says it is kept.
//!
//! Promises: no error carries the secret or a part of it. Refuses: files that other users of the machine can read.
//! Bounds: [`SECRET_MAX`] bytes.

use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::env::Environment;
use crate::base::SecretRef;

/// Larger than any key or certificate chain.
const SECRET_MAX: u64 = 1024 * 1024;
/// Permission bits of users who are neither owner nor group.
const OTHERS: u32 = 0o007;

/// Why a secret could not be fetched, with the next step.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("{path} is readable by others (mode {mode:04o}): run chmod o= {path}")]
    ReadableByOthers { path: PathBuf, mode: u32 },
    #[error("{path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a regular file")]
    NotAFile { path: PathBuf },
    #[error("{path} is larger than 1MiB: it is not a secret")]
    TooLarge { path: PathBuf },
    #[error("{place} is empty")]
    Empty { place: String },
    #[error(
        "credential {name} is asked for, but systemd gave none: add LoadCredential={name}:/path to the unit"
    )]
    NoCredentials { name: String },
    #[error("environment variable {name} is not set")]
    Unset { name: String },
}

/// Reads the bytes as they are kept, final newline included.
///
/// # Errors
/// What stands in the way, and what to do about it.
pub fn resolve_secret(secret: &SecretRef, env: &Environment) -> Result<Vec<u8>, SecretError> {
    let bytes = match secret {
        SecretRef::File(path) => read(path)?,
        SecretRef::Credential(name) => {
            let directory = env
                .credentials_directory()
                .ok_or_else(|| SecretError::NoCredentials { name: name.clone() })?;
            read(&directory.join(name))?
        }
        SecretRef::Env(name) => {
            let value = env.get(name).ok_or_else(|| SecretError::Unset { name: name.clone() })?;
            value.as_bytes().to_vec()
        }
    };
    if bytes.is_empty() {
        return Err(SecretError::Empty { place: secret.to_string() });
    }
    Ok(bytes)
}

/// The open file is what is checked, so that it cannot be exchanged in between.
fn read(path: &Path) -> Result<Vec<u8>, SecretError> {
    let path = path.to_owned();
    let unreadable = |source| SecretError::Unreadable { path: path.clone(), source };
    // Without NONBLOCK, opening a pipe would wait for a writer.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblock).open(&path);
    let file = file.map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(SecretError::NotAFile { path });
    }
    if meta.mode() & OTHERS != 0 {
        return Err(SecretError::ReadableByOthers { path, mode: meta.mode() & 0o7777 });
    }
    if meta.len() > SECRET_MAX {
        return Err(SecretError::TooLarge { path });
    }
    // Large enough at once: growing would leave copies behind.
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0).saturating_add(1));
    file.take(SECRET_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn env(vars: &[(&str, &str)]) -> Environment {
        Environment::new(vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    fn file(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, "hunter2").expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        path
    }

    #[test]
    fn a_secret_readable_by_others_is_refused_with_the_command() {
        let dir = tempfile::tempdir().expect("a directory");
        for mode in [0o644, 0o604, 0o602, 0o777] {
            let path = file(dir.path(), "key", mode);
            let error = resolve_secret(&SecretRef::File(path), &env(&[])).expect_err("refused");
            assert!(error.to_string().contains("chmod o= "), "{error}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let path = file(dir.path(), "key", 0o640);
        assert_eq!(resolve_secret(&SecretRef::File(path), &env(&[])).expect("read"), b"hunter2");
    }

    #[test]
    fn a_secret_comes_from_a_credential_or_the_environment() {
        let dir = tempfile::tempdir().expect("a directory");
        file(dir.path(), "stripe", 0o400);
        let credential = SecretRef::Credential("stripe".into());
        let given = env(&[("CREDENTIALS_DIRECTORY", &dir.path().to_string_lossy())]);
        assert_eq!(resolve_secret(&credential, &given).expect("read"), b"hunter2");
        let error = resolve_secret(&credential, &env(&[])).expect_err("no directory");
        assert!(error.to_string().contains("LoadCredential=stripe:"), "{error}");
        let variable = SecretRef::Env("KEY".into());
        assert_eq!(resolve_secret(&variable, &env(&[("KEY", "x")])).expect("read"), b"x");
        assert!(matches!(resolve_secret(&variable, &env(&[])), Err(SecretError::Unset { .. })));
        let empty = resolve_secret(&variable, &env(&[("KEY", "")]));
        assert!(matches!(empty, Err(SecretError::Empty { .. })));
    }

    #[test]
    fn what_is_no_file_is_no_secret() {
        let dir = tempfile::tempdir().expect("a directory");
        let error = resolve_secret(&SecretRef::File(dir.path().to_owned()), &env(&[]));
        assert!(matches!(error, Err(SecretError::NotAFile { .. })));
        let error = resolve_secret(&SecretRef::File(dir.path().join("none")), &env(&[]));
        assert!(matches!(error, Err(SecretError::Unreadable { .. })));
    }
}
