//! Where the file is: a directory that only palisade's user may enter, and a file that is made whole or not at all.
//!
//! Promises: a new file gets its name when it is complete and on disk, so a crash during the first start leaves none;
//! a file that is there is never replaced; a file that was moved away is never taken for the one at its path.
//! Refuses: directories that others may enter, links, whatever is no file, another file than the first.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use redb::StorageBackend;
use redb::backends::FileBackend;
use rustix::fs::{Mode, OFlags, fstat, lstat};
use rustix::io::Errno;

use super::OpenError;
use super::database::StateFile;
use super::schema::Schema;
use crate::sys;

/// Where the bytes are kept. Asked again after an I/O error.
pub(super) trait Place: Send + Sync + 'static {
    fn path(&self) -> &Path;

    /// What kind of file is there.
    fn schema(&self) -> &'static Schema;

    /// The device, opened afresh. `again` is true when an earlier one has failed.
    ///
    /// # Errors
    /// It is not there, or not what it should be.
    fn device(&self, again: bool) -> Result<Box<dyn StorageBackend>, OpenError>;

    /// The same bytes once more, only to be read, while a device is open: what the file says now and not what is kept of it.
    ///
    /// # Errors
    /// As [`Place::device`].
    fn view(&self) -> Result<Box<dyn StorageBackend>, OpenError>;

    /// Whether the path still leads to what was opened. Writes into a file that was moved away would be lost.
    ///
    /// # Errors
    /// [`OpenError::Moved`].
    fn in_place(&self) -> Result<(), OpenError>;
}

/// A file in a state directory.
#[derive(Debug)]
pub(super) struct FilePlace {
    path: PathBuf,
    schema: &'static Schema,
    /// The file that was opened first. Held so that its number is not given to another one once it is removed.
    first: OnceLock<OwnedFd>,
}

impl FilePlace {
    /// Makes what is missing: the directory, then the file.
    pub fn prepare(state_dir: &Path, schema: &'static Schema) -> Result<Self, OpenError> {
        let denied = |path: &Path, source| denied(path, source);
        sys::files::make_dir(state_dir, 0o700).map_err(|error| denied(state_dir, error))?;
        let mode = fs::metadata(state_dir).map_err(|error| denied(state_dir, error))?;
        let mode = mode.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(OpenError::Exposed { path: state_dir.to_owned(), mode });
        }
        let path = state_dir.join(schema.file);
        sys::files::sweep(&path);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path, schema)?,
            Err(error) => return Err(denied(&path, error)),
        }
        Ok(Self { path, schema, first: OnceLock::new() })
    }
}

fn make(path: &Path, schema: &'static Schema) -> Result<(), OpenError> {
    let image = StateFile::image(schema).map_err(|why| denied(path, io::Error::other(why)))?;
    match sys::files::write_new(path, &image, 0o600) {
        // Another process was faster; its lock, or its file, decides what comes next.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|error| denied(path, error)),
    }
}

fn denied(path: &Path, source: io::Error) -> OpenError {
    OpenError::Denied { path: path.to_owned(), uid: rustix::process::geteuid().as_raw(), source }
}

impl Place for FilePlace {
    fn path(&self) -> &Path {
        &self.path
    }

    fn schema(&self) -> &'static Schema {
        self.schema
    }

    fn device(&self, again: bool) -> Result<Box<dyn StorageBackend>, OpenError> {
        let odd = |what| OpenError::NotAFile { path: self.path.clone(), what };
        let kind = self.path.symlink_metadata().map_err(|error| denied(&self.path, error))?;
        if kind.file_type().is_symlink() {
            return Err(odd("a symbolic link"));
        }
        if kind.is_dir() {
            return Err(odd("a directory"));
        }
        if !kind.is_file() {
            return Err(odd("a device or a socket"));
        }
        let file = self.open().map_err(|error| denied(&self.path, error))?;
        self.remember(&file)?;
        if again {
            sys::files::forget_cached(&file);
        }
        let device = FileBackend::new(file)
            .map_err(|error| denied(&self.path, io::Error::other(error.to_string())))?;
        Ok(Box::new(device))
    }

    fn view(&self) -> Result<Box<dyn StorageBackend>, OpenError> {
        let no_links = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(&self.path, no_links, Mode::empty());
        let file = File::from(file.map_err(|error| denied(&self.path, error.into()))?);
        self.remember(&file)?;
        sys::files::forget_cached(&file);
        Ok(Box::new(View(file)))
    }

    fn in_place(&self) -> Result<(), OpenError> {
        let Some(first) = self.first.get() else { return Ok(()) };
        let moved = match (fstat(first), lstat(&self.path)) {
            (Ok(first), Ok(now)) => (first.st_dev, first.st_ino) != (now.st_dev, now.st_ino),
            (_, Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => true,
            // Nobody can tell: a disk that fails is found by the write itself.
            _ => false,
        };
        if moved { Err(OpenError::Moved { path: self.path.clone() }) } else { Ok(()) }
    }
}

/// A file that is only read. The lock is that of the device.
#[derive(Debug)]
struct View(File);

impl StorageBackend for View {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl FilePlace {
    /// Notes the first file that is opened; any later one has to be the same.
    fn remember(&self, file: &File) -> Result<(), OpenError> {
        let failed = |error: Errno| denied(&self.path, error.into());
        if self.first.get().is_none() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let first = rustix::fs::open(&self.path, flags, Mode::empty()).map_err(failed)?;
            let _ = self.first.set(first); // places are opened by one thread at a time
        }
        let Some(first) = self.first.get() else { return Ok(()) };
        let (first, now) = (fstat(first).map_err(failed)?, fstat(file).map_err(failed)?);
        if (first.st_dev, first.st_ino) == (now.st_dev, now.st_ino) {
            return Ok(());
        }
        Err(OpenError::Moved { path: self.path.clone() })
    }

    fn open(&self) -> io::Result<File> {
        let no_links = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(no_links.bits()).unwrap_or(0);
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(&self.path)
    }
}
