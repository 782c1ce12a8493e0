//! What the control runtime does for upstreams: keeps the addresses of those with names, sees whether they are well,
//! and keeps those awake that would fall asleep.

use std::sync::Arc;

use tokio::sync::watch;

use super::supervise::Supervisor;
use crate::config::settings::{Site, Upstream, Upstreams};
use crate::edge::upstream::{Peer, groups};
use crate::edge::{Policy, Shared};
use crate::ports::Resolver;
use crate::ports::health::Checked;
use crate::ports::system::SystemResolver;
use crate::work::dns::{self, Names};
use crate::work::health::{self, Checks, Target, Wanted};

/// The parts that look after upstreams.
pub(super) struct Upkeep {
    resolver: Arc<SystemResolver>,
    pub names: Arc<Names>,
    pub checks: Arc<Checks>,
}

impl Upkeep {
    /// Made for the policy in force.
    pub fn new(resolver: Arc<SystemResolver>, shared: &Shared) -> Self {
        let names = Names::new(dns::Parts {
            resolver: Arc::clone(&resolver) as Arc<dyn Resolver>,
            clock: Arc::clone(&shared.clock),
            log: shared.log.clone(),
            events: Arc::clone(&shared.events),
        });
        let checks = Checks::new(health::Parts {
            clock: Arc::clone(&shared.clock),
            entropy: Arc::clone(&shared.entropy),
            dial: Arc::clone(&shared.dial),
            log: shared.log.clone(),
            events: Arc::clone(&shared.events),
        });
        let upkeep = Self { resolver, names, checks };
        upkeep.configure(&shared.policy.load());
        upkeep
    }

    /// Takes the policy that is in force from now on.
    pub fn configure(&self, policy: &Policy) {
        let others = self.resolver.ask(&policy.settings.dns.servers);
        let names =
            policy.settings.sites.iter().flat_map(upstreams).filter_map(|(site, _, upstream)| {
                let name = policy.peers.get(&upstream.endpoint)?.name.clone()?;
                Some(dns::Wanted { name, site: site.name.to_string() })
            });
        self.names.configure(names, others);
        let first_byte = policy.settings.timeout.first_byte;
        let mut wanted = Vec::new();
        for (site, group, upstream) in policy.settings.sites.iter().flat_map(upstreams) {
            let Some(peer) = policy.peers.get(&upstream.endpoint) else { continue };
            let target = || target(site, peer);
            wanted.extend(group.health.clone().map(|check| Wanted::check(target(), check)));
            let awake = group.keep_awake.clone();
            wanted.extend(awake.map(|awake| Wanted::awake(target(), awake, first_byte)));
        }
        self.checks.configure(wanted);
    }

    /// Begins to look, until `stopped`.
    pub fn keep(&self, supervisor: &mut Supervisor, stopped: &watch::Receiver<bool>) {
        let (names, stop) = (Arc::clone(&self.names), stopped.clone());
        supervisor.keep("names", move || Arc::clone(&names).run(stop.clone()));
        let (checks, stop) = (Arc::clone(&self.checks), stopped.clone());
        supervisor.keep("upstream checks", move || Arc::clone(&checks).run(stop.clone()));
    }
}

/// Every upstream of a site with its group, those of its routes among them.
fn upstreams(site: &Site) -> impl Iterator<Item = (&Site, &Upstreams, &Upstream)> {
    groups(site)
        .flat_map(move |group| group.list.iter().map(move |upstream| (site, group, upstream)))
}

fn target(site: &Site, peer: &Arc<Peer>) -> Target {
    Target {
        endpoint: peer.endpoint.clone(),
        site: site.name.to_string(),
        name: peer.name.clone(),
        tls: peer.secure.as_ref().map(|secure| Arc::clone(secure.handshake())),
        upstream: Arc::clone(peer) as Arc<dyn Checked>,
    }
}
