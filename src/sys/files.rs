//! Files that appear whole or not at all, and directories held by one process at a time.
//!
//! Promises: `write_new` never replaces a file and never leaves a half-written one under the final name.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags};
use rustix::process::Pid;

/// What is done while a directory is held takes milliseconds.
const LOCK_WAIT_STEP: Duration = Duration::from_millis(20);
const LOCK_WAIT_STEPS: u32 = 250;

/// Exclusive hold on a directory; other processes wait in [`lock_dir`] until it is dropped.
#[derive(Debug)]
pub struct DirLock(
    #[expect(dead_code, reason = "closing the descriptor releases the lock")] OwnedFd,
);

/// Waits until no other process holds `dir`, then holds it. Leaves no lock file behind.
///
/// # Errors
/// The directory cannot be opened, or someone has held it for [`LOCK_WAIT_STEPS`] × [`LOCK_WAIT_STEP`]: in a
/// directory that others can read, anyone could hold it for ever.
pub fn lock_dir(dir: &Path) -> io::Result<DirLock> {
    let handle = OwnedFd::from(File::open(dir)?);
    for _ in 0..LOCK_WAIT_STEPS {
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(DirLock(handle)),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_WAIT_STEP),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "another process holds the directory"))
}

/// Makes `dir` and its parents with `mode`; an existing one keeps its own.
///
/// # Errors
/// As the system says.
pub fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(dir)
}

/// Writes a new file with `mode`, durably.
///
/// # Errors
/// `AlreadyExists` when something has that name, otherwise as the system says; then nothing is left behind.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = parent(path);
    let temporary = temporary_name(path, &dir)?;
    let written = write_temporary(&temporary, bytes, mode).and_then(|()| publish(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // may be gone already; the first error is the one to report
    }
    written?;
    File::open(dir)?.sync_all()
}

/// Puts `bytes` in place of whatever file has that name, durably; readers see the old one or the new one, whole.
///
/// # Errors
/// As the system says; then what was there stays.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let dir = parent(path);
    let temporary = temporary_name(path, &dir)?;
    let written = write_temporary(&temporary, bytes, mode)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(&dir)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&temporary); // may be gone already; the first error is the one to report
    }
    written
}

/// Removes a file, durably.
///
/// # Errors
/// As the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    File::open(parent(path))?.sync_all()
}

/// What helps where a file system is full, read-only or the like, and a change of owner or mode does not.
#[must_use]
pub fn disk_remedy(kind: io::ErrorKind, path: &Path) -> Option<String> {
    let path = path.display();
    Some(match kind {
        io::ErrorKind::StorageFull => format!("free some space on the file system of {path}"),
        io::ErrorKind::QuotaExceeded => {
            format!("raise the disk quota of the owner of {path}, or free some of it")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!(
                "mount the file system of {path} writable (systemd: ReadWritePaths=, or \
                 StateDirectory=); if it became read-only by itself, the kernel's log says why"
            )
        }
        io::ErrorKind::FileTooLarge => {
            format!("raise the limit of file sizes (LimitFSIZE=): {path} may not grow")
        }
        _ => return None,
    })
}

/// Removes what [`write_new`] leaves beside `path` when its process is killed. Only plain files with exactly such a
/// name, and only those of processes that are gone; whatever cannot be removed stays.
pub fn sweep(path: &Path) {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return };
    let Ok(entries) = fs::read_dir(parent(path)) else { return };
    for entry in entries.flatten() {
        let plain = entry.file_type().is_ok_and(|kind| kind.is_file());
        let left = entry.file_name().to_str().and_then(|found| maker(found, name));
        if plain && left.is_some_and(is_gone) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The process that made a temporary file for `name`.
fn maker(found: &str, name: &str) -> Option<Pid> {
    let digits = found.strip_prefix('.')?.strip_prefix(name)?.strip_prefix('.')?;
    let digits = digits.strip_suffix(".new")?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok().and_then(Pid::from_raw) } else { None }
}

fn is_gone(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

/// The directory a file stands in; `.` for a bare name.
#[must_use]
pub fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes later reads of `file` come from the disk. After a failed sync Linux keeps pages that never got there and takes
/// them for clean: whoever checks them approves of bytes that a power cut takes away.
pub fn forget_cached(file: &File) {
    // Where the file system cannot, the next reads see what every reader sees.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

fn temporary_name(path: &Path, dir: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.new", std::process::id()));
    Ok(dir.join(hidden))
}

fn write_temporary(temporary: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let _ = fs::remove_file(temporary); // left by a crashed process that had our number
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some network file systems cannot; a hard link refuses an existing name just as well.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            fs::hard_link(temporary, path)?;
            fs::remove_file(temporary)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_file_has_its_mode_and_an_old_one_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        write_new(&path, b"one", 0o600).expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let again = write_new(&path, b"two", 0o600).expect_err("refused");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("readable"), b"one");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_file_is_replaced_whole_and_no_other_one_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("public");
        for text in [b"one", b"two"] {
            replace(&path, text, 0o644).expect("written");
            assert_eq!(fs::read(&path).expect("readable"), text);
        }
        fs::create_dir(dir.path().join("taken")).expect("made");
        replace(&dir.path().join("taken"), b"x", 0o644).expect_err("a directory is no file");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 2);
        remove(&path).expect("removed");
        assert!(!path.exists());
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = std::process::Command::new("true").spawn().expect("a process");
        let (gone, alive) = (child.id(), std::process::id());
        child.wait().expect("ended");
        let path = dir.path().join("key");
        let kept = [
            "key".to_owned(),
            format!(".key.{alive}.new"),
            format!(".other.{gone}.new"),
            format!(".key.{gone}.new.old"),
            format!(".key.+{gone}.new"),
            format!(".key.0{gone}.new"),
            format!("key.{gone}.new"),
            ".key..new".to_owned(),
            ".key.x.new".to_owned(),
            ".key.99999999999.new".to_owned(),
        ];
        let left = dir.path().join(format!(".key.{gone}.new"));
        for name in &kept {
            fs::write(dir.path().join(name), b"").expect("written");
        }
        // Under the right name, and no file of ours.
        std::os::unix::fs::symlink(&path, &left).expect("linked");
        sweep(&path);
        assert!(left.is_symlink());
        fs::remove_file(&left).expect("removed");
        fs::write(&left, b"half").expect("written");
        sweep(&path);
        assert!(!left.exists());
        assert!(kept.iter().all(|name| dir.path().join(name).exists()));
    }

    #[test]
    fn a_directory_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let held = lock_dir(dir.path()).expect("held");
        let other = File::open(dir.path()).expect("opened");
        let busy = rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(busy, Err(rustix::io::Errno::WOULDBLOCK));
        drop(held);
        assert!(rustix::fs::flock(&other, FlockOperation::NonBlockingLockExclusive).is_ok());
    }
}
