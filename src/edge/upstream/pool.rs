//! The connections of one worker to one upstream.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::Failing;
use super::carrier::Carrier;
use super::link::Link;
use super::multiplex::Multiplexed;
use super::peer::Peer;
use super::stream::UpstreamStream;
use super::visit::Lane;
use crate::config::settings::{Protocol, UpstreamAddr};
use crate::edge::worker::Shared;
use crate::ports::handshake::TlsFault;
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
    /// What this worker has under way there.
    pub(super) lane: Arc<Lane>,
    /// Last returned, first used: the rest grows old and is closed.
    idle: RefCell<Vec<Idle>>,
    /// The ones with HTTP/2: the first with room is used, so that the others become idle.
    multiplexed: RefCell<Vec<Multiplexed>>,
    /// Held while one of these is opened: whoever wants one at the same time shall find it.
    opening: tokio::sync::Mutex<()>,
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
    #[error("{}", dial::words(.0))]
    Io(#[from] io::Error),
    #[error(
        "{host} does not resolve: {why}; put the name right in DNS or in `upstream` (`dns.servers` says who is asked)"
    )]
    Name { host: String, why: Unresolved },
    #[error("{0}")]
    Tls(#[from] TlsFault),
}

impl ConnectError {
    /// What it says about the upstream; `None` where this machine is the reason.
    pub fn failing(&self) -> Option<Failing> {
        use rustix::io::Errno;
        match self {
            Self::Timeout(_) => Some(Failing::Slow),
            Self::Name { .. } | Self::Tls(_) => Some(Failing::Quick),
            Self::Io(error) => match Errno::from_io_error(error) {
                Some(
                    Errno::MFILE
                    | Errno::NFILE
                    | Errno::NOBUFS
                    | Errno::NOMEM
                    | Errno::ADDRNOTAVAIL,
                ) => None,
                _ => Some(Failing::Quick),
            },
        }
    }
}

impl Pool {
    pub fn new(peer: Arc<Peer>) -> Rc<Self> {
        let label = peer.endpoint.to_string().into();
        Rc::new(Self {
            label,
            lane: peer.lane(),
            peer,
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            opening: tokio::sync::Mutex::default(),
        })
    }

    /// The connection that became idle last and is still quiet, closed or surplus ones are found out here; or a place on
    /// a shared one.
    pub fn reuse(&self) -> Option<Carrier> {
        match self.peer.endpoint.protocol {
            Protocol::Http1 => self.quiet().map(Carrier::Http1),
            Protocol::Http2 => self.place(),
        }
    }

    fn place(&self) -> Option<Carrier> {
        let mut multiplexed = self.multiplexed.borrow_mut();
        multiplexed.retain_mut(|connection| {
            let goes_there = connection.target.is_of(self.peer.name.as_ref());
            goes_there && !connection.is_spent() && connection.is_open()
        });
        let with_room = multiplexed.iter_mut().find(|connection| connection.has_room());
        with_room.map(|connection| Carrier::Http2(connection.strand()))
    }

    fn quiet(&self) -> Option<Box<Link>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut last) = idle.pop() {
            if last.link.target.is_of(self.peer.name.as_ref()) && last.link.is_alive() {
                return Some(last.link);
            }
        }
        None
    }

    /// Takes a connection back if it is clean, goes where the upstream is, and there is room.
    pub fn give_back(&self, carrier: Carrier, now_ms: u64) {
        // A part of a shared connection ends with its exchange.
        let Carrier::Http1(mut link) = carrier else { return };
        if link.is_clean() && link.target.is_of(self.peer.name.as_ref()) {
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
        let mut multiplexed = self.multiplexed.borrow_mut();
        multiplexed.retain_mut(|connection| {
            connection.target.is_of(self.peer.name.as_ref())
                && connection.look(now_ms, IDLE_AGE_MAX_MS)
        });
        self.idle.borrow_mut().retain_mut(|idle| {
            let age_ms = now_ms.saturating_sub(idle.since_ms);
            if age_ms >= REST_AFTER_MS {
                idle.link.rest();
            }
            age_ms < IDLE_AGE_MAX_MS
                && idle.link.target.is_of(self.peer.name.as_ref())
                && idle.link.is_alive()
        });
    }

    /// A new connection, trying every address of the upstream until `limit` has passed.
    ///
    /// # Errors
    /// The failure of the last address tried.
    pub async fn connect(&self, shared: &Shared, limit: Duration) -> Result<Carrier, ConnectError> {
        let connected = tokio::time::timeout(limit, self.carrier(shared)).await;
        connected.map_err(|_| self.too_slow(limit))?
    }

    async fn carrier(&self, shared: &Shared) -> Result<Carrier, ConnectError> {
        // Read first: a connection to an address that goes meanwhile is looked at again.
        let version = self.peer.name.as_ref().map_or(0, |name| name.version());
        if self.peer.endpoint.protocol == Protocol::Http1 {
            return Ok(Carrier::Http1(Link::new(self.open(shared).await?, version)));
        }
        let _opening = self.opening.lock().await;
        if let Some(place) = self.place() {
            return Ok(place);
        }
        let mut connection = Multiplexed::open(self.open(shared).await?, version).await?;
        let carrier = Carrier::Http2(connection.strand());
        self.multiplexed.borrow_mut().push(connection);
        Ok(carrier)
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
        let addresses = names::addresses(self.peer.name.as_deref(), host, port).await;
        let addresses = addresses.map_err(|why| ConnectError::Name { host: host.clone(), why })?;
        Ok(UpstreamStream::Tcp(dial::any(&*shared.dial, &addresses).await?))
    }
}
