//! What every response gets on its way out, whoever made it: headers, identity, no banners (promise 27).

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Response, StatusCode};

use super::body::Body;
use super::conn::HostEntry;
use super::forwarded::{X_REQUEST_ID, is_hop_by_hop, named_by_connection};
use super::policy::Policy;
use super::trip::Trip;
use crate::base::{Denial, Host, Mode};
use crate::config::settings::Site;
use crate::guard::headers;

const X_RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time-ms");

/// Fields that only tell an attacker which software runs here.
fn is_banner(name: &HeaderName) -> bool {
    matches!(name.as_str(), "server" | "x-powered-by" | "x-aspnet-version" | "x-aspnetmvc-version")
}

/// Removes from an app's response what belongs to its own connection, and the banners.
pub(super) fn strip(headers: &mut HeaderMap) {
    let mut doomed: Vec<HeaderName> = Vec::new();
    for (name, value) in &*headers {
        if *name == CONNECTION {
            doomed.extend(named_by_connection(value));
        }
        if is_hop_by_hop(name) || is_banner(name) {
            doomed.push(name.clone());
        }
    }
    for name in doomed {
        headers.remove(name);
    }
}

/// The security headers of a response of `site`.
pub(super) fn harden(
    headers: &mut HeaderMap,
    policy: &Policy,
    tls: bool,
    site: Option<&Site>,
) -> headers::Hardening {
    let public = || site.is_some_and(|site| !site.name.is_local());
    headers::harden(headers, policy.security_headers, tls && public())
}

/// The last step: security headers, the request id and the time taken; then the record waits for the body's end.
pub(super) fn finish(mut trip: Box<Trip>, mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.reserve(8);
    // Never the same twice: HPACK must not put them into its table, which would push everything else out.
    let unique = |mut value: HeaderValue| {
        value.set_sensitive(trip.conn.http2);
        value
    };
    headers.insert(X_REQUEST_ID, unique(trip.id_value.clone()));
    let elapsed = trip.answered.unwrap_or_else(|| trip.elapsed());
    if let Some(value) = trip.conn.worker.ids(|ids| ids.millis(elapsed)) {
        headers.insert(X_RESPONSE_TIME, unique(value));
    }
    let policy = &trip.view.policy;
    let found = harden(headers, policy, trip.conn.tls, trip.site());
    if found.lacking && policy.security_headers == Mode::Observe {
        trip.conn.worker.shard.headers_observed.up();
    }
    if trip.conn.worker.draining.get() && !trip.conn.http2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    trip.status = response.status().as_u16();
    response.map(|body| body.accounted(trip))
}

/// Where a plain-text client is sent.
pub(super) fn over_tls(
    policy: &Policy,
    authority: &str,
    target: Option<&PathAndQuery>,
) -> Result<HeaderValue, Denial> {
    let name = Host::from_authority(authority).map_err(|_| Denial::BadHost)?.authority();
    let port = match policy.https_port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    let target = target.map_or("/", PathAndQuery::as_str);
    // `OPTIONS *` has no place to go to.
    let target = if target.starts_with('/') { target } else { "/" };
    HeaderValue::try_from(format!("https://{name}{port}{target}"))
        .map_err(|_| Denial::Internal { what: "a redirect that is no header value" })
}

/// Sends a plain-text client to the same place over TLS. 308 keeps method and body (RFC 9110 §15.4.9).
pub(super) fn redirect_to_https(trip: &Trip, host: &HostEntry) -> Result<Response<Body>, Denial> {
    let authority = host.value.to_str().map_err(|_| Denial::BadHost)?;
    let location = over_tls(&trip.view.policy, authority, trip.target.as_ref())?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(response)
}
