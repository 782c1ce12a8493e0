//! What a request would meet, asked beforehand: the list of `request` over the policy in force, with the same
//! functions, and nothing sent anywhere.
//!
//! Refuses to guess what only the app or the network can say: whether an upstream answers, and what. Of upstreams it tells
//! what is known at this moment.

mod candidates;

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, StatusCode, Uri};

use super::conn::Client;
use super::identity::{Identity, Own};
use super::policy::Policy;
use super::route::{self, Mismatch};
use super::{deny, forwarded, proxy, respond, steps, tunnel};
use crate::base::{ClientIp, Denial, Host, unmapped};
use crate::config::settings::{RouteMatch, Site};
use crate::guard::intake;
use crate::telemetry::events::{Outcome, Step};
use crate::work::acme::challenges::HTTP_PREFIX;

pub use candidates::{Candidate, Verdict};

/// A request that nobody has sent.
#[derive(Debug)]
pub struct Asked {
    head: Parts,
    /// Over TLS, with the name of the URL in the handshake.
    tls: bool,
    /// Of the URL.
    name: Host,
    peer: IpAddr,
}

/// What would become of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Explained {
    pub client: String,
    pub steps: Vec<Step>,
    /// What palisade would answer by itself; `None` where the app answers, or nobody does.
    pub status: Option<u16>,
    pub site: Option<String>,
    pub route: Option<String>,
    /// Every route of the site up to the one that matches, with the reason why a route does not.
    pub routes: Vec<(String, Option<String>)>,
    /// In the order in which they are tried; the first one moves on with every request.
    pub upstreams: Vec<String>,
    /// The same, with what would become of each now.
    pub candidates: Vec<Candidate>,
    /// Fields that the app gets from palisade; without a value: that it does not get.
    pub to_app: Vec<(String, Option<String>)>,
    /// Fields that the client gets besides the app's own.
    pub to_client: Vec<(String, String)>,
}

impl Asked {
    /// # Errors
    /// What is wrong with it, for whoever typed it.
    pub fn new(
        url: &str,
        method: &str,
        peer: IpAddr,
        fields: &[(String, String)],
    ) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is no URL: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{url} must begin with https:// or http://")),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let name = Host::from_authority(authority)
            .map_err(|error| format!("{authority} is no name of a site: {error}"))?;
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| format!("{method} is no method"))?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let request = Request::builder().method(method).uri(target).body(());
        let mut head = request.map_err(|error| format!("{url} is no URL: {error}"))?.into_parts().0;
        for (field, value) in fields {
            let bad = || format!("{field}: {value} is no header field");
            let field = HeaderName::try_from(field).map_err(|_| bad())?;
            head.headers.append(field, HeaderValue::try_from(value).map_err(|_| bad())?);
        }
        if !head.headers.contains_key(HOST) {
            let host = HeaderValue::try_from(authority).map_err(|error| error.to_string())?;
            head.headers.insert(HOST, host);
        }
        Ok(Self { head, tls, name, peer: unmapped(peer) })
    }
}

/// Goes through the steps until one decides. `now_ms` is the workers' clock.
#[must_use]
pub fn explain(policy: &Policy, asked: &Asked, now_ms: u64) -> Explained {
    let mut told = Explained::default();
    let site = match walk(policy, asked, now_ms, &mut told) {
        Ok(site) => Some(site),
        Err(Stopped::NoHandshake) => return told,
        Err(Stopped::At(step, denial)) => {
            let (status, label, why) = deny::told(&denial);
            told.status = Some(status.as_u16());
            let note = format!("{} ({label}): {why}", status.as_u16());
            told.steps.push(steps::step(step, Outcome::Refused, note));
            told.site.as_ref().and_then(|name| {
                policy.settings.sites.iter().find(|site| site.name.as_str() == name)
            })
        }
    };
    told.steps.push(steps::headers(policy));
    let mut headers = HeaderMap::new();
    respond::harden(&mut headers, policy, asked.tls, site);
    told.to_client = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    told
}

/// Why the walk did not reach its end.
enum Stopped {
    /// No request can be sent: the TLS handshake fails.
    NoHandshake,
    At(&'static str, Denial),
}

fn walk<'p>(
    policy: &'p Policy,
    asked: &Asked,
    now_ms: u64,
    told: &mut Explained,
) -> Result<&'p Site, Stopped> {
    let client = client(policy, asked, told);
    let site = find_site(policy, asked, told)?;
    let mut head = asked.head.clone();
    let refused = |denial| Stopped::At(steps::PATH, denial);
    let path = route::settle_path(&mut head, || route::slashes(site)).map_err(refused)?;
    let (head, path) = (&head, path.matched(asked.head.uri.path()));
    if path != asked.head.uri.path() {
        told.steps.push(steps::matched(path));
    }
    if head.uri.path().starts_with(HTTP_PREFIX) {
        let note = "while a certificate authority is waiting for it, it is answered here";
        told.steps.push(steps::step(steps::CHALLENGE, Outcome::Skipped, note));
    }
    if !asked.tls {
        let authority = text_of(head.headers.get(HOST));
        let location = respond::over_tls(policy, &authority, head.uri.path_and_query())
            .map_err(|denial| Stopped::At(steps::REDIRECT, denial))?;
        let status = StatusCode::PERMANENT_REDIRECT.as_u16();
        told.status = Some(status);
        let note = format!("{status} to {}", text(&location));
        told.steps.push(steps::step(steps::REDIRECT, Outcome::Answered, note));
        return Ok(site);
    }
    told.steps.push(steps::redirect(true));
    let route = find_route(site, head, path, told);
    route::keeps_slashes(site, route, path).map_err(refused)?;
    proxy::admit(policy, head).map_err(|denial| Stopped::At(steps::ADMIT, denial))?;
    told.steps.push(steps::admitted());
    let taken = site.intake_of(route.and_then(|at| site.routes.get(at)));
    intake::check(taken, head, tunnel::has_body(&head.headers))
        .map_err(|denial| Stopped::At(steps::INTAKE, denial))?;
    told.steps.push(steps::taken_in(Some(taken)));
    let upgrade =
        tunnel::wanted(site, head).map_err(|denial| Stopped::At(steps::WEBSOCKET, denial))?;
    told.steps.push(if upgrade {
        steps::step(steps::WEBSOCKET, Outcome::Passed, "one is asked for, and the page may")
    } else {
        steps::no_websocket()
    });
    told.to_app = to_app(asked, client);
    let route = route.and_then(|at| site.routes.get(at));
    told.steps.extend(site.audit_of(route).map(steps::audit));
    let group = site.upstreams_of(route);
    told.upstreams = group.list.iter().map(ToString::to_string).collect();
    let (candidates, note) = candidates::of(policy, group, now_ms);
    told.candidates = candidates;
    let note = note.map_err(|denial| Stopped::At(steps::UPSTREAM, denial))?;
    told.steps.push(steps::step(steps::UPSTREAM, Outcome::Answered, note));
    Ok(site)
}

fn client(policy: &Policy, asked: &Asked, told: &mut Explained) -> ClientIp {
    let proxies = &policy.settings.listen.trusted_proxies;
    let client = forwarded::resolve(proxies, asked.peer, &asked.head.headers);
    told.client = client.to_string();
    let trusted = proxies.contains(asked.peer);
    told.steps.push(steps::client(client, trusted.then_some(asked.peer), None));
    client
}

fn find_site<'p>(
    policy: &'p Policy,
    asked: &Asked,
    told: &mut Explained,
) -> Result<&'p Site, Stopped> {
    let in_handshake = match asked.name.ip() {
        Some(ip) => policy.find_by_address(ip),
        None => policy.find(&asked.name),
    };
    let name = asked.name.as_str();
    let fails = match in_handshake {
        _ if !asked.tls => None,
        None => Some(format!("no site has the name {name}")),
        Some(at) if policy.tls(at).is_none() => Some(format!("{name} has no certificate yet")),
        Some(_) => None,
    };
    if let Some(why) = fails {
        let note = format!("the TLS handshake fails: {why}");
        told.steps.push(steps::step(steps::SITE, Outcome::Refused, note));
        return Err(Stopped::NoHandshake);
    }
    let refused = |denial| Stopped::At(steps::SITE, denial);
    let authority = route::authority(&asked.head).map_err(refused)?;
    let (_, host, at) = route::find(policy, authority).map_err(refused)?;
    if asked.tls && in_handshake != Some(at) {
        let sni = asked.name.ip().is_none().then(|| asked.name.clone());
        return Err(refused(Denial::Misdirected { sni, host }));
    }
    let site = policy.site(at).ok_or_else(|| refused(Denial::UnknownHost))?;
    told.site = Some(site.name.to_string());
    told.steps.push(steps::step(steps::SITE, Outcome::Passed, site.name.to_string()));
    Ok(site)
}

fn find_route(site: &Site, head: &Parts, path: &str, told: &mut Explained) -> Option<usize> {
    let found = route::route(site, head, path);
    let tried = site.routes.iter().take(found.map_or(usize::MAX, |at| at + 1));
    told.routes = tried
        .map(|route| {
            let mismatch = route::mismatch(&route.matcher, head, path);
            (route.name.clone(), mismatch.map(|mismatch| why_not(&route.matcher, mismatch)))
        })
        .collect();
    told.route = found.and_then(|at| site.routes.get(at)).map(|route| route.name.clone());
    told.steps.push(match &told.route {
        Some(name) => steps::step(steps::ROUTE, Outcome::Passed, name.clone()),
        None => steps::no_route(!site.routes.is_empty()),
    });
    found
}

fn why_not(matcher: &RouteMatch, mismatch: Mismatch<'_>) -> String {
    match mismatch {
        Mismatch::Path => format!("the path is not below {}", matcher.path_prefix),
        Mismatch::Method => format!("the method is not {}", matcher.methods.join(" or ")),
        Mismatch::Header(name) => format!("the field {name} is missing or has another value"),
    }
}

/// What palisade says to the app in its own words, and what it takes away.
fn to_app(asked: &Asked, client: ClientIp) -> Vec<(String, Option<String>)> {
    let mut headers = asked.head.headers.clone();
    forwarded::strip(&mut headers);
    let host = headers.get(HOST).cloned().unwrap_or(HeaderValue::from_static(""));
    let before = asked.head.headers.keys();
    let gone = before.filter(|name| !headers.contains_key(*name)).map(ToString::to_string);
    let gone: Vec<String> = gone.collect();
    let mut said = HeaderMap::new();
    let id = HeaderValue::from_static("(new for each request)");
    let identity = Identity::new(&Client::of(client), &host, asked.tls);
    Own { identity: &identity, id: &id, trace: None }.append_to(&mut said);
    let gone = gone.into_iter().filter(|name| !said.contains_key(name)).map(|name| (name, None));
    said.iter().map(|(name, value)| (name.to_string(), Some(text(value)))).chain(gone).collect()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn text_of(value: Option<&HeaderValue>) -> String {
    value.map(text).unwrap_or_default()
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
