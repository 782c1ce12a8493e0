//! Sites: names, upstreams, certificates, and what two sites may not share.

use std::collections::HashMap;

use super::intake;
use super::read::{Cx, Section, table};
use super::route;
use super::settings::{ConnectionCaps, HttpLimits, Listen, Origins, Route, Site, Timeouts};
use super::source::Place;
use super::tls;
use super::upstreams;
use super::values;
use super::wire::{Entry, Table, Value};
use crate::base::Host;
use crate::guard::intake::settings::Intake;
use crate::work::acme::settings::Acme;

/// The settings around a site that its own settings are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub listen: &'a Listen,
    pub timeout: &'a Timeouts,
    pub http: &'a HttpLimits,
    pub connections: &'a ConnectionCaps,
    pub acme: &'a Acme,
}

const THREE_LINES: &str =
    "a site takes two lines:\n\n[site.\"localhost\"]\nupstream = \"127.0.0.1:3000\"";

/// Every site, in the order of the files.
pub(super) fn sites(cx: &mut Cx, section: &Section<'_>, around: &Around<'_>) -> Vec<Site> {
    let mut owners: HashMap<Host, Place> = HashMap::new();
    let mut sites = Vec::new();
    for entry in section.entries() {
        let name = values::host(&entry.key);
        if let (Some(table), true) = (table(cx, entry), name.is_ok()) {
            sites.extend(name.ok().map(|name| site(cx, entry, table, name, &mut owners, around)));
        } else if let Err(fault) = name {
            cx.error(&entry.key_place, fault.message, fault.label);
        }
    }
    upstreams::cross_check(cx);
    if section.is_empty() && !cx.broken {
        cx.report.extend(super::report::Report::error("there is no site", THREE_LINES));
    }
    sites
}

fn site(
    cx: &mut Cx,
    entry: &Entry,
    table: &Table,
    name: Host,
    owners: &mut HashMap<Host, Place>,
    around: &Around<'_>,
) -> Site {
    let mut section = Section::new("site.*", table);
    claim(cx, owners, &name, &entry.key_place);
    let also =
        section.list(cx, "also", |node| values::host(values::text(node)?)).unwrap_or_default();
    for (name, place) in &also {
        claim(cx, owners, name, place);
    }
    let names: Vec<&Host> =
        std::iter::once(&name).chain(also.iter().map(|(name, _)| name)).collect();
    let near = upstreams::Near { listen: around.listen, names: &names };
    let upstreams = upstreams::of_site(cx, &mut section, near);
    if section.entry(cx, "upstream").is_none() && !cx.flags {
        let message = format!("site \"{name}\" has no upstream");
        cx.missing(&entry.key_place, message, "add: upstream = \"127.0.0.1:3000\"");
    }
    let names = std::iter::once((&name, &entry.key_place)).chain(also.iter().map(|(n, p)| (n, p)));
    let tls = tls::tls(cx, &mut section, &names.collect::<Vec<_>>(), around.acme);
    let origins = origins(cx, &mut section);
    let connections_per_ip = connections_per_ip(cx, &mut section, around.connections);
    let everything = Intake { body_max: around.http.body_max, ..Intake::default() };
    let intake = intake::intake(cx, &mut section, &everything);
    let audit = section.optional(cx, "audit", values::action);
    let routes = section.section(cx, "route", "site.*.route");
    let of_site = route::OfSite { near, upstreams: &upstreams, intake: &intake };
    let routes: Vec<Route> = route::routes(cx, &routes, around, of_site);
    upstreams::idle_queue(cx, &mut section, &upstreams::groups(&upstreams, &routes));
    section.finish(cx);
    Site {
        name,
        also: also.into_iter().map(|(name, _)| name).collect(),
        upstreams,
        tls,
        origins,
        connections_per_ip,
        intake,
        audit,
        routes,
        declared_at: entry.key_place.to_string(),
    }
}

/// A name belongs to one site.
fn claim(cx: &mut Cx, owners: &mut HashMap<Host, Place>, name: &Host, place: &Place) {
    if let Some(first) = owners.get(name) {
        let message = format!("the name {name} is given twice");
        cx.clash(message, (place, "remove or rename one"), &first.clone());
    } else {
        owners.insert(name.clone(), place.clone());
    }
}

fn origins(cx: &mut Cx, section: &mut Section<'_>) -> Origins {
    const KEY: &str = "websocket_origins";
    if let Some(entry) = section.entry(cx, KEY)
        && entry.node.value == Value::Text("any".to_owned())
    {
        return Origins::Any;
    }
    let list = section.list(cx, KEY, values::origin).unwrap_or_default();
    Origins::SiteAnd(list.into_iter().map(|(origin, _)| origin).collect())
}

fn connections_per_ip(
    cx: &mut Cx,
    section: &mut Section<'_>,
    caps: &ConnectionCaps,
) -> Option<usize> {
    const KEY: &str = "connections_per_ip";
    let cap = section.optional(cx, KEY, |node| values::count_usize(node, 1..=10_000_000))?;
    if cap > caps.per_ip
        && let Some(entry) = section.entry(cx, KEY)
    {
        let message = format!("connections.per_ip allows {} already", caps.per_ip);
        cx.warn(&entry.node.place, message, "a site can only lower it");
    }
    Some(cap)
}
