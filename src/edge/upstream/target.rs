//! Where a connection goes, and whether the name of its upstream still leads there.

use std::net::IpAddr;
use std::sync::Arc;

use super::stream::UpstreamStream;
use crate::ports::names::Name;

/// The other end of a connection.
#[derive(Debug)]
pub struct Target {
    /// `None` for a Unix socket.
    ip: Option<IpAddr>,
    /// The addresses of the name that it was last compared with.
    version: u64,
}

impl Target {
    /// `version`: of the name, read before the connection was opened, so that an address that went meanwhile is noticed.
    pub fn of(stream: &UpstreamStream, version: u64) -> Self {
        Self { ip: stream.peer_ip(), version }
    }

    /// Whether the name still leads here. A comparison of numbers unless the addresses have changed.
    pub fn is_of(&mut self, name: Option<&Arc<Name>>) -> bool {
        let Some(name) = name else { return true };
        let version = name.version();
        if self.version == version {
            return true;
        }
        self.version = version;
        self.ip.is_some_and(|ip| name.has(ip))
    }
}
