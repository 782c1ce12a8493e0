//! Upstreams of a site or a route: where they are, how they are treated, and what may not be one.
//!
//! Promises: two groups that name the same endpoint agree about it, and two endpoints never look the same.
//! Refuses: palisade itself, TLS that verifies nothing. Bounds: [`UPSTREAMS_MAX`] in a group.

mod care;
mod endpoint;
mod own;
mod shared;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use super::read::{Cx, Fault, Section};
use super::settings::{
    Balance, Breaker, Endpoint, Listen, Route, Upstream, UpstreamAddr, UpstreamTls, Upstreams,
    WaitQueue,
};
use super::source::Place;
use super::wire::{Node, Table, Value};
use super::{defaults, values};
use crate::base::Host;
use endpoint::Written;
pub(super) use shared::{Named, cross_check};

/// Most upstreams of one group.
const UPSTREAMS_MAX: usize = 256;
const WEIGHT_MAX: u64 = 1_000;
const REQUESTS_MAX: u64 = 1_000_000;
const WRITE: &str = "write upstream = \"127.0.0.1:3000\"";

/// What belongs to the `upstream` of the same site or route and means nothing without it.
const BESIDE: [&str; 7] =
    ["upstream_tls", "balance", "wait_queue", "retry", "breaker", "health", "keep_awake"];

/// What the upstreams of a site or route are read and checked with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near<'a> {
    pub listen: &'a Listen,
    /// The names of the site, its main one first.
    pub names: &'a [&'a Host],
}

/// One upstream of a list as written.
#[derive(Debug)]
struct Item {
    written: Written,
    weight: Option<(u32, Place)>,
    requests_max: Option<usize>,
    place: Place,
}

/// Nowhere to go, and every default.
pub(super) const fn nowhere() -> Upstreams {
    Upstreams {
        list: Vec::new(),
        balance: Balance::RoundRobin,
        wait_queue: WaitQueue {
            requests_max: defaults::WAIT_QUEUE,
            wait_max: defaults::WAIT_QUEUE_WAIT,
        },
        retry_percent: defaults::RETRY_PERCENT,
        breaker: Some(Breaker {
            failures: defaults::BREAKER_FAILURES,
            open: defaults::BREAKER_OPEN,
        }),
        health: None,
        keep_awake: None,
    }
}

/// The upstreams of a site.
pub(super) fn of_site(cx: &mut Cx, section: &mut Section<'_>, near: Near<'_>) -> Upstreams {
    group(cx, section, near, &nowhere())
}

/// The upstreams of a route that has its own; `None` for those of the site, which is then all that counts.
pub(super) fn of_route(
    cx: &mut Cx,
    section: &mut Section<'_>,
    near: Near<'_>,
    of_site: &Upstreams,
) -> Option<Upstreams> {
    if section.entry(cx, "upstream").is_some() {
        let group = group(cx, section, near, of_site);
        idle_queue(cx, section, &[&group]);
        return Some(group);
    }
    for key in BESIDE {
        if let Some(entry) = section.entry(cx, key) {
            let message =
                format!("`{key}` belongs to an upstream, and this route has that of the site");
            let label = "write it in the site, or add the upstream of this route";
            cx.error(&entry.key_place, message, label);
        }
    }
    None
}

/// What is written, and of `around` what may be taken over from there: how requests are spread, not what is asked of
/// another app.
fn group(cx: &mut Cx, section: &mut Section<'_>, near: Near<'_>, around: &Upstreams) -> Upstreams {
    let (items, whole) = items(cx, section, near);
    let places: Vec<(Place, Option<usize>)> =
        items.iter().map(|item| (item.place.clone(), item.requests_max)).collect();
    let list = endpoints(cx, section, items, whole);
    let group = Upstreams {
        list,
        balance: section.value(cx, "balance", around.balance, care::balance),
        wait_queue: care::wait_queue(cx, section, &around.wait_queue),
        retry_percent: section.value(cx, "retry", around.retry_percent, care::retry),
        breaker: care::breaker(cx, section, around.breaker.as_ref()),
        health: near.names.first().and_then(|name| care::health(cx, section, name)),
        keep_awake: near.names.first().and_then(|name| care::keep_awake(cx, section, name)),
    };
    let mut at = |key| section.entry(cx, key).map(|entry| entry.node.place.clone());
    let health = group.health.clone().zip(at("health"));
    let keep_awake = group.keep_awake.clone().zip(at("keep_awake"));
    for (upstream, (place, requests_max)) in group.list.iter().zip(places) {
        let endpoint = upstream.endpoint.clone();
        let (health, keep_awake) = (health.clone(), keep_awake.clone());
        cx.named.push(Named { endpoint, requests_max, place, health, keep_awake });
    }
    group
}

/// Every upstream of the list once, and whether all of them could be read.
fn items(cx: &mut Cx, section: &mut Section<'_>, near: Near<'_>) -> (Vec<Item>, bool) {
    let Some(entry) = section.entry(cx, "upstream") else { return (Vec::new(), false) };
    let nodes = match &entry.node.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(&entry.node),
    };
    if nodes.is_empty() {
        cx.error(&entry.node.place, "the list is empty", WRITE);
    }
    if nodes.len() > UPSTREAMS_MAX {
        let message = format!("there are more than {UPSTREAMS_MAX} upstreams");
        cx.error(&entry.node.place, message, "put a balancer in front of some of them");
        return (Vec::new(), false);
    }
    let mut items: Vec<Item> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let Some(item) = item(cx, node) else { continue };
        if items.iter().any(|other| other.written == item.written) {
            let message = format!("{} is listed twice", shown(&item.written));
            cx.warn(&item.place, message, "remove one; a larger share is a larger weight");
            continue;
        }
        own::refuse(cx, &item, near);
        items.push(item);
    }
    if let ([item], true) = (items.as_slice(), nodes.len() == 1)
        && let Some((_, place)) = &item.weight
    {
        let message = "a weight is a share among several upstreams, and there is one";
        cx.warn(place, message, "remove it, or add another upstream");
    }
    let whole = items.len() == nodes.len();
    (items, whole)
}

/// A text, or a table with more about it.
fn item(cx: &mut Cx, node: &Node) -> Option<Item> {
    let Value::Table(table) = &node.value else {
        let written = endpoint::endpoint(node);
        let written = written.map_err(|fault| cx.error(&node.place, fault.message, fault.label));
        let place = node.place.clone();
        return Some(Item { written: written.ok()?, weight: None, requests_max: None, place });
    };
    let mut section = Section::new("site.*.upstream", table);
    let to = section.entry(cx, "to");
    if to.is_none() {
        let label = "add to = \"127.0.0.1:3000\"";
        cx.missing(&node.place, "this upstream does not say where it is", label);
    }
    let written = section.optional(cx, "to", endpoint::endpoint);
    let weight = section.optional(cx, "weight", |node| {
        let weight = values::count(node, 1..=WEIGHT_MAX)?;
        Ok((u32::try_from(weight).unwrap_or(u32::MAX), node.place.clone()))
    });
    let requests_max = section.optional(cx, "requests_max", limit);
    section.finish(cx);
    Some(Item { written: written?, weight, requests_max, place: to?.node.place.clone() })
}

/// Requests in flight at one upstream. No number is how others say that there is no limit.
fn limit(node: &Node) -> Result<usize, Fault> {
    if matches!(node.value, Value::Text(_) | Value::Bool(_)) {
        let message = format!("expected a number, found {}", node.kind());
        let label =
            format!("write a number up to {REQUESTS_MAX}, or leave the key away for no limit");
        return Err(Fault::new(message, label));
    }
    values::count_usize(node, 1..=REQUESTS_MAX)
}

/// The same with what is asked of those that are reached over TLS.
fn endpoints(
    cx: &mut Cx,
    section: &mut Section<'_>,
    items: Vec<Item>,
    whole: bool,
) -> Vec<Upstream> {
    let (name, ca_file) = upstream_tls(cx, section, whole && !items.iter().any(|i| i.written.tls));
    let mut list = Vec::with_capacity(items.len());
    for Item { written, weight, requests_max, place } in items {
        let tls = written.tls.then(|| {
            let name = name.clone().or_else(|| match &written.addr {
                UpstreamAddr::Tcp { host, .. } => Some(host.clone()),
                UpstreamAddr::Unix(_) => None,
            });
            if name.is_none() {
                let message = format!("{} has no name that TLS could verify", shown(&written));
                let label = match cx.flags {
                    true => "this needs a configuration file, with upstream_tls",
                    false => "add: upstream_tls = { name = \"app.internal\" }",
                };
                cx.missing(&place, message, label);
            }
            UpstreamTls { name: name.unwrap_or_default(), ca_file: ca_file.clone() }
        });
        let endpoint = Endpoint { addr: written.addr, protocol: written.protocol, tls };
        list.push(Upstream { endpoint, weight: weight.map_or(1, |(n, _)| n), requests_max });
    }
    list
}

/// Name and roots of `upstream_tls`; `unused`: no upstream is reached over TLS.
fn upstream_tls(
    cx: &mut Cx,
    section: &mut Section<'_>,
    unused: bool,
) -> (Option<String>, Option<PathBuf>) {
    let Some(entry) = section.entry(cx, "upstream_tls") else { return (None, None) };
    let none = Table::default();
    let table = if let Value::Table(table) = &entry.node.value {
        table
    } else {
        let message = format!("expected a table for `{}`, found {}", entry.key, entry.node.kind());
        let label = "write { ca_file = \"/etc/palisade/app-ca.pem\", name = \"app.internal\" }; TLS to \
                     an app is always verified";
        cx.error(&entry.node.place, message, label);
        &none
    };
    if unused {
        let message = "no upstream here is reached over TLS";
        let label = "remove it, or write the upstream with https:// or h2:// in front";
        cx.error(&entry.key_place, message, label);
    }
    let mut inner = Section::new("site.*.upstream_tls", table);
    let ca_file = inner.optional(cx, "ca_file", values::path);
    if let (Some(file), Some(entry)) = (&ca_file, inner.entry(cx, "ca_file")) {
        cx.ca_files.add(file, &entry.node.place);
    }
    let name = inner.optional(cx, "name", |node| {
        let name = values::host(values::text(node)?)?;
        match name.is_wildcard() {
            true => Err(Fault::new("one name is asked for", "write it without `*`")),
            false => Ok(name.to_string()),
        }
    });
    inner.finish(cx);
    (name, ca_file)
}

fn shown(written: &Written) -> Endpoint {
    let tls = written.tls.then(|| UpstreamTls { name: String::new(), ca_file: None });
    Endpoint { addr: written.addr.clone(), protocol: written.protocol, tls }
}

/// Warns of a queue where nobody ever waits, in whatever groups it is for.
pub(super) fn idle_queue(cx: &mut Cx, section: &mut Section<'_>, groups: &[&Upstreams]) {
    let mut upstreams = groups.iter().flat_map(|group| &group.list);
    if let Some(entry) = section.entry(cx, "wait_queue")
        && !upstreams.any(|upstream| upstream.requests_max.is_some())
    {
        let message = "nobody ever waits here: no upstream has a limit";
        let label = "give one a limit, as { to = \"127.0.0.1:3000\", requests_max = 100 }";
        cx.warn(&entry.key_place, message, label);
    }
}

/// The groups that a site has: its own, and those of its routes.
pub(super) fn groups<'a>(site: &'a Upstreams, routes: &'a [Route]) -> Vec<&'a Upstreams> {
    std::iter::once(site).chain(routes.iter().filter_map(|r| r.upstreams.as_ref())).collect()
}
