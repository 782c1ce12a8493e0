//! Everything the request path needs to know, immutable and swapped whole on a reload.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::upstream::Peers;
use crate::base::{Capability, Host, Mode};
use crate::config::settings::{Capabilities, Settings, Site};

/// One generation of configuration with its certificates.
pub struct Policy {
    /// 1 at start, one more for each reload taken.
    pub generation: u64,
    pub settings: Settings,
    /// In the order of `settings.sites`; `None` where a site has no certificate yet.
    tls: Vec<Option<Arc<rustls::ServerConfig>>>,
    /// Names, wildcards among them, to positions in `settings.sites`.
    names: HashMap<Box<str>, usize>,
    /// Where the plain port redirects to.
    pub https_port: u16,
    pub security_headers: Mode,
    pub peers: Peers,
}

impl Policy {
    /// `tls` holds one entry per site, in the order of `settings.sites`.
    #[must_use]
    pub fn new(
        generation: u64,
        settings: Settings,
        tls: Vec<Option<Arc<rustls::ServerConfig>>>,
        https_port: u16,
        peers: Peers,
    ) -> Self {
        let names = settings
            .sites
            .iter()
            .enumerate()
            .flat_map(|(at, site)| site.names().map(move |name| (Box::from(name.as_str()), at)))
            .collect();
        let security_headers = settings.capabilities.mode(Capability::SecurityHeaders);
        Self { generation, settings, tls, names, https_port, security_headers, peers }
    }

    /// The site with this name, if one has it; a wildcard covers exactly one label.
    #[must_use]
    pub fn find(&self, host: &Host) -> Option<usize> {
        self.names.get(host.as_str()).or_else(|| self.names.get(host.wildcard()?.as_str())).copied()
    }

    /// The site for a client that names none: the one named after the local address it connected to.
    #[must_use]
    pub fn find_by_address(&self, local: IpAddr) -> Option<usize> {
        self.names.get(local.to_string().as_str()).copied()
    }

    #[must_use]
    pub fn site(&self, at: usize) -> Option<&Site> {
        self.settings.sites.get(at)
    }

    /// `None`: no such site, or no certificate for it yet.
    #[must_use]
    pub fn tls(&self, at: usize) -> Option<&Arc<rustls::ServerConfig>> {
        self.tls.get(at)?.as_ref()
    }

    /// The same generation with other certificates: what connections remember of it stays right.
    #[must_use]
    pub fn with_certificates(&self, tls: Vec<Option<Arc<rustls::ServerConfig>>>) -> Self {
        Self {
            generation: self.generation,
            settings: self.settings.clone(),
            tls,
            names: self.names.clone(),
            https_port: self.https_port,
            security_headers: self.security_headers,
            peers: self.peers.clone(),
        }
    }

    /// The same generation with other switches. Connections remember names by generation, never a mode: each request
    /// reads the mode of the policy that it began with.
    #[must_use]
    pub fn with_capabilities(&self, capabilities: Capabilities) -> Self {
        Self {
            generation: self.generation,
            security_headers: capabilities.mode(Capability::SecurityHeaders),
            settings: Settings { capabilities, ..self.settings.clone() },
            tls: self.tls.clone(),
            names: self.names.clone(),
            https_port: self.https_port,
            peers: self.peers.clone(),
        }
    }
}
