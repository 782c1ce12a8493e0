//! The idle connections to one upstream, and the upstreams of one site.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::link::Link;
use super::peer::Peer;
use super::secure::TlsFault;
use super::stream::UpstreamStream;
use crate::config::settings::UpstreamAddr;
use crate::edge::worker::Shared;
use crate::ports::{Unresolved, dial, names};

/// Idle connections kept per upstream and worker.
const IDLE_MAX: usize = 256;
/// An idle connection older than this is closed: longer than the pause between two requests of a person, shorter
/// than what most servers allow.
const IDLE_AGE_MAX_MS: u64 = 60_000;
/// Without use for this long, a connection keeps no buffers.
const REST_AFTER_MS: u64 = 1_000;

/// The connections of this worker to one upstream.
pub struct Pool {
    pub peer: Arc<Peer>,
    pub label: Rc<str>,
    /// Last returned, first used: the rest grows old and is closed.
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    link: Box<Link>,
    since_ms: u64,
}

/// Why there is no connection to an upstream.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("connecting took longer than {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "{host} does not resolve: {why}; put the name right in DNS or in `upstream` (`dns.servers` says who is asked)"
    )]
    Name { host: String, why: Unresolved },
    #[error("{0}")]
    Tls(#[from] TlsFault),
}

impl Pool {
    pub fn new(peer: Arc<Peer>) -> Rc<Self> {
        let label = peer.endpoint.to_string().into();
        Rc::new(Self { label, peer, idle: RefCell::default() })
    }

    /// The connection that became idle last and is still quiet: closed or surplus ones are found out here.
    pub fn reuse(&self) -> Option<Box<Link>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut last) = idle.pop() {
            if last.link.is_where(self.peer.name.as_ref()) && last.link.is_alive() {
                return Some(last.link);
            }
        }
        None
    }

    /// Takes a connection back if it is clean, goes where the upstream is, and there is room.
    pub fn give_back(&self, mut link: Box<Link>, now_ms: u64) {
        self.peer.note_answer(now_ms);
        if link.is_clean() && link.is_where(self.peer.name.as_ref()) {
            link.finish();
            let mut idle = self.idle.borrow_mut();
            if idle.len() < IDLE_MAX {
                idle.push(Idle { link, since_ms: now_ms });
            }
        }
    }

    /// Closes connections that are too old, that the app has closed or that go where it is no more; the others give
    /// their buffers back.
    pub fn sweep(&self, now_ms: u64) {
        self.idle.borrow_mut().retain_mut(|idle| {
            let age_ms = now_ms.saturating_sub(idle.since_ms);
            if age_ms >= REST_AFTER_MS {
                idle.link.rest();
            }
            age_ms < IDLE_AGE_MAX_MS
                && idle.link.is_where(self.peer.name.as_ref())
                && idle.link.is_alive()
        });
    }

    /// A new connection, trying every address of the upstream until `limit` has passed.
    ///
    /// # Errors
    /// The failure of the last address tried.
    pub async fn connect(
        &self,
        shared: &Shared,
        limit: Duration,
    ) -> Result<Box<Link>, ConnectError> {
        // Read first: a connection to an address that goes meanwhile is looked at again.
        let version = self.peer.name.as_ref().map_or(0, |name| name.version());
        let connected = tokio::time::timeout(limit, self.open(shared)).await;
        let stream = match connected {
            Ok(stream) => stream?,
            Err(_) => return Err(self.too_slow(limit)),
        };
        let mut link = Link::new(stream);
        link.addresses = version;
        Ok(link)
    }

    fn too_slow(&self, limit: Duration) -> ConnectError {
        match &self.peer.name {
            Some(name) if !name.is_known() => {
                let why = Unresolved::NoAnswer("no DNS server answered in time".into());
                ConnectError::Name { host: name.host().into(), why }
            }
            _ => ConnectError::Timeout(limit),
        }
    }

    /// A stream on which the other side has proven who it is, where that is asked for.
    async fn open(&self, shared: &Shared) -> Result<UpstreamStream, ConnectError> {
        let socket = self.dial(shared).await?;
        match (&self.peer.endpoint.tls, &self.peer.secure) {
            (None, _) => Ok(socket),
            (Some(_), Some(secure)) => Ok(secure.shake(socket).await?),
            // What was to be secured is never sent in the clear.
            (Some(_), None) => Err(TlsFault::NobodyTrusted.into()),
        }
    }

    async fn dial(&self, shared: &Shared) -> Result<UpstreamStream, ConnectError> {
        let (host, port) = match &self.peer.endpoint.addr {
            UpstreamAddr::Unix(path) => {
                return Ok(UpstreamStream::Unix(shared.dial.unix(path).await?));
            }
            UpstreamAddr::Tcp { host, port } => (host, *port),
        };
        let ips = match (&self.peer.name, names::literal(host)) {
            (Some(name), _) => {
                name.known().await.map_err(|why| ConnectError::Name { host: host.clone(), why })?
            }
            (None, ips) => ips.unwrap_or_default().into(),
        };
        let addresses: Vec<SocketAddr> = ips.iter().map(|ip| (*ip, port).into()).collect();
        Ok(UpstreamStream::Tcp(dial::any(&*shared.dial, &addresses).await?))
    }
}

/// The upstreams of a site or route, used in turn.
pub struct Group {
    pools: Vec<Rc<Pool>>,
    next: Cell<usize>,
}

impl Group {
    pub const fn new(pools: Vec<Rc<Pool>>) -> Self {
        Self { pools, next: Cell::new(0) }
    }

    /// Every upstream once, starting with the one whose turn it is.
    pub fn in_turn(&self) -> impl Iterator<Item = &Rc<Pool>> {
        let start = self.next.get();
        self.next.set((start + 1) % self.pools.len().max(1));
        let (before, after) = self.pools.split_at(start.min(self.pools.len()));
        after.iter().chain(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{Endpoint, Protocol};

    fn pool(port: u16) -> Rc<Pool> {
        let addr = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port };
        Pool::new(Peer::new(Endpoint { addr, protocol: Protocol::Http1, tls: None }))
    }

    #[test]
    fn upstreams_take_turns_and_each_request_may_try_them_all() {
        let group = Group::new(vec![pool(1), pool(2), pool(3)]);
        let turn = || group.in_turn().map(|pool| pool.label.to_string()).collect::<Vec<_>>();
        assert_eq!(turn(), ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
        assert_eq!(turn(), ["127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:1"]);
        assert_eq!(turn(), ["127.0.0.1:3", "127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(turn(), ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    }
}
