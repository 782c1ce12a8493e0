//! Sockets handed over by systemd (`sd_listen_fds(3)`).
//!
//! Promises: each descriptor is owned once, closed on exec, and the variables that announced it are gone.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once the descriptors have an owner: a second owner would close them under the first.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The inherited sockets with their names (`FileDescriptorName=`), in the order of the unit; none without systemd.
///
/// Only the first call gets them. Call it before any thread is started, so that `LISTEN_*` can be removed.
///
/// # Errors
/// `LISTEN_PID`, `LISTEN_FDS` or `LISTEN_FDNAMES` do not make sense.
#[allow(unsafe_code, reason = "descriptors by number exist only as raw values")]
pub fn inherited() -> io::Result<Vec<(String, OwnedFd)>> {
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Ok(Vec::new());
    }
    let announced: Vec<_> = sd_notify::listen_fds_with_names()?.collect();
    super::env::remove(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]);
    let owned = announced.into_iter().map(|(fd, name)| {
        // SAFETY: LISTEN_PID names this process, so systemd opened these for it; TAKEN makes this the only owner.
        (name, unsafe { OwnedFd::from_raw_fd(fd) })
    });
    Ok(owned.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_systemd_nothing_is_inherited() {
        assert!(inherited().expect("no variables, no fault").is_empty());
        assert!(inherited().expect("a second call").is_empty());
    }
}
