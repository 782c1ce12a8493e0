//! Fields behind a body: which may stand there, in either direction (RFC 9110 §6.5.1).
//!
//! Refuses: what decides about framing, routing, authentication, caching or the meaning of the body. It was settled with
//! the head, and whoever merges trailers into the head would change what was judged.

use http::header::{HeaderMap, HeaderName};

use super::forwarded::{is_claim, is_hop_by_hop};

/// In the extensions of a request: its client takes trailers (`TE: trailers`).
#[derive(Debug, Clone, Copy)]
pub struct TakesTrailers;

/// Fields that belong into the head and nowhere else, beside those of one connection.
const OF_HEADS: [&str; 38] = [
    "accept-ranges",
    "age",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "date",
    "expires",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authentication-info",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "warning",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
    "x-powered-by",
    "x-request-id",
];

/// Leaves those that may follow a response to its client.
pub fn of_response(trailers: &mut HeaderMap) {
    keep(trailers, may_follow);
}

/// Leaves those that may follow a request to the app; what no client may say about itself in the head (promises 19 and
/// 20) it may not say here.
pub fn of_request(trailers: &mut HeaderMap) {
    keep(trailers, |name| may_follow(name) && !is_claim(name) && !name.as_str().contains('_'));
}

/// Whether a field may stand behind a body at all.
pub fn may_follow(name: &HeaderName) -> bool {
    !is_hop_by_hop(name) && OF_HEADS.binary_search(&name.as_str()).is_err()
}

fn keep(trailers: &mut HeaderMap, may: impl Fn(&HeaderName) -> bool) {
    let doomed: Vec<HeaderName> = trailers.keys().filter(|name| !may(name)).cloned().collect();
    for name in doomed {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn left(filter: fn(&mut HeaderMap), names: &[&'static str]) -> Vec<String> {
        let mut trailers = HeaderMap::new();
        for name in names {
            trailers.append(*name, HeaderValue::from_static("x"));
        }
        filter(&mut trailers);
        let mut left: Vec<String> = trailers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn the_list_is_in_order_so_that_it_can_be_searched() {
        assert!(OF_HEADS.is_sorted());
    }

    #[test]
    fn what_belongs_into_the_head_does_not_follow_a_body() {
        const NAMES: [&str; 10] = [
            "content-length",
            "transfer-encoding",
            "host",
            "authorization",
            "set-cookie",
            "cache-control",
            "content-type",
            "connection",
            "grpc-status",
            "server-timing",
        ];
        assert_eq!(left(of_response, &NAMES), ["grpc-status", "server-timing"]);
        assert_eq!(left(of_request, &NAMES), ["grpc-status", "server-timing"]);
    }

    #[test]
    fn a_client_says_nothing_about_itself_behind_its_body() {
        let names = ["x-forwarded-for", "forwarded", "x_checksum", "x-checksum"];
        assert_eq!(left(of_request, &names), ["x-checksum"]);
    }
}
