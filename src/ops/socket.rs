//! The control socket in the file system.
//!
//! Promises: mode 0600 before anyone can connect; a living daemon is never displaced; a socket that a crash
//! left behind is. Two daemons that start at once do not displace each other: the directory is locked meanwhile.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::sys;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// Why the control socket is not there, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{who} is already listening at {}\n  stop it first, or give this one its own socket: --control PATH (`listen.control` in the file)", path.display())]
    Taken { path: PathBuf, who: String },
    #[error("{} is there and is not a socket; it is left alone\n  remove it, or choose another path: --control PATH (`listen.control` in the file)", path.display())]
    NotASocket { path: PathBuf },
    #[error("the path of the control socket is too long: {}\n  choose one of at most 107 bytes: --control PATH (`listen.control` in the file)", path.display())]
    TooLong { path: PathBuf },
    #[error("cannot make the control socket {}: {source}\n  let user id {uid} write to {}, or choose another path: --control PATH (`listen.control` in the file)", path.display(), dir.display())]
    Failed { path: PathBuf, dir: PathBuf, uid: u32, source: io::Error },
}

/// Binds the control socket, its directory made if need be (0750). Not blocking, ready for tokio.
///
/// # Errors
/// Someone else has the path, or this user may not use it.
pub fn bind_control(path: &Path) -> Result<UnixListener, BindError> {
    let dir = sys::files::parent(path);
    let failed = |source| BindError::Failed {
        path: path.to_owned(),
        dir: dir.clone(),
        uid: rustix::process::geteuid().as_raw(),
        source,
    };
    let address = SockAddr::unix(path).map_err(|_| BindError::TooLong { path: path.to_owned() })?;
    sys::files::make_dir(&dir, 0o750).map_err(failed)?;
    let _held = sys::files::lock_dir(&dir).map_err(failed)?;
    clear(path, &address, &failed)?;
    listen(path, &address).map_err(failed)
}

/// Removes what a crash left at the path; refuses what is alive or is something else.
fn clear(
    path: &Path,
    address: &SockAddr,
    failed: &impl Fn(io::Error) -> BindError,
) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    if let Some(who) = listener(address).map_err(failed)? {
        return Err(BindError::Taken { path: path.to_owned(), who });
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
fn listen(path: &Path, address: &SockAddr) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(address)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
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
        let _listener = bind_control(&path).expect("bound");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().expect("a parent")), 0o750);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_living_daemon_is_named_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        let _living = bind_control(&path).expect("bound");
        let error = bind_control(&path).expect_err("refused").to_string();
        assert!(error.contains(&format!("(pid {})", std::process::id())), "{error}");
        assert!(error.contains("--control PATH"), "{error}");
        assert!(UnixStream::connect(&path).is_ok(), "the first one still answers");
    }

    #[test]
    fn what_a_crash_left_is_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        drop(bind_control(&path).expect("bound"));
        assert!(path.exists());
        assert!(bind_control(&path).is_ok());
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("control.sock");
        fs::write(&path, "precious").expect("written");
        assert!(matches!(bind_control(&path), Err(BindError::NotASocket { .. })));
        assert_eq!(fs::read(&path).expect("readable"), b"precious");
    }

    #[test]
    fn a_path_that_does_not_fit_an_address_is_explained() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        assert!(bind_control(&path).expect_err("refused").to_string().contains("107 bytes"));
    }
}
