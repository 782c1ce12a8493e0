//! Refusals as clients of gRPC read them: a response of trailers alone (gRPC over HTTP/2, "Responses").
//!
//! Promises: a client of the gRPC library gets a code and a sentence in the place of a page that it cannot read. Only over
//! HTTP/2, and not for gRPC-Web, whose clients read the status of HTTP.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::body::Body;

const GRPC: &[u8] = b"application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether the request is one of gRPC: `application/grpc`, with `+` and a coding behind it or not.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) else { return false };
    let Some((front, rest)) = kind.split_at_checked(GRPC.len()) else { return false };
    front.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The whole answer, which ends with its head.
pub(super) fn refusal(status: StatusCode, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(code(status)));
    if let Ok(message) = HeaderValue::try_from(encoded(message)) {
        headers.insert(GRPC_MESSAGE, message);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The code of gRPC for a status of HTTP ("HTTP to gRPC Status Code Mapping"); what that has no code for is UNKNOWN, except where
/// a refusal of palisade says more.
fn code(status: StatusCode) -> u16 {
    match status {
        // INTERNAL, as a library makes of it: the request is not what gRPC sends.
        StatusCode::BAD_REQUEST => INTERNAL,
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND => 12,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => 14,
        // RESOURCE_EXHAUSTED: what is too large is so each time.
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 8,
        StatusCode::INTERNAL_SERVER_ERROR => INTERNAL,
        _ => 2,
    }
}

const INTERNAL: u16 = 13;

/// `Percent-Encoded` of gRPC over HTTP/2: space to `~` without `%` as they are.
fn encoded(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_type_and_grpc_web_is_something_else() {
        let asked = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            is_asked_for(&headers)
        };
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC;x=y"] {
            assert!(asked(kind), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpc-web+proto", "application/json", ""] {
            assert!(!asked(kind), "{kind}");
        }
        assert!(!is_asked_for(&HeaderMap::new()));
    }

    #[test]
    fn every_status_has_the_code_that_a_library_makes_of_it() {
        let cases = [(400, 13), (401, 16), (403, 7), (404, 12), (405, 2), (413, 8)];
        let unavailable = [(429, 14), (502, 14), (503, 14), (504, 14)];
        for (status, wanted) in cases.into_iter().chain(unavailable) {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(code(status), wanted, "{status}");
        }
    }

    #[test]
    fn a_message_is_encoded_as_grpc_wants_it() {
        assert_eq!(encoded("100 % of it: \u{e4}"), "100 %25 of it: %C3%A4");
    }
}
