//! The head of a request on its way to the app: nothing of one connection, nothing that a client claims about itself,
//! one `Host`, palisade's own words once each, and every other field as it came (promises 11, 19, 20).
//!
//! The first byte says how the request came, then come the target and one field a line.

use std::net::IpAddr;

use http::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Version};
use palisade::base::TrustedProxies;
use palisade::edge::probe::{Came, client, to_app};

/// RFC 9110 §7.6.1, and what else belongs to one connection; written down once more, not taken from the code under test.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];
const OWN: [&str; 5] =
    ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-request-id"];
/// What no `Connection` field may take away.
const KEPT: [&str; 4] = ["host", "cookie", "authorization", "content-length"];

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

/// Names that the `Connection` fields list.
fn named(headers: &HeaderMap) -> Vec<String> {
    let fields = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let names =
        fields.flat_map(|list| list.split(',')).map(|name| name.trim().to_ascii_lowercase());
    names.filter(|name| !KEPT.contains(&name.as_str())).collect()
}

fn claims(name: &str) -> bool {
    name == "x-real-ip" || name == "forwarded" || name.starts_with("x-forwarded")
}

pub fn run(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let Ok(mut request) = Request::get(lines.next().unwrap_or_default()).body(()) else { return };
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    let (tls, http2, trusted) = (how & 1 != 0, how & 2 != 0, how & 4 != 0);
    if http2 {
        *request.version_mut() = Version::HTTP_2;
    }
    let network = "10.0.0.0/25".parse().expect("a network");
    let proxies = TrustedProxies::new(vec![network]);
    let peer = IpAddr::from([if trusted { 10 } else { 192 }, 0, 0, 2]);
    let came = Came { peer, trusted: &proxies, tls, http2 };
    let (mut head, ()) = request.into_parts();
    let before = head.clone();
    let id = HeaderValue::from_static("the-id");
    let known = client(&came, &head.headers);
    assert!(trusted || known == peer, "an untrusted peer speaks for itself");
    if to_app(&came, &mut head, &id).is_err() {
        return;
    }
    assert_eq!((head.uri.scheme(), head.uri.authority()), (None, None), "a path, no address");
    assert_eq!(head.version, Version::HTTP_11);
    let proto: &[u8] = if tls { b"https" } else { b"http" };
    own_words(&head.headers, known, proto);
    the_rest(&before.headers, &head.headers, http2);
}

fn own_words(after: &HeaderMap, known: IpAddr, proto: &[u8]) {
    let hosts = values(after, HOST.as_str());
    assert_eq!(hosts.len(), 1, "one Host: {after:?}");
    assert!(values(after, "x-forwarded-host")[0].eq_ignore_ascii_case(hosts[0]), "{after:?}");
    for name in OWN {
        assert_eq!(values(after, name).len(), 1, "{name} once: {after:?}");
    }
    assert_eq!(values(after, "x-forwarded-for"), [known.to_string().as_bytes()]);
    assert_eq!(values(after, "x-forwarded-proto"), [proto]);
    assert_eq!(values(after, "x-request-id"), [b"the-id"]);
}

fn the_rest(before: &HeaderMap, after: &HeaderMap, http2: bool) {
    let named = named(before);
    for name in after.keys().map(HeaderName::as_str) {
        assert!(!HOP_BY_HOP.contains(&name), "{name} is of one connection: {after:?}");
        assert!(!name.contains('_'), "{name}: {after:?}");
        assert!(OWN.contains(&name) || !claims(name), "{name} is a claim: {after:?}");
        let own = OWN.contains(&name) || KEPT.contains(&name);
        assert!(own || !named.iter().any(|named| named == name), "{name} was named: {after:?}");
        assert!(own || before.contains_key(name), "{name} from nowhere");
    }
    for name in before.keys().map(HeaderName::as_str) {
        let gone = HOP_BY_HOP.contains(&name)
            || claims(name)
            || OWN.contains(&name)
            || name.contains('_')
            || named.iter().any(|named| named == name);
        let (came, left) = (values(before, name), values(after, name));
        if name == "cookie" && http2 {
            assert_eq!(left, [came.join(&b"; "[..])], "the cookies in one field");
        } else if !gone {
            assert_eq!(left, came, "{name} as it came");
        }
    }
}
