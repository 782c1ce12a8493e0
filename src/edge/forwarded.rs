//! What a request tells the app about where it came from, and what it may not say (promises 19 and 20).
//!
//! Hop-by-hop fields, those named by `Connection`, names with `_`, and whatever a client claims about its own
//! address are removed; then palisade puts its own words behind the rest (`identity`).

use std::net::IpAddr;
use std::rc::Rc;

use http::header::{CONNECTION, COOKIE, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Uri, Version};

use super::conn::{Client, HostEntry, is_trusted};
use super::identity::{Identity, TRACEPARENT, X_FORWARDED_FOR};
use super::trailers::TakesTrailers;
use super::trip::Trip;
use crate::base::{ClientIp, Said, TrustedProxies};

/// Names that a `Connection` field may list and that are not the client's to remove: what was judged must reach the app.
const NOT_HOP_BY_HOP: [&str; 5] =
    ["host", "cookie", "authorization", "content-length", "content-type"];

/// The client of this request where it is not the connection's own: whom a trusted proxy speaks for.
pub(super) fn client(trip: &Trip, headers: &HeaderMap) -> Option<Client> {
    let conn = &trip.conn;
    if !is_trusted(&trip.view, conn.peer) {
        return None;
    }
    let trusted = &trip.view.policy.settings.listen.trusted_proxies;
    let ip = resolve(trusted, conn.peer, headers);
    (ip != conn.client.ip).then(|| Client::of(ip))
}

/// Who is behind `peer`, as far as the trusted proxies know.
pub(super) fn resolve(trusted: &TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> ClientIp {
    let values =
        |name| -> Vec<&[u8]> { headers.get_all(name).iter().map(HeaderValue::as_bytes).collect() };
    // A proxy that writes one of the two passes the other on as its client wrote it. Nearly all write the first.
    if headers.contains_key(X_FORWARDED_FOR) {
        return trusted.resolve(peer, Said::ForwardedFor(&values(X_FORWARDED_FOR)));
    }
    trusted.resolve(peer, Said::Forwarded(&values(FORWARDED)))
}

/// Turns the head that came into the head that goes to the app, and returns what is put behind it.
pub(super) fn prepare(trip: &mut Trip, head: &mut Parts, host: &Rc<HostEntry>) -> Rc<Identity> {
    clean(head, trip.target.as_ref(), &host.value, trip.conn.http2);
    let incoming = head.headers.remove(TRACEPARENT);
    trip.trace = trip.conn.worker.ids(|ids| ids.traceparent(trip.id, incoming.as_ref()));
    if trip.client.ip == trip.conn.client.ip {
        Rc::clone(&host.identity)
    } else {
        Rc::new(Identity::new(&trip.client, &host.value, trip.conn.tls))
    }
}

/// Leaves of a head what may reach the app, in the form of HTTP/1.1: the target as a path, one `Host`.
pub(super) fn clean(
    head: &mut Parts,
    target: Option<&PathAndQuery>,
    host: &HeaderValue,
    http2: bool,
) {
    if strip(&mut head.headers) {
        head.extensions.insert(TakesTrailers);
    }
    head.version = Version::HTTP_11;
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        head.uri = target.cloned().map_or_else(Uri::default, Uri::from);
    }
    let headers = &mut head.headers;
    if http2 {
        join_cookies(headers);
    }
    // HTTP/2 and absolute-form requests name the host elsewhere.
    if !headers.contains_key(HOST) {
        headers.insert(HOST, host.clone());
    }
}

/// Removes what must not reach the app. One pass finds out whether there is anything to do, which is rare. True if the
/// client takes trailers, as it said in `TE`.
pub(super) fn strip(headers: &mut HeaderMap) -> bool {
    let mut takes_trailers = false;
    let mut doomed: Vec<HeaderName> = Vec::new();
    for (name, value) in &*headers {
        if *name == CONNECTION {
            doomed.extend(named_by_connection(value));
        }
        if is_hop_by_hop(name) || is_claim(name) || name.as_str().contains('_') {
            takes_trailers |= *name == TE && says_trailers(value);
            doomed.push(name.clone());
        }
    }
    for name in doomed {
        headers.remove(name);
    }
    takes_trailers
}

/// `trailers` among the words of a `TE` (RFC 9110 §10.1.4); a weight takes nothing away from it.
fn says_trailers(value: &HeaderValue) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|word| {
        let word = word.split(|byte| *byte == b';').next().unwrap_or_default();
        word.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// Fields that belong to one connection (RFC 9110 §7.6.1), and `Expect`, which is settled here (promise 14).
pub(super) fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "transfer-encoding"
            | "te"
            | "upgrade"
            | "trailer"
            | "expect"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "keep-alive"
            | "proxy-connection"
    )
}

/// What a client says about where it comes from, or which request this is; palisade knows better.
pub(super) fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "forwarded" | "x-real-ip" | "x-request-id") || name.starts_with("x-forwarded")
}

pub(super) fn named_by_connection(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let list = value.to_str().unwrap_or_default();
    list.split(',')
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| !NOT_HOP_BY_HOP.contains(&name.as_str()))
}

/// HTTP/2 clients may send one `cookie` field per cookie; HTTP/1.1 knows one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn hop_by_hop_fields_and_those_named_by_connection_stay_here() {
        let left = stripped(&[
            ("accept", "*/*"),
            ("connection", "keep-alive, X-Secret"),
            ("keep-alive", "timeout=5"),
            ("x-secret", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("proxy-authorization", "Basic eA=="),
        ]);
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn connection_cannot_remove_what_identifies_the_request() {
        let left = stripped(&[
            ("connection", "host, cookie, authorization, content-length, content-type"),
            ("host", "a.example"),
            ("cookie", "a=1"),
            ("authorization", "Bearer x"),
            ("content-length", "3"),
            ("content-type", "text/plain"),
        ]);
        assert_eq!(left.len(), 5);
    }

    #[test]
    fn what_a_client_claims_about_itself_is_dropped() {
        let left = stripped(&[
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-user", "root"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-request-id", "1"),
            ("x_forwarded_for", "127.0.0.1"),
            ("x-app", "kept"),
        ]);
        assert_eq!(left, ["x-app"]);
    }

    #[test]
    fn cookies_of_http2_become_one_field() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }
}
