//! Upstreams as all workers together see them: what is known of each, whoever has found it out.
//!
//! Promises: looking is a load of an atomic; what is known of an upstream outlives a reload that keeps it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::config::settings::{Endpoint, Settings, Site, UpstreamAddr, Upstreams};
use crate::ports::health::{Health, Settle};
use crate::ports::names::{self, Name};

/// One upstream.
#[derive(Debug)]
pub struct Peer {
    pub endpoint: Endpoint,
    /// The addresses of its host, if somebody has to be asked for them.
    pub name: Option<Arc<Name>>,
    health: AtomicU8,
}

impl Peer {
    pub fn new(endpoint: Endpoint) -> Arc<Self> {
        let name = match &endpoint.addr {
            UpstreamAddr::Tcp { host, .. } if names::literal(host).is_none() => {
                Some(Name::new(host))
            }
            UpstreamAddr::Tcp { .. } | UpstreamAddr::Unix(_) => None,
        };
        Arc::new(Self { endpoint, name, health: AtomicU8::new(Health::Unknown as u8) })
    }

    pub fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            up if up == Health::Up as u8 => Health::Up,
            down if down == Health::Down as u8 => Health::Down,
            _ => Health::Unknown,
        }
    }
}

impl Settle for Peer {
    fn settle(&self, health: Health) {
        self.health.store(health as u8, Ordering::Relaxed);
    }
}

/// The upstreams of one policy.
#[derive(Debug, Clone, Default)]
pub struct Peers(Arc<HashMap<Endpoint, Arc<Peer>>>);

impl Peers {
    /// Those that `settings` name; the ones that `before` has already stay what they are.
    #[must_use]
    pub fn of(settings: &Settings, before: Option<&Self>) -> Self {
        let mut peers: HashMap<Endpoint, Arc<Peer>> = HashMap::new();
        for upstream in settings.sites.iter().flat_map(groups).flat_map(|group| &group.list) {
            let kept = || before.and_then(|before| before.get(&upstream.endpoint)).cloned();
            let new = || Peer::new(upstream.endpoint.clone());
            let peer = peers.entry(upstream.endpoint.clone());
            peer.or_insert_with(|| kept().unwrap_or_else(new));
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
fn groups(site: &Site) -> impl Iterator<Item = &Upstreams> {
    let of_routes = site.routes.iter().filter_map(|route| route.upstreams.as_ref());
    std::iter::once(&site.upstreams).chain(of_routes)
}
