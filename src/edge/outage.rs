//! That an upstream is out, and that it is back, said once for all workers.
//!
//! Promises: what is said names the upstream, who uses it, the reason and the next step. Bounds: [`SITES_MAX`] sites.

use std::time::Duration;

use super::upstream::{Peer, Tally, Trouble, groups};
use super::{Policy, Shared};
use crate::config::settings::Endpoint;
use crate::telemetry::Level;

/// Sites that are named.
const SITES_MAX: usize = 3;

/// Why an upstream is left alone.
pub(super) struct Opened<'a> {
    pub why: &'a str,
    pub trouble: Trouble,
    pub pause: Duration,
    /// Requests have somewhere else to go.
    pub others: bool,
}

pub(super) fn opened(shared: &Shared, policy: &Policy, peer: &Peer, opened: &Opened<'_>) {
    Tally::up(&peer.tally.opened);
    peer.note_change(shared.clock.unix());
    let Opened { why, trouble, pause, others } = opened;
    let (upstream, sites) = (peer.endpoint.to_string(), sites(policy, &peer.endpoint));
    let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    shared.log.event(Level::Warn, "upstream_failing", |line| {
        line.text("upstream", &upstream).text("sites", &sites).text("why", why);
        line.number("pause_ms", pause_ms).text("next", &trouble.next(*others));
    });
    let text = format!("of {sites}: left alone after failures in a row, the last one: {why}");
    shared.events.changed("upstream_failing", Some(upstream), text);
}

pub fn recovered(shared: &Shared, peer: &Peer) {
    let out = peer.note_change(shared.clock.unix()).unwrap_or_default();
    let upstream = peer.endpoint.to_string();
    let out_ms = u64::try_from(out.as_millis()).unwrap_or(u64::MAX);
    shared.log.event(Level::Info, "upstream_recovered", |line| {
        line.text("upstream", &upstream).number("out_ms", out_ms);
    });
    let text = format!("is back, after {:.1} s", out.as_secs_f64());
    shared.events.changed("upstream_recovered", Some(upstream), text);
}

/// `a.example, b.example and 3 more`
fn sites(policy: &Policy, endpoint: &Endpoint) -> String {
    let uses = policy.settings.sites.iter().filter(|site| {
        groups(site).flat_map(|group| &group.list).any(|upstream| upstream.endpoint == *endpoint)
    });
    let names: Vec<&str> = uses.map(|site| site.name.as_str()).collect();
    let shown = names.get(..SITES_MAX).unwrap_or(&names).join(", ");
    match names.len().saturating_sub(SITES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
