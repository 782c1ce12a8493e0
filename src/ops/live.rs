//! The calls about what moves: the event stream, the history, and what a request would meet.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State as Shared};
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::CONTENT_TYPE;

use super::api::Problem;
use super::api::live::{ExplainQuery, History, Point};
use super::api::page::{ITEMS_MAX, PageQuery};
use super::caller::Caller;
use super::control::Daemon;
use super::patience::Patience;
use super::router::{answer, refuse};
use super::stream::EventBody;
use crate::base::audit::Actor;
use crate::telemetry::events::{Kinds, Refused, SUBSCRIBERS_MAX, StatusWanted, Wanted};
use crate::telemetry::history::{self, Resolution};

/// `GET /v1/events`
pub(super) async fn events(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    patience: Option<Extension<Patience>>,
    uri: Uri,
) -> Response {
    let wanted = match pairs(&uri).and_then(wanted) {
        Ok(wanted) => wanted,
        Err(problem) => return refuse(&problem),
    };
    let hub = daemon.events();
    match hub.subscribe(wanted) {
        Ok(subscription) => {
            let patience = patience.map(|Extension(patience)| patience).unwrap_or_default();
            let may = standing(&daemon, caller);
            let body = EventBody::new(Arc::clone(hub), subscription, (patience, may));
            ([(CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response()
        }
        Err(Refused::Full) => refuse(&Problem::new(
            503,
            "Too many watchers",
            format!(
                "{SUBSCRIBERS_MAX} watch this daemon already; end a `palisade logs` or `palisade top`"
            ),
        )),
        Err(Refused::Closed) => {
            refuse(&Problem::new(503, "Stopping", "the daemon is about to end"))
        }
    }
}

/// Whether whoever watches still may: a token that is revoked, or ends, takes the stream along.
fn standing(daemon: &Daemon, caller: Caller) -> Box<dyn Fn() -> bool + Send> {
    let daemon = Arc::clone(daemon);
    match caller.actor {
        Actor::Token { id, .. } => Box::new(move || daemon.stands(&id)),
        _ => Box::new(|| true),
    }
}

/// `GET /v1/history`
pub(super) async fn history(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    let resolution = pairs(&uri).and_then(|pairs| {
        let asked = match &pairs[..] {
            [(name, value)] if name == "resolution" => value.as_str(),
            _ => "",
        };
        let known = Resolution::ALL.into_iter().find(|resolution| resolution.word() == asked);
        known.ok_or_else(|| {
            let words = Resolution::ALL.map(Resolution::word).join(", ");
            Problem::new(400, "Bad Request", format!("resolution must be one of {words}"))
        })
    });
    answer(resolution.map(|resolution| {
        let series = daemon.history().series(resolution);
        History {
            resolution_s: resolution.seconds(),
            points: series.points.into_iter().map(point).collect(),
            end_s: series.end_s,
        }
    }))
}

/// `GET /v1/explain`
pub(super) async fn explain(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    let query = pairs(&uri).and_then(explain_query);
    answer(query.and_then(|query| daemon.explain(&query)))
}

fn explain_query(pairs: Pairs) -> Result<ExplainQuery, Problem> {
    let mut query = ExplainQuery::default();
    for (name, value) in pairs {
        match name.as_str() {
            "url" => query.url = value,
            "method" => query.method = Some(value),
            "ip" => query.ip = Some(value),
            "header" => query.headers.push(value),
            _ => {
                let detail = format!("`{name}` is unknown; there are url, method, ip, header");
                return Err(Problem::new(400, "Bad Request", detail));
            }
        }
    }
    Ok(query)
}

fn point(point: history::Point) -> Point {
    Point {
        requests: point.requests.into(),
        responses_4xx: point.responses_4xx.into(),
        responses_5xx: point.responses_5xx.into(),
        denied: point.denied.into(),
        p50_us: point.p50_us.into(),
        p95_us: point.p95_us.into(),
        p99_us: point.p99_us.into(),
        connections: point.connections.into(),
        rss_bytes: u64::from(point.rss_kib) * 1024,
        cpu_permille: point.cpu_permille,
    }
}

pub(super) type Pairs = Vec<(String, String)>;

pub(super) fn pairs(uri: &Uri) -> Result<Pairs, Problem> {
    let pairs = Query::<Pairs>::try_from_uri(uri);
    pairs
        .map(|Query(pairs)| pairs)
        .map_err(|error| Problem::new(400, "Bad Request", error.body_text()))
}

/// Which page of a list a query asks for.
pub(super) fn page_query(uri: &Uri) -> Result<PageQuery, Problem> {
    let mut query = PageQuery::default();
    for (name, value) in pairs(uri)? {
        match name.as_str() {
            "after" => query.after = Some(value),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=ITEMS_MAX).contains(limit));
                let must = format!("limit must be from 1 to {ITEMS_MAX}");
                query.limit = Some(limit.ok_or_else(|| Problem::new(400, "Bad Request", must))?);
            }
            _ => {
                let detail = format!("`{name}` is unknown; there are after, limit");
                return Err(Problem::new(400, "Bad Request", detail));
            }
        }
    }
    Ok(query)
}

/// What a query asks to see. An unknown name or value is a mistake, not a filter that lets everything through.
fn wanted(pairs: Pairs) -> Result<Wanted, Problem> {
    let mut wanted = Wanted::default();
    for (name, value) in pairs {
        let bad = |must: &str| Problem::new(400, "Bad Request", format!("{name} must be {must}"));
        match name.as_str() {
            "kinds" => {
                wanted.kinds = kinds(&value).ok_or_else(|| bad("some of request, log, state"))?;
            }
            "site" => wanted.site = Some(value.to_ascii_lowercase()),
            "route" => wanted.route = Some(value),
            "ip" => {
                let ip: std::net::IpAddr = value.parse().map_err(|_| bad("an IP address"))?;
                wanted.ip = Some(crate::base::unmapped(ip).to_string());
            }
            "status" => {
                let status = status(&value).ok_or_else(|| bad("as 404 or 4xx"))?;
                wanted.status = Some(status);
            }
            "path" => wanted.path_prefix = Some(value),
            "denied" => wanted.denied = Some(value),
            "slower_us" => {
                let limit = value.parse().map_err(|_| bad("a number of microseconds"))?;
                wanted.slower_us = Some(limit);
            }
            _ => {
                let known = "kinds, site, route, ip, status, path, denied, slower_us";
                let detail = format!("`{name}` is no filter; there are {known}");
                return Err(Problem::new(400, "Bad Request", detail));
            }
        }
    }
    Ok(wanted)
}

fn kinds(value: &str) -> Option<Kinds> {
    let mut kinds = Kinds { requests: false, log: false, state: false };
    for kind in value.split(',') {
        match kind {
            "request" => kinds.requests = true,
            "log" => kinds.log = true,
            "state" => kinds.state = true,
            _ => return None,
        }
    }
    Some(kinds)
}

fn status(value: &str) -> Option<StatusWanted> {
    if let Some(class) = value.strip_suffix("xx") {
        let class = class.parse().ok().filter(|class| (1..=5).contains(class));
        return class.map(StatusWanted::Class);
    }
    let status = value.parse().ok().filter(|status| (100..=599).contains(status));
    status.map(StatusWanted::Exactly)
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
