//! Which site and which route a request belongs to (promise 21).
//!
//! Promises: every spelling of a path is matched as the same, and what was matched is what the app sees (`base::path`).

use std::rc::Rc;

use http::header::HOST;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{Method, Version};

use super::conn::{Conn, HostEntry};
use super::policy::Policy;
use super::worker::View;
use crate::base::path::{self, EncodedSlashes, Normal};
use crate::base::{Denial, Host};
use crate::config::settings::{RouteMatch, Site};

/// Finds the site of a request, and refuses one whose host and TLS server name are not of the same site.
///
/// The answer for a connection's last host is remembered, so that keep-alive requests compare bytes and nothing more.
pub(super) fn site(view: &View, conn: &Conn, head: &Parts) -> Result<Rc<HostEntry>, Denial> {
    let authority = authority(head)?;
    if let Some(entry) = conn.remembered_host(view.policy.generation, authority) {
        return Ok(entry);
    }
    let (text, host, site) = find(&view.policy, authority)?;
    if conn.tls && conn.sni_site_in(view) != Some(site) {
        return Err(Denial::Misdirected { sni: conn.sni.clone(), host });
    }
    Ok(conn.remember_host(view.policy.generation, authority, text, site))
}

/// The site that has this name: the text of the name, the name, and the position of the site.
pub(super) fn find<'a>(
    policy: &Policy,
    authority: &'a [u8],
) -> Result<(&'a str, Host, usize), Denial> {
    let text = std::str::from_utf8(authority).map_err(|_| Denial::BadHost)?;
    let host = Host::from_authority(text).map_err(|_| Denial::BadHost)?;
    let site = policy.find(&host).ok_or(Denial::UnknownHost)?;
    Ok((text, host, site))
}

/// `:authority`, or the authority of an absolute-form target, or the one `Host` field (RFC 9112 §3.2).
pub(super) fn authority(head: &Parts) -> Result<&[u8], Denial> {
    let mut fields = head.headers.get_all(HOST).iter();
    let field = fields.next().map(http::HeaderValue::as_bytes);
    if fields.next().is_some() {
        return Err(Denial::BadHost);
    }
    match (head.uri.authority(), field) {
        // Userinfo has no business here (RFC 9110 §4.2.4).
        (Some(authority), _) if authority.as_str().contains('@') => Err(Denial::BadHost),
        // Two hosts that differ are an attempt to make two parsers disagree.
        (Some(authority), Some(field))
            if !field.eq_ignore_ascii_case(authority.as_str().as_bytes()) =>
        {
            Err(Denial::BadHost)
        }
        (Some(authority), _) => Ok(authority.as_str().as_bytes()),
        (None, Some(field)) => Ok(field),
        (None, None) => Err(Denial::BadHost),
    }
}

/// Judges the path of a request and finds the form that it is matched in. Where the app must not get the path as it was
/// sent, the head is changed.
pub(super) fn settle_path(
    head: &mut Parts,
    slashes: impl FnOnce() -> EncodedSlashes,
) -> Result<Normal, Denial> {
    let bad = |rule| Denial::BadPath { rule };
    let normal = path::normal(head.uri.path(), slashes).map_err(bad)?;
    // HTTP/1 was judged as a whole before; HTTP/2 was not.
    if head.version == Version::HTTP_2 {
        // RFC 9113 §8.3.1
        if head.uri.path() == "*" && head.method != Method::OPTIONS {
            return Err(bad("the path `*` goes with OPTIONS alone"));
        }
        path::check_query(head.uri.query().unwrap_or_default().as_bytes()).map_err(bad)?;
    }
    if let Normal::Rewritten(path) = &normal {
        let target = match head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_string(),
        };
        let target = PathAndQuery::try_from(target)
            .map_err(|_| Denial::Internal { what: "a normal path that is no path" })?;
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.path_and_query = Some(target);
        head.uri = Uri::from_parts(parts)
            .map_err(|_| Denial::Internal { what: "a normal path that fits no address" })?;
    }
    Ok(normal)
}

/// Whether any route of the site lets encoded slashes pass: which one a request has is known once its path is settled.
pub(super) fn slashes(site: &Site) -> EncodedSlashes {
    let mut all = std::iter::once(&site.intake).chain(site.routes.iter().map(|r| &r.intake));
    let passes = all.any(|intake| intake.encoded_slashes == EncodedSlashes::Pass);
    if passes { EncodedSlashes::Pass } else { EncodedSlashes::Refuse }
}

/// Refuses encoded slashes where the route, or the site where none matches, does not let them pass; `path` is in normal
/// form.
pub(super) fn keeps_slashes(site: &Site, route: Option<usize>, path: &str) -> Result<(), Denial> {
    let intake = site.intake_of(route.and_then(|at| site.routes.get(at)));
    if intake.encoded_slashes == EncodedSlashes::Refuse && path::has_encoded_slash(path) {
        return Err(Denial::BadPath { rule: path::ENCODED_SLASH });
    }
    Ok(())
}

/// Position of the first route that matches, in the order that the configuration settled; `path` is in normal form.
pub(super) fn route(site: &Site, head: &Parts, path: &str) -> Option<usize> {
    if site.routes.is_empty() {
        return None;
    }
    site.routes.iter().position(|route| mismatch(&route.matcher, head, path).is_none())
}

/// The part of a route that a request does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch<'a> {
    Path,
    Method,
    /// The name of the first field that is missing or has another value.
    Header(&'a str),
}

/// Why a request does not belong to a route; `None` if it does.
pub(super) fn mismatch<'a>(
    matcher: &'a RouteMatch,
    head: &Parts,
    path: &str,
) -> Option<Mismatch<'a>> {
    let method = head.method.as_str();
    if !below(path, &matcher.path_prefix) {
        return Some(Mismatch::Path);
    }
    if !matcher.methods.is_empty() && !matcher.methods.iter().any(|allowed| allowed == method) {
        return Some(Mismatch::Method);
    }
    let lacking = |(name, value): &&(String, String)| {
        !head.headers.get_all(name).iter().any(|found| found.as_bytes() == value.as_bytes())
    };
    matcher.headers.iter().find(lacking).map(|(name, _)| Mismatch::Header(name))
}

/// `/api` covers `/api` and `/api/x`, not `/apix`.
fn below(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, hosts: &[&str]) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn the_one_host_of_a_request_is_found() {
        assert_eq!(authority(&head("/", &["a.example"])), Ok(&b"a.example"[..]));
        assert_eq!(authority(&head("https://a.example/", &[])), Ok(&b"a.example"[..]));
        assert_eq!(authority(&head("http://a.example/", &["A.example"])), Ok(&b"a.example"[..]));
    }

    #[test]
    fn a_request_with_no_host_or_two_is_refused() {
        for bad in [
            head("/", &[]),
            head("/", &["a.example", "a.example"]),
            head("http://a.example/", &["b.example"]),
            head("http://user@a.example/", &[]),
        ] {
            assert_eq!(authority(&bad), Err(Denial::BadHost));
        }
    }

    #[test]
    fn a_path_that_could_be_read_as_another_reaches_the_app_in_its_normal_form() {
        let settled = |uri: &str| {
            let mut head = head(uri, &["a.example"]);
            settle_path(&mut head, Default::default).map(|_| head.uri.to_string())
        };
        assert_eq!(settled("/a/b?c=%2f..").as_deref(), Ok("/a/b?c=%2f.."));
        assert_eq!(settled("/x/../%61dmin?q").as_deref(), Ok("/admin?q"));
        assert_eq!(settled("https://a.example/./a").as_deref(), Ok("https://a.example/a"));
        assert_eq!(settled("//a//b").as_deref(), Ok("//a//b"), "matched as /a/b");
        assert!(matches!(settled("/a/..;/b"), Err(Denial::BadPath { .. })));
        assert_eq!(settled("*").as_deref(), Ok("*"));
        let mut http2 = head("https://a.example/?%00", &[]);
        http2.version = Version::HTTP_2;
        assert!(matches!(settle_path(&mut http2, Default::default), Err(Denial::BadPath { .. })));
        let mut asterisk = head("*", &[]);
        asterisk.version = Version::HTTP_2;
        let settled = settle_path(&mut asterisk, Default::default);
        assert!(matches!(settled, Err(Denial::BadPath { .. })), "GET");
        asterisk.method = Method::OPTIONS;
        assert_eq!(settle_path(&mut asterisk, Default::default), Ok(Normal::AsSent));
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        assert!(below("/api", "/api") && below("/api/x", "/api") && below("/api/", "/api/"));
        assert!(!below("/apix", "/api") && !below("/ap", "/api"));
        assert!(below("/anything", "/"));
    }

    #[test]
    fn every_part_of_a_match_must_hold() {
        let matcher = RouteMatch {
            path_prefix: "/api".into(),
            methods: vec!["POST".into()],
            headers: vec![("x-version".into(), "2".into())],
        };
        let request = |method: &str, version: &str| {
            let request = http::Request::builder().method(method).uri("/api/refund");
            request.header("x-version", version).body(()).expect("a request").into_parts().0
        };
        assert_eq!(mismatch(&matcher, &request("POST", "2"), "/api/refund"), None);
        assert_eq!(mismatch(&matcher, &request("GET", "2"), "/api/refund"), Some(Mismatch::Method));
        let header = Some(Mismatch::Header("x-version"));
        assert_eq!(mismatch(&matcher, &request("POST", "1"), "/api/refund"), header);
        assert_eq!(mismatch(&matcher, &head("/apix", &[]), "/apix"), Some(Mismatch::Path));
    }
}
