//! Upstreams as all workers together see them: what is known of each, whoever has found it out.
//!
//! Promises: looking is a load of an atomic; what is known of an upstream outlives a reload that keeps it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::secure::Secure;
use super::trust::Trusts;
use crate::config::settings::{Endpoint, Settings, Site, UpstreamAddr, Upstreams};
use crate::ports::health::{Checked, Health};
use crate::ports::names::{self, Name};

/// How exactly the time of the last answer is kept.
const ANSWERED_MS: u64 = 100;

/// One upstream.
#[derive(Debug)]
pub struct Peer {
    pub endpoint: Endpoint,
    /// The addresses of its host, if somebody has to be asked for them.
    pub name: Option<Arc<Name>>,
    /// `None` for connections in the clear.
    pub secure: Option<Secure>,
    health: AtomicU8,
    /// When it last answered, by the clock of whichever worker; only differences count.
    answered_ms: AtomicU64,
}

impl Peer {
    pub fn new(endpoint: Endpoint) -> Arc<Self> {
        Self::secured(endpoint, None)
    }

    pub fn secured(endpoint: Endpoint, secure: Option<Secure>) -> Arc<Self> {
        let name = match &endpoint.addr {
            UpstreamAddr::Tcp { host, .. } if names::literal(host).is_none() => {
                Some(Name::new(host))
            }
            UpstreamAddr::Tcp { .. } | UpstreamAddr::Unix(_) => None,
        };
        Arc::new(Self {
            endpoint,
            name,
            secure,
            health: AtomicU8::new(Health::Unknown as u8),
            answered_ms: AtomicU64::new(0),
        })
    }

    /// It has answered a request. Most answers find it written already.
    pub fn note_answer(&self, now_ms: u64) {
        if self.answered_ms.load(Ordering::Relaxed).abs_diff(now_ms) > ANSWERED_MS {
            self.answered_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            up if up == Health::Up as u8 => Health::Up,
            down if down == Health::Down as u8 => Health::Down,
            _ => Health::Unknown,
        }
    }
}

impl Checked for Peer {
    fn settle(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }

    fn answered(&self) -> u64 {
        self.answered_ms.load(Ordering::Relaxed)
    }
}

/// The upstreams of one policy.
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<HashMap<Endpoint, Arc<Peer>>>);

impl Peers {
    /// Those that `settings` name; the ones that `before` has already stay what they are, unless other authorities are
    /// believed about them now. `trusts` has what each of them asks for: one without it cannot be reached.
    #[must_use]
    pub fn of(settings: &Settings, before: Option<&Self>, trusts: &Trusts) -> Self {
        let mut peers: HashMap<Endpoint, Arc<Peer>> = HashMap::new();
        for upstream in settings.sites.iter().flat_map(groups).flat_map(|group| &group.list) {
            let endpoint = &upstream.endpoint;
            let trust = endpoint.tls.as_ref().and_then(|tls| trusts.get(tls.ca_file.as_ref()));
            let same = |peer: &&Arc<Peer>| match (&peer.secure, trust) {
                (Some(secure), Some(trust)) => secure.believes(trust),
                (None, None) => true,
                _ => false,
            };
            let kept = || before.and_then(|before| before.get(endpoint)).filter(same).cloned();
            let new = || {
                let tls = endpoint.tls.as_ref().zip(trust.cloned());
                let secure =
                    tls.and_then(|(tls, trust)| Secure::new(tls, endpoint.protocol, trust));
                Peer::secured(endpoint.clone(), secure)
            };
            peers.entry(endpoint.clone()).or_insert_with(|| kept().unwrap_or_else(new));
        }
        Self(Arc::new(peers))
    }

    #[must_use]
    pub fn get(&self, endpoint: &Endpoint) -> Option<&Arc<Peer>> {
        self.0.get(endpoint)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.0.values()
    }
}

/// The group of a site, and those of its routes.
pub fn groups(site: &Site) -> impl Iterator<Item = &Upstreams> {
    let of_routes = site.routes.iter().filter_map(|route| route.upstreams.as_ref());
    std::iter::once(&site.upstreams).chain(of_routes)
}
