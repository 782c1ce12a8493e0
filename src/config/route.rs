//! Routes of one site: what they match, and in which order they are tried.

use super::intake;
use super::read::{Cx, Section, table};
use super::settings::{Route, RouteMatch, Upstreams};
use super::site::Around;
use super::source::Place;
use super::upstreams;
use super::values;
use super::wire::{Entry, Table};
use crate::guard::intake::settings::Intake;

/// What a route takes over from its site.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfSite<'a> {
    pub near: upstreams::Near<'a>,
    pub upstreams: &'a Upstreams,
    pub intake: &'a Intake,
}

/// Every route, in the order of matching: longest path first, then the one with more conditions, then as written.
pub(super) fn routes(
    cx: &mut Cx,
    section: &Section<'_>,
    around: &Around<'_>,
    of_site: OfSite<'_>,
) -> Vec<Route> {
    let mut routes: Vec<(Route, Place)> = Vec::new();
    for entry in section.entries() {
        if let Some(table) = table(cx, entry)
            && let Some(route) = route(cx, entry, table, around, of_site)
        {
            routes.push((route, entry.key_place.clone()));
        }
    }
    routes.sort_by_key(|(route, _)| {
        let matcher = &route.matcher;
        let conditions = usize::from(!matcher.methods.is_empty()) + matcher.headers.len();
        (usize::MAX - matcher.path_prefix.len(), usize::MAX - conditions)
    });
    for (index, (route, place)) in routes.iter().enumerate() {
        let hidden_by =
            routes.iter().take(index).find(|(r, _)| takes_all(&r.matcher, &route.matcher));
        if let Some((first, first_place)) = hidden_by {
            let message = if first.matcher == route.matcher {
                format!("route \"{}\" matches the same requests as \"{}\"", route.name, first.name)
            } else {
                format!(
                    "route \"{}\" can never match: \"{}\" is tried first",
                    route.name, first.name
                )
            };
            cx.clash(message, (place, "remove it, or write the narrower one first"), first_place);
        }
    }
    routes.into_iter().map(|(route, _)| route).collect()
}

/// Whether every request that `later` matches is taken by `first`, which has the same path.
fn takes_all(first: &RouteMatch, later: &RouteMatch) -> bool {
    let methods = first.methods.is_empty()
        || (!later.methods.is_empty() && later.methods.iter().all(|m| first.methods.contains(m)));
    first.path_prefix == later.path_prefix
        && methods
        && first.headers.iter().all(|header| later.headers.contains(header))
}

fn route(
    cx: &mut Cx,
    entry: &Entry,
    written: &Table,
    around: &Around<'_>,
    of_site: OfSite<'_>,
) -> Option<Route> {
    let mut section = Section::new("site.*.route.*", written);
    let matcher = matcher(cx, entry, &mut section);
    let upstreams = upstreams::of_route(cx, &mut section, of_site.near, of_site.upstreams);
    let first_byte =
        section.value(cx, "first_byte_timeout", around.timeout.first_byte, values::duration);
    let intake = intake::intake(cx, &mut section, of_site.intake);
    if let Some(matcher) = &matcher {
        intake::all_refused(cx, &mut section, matcher, &intake);
    }
    let audit = section.optional(cx, "audit", values::action);
    section.finish(cx);
    Some(Route { name: entry.key.clone(), matcher: matcher?, upstreams, first_byte, intake, audit })
}

fn matcher(cx: &mut Cx, entry: &Entry, section: &mut Section<'_>) -> Option<RouteMatch> {
    let by_path = entry.key.starts_with('/');
    let given = section.entry(cx, "match");
    if given.is_none() && !by_path {
        let message = format!("route \"{}\" does not say what it matches", entry.key);
        cx.missing(
            &entry.key_place,
            message,
            "add: match = { path = \"/…\" }, or use the path as the key",
        );
        return None;
    }
    let none = Table::default();
    let table = match given {
        Some(given) => table(cx, given)?,
        None => &none,
    };
    let mut inner = Section::new("site.*.route.*.match", table);
    let path_entry = inner.entry(cx, "path");
    let path_prefix = match (by_path, path_entry) {
        (true, Some(path)) => {
            let label = "remove it, or give the route a name that does not begin with `/`";
            cx.error(&path.key_place, "this route has its path as the key already", label);
            None
        }
        (true, None) => match values::path_prefix(&entry.key) {
            Ok(path) => Some(path),
            Err(fault) => {
                cx.error(&entry.key_place, fault.message, fault.label);
                None
            }
        },
        (false, Some(_)) => {
            inner.optional(cx, "path", |node| values::path_prefix(values::text(node)?))
        }
        (false, None) => Some("/".to_owned()),
    };
    let mut methods: Vec<String> = Vec::new();
    for (method, _) in inner.list(cx, "method", values::method).unwrap_or_default() {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    methods.sort();
    let headers = headers(cx, &mut inner);
    inner.finish(cx);
    if table.0.is_empty()
        && let (false, Some(given)) = (by_path, given)
    {
        cx.missing(&given.key_place, "`match` is empty", "add path, method or header");
    }
    Some(RouteMatch { path_prefix: path_prefix?, methods, headers })
}

fn headers(cx: &mut Cx, section: &mut Section<'_>) -> Vec<(String, String)> {
    let Some(entry) = section.entry(cx, "header") else { return Vec::new() };
    let Some(table) = table(cx, entry) else { return Vec::new() };
    let mut headers = Vec::with_capacity(table.0.len());
    for entry in &table.0 {
        let Ok(name) = http::HeaderName::from_bytes(entry.key.as_bytes()) else {
            cx.error(
                &entry.key_place,
                format!("`{}` is no field name", entry.key),
                "write it as \"x-version\"",
            );
            continue;
        };
        match values::text(&entry.node) {
            Ok(value) if http::HeaderValue::from_str(value).is_ok() => {
                headers.push((name.as_str().to_owned(), value.to_owned()));
            }
            Ok(_) => cx.error(
                &entry.node.place,
                "a field value has no control characters",
                "remove them",
            ),
            Err(fault) => cx.error(&entry.node.place, fault.message, fault.label),
        }
    }
    headers.sort();
    headers
}
