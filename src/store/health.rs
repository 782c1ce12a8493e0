//! What an operator is told when the state cannot be written.

use std::io::ErrorKind;
use std::path::Path;

use super::disk::Failure;

/// What failed and what helps. `why` is what the database said, for when the disk has said nothing.
pub(super) fn sentence(failure: Option<&Failure>, why: &str, path: &Path) -> String {
    let path = path.display();
    let Some(Failure { doing, kind, text }) = failure else { return why.to_owned() };
    match kind {
        ErrorKind::StorageFull => {
            format!("no space left on device: free some on the file system of {path}")
        }
        ErrorKind::QuotaExceeded => {
            format!(
                "the disk quota is used up: raise it, or free some of it, for the owner of {path}"
            )
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!(
                "the file system of {path} is read-only: see the kernel's log, then mount it writable"
            )
        }
        ErrorKind::FileTooLarge => {
            format!("{path} may not grow: raise the limit of file sizes (LimitFSIZE=)")
        }
        _ => format!("cannot {doing} {path}: {text}: check the disk, and the kernel's log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_what_helps() {
        let failure = Failure { doing: "write", kind: ErrorKind::StorageFull, text: "full".into() };
        assert_eq!(
            sentence(Some(&failure), "PreviousIo", Path::new("/s/core.redb")),
            "no space left on device: free some on the file system of /s/core.redb"
        );
        let failure = Failure { doing: "sync", kind: ErrorKind::Other, text: "EIO".into() };
        assert_eq!(
            sentence(Some(&failure), "", Path::new("/s/core.redb")),
            "cannot sync /s/core.redb: EIO: check the disk, and the kernel's log"
        );
    }
}
