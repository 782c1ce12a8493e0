//! Upstreams as people are told of them: how each one is, who uses it, and what somebody has to look into.
//!
//! Promises: what is out is named with the reason and the next step, and no longer once it is back. Bounds: an upstream is
//! shown with [`USES_MAX`] uses, a sentence names [`NAMED_MAX`] upstreams.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::control::Daemon;
use crate::base::timestamp::rfc3339;
use crate::config::settings::{Endpoint, Protocol, Site, Upstreams};
use crate::edge::Policy;
use crate::edge::upstream::{LastFailure, Snapshot, State, Trouble};
use crate::ops::api::page::{Page, PageQuery};
use crate::ops::api::upstreams::{
    USES_MAX, UpstreamFailure, UpstreamState, UpstreamStatus, UpstreamTallies, UpstreamUse,
};
use crate::ops::api::{Attention, Level};
use crate::ports::health::Health;

/// Upstreams that one sentence names.
pub(super) const NAMED_MAX: usize = 3;

impl Daemon {
    /// One entry for each upstream of the policy in force, by name.
    pub(super) fn upstreams_page(&self, query: &PageQuery) -> Page<UpstreamStatus> {
        let (policy, now_ms) = (self.shared.policy.load(), self.shared.now_ms());
        let after = query.after.clone().unwrap_or_default();
        let used = uses(&policy).into_iter().filter(|(name, _)| *name > after);
        let all = used.filter_map(|(_, used)| {
            let peer = policy.peers.get(used.endpoint)?;
            Some(status_of(peer.snapshot(now_ms), used, now_ms))
        });
        query.of(all, |upstream| &upstream.upstream)
    }

    /// Those that get no requests now while others are there.
    pub(super) fn upstreams_out(&self) -> Out {
        let policy = self.shared.policy.load();
        let found = policy.peers.iter().filter(|peer| {
            // Looked at first, because nearly all are well and what is told of them is long.
            peer.breaker().is_open() || peer.health() == Health::Down
        });
        let now_ms = self.shared.now_ms();
        let known = found.map(|peer| (peer.endpoint.clone(), peer.snapshot(now_ms))).collect();
        Out { known, now_ms }
    }

    /// Why no request should be sent here, if no app is well.
    pub(super) fn no_app_is_well(&self) -> Option<String> {
        none_is_well(&self.shared.policy.load())
            .then(|| "upstreams: the health checks of every upstream fail".to_owned())
    }
}

/// Only health checks count: who sends nothing here would never hear that an upstream is back which only a request can
/// ask.
fn none_is_well(policy: &Policy) -> bool {
    let mut all = policy.peers.iter().peekable();
    all.peek().is_some() && all.all(|peer| peer.health() == Health::Down)
}

/// An upstream as the sites and routes name it.
struct Used<'a> {
    endpoint: &'a Endpoint,
    requests_max: Option<usize>,
    by: Vec<UpstreamUse>,
    total: usize,
}

fn uses(policy: &Policy) -> BTreeMap<String, Used<'_>> {
    let mut sites: Vec<&Site> = policy.settings.sites.iter().collect();
    sites.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    let mut all: BTreeMap<String, Used<'_>> = BTreeMap::new();
    for (site, route, group) in sites.into_iter().flat_map(named_groups) {
        for upstream in &group.list {
            let used = all.entry(upstream.to_string()).or_insert_with(|| Used {
                endpoint: &upstream.endpoint,
                requests_max: upstream.requests_max,
                by: Vec::new(),
                total: 0,
            });
            used.total += 1;
            if used.by.len() < USES_MAX {
                used.by.push(UpstreamUse {
                    site: site.name.to_string(),
                    route: route.map(str::to_owned),
                    weight: upstream.weight,
                });
            }
        }
    }
    all
}

/// The group of a site and those of its routes, with the names of these.
pub(super) fn named_groups(site: &Site) -> impl Iterator<Item = (&Site, Option<&str>, &Upstreams)> {
    let of_routes = site
        .routes
        .iter()
        .filter_map(move |route| Some((site, Some(&*route.name), route.upstreams.as_ref()?)));
    std::iter::once((site, None, &site.upstreams)).chain(of_routes)
}

fn status_of(known: Snapshot, used: Used<'_>, now_ms: u64) -> UpstreamStatus {
    let state = state_of(&known);
    let probe_in_ms = match known.breaker {
        State::Open { until_ms, .. } => Some(until_ms.saturating_sub(now_ms)),
        State::Closed { .. } => None,
    };
    UpstreamStatus {
        state,
        why: state.is_out().then(|| why(&known)),
        since: since(&known).map(at),
        last_failure: known
            .last_failure
            .map(|last| UpstreamFailure { at: at(last.at), text: last.text }),
        probe_in_ms,
        protocol: match used.endpoint.protocol {
            Protocol::Http1 => "http/1.1".into(),
            Protocol::Http2 => "h2".into(),
        },
        tls: used.endpoint.tls.is_some(),
        used_by: used.by,
        used_by_total: used.total,
        requests_max: used.requests_max.map(|max| max as u64),
        in_flight: known.in_flight,
        waiting: known.waiting,
        tallies: UpstreamTallies {
            opened: known.opened,
            retries: known.retries,
            spared: known.spared,
            busy: known.busy,
        },
        upstream: known.upstream,
    }
}

/// What is said of it in one word, and as a number by the metric.
pub(super) fn state_of(known: &Snapshot) -> UpstreamState {
    match (known.breaker, known.health) {
        (State::Open { probing: true, .. }, _) => UpstreamState::Probing,
        (State::Open { .. }, _) => UpstreamState::Failing,
        (State::Closed { .. }, Health::Down) => UpstreamState::Down,
        (State::Closed { .. }, _) if known.stalled => UpstreamState::Stalled,
        (State::Closed { .. }, Health::Up) => UpstreamState::Up,
        (State::Closed { .. }, Health::Unknown) if known.heard => UpstreamState::Up,
        (State::Closed { .. }, Health::Unknown) => UpstreamState::Unknown,
    }
}

/// Why it is out.
fn why(known: &Snapshot) -> String {
    let text = |last: &Option<LastFailure>| last.as_ref().map(|last| last.text.clone());
    match (known.breaker, text(&known.down)) {
        (State::Open { .. }, _) => {
            text(&known.last_failure).unwrap_or_else(|| "it has failed requests in a row".into())
        }
        (State::Closed { .. }, Some(why)) => format!("its health check fails, {why}"),
        (State::Closed { .. }, None) => "its health check fails".to_owned(),
    }
}

/// Since when it is what it is.
fn since(known: &Snapshot) -> Option<Duration> {
    match (known.breaker, &known.down) {
        (State::Closed { .. }, Some(down)) => Some(down.at),
        _ => known.changed,
    }
}

fn at(since_1970: Duration) -> String {
    rfc3339(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX))
}

/// The upstreams that are out.
pub(super) struct Out {
    known: HashMap<Endpoint, Snapshot>,
    now_ms: u64,
}

impl Out {
    /// Those of a group, in its order. One that has no breaker asks whoever is open for others.
    pub(super) fn of<'a>(&'a self, group: &'a Upstreams) -> impl Iterator<Item = &'a Snapshot> {
        let found = group.list.iter().filter_map(|upstream| self.known.get(&upstream.endpoint));
        found.filter(|known| group.breaker.is_some() || known.health == Health::Down)
    }

    /// What about a site's upstreams somebody has to look into. The sentences stay the same while nothing changes.
    pub(super) fn about(&self, site: &Site) -> Vec<Attention> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let about = |(site, route, group): (&Site, Option<&str>, &Upstreams)| {
            let out: Vec<&Snapshot> = self.of(group).collect();
            attention(&whose(site, route), group.list.len(), &out, self.now_ms)
        };
        named_groups(site).filter_map(about).collect()
    }
}

/// `app.example.com` or `app.example.com, route /api`
pub(super) fn whose(site: &Site, route: Option<&str>) -> String {
    match route {
        Some(route) => format!("{}, route {route}", site.name),
        None => site.name.to_string(),
    }
}

fn attention(whose: &str, all: usize, out: &[&Snapshot], now_ms: u64) -> Option<Attention> {
    let first = out.first()?;
    let none = out.len() == all;
    let names =
        out.iter().take(NAMED_MAX).map(|known| format!("{}: {}", known.upstream, told(known)));
    let mut names: Vec<String> = names.collect();
    if out.len() > NAMED_MAX {
        names.push(format!("{} more", out.len() - NAMED_MAX));
    }
    let found = match (out, all) {
        ([only], 1) => format!("its upstream {} is out: {}", only.upstream, told(only)),
        ([only], all) => format!("upstream {} is out (1 of {all}): {}", only.upstream, told(only)),
        (_, all) if none => format!("all {all} upstreams are out: {}", names.join("; ")),
        (few, all) => format!("{} of {all} upstreams are out: {}", few.len(), names.join("; ")),
    };
    let next = trouble(first).next(!none);
    // What only a request can find out, and none was sent since it could.
    let unasked = out.iter().all(|known| is_due(known, now_ms));
    let level = if none && !unasked { Level::Fail } else { Level::Warn };
    Some(Attention { level, message: format!("{whose}: {found} (next: {next})") })
}

/// What is to be put right.
fn trouble(known: &Snapshot) -> Trouble {
    let last = if known.breaker.is_open() { &known.last_failure } else { &known.down };
    let otherwise = if known.breaker.is_open() { Trouble::Broke } else { Trouble::Check };
    last.as_ref().map_or(otherwise, |last| last.trouble)
}

/// The next request finds out whether it is back, and nothing else does.
fn is_due(known: &Snapshot, now_ms: u64) -> bool {
    let due = matches!(known.breaker, State::Open { until_ms, .. } if until_ms <= now_ms);
    due && !trouble(known).ends_by_connecting()
}

/// `connection refused, since 2026-11-21T20:17:46Z`
fn told(known: &Snapshot) -> String {
    let since = since(known).filter(|_| known.breaker.is_open() || known.down.is_some());
    let since = since.map_or(String::new(), |since| format!(", since {}", at(since)));
    format!("{}{since}", why(known))
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
