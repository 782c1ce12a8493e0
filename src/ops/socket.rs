//! The sockets for operators and for the app in the file system.
//!
//! Promises: mode and group stand before anyone can connect: 0660 with the socket's group where it exists and this process
//! may give it, otherwise 0600 (55); a living daemon is never displaced; a socket that a crash left behind is. Two daemons
//! that start at once do not displace each other: the directory is locked meanwhile.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::base::{APP_GROUP, CONTROL_GROUP};
use crate::sys;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// Mode of a directory that is made for sockets: others pass through it to the socket that their group may use, and
/// cannot list it.
const DIR_MODE: u32 = 0o751;

/// One of the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketKind {
    /// In words, and as the key of `[listen]` and the flag of `run`.
    pub word: &'static str,
    /// Whose members may connect.
    group: &'static str,
}

impl SocketKind {
    pub const CONTROL: Self = Self { word: "control", group: CONTROL_GROUP };
    pub const APP: Self = Self { word: "app", group: APP_GROUP };
}

/// Where to put a socket instead.
struct Elsewhere(&'static str);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.0;
        write!(f, "--{word} PATH (`listen.{word}` in the file)")
    }
}

/// Why a socket is not there, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{who} is already listening at {}\n  stop it first, or give this one its own socket: {}", path.display(), Elsewhere(word))]
    Taken { word: &'static str, path: PathBuf, who: String },
    #[error("{} is there and is not a socket; it is left alone\n  remove it, or choose another path: {}", path.display(), Elsewhere(word))]
    NotASocket { word: &'static str, path: PathBuf },
    #[error("the path of the {word} socket is too long: {}\n  choose one of at most 107 bytes: {}", path.display(), Elsewhere(word))]
    TooLong { word: &'static str, path: PathBuf },
    #[error("cannot make the {word} socket {}: {source}\n  let user id {uid} write to {}, or choose another path: {}", path.display(), dir.display(), Elsewhere(word))]
    Failed { word: &'static str, path: PathBuf, dir: PathBuf, uid: u32, source: io::Error },
}

/// Binds a socket, its directory made if need be (0751, of the same group). Not blocking, ready for tokio.
///
/// # Errors
/// Someone else has the path, or this user may not use it.
pub fn bind_socket(kind: SocketKind, path: &Path) -> Result<UnixListener, BindError> {
    let SocketKind { word, group } = kind;
    let dir = sys::files::parent(path);
    let failed = |source| BindError::Failed {
        word,
        path: path.to_owned(),
        dir: dir.clone(),
        uid: rustix::process::geteuid().as_raw(),
        source,
    };
    let address =
        SockAddr::unix(path).map_err(|_| BindError::TooLong { word, path: path.to_owned() })?;
    let group = sys::users::gid(group);
    make_dir(&dir, group).map_err(failed)?;
    let _held = sys::files::lock_dir(&dir).map_err(failed)?;
    clear(word, path, &address, &failed)?;
    listen(path, &address, group).map_err(failed)
}

/// The file of a socket that was bound here. As long as the socket is held, no other file has its number.
#[derive(Debug, Clone)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and number; nothing where it was gone before it could be looked at.
    is: Option<(u64, u64)>,
}

impl SocketFile {
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), is: number(path) }
    }

    /// Removes it, unless something else is at its path by now.
    pub fn remove(&self) {
        if self.is.is_some() && number(&self.path) == self.is {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn number(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// A directory that is there already keeps its mode and group: whoever made it has decided.
fn make_dir(dir: &Path, group: Option<u32>) -> io::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    sys::files::make_dir(dir, DIR_MODE)?;
    if let Some(group) = group {
        // Where it may not be given, the group reaches the socket as others do.
        let _ = chown(dir, None, Some(group));
    }
    Ok(())
}

/// Removes what a crash left at the path; refuses what is alive or is something else.
fn clear(
    word: &'static str,
    path: &Path,
    address: &SockAddr,
    failed: &impl Fn(io::Error) -> BindError,
) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { word, path: path.to_owned() });
        }
        Ok(_) => {}
    }
    if let Some(who) = listener(address).map_err(failed)? {
        return Err(BindError::Taken { word, path: path.to_owned(), who });
    }
    fs::remove_file(path).map_err(failed)
}

/// Who answers at the address. Only a refused connection proves that nobody does.
fn listener(address: &SockAddr) -> io::Result<Option<String>> {
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?; // a stopped daemon with a full queue would block us for ever
    match probe.connect(address) {
        Ok(()) => Ok(Some(match rustix::net::sockopt::socket_peercred(&probe) {
            Ok(peer) => {
                let pid = peer.pid.as_raw_nonzero();
                format!("{} (pid {pid})", program(pid.get()))
            }
            Err(_) => "another process".to_owned(),
        })),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Ok(Some("a process that does not answer".to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// The name the kernel has for a process.
fn program(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    if name.is_empty() { "a process".into() } else { name }
}

/// A connection is refused between `bind` and `listen`, so nobody gets in before the mode is set.
fn listen(path: &Path, address: &SockAddr, group: Option<u32>) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(address)?;
    // Root may give any group, everybody else one of its own.
    let given = group.is_some_and(|group| chown(path, None, Some(group)).is_ok());
    let mode = if given { 0o660 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(UnixListener::from(OwnedFd::from(socket)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_socket_is_private_and_its_directory_is_made() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run/palisade/control.sock");
        let _listener = bind_socket(SocketKind::CONTROL, &path).expect("bound");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let shared =
            sys::users::gid(CONTROL_GROUP).is_some_and(|_| rustix::process::geteuid().is_root());
        assert_eq!(mode(&path), if shared { 0o660 } else { 0o600 });
        assert_eq!(mode(path.parent().expect("a parent")), 0o751);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn the_group_of_a_socket_may_connect_where_it_can_be_given() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.sock");
        let address = SockAddr::unix(&path).expect("it fits");
        // Every process may give the group that it is in.
        let own = rustix::process::getegid().as_raw();
        let _listener = listen(&path, &address, Some(own)).expect("bound");
        let found = fs::metadata(&path).expect("there");
        assert_eq!((found.permissions().mode() & 0o777, found.gid()), (0o660, own));
    }

    #[test]
    fn the_socket_of_the_app_names_its_own_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.sock");
        let _living = bind_socket(SocketKind::APP, &path).expect("bound");
        let error = bind_socket(SocketKind::APP, &path).expect_err("refused").to_string();
        assert!(error.contains("--app PATH (`listen.app` in the file)"), "{error}");
    }

    #[test]
    fn a_living_daemon_is_named_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let _living = bind_socket(SocketKind::CONTROL, &path).expect("bound");
        let error = bind_socket(SocketKind::CONTROL, &path).expect_err("refused").to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        assert!(error.contains("--control PATH"), "{error}");
        assert!(UnixStream::connect(&path).is_ok(), "the first one still answers");
    }

    #[test]
    fn what_a_crash_left_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        drop(bind_socket(SocketKind::CONTROL, &path).expect("bound"));
        assert!(path.exists());
        assert!(bind_socket(SocketKind::CONTROL, &path).is_ok());
    }

    #[test]
    fn at_the_end_only_the_own_socket_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let _held = bind_socket(SocketKind::CONTROL, &path).expect("bound");
        let file = SocketFile::of(&path);
        fs::remove_file(&path).expect("removed");
        let _other = bind_socket(SocketKind::CONTROL, &path).expect("bound by another");
        file.remove();
        assert!(path.exists(), "it is another one's");
        SocketFile::of(&path).remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        fs::write(&path, "precious").expect("written");
        assert!(matches!(
            bind_socket(SocketKind::CONTROL, &path),
            Err(BindError::NotASocket { .. })
        ));
        assert_eq!(fs::read(&path).expect("readable"), b"precious");
    }

    #[test]
    fn a_path_that_does_not_fit_an_address_is_explained() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        assert!(
            bind_socket(SocketKind::CONTROL, &path)
                .expect_err("refused")
                .to_string()
                .contains("107 bytes")
        );
    }
}
