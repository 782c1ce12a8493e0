//! Who is at the other end of a Unix socket, by the kernel's word.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Most groups of a user on Linux (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// The user that connected, as it was at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    pub gid: u32,
    /// The supplementary ones.
    pub groups: Vec<u32>,
}

impl Peer {
    /// Whether the user is in a group, by its primary or a supplementary one.
    #[must_use]
    pub fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// Asks the kernel (`SO_PEERCRED`, `SO_PEERGROUPS`; unix(7), socket(7)).
///
/// # Errors
/// It is no Unix socket, or the kernel is older than 4.13.
pub fn of(socket: impl AsFd) -> io::Result<Peer> {
    let socket = socket.as_fd();
    let cred = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(Peer { uid: cred.uid.as_raw(), gid: cred.gid.as_raw(), groups: groups(&socket)? })
}

#[allow(unsafe_code, reason = "no safe binding reads SO_PEERGROUPS")]
fn groups(socket: &impl AsRawFd) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let wanted = groups.len() * size_of::<libc::gid_t>();
        let mut length = libc::socklen_t::try_from(wanted).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: the buffer is as long as `length` says, the kernel writes no more than that and says how much.
        let done = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = usize::try_from(length).unwrap_or(0) / size_of::<libc::gid_t>();
        if done == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // Too small: the kernel has said how much it needs.
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > GROUPS_MAX
        {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_this_process() {
        let (one, _two) = UnixStream::pair().expect("a pair");
        let peer = of(&one).expect("known");
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.gid, rustix::process::getegid().as_raw());
        let mut own: Vec<u32> =
            rustix::process::getgroups().expect("known").into_iter().map(|g| g.as_raw()).collect();
        let mut theirs = peer.groups.clone();
        own.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(theirs, own);
        assert!(peer.is_in(peer.gid) && !peer.is_in(u32::MAX - 1));
    }
}
