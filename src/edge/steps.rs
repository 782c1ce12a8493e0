//! What a request met on its way, in the order of `request`, told after the fact from its record.
//!
//! Called only for requests that somebody is shown; a request that nobody watches pays nothing for it.

use std::net::IpAddr;

use http::StatusCode;

use super::conn::is_trusted;
use super::policy::Policy;
use super::trip::Trip;
use crate::base::audit::ActionName;
use crate::base::{Capability, ClientIp, Mode};
use crate::guard::intake::settings::{BodyMax, Intake};
use crate::telemetry::events::{Outcome, Step};
use crate::work::acme::challenges::HTTP_PREFIX;

pub(super) const CLIENT: &str = "client";
pub(super) const SITE: &str = "site";
pub(super) const PATH: &str = "path";
pub(super) const CHALLENGE: &str = "challenge";
pub(super) const REDIRECT: &str = "redirect";
pub(super) const ROUTE: &str = "route";
pub(super) const ADMIT: &str = "admit";
pub(super) const INTAKE: &str = "intake";
pub(super) const WEBSOCKET: &str = "websocket";
pub(super) const AUDIT: &str = "audit";
pub(super) const UPSTREAM: &str = "upstream";
pub(super) const HEADERS: &str = "headers";

/// One step; `note` is what it found.
pub(super) fn step(
    name: &'static str,
    outcome: Outcome,
    note: impl Into<std::borrow::Cow<'static, str>>,
) -> Step {
    Step { name, outcome, note: note.into() }
}

/// The steps of a request that has ended: up to the one that decided, then the headers that every answer gets.
pub(super) fn of(trip: &Trip) -> Vec<Step> {
    let mut steps = Vec::with_capacity(8);
    let peer = trip.conn.peer;
    let trusted = is_trusted(&trip.view, peer).then_some(peer);
    steps.push(client(trip.client.ip, trusted, trip.conn.announced_by));
    let refused = trip.denied.map(|label| (refusing_step(trip, label), trip.why.as_deref()));
    const ORDER: [&str; 10] =
        [SITE, PATH, CHALLENGE, REDIRECT, ROUTE, ADMIT, INTAKE, WEBSOCKET, AUDIT, UPSTREAM];
    for name in ORDER {
        if name == CHALLENGE && !was_challenge(trip) {
            continue; // nearly every request: no word about it
        }
        let settled = trip.matched.is_none() && refused.is_none_or(|(at, _)| at != PATH);
        if name == PATH && settled {
            continue; // it was sent as it is matched
        }
        if name == AUDIT && trip.action().is_none() {
            continue; // so are these
        }
        let found = match refused {
            Some((at, why)) if at == name => {
                let why = why.or(trip.denied).unwrap_or_default();
                step(name, Outcome::Refused, crate::telemetry::events::cut(why))
            }
            _ => passed(trip, name),
        };
        let decided = matches!(found.outcome, Outcome::Refused | Outcome::Answered);
        steps.push(found);
        if decided {
            break;
        }
    }
    steps.push(headers(&trip.view.policy));
    steps
}

/// `proxy`: the peer, if its word about the client counts; `announced_by`: who said with a PROXY header who the peer is.
pub(super) fn client(
    client: ClientIp,
    proxy: Option<IpAddr>,
    announced_by: Option<IpAddr>,
) -> Step {
    let note = match (proxy, announced_by) {
        (None, None) => format!("{client}, the peer itself"),
        (None, Some(by)) => format!("{client}, as the PROXY header of {by} says"),
        (Some(proxy), _) => format!("{client}, as the trusted proxy {proxy} says"),
    };
    step(CLIENT, Outcome::Passed, note)
}

/// Whether a CA asked for the proof that the name is ours, and got it.
fn was_challenge(trip: &Trip) -> bool {
    let asked = trip.path().starts_with(HTTP_PREFIX) && trip.upstream.is_none();
    asked && trip.denied.is_none() && trip.status == StatusCode::OK.as_u16()
}

/// Which step a refusal came from. What is not known here came from the way to the app.
fn refusing_step(trip: &Trip, label: &str) -> &'static str {
    match label {
        "unknown_host" | "bad_host" | "misdirected" => SITE,
        "bad_path" => PATH,
        "overloaded" => ADMIT,
        "uri_too_long" if trip.host.is_some() => ADMIT,
        "method_not_allowed" | "body_too_large" | "content_type" => INTAKE,
        "method" if trip.method == http::Method::CONNECT => ADMIT,
        "method" | "foreign_origin" => WEBSOCKET,
        "not_recordable" => AUDIT,
        _ if trip.host.is_none() => SITE,
        _ if !trip.conn.tls => REDIRECT,
        _ => UPSTREAM,
    }
}

/// A step that did not refuse.
fn passed(trip: &Trip, name: &'static str) -> Step {
    match name {
        SITE => match trip.site() {
            Some(site) => step(SITE, Outcome::Passed, site.name.to_string()),
            None => step(SITE, Outcome::Passed, ""),
        },
        PATH => matched(trip.matched.as_deref().unwrap_or_default()),
        CHALLENGE => step(CHALLENGE, Outcome::Answered, "the question of a certificate authority"),
        REDIRECT => redirect(trip.conn.tls),
        ROUTE => match trip.route() {
            Some(route) => step(ROUTE, Outcome::Passed, route.name.clone()),
            None => no_route(trip.site().is_some_and(|site| !site.routes.is_empty())),
        },
        ADMIT => admitted(),
        INTAKE => taken_in(trip.intake()),
        WEBSOCKET if trip.status == StatusCode::SWITCHING_PROTOCOLS.as_u16() => {
            step(WEBSOCKET, Outcome::Passed, "a WebSocket was opened")
        }
        WEBSOCKET => no_websocket(),
        AUDIT => match trip.action() {
            Some(action) => audit(action),
            None => step(AUDIT, Outcome::Skipped, ""),
        },
        _ => upstream(trip),
    }
}

pub(super) fn matched(path: &str) -> Step {
    step(PATH, Outcome::Passed, format!("matched as {}", crate::telemetry::events::cut(path)))
}

pub(super) fn redirect(tls: bool) -> Step {
    if tls {
        return step(REDIRECT, Outcome::Skipped, "already over TLS");
    }
    step(REDIRECT, Outcome::Answered, "308 to the same place over TLS")
}

/// `any`: the site has routes, and none matched.
pub(super) fn no_route(any: bool) -> Step {
    let note = if any { "none matched: the site's own settings" } else { "the site has none" };
    step(ROUTE, Outcome::Skipped, note)
}

pub(super) fn admitted() -> Step {
    step(ADMIT, Outcome::Passed, "size of the address and method are accepted")
}

/// What the site or the route takes in, where it is not everything.
pub(super) fn taken_in(intake: Option<&Intake>) -> Step {
    let Some(intake) = intake else { return step(INTAKE, Outcome::Skipped, "") };
    let mut note = match intake.body_max {
        BodyMax::Limit(max) => format!("bodies up to {max}"),
        BodyMax::Off => "bodies of any size".to_owned(),
    };
    if !intake.content_types.is_empty() {
        note.push_str(" of the listed types");
    }
    if !intake.methods.is_empty() {
        note.push_str(", the listed methods");
    }
    step(INTAKE, Outcome::Passed, note)
}

pub(super) fn no_websocket() -> Step {
    step(WEBSOCKET, Outcome::Skipped, "not asked for")
}

pub(super) fn audit(action: &ActionName) -> Step {
    let note = format!("recorded as {} before the answer leaves", action.of_route());
    step(AUDIT, Outcome::Passed, note)
}

fn upstream(trip: &Trip) -> Step {
    let Some(at) = &trip.upstream else {
        return step(UPSTREAM, Outcome::Skipped, "the request ended before");
    };
    let Some(took) = trip.answered else {
        let tunnel = trip.status == StatusCode::SWITCHING_PROTOCOLS.as_u16();
        let said = if tunnel { "agreed to the WebSocket" } else { "had not answered yet" };
        let outcome = if tunnel { Outcome::Answered } else { Outcome::Passed };
        return step(UPSTREAM, outcome, format!("{at} {said}"));
    };
    let ms = took.as_secs_f64() * 1000.0;
    step(UPSTREAM, Outcome::Answered, format!("{at} answered {} after {ms:.1} ms", trip.status))
}

/// With the reason where it is not the file that decides.
pub(super) fn headers(policy: &Policy) -> Step {
    let (outcome, says) = match policy.security_headers {
        Mode::Enforce => (Outcome::Passed, "security headers are made complete"),
        Mode::Observe => (Outcome::Passed, "security headers are looked at and left as they are"),
        Mode::Off => (Outcome::Skipped, "security_headers is off"),
    };
    match policy.settings.capabilities.decider(Capability::SecurityHeaders) {
        Some(why) => step(HEADERS, outcome, format!("{says} ({why})")),
        None => step(HEADERS, outcome, says),
    }
}
