//! Why the state could not be opened, read or written: the thing, the reason, the next step.

use std::io;
use std::path::{Path, PathBuf};

use crate::sys::files::disk_remedy;

/// Why the state could not be opened. Each message names the file, the reason and the next step.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or the file cannot be made, read or written.
    #[error("cannot use the state {}: {source}\n  {}", path.display(), denied_help(path, *uid, source))]
    Denied { path: PathBuf, uid: u32, source: io::Error },
    /// Other users of the machine could read the state.
    #[error("the state directory {} is open to every user of this machine (mode {mode:04o})\n  if it is palisade's alone, run: chmod 700 {}; otherwise choose another one (`state_dir`, --state)", path.display(), path.display())]
    Exposed { path: PathBuf, mode: u32 },
    /// A link, a directory or the like.
    #[error("the state {} is {what}, not a file\n  move it away; palisade follows no links here, so that nobody can point it elsewhere", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    #[error("the state {} is in use by another process\n  stop the other palisade, or choose another state directory (`state_dir`, --state)", path.display())]
    InUse { path: PathBuf },
    /// The file is none of palisade's.
    #[error("the state {} was not written by palisade: {why}\n  it was left as it is; move it away, or choose another state directory (`state_dir`, --state)", path.display())]
    Foreign { path: PathBuf, why: String },
    #[error("the state {} has format {found}, and this version of palisade knows formats up to {known}\n  start the version that wrote it, or a later one; it was left as it is", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("the state {} is damaged: {why}\n  it was left as it is; {next}", path.display())]
    Damaged { path: PathBuf, why: String, next: &'static str },
    /// The disk failed while it was read or made ready.
    #[error("the state {} cannot be opened: {source}\n  {}", path.display(), failed_help(path, source))]
    Io { path: PathBuf, source: io::Error },
    /// Another file, or none, is where the open one was.
    #[error("{} was moved, replaced or removed while palisade was running; put it back or restart palisade", path.display())]
    Moved { path: PathBuf },
    #[error(
        "the thread that writes the state cannot be started: {source}\n  raise the limit of processes and threads for palisade's user"
    )]
    Thread { source: io::Error },
}

/// Why nothing was read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The state refuses writes after an I/O error, or is being reopened.
    #[error("the state cannot be written: {why}")]
    Unwritable { why: String },
    /// The disk failed under a read. The state is being reopened.
    #[error("the state cannot be read: {why}")]
    Unreadable { why: String },
    /// More writes wait than the queue holds.
    #[error("the state is busy: too many writes are waiting")]
    Busy,
    /// A record that this version cannot read.
    #[error("record {row} of {table} cannot be read: {why}")]
    Record { table: &'static str, row: String, why: String },
    /// A write panicked; the others of its commit were not touched by it.
    #[error("the write failed inside palisade, please report this: {why}")]
    Failed { why: String },
    /// The store is closing.
    #[error("the state is closed")]
    Closed,
}

fn denied_help(path: &Path, uid: u32, source: &io::Error) -> String {
    disk_remedy(source.kind(), path).unwrap_or_else(|| {
        format!(
            "make it readable and writable for user id {uid}, or choose another state directory \
             (`state_dir`, --state)"
        )
    })
}

fn failed_help(path: &Path, source: &io::Error) -> String {
    disk_remedy(source.kind(), path)
        .unwrap_or_else(|| "check the disk, and the kernel's log".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_or_read_only_disk_at_the_start_is_no_matter_of_permissions() {
        let words = |errno: rustix::io::Errno| {
            let (path, source) = (PathBuf::from("/s/core.redb"), io::Error::from(errno));
            OpenError::Denied { path, uid: 7, source }.to_string()
        };
        use rustix::io::Errno;
        assert!(
            words(Errno::NOSPC).ends_with("\n  free some space on the file system of /s/core.redb")
        );
        assert!(words(Errno::ROFS).contains("\n  mount the file system of /s/core.redb writable"));
        assert!(words(Errno::DQUOT).contains("\n  raise the disk quota"));
        assert!(words(Errno::ACCESS).contains("\n  make it readable and writable for user id 7"));
    }
}
