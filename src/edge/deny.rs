//! The one translator of refusals: status, words for the client, words for the log, metric label.
//!
//! Two messages per refusal: what the client may know, and what the operator needs. Nothing of the app or of
//! palisade's inside reaches the first.

use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use http::{Method, Response, StatusCode};

use super::body::Body;
use super::originals;
use super::pages::{self, Page};
use super::trip::Trip;
use crate::base::units::{Bytes, HumanDuration};
use crate::base::{Broke, Denial, Host, Queue};

/// Everything that has to be decided for a refusal.
struct Answer {
    status: StatusCode,
    label: &'static str,
    title: &'static str,
    message: &'static str,
    hint: Option<&'static str>,
    why: String,
    /// Seconds after which another try is worth it (RFC 9110 §10.2.3).
    retry_after_s: Option<u32>,
    /// What the field `Allow` says (RFC 9110 §15.5.6), where it is not [`METHODS`].
    allow: Option<String>,
    /// The connection cannot be trusted to be in step any more, or should not be kept.
    close: bool,
}

/// Status, label and reason of a refusal, without answering anybody.
pub(super) fn told(denial: &Denial) -> (StatusCode, &'static str, String) {
    let answer = decide(denial);
    (answer.status, answer.label, answer.why)
}

/// Writes a refusal down in the record of a request that has been answered already.
pub(super) fn note(trip: &mut Trip, denial: &Denial) {
    let answer = decide(denial);
    trip.denied = Some(answer.label);
    trip.why = Some(answer.why);
    trip.conn.worker.shard.denial(answer.label);
}

/// The response to a refusal. Also notes the refusal in the record of the request.
pub(super) fn answer(trip: &mut Trip, denial: &Denial) -> Response<Body> {
    let answer = decide(denial);
    trip.denied = Some(answer.label);
    trip.why = Some(answer.why);
    trip.conn.worker.shard.denial(answer.label);
    let (status, words) = (answer.status, (answer.title, answer.message, answer.hint));
    let mut response = page(trip, status, words);
    let headers = response.headers_mut();
    if answer.status == StatusCode::METHOD_NOT_ALLOWED {
        let allow = answer.allow.and_then(|allow| HeaderValue::try_from(allow).ok());
        headers.insert(ALLOW, allow.unwrap_or(HeaderValue::from_static(METHODS)));
    }
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if answer.close && !trip.conn.http2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What stands in for an answer: title, message, and what may help.
type Words = (&'static str, &'static str, Option<&'static str>);

/// A page, or problem details for whoever prefers JSON; nothing of it is kept by anybody.
fn page(trip: &Trip, status: StatusCode, (title, message, hint): Words) -> Response<Body> {
    let site = trip.site().map(|site| site.name.to_string()).unwrap_or_default();
    let request_id = trip.id_text();
    let page = Page { status: status.as_u16(), title, message, request_id, site: &site, hint };
    let accept = trip.accept.as_ref().and_then(|accept| accept.to_str().ok());
    let (kind, text) = if pages::wants_json(accept) {
        ("application/problem+json", pages::problem_json(&page))
    } else {
        ("text/html; charset=utf-8", trip.conn.worker.pages.html(&page))
    };
    // HTTP/2 would send it to a HEAD, too, which ends the stream with an error (RFC 9110 §9.3.2).
    let bytes = text.len();
    let bodiless = trip.method == Method::HEAD;
    let mut response = Response::new(if bodiless { Body::empty() } else { Body::full(text) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if bodiless {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The app's answer, its body replaced where it is a 5xx and the route hides what the app says about its errors. Status
/// and fields stay, except for those that describe the old body. What the app said is kept for operators.
pub(super) fn hidden(trip: &Trip, response: Response<Body>) -> Response<Body> {
    let hides = || trip.intake().is_some_and(|intake| intake.hide_errors);
    if !response.status().is_server_error() || !hides() {
        return response;
    }
    let words = ("Something went wrong", "The app could not answer this request.", TRY_AGAIN);
    let (mut head, body) = response.into_parts();
    originals::keep(trip, &head, body);
    let (replacing, body) = page(trip, head.status, words).into_parts();
    for name in OF_THE_BODY {
        head.headers.remove(name);
    }
    head.headers.extend(replacing.headers);
    Response::from_parts(head, body)
}

/// Fields about a body (RFC 9110 §8 and §14, RFC 9530) or its keeping (RFC 9111).
const OF_THE_BODY: [&str; 18] = [
    "content-type",
    "content-length",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "content-disposition",
    "content-md5",
    "content-digest",
    "repr-digest",
    "digest",
    "accept-ranges",
    "etag",
    "last-modified",
    "trailer",
    "age",
    "expires",
    "sourcemap",
];

/// Those that are passed on where nobody says which are taken.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// For what a disk or a queue has to recover from.
const RETRY_AFTER_S: u32 = 5;
const TRY_AGAIN: Option<&str> = Some("Wait a moment and load the page again.");

fn client(
    status: StatusCode,
    label: &'static str,
    title: &'static str,
    message: &'static str,
) -> Answer {
    Answer {
        status,
        label,
        title,
        message,
        hint: None,
        why: String::new(),
        retry_after_s: None,
        allow: None,
        close: false,
    }
}

/// As `client`, with a reason, and nothing more is read from the connection.
fn closing(
    status: StatusCode,
    label: &'static str,
    title: &'static str,
    message: &'static str,
    why: String,
) -> Answer {
    Answer { why, close: true, ..client(status, label, title, message) }
}

/// A request that two parsers could read differently.
fn malformed(label: &'static str, rule: &str) -> Answer {
    let message = "The request is not written as HTTP wants it.";
    closing(StatusCode::BAD_REQUEST, label, "Bad request", message, rule.to_owned())
}

/// The address itself: a visitor may have it from a link, and HTTP means nothing to them.
fn bad_path(rule: &str) -> Answer {
    let message = "The address holds something that this site does not accept.";
    Answer { close: false, message, ..malformed("bad_path", rule) }
}

fn not_now(label: &'static str, title: &'static str, message: &'static str, why: String) -> Answer {
    Answer {
        hint: TRY_AGAIN,
        why,
        retry_after_s: Some(RETRY_AFTER_S),
        ..client(StatusCode::SERVICE_UNAVAILABLE, label, title, message)
    }
}

fn not_recordable(why: &str) -> Answer {
    let message = "This action cannot be recorded right now, and was therefore not carried out.";
    let why = format!("it has `audit`, and could not be recorded: {why}; the app was not asked");
    not_now("not_recordable", "Not now", message, why)
}

fn too_many_actions() -> Answer {
    let message = "Too many actions are under way from this address. This one was not carried out.";
    let why = "it has `audit`, and its client has as many actions under way as one may have; the app was not asked; \
               a proxy in front belongs into trusted_proxies";
    let answer = not_now("too_many_actions", "Not now", message, why.into());
    Answer { status: StatusCode::TOO_MANY_REQUESTS, ..answer }
}

fn upstream(
    status: StatusCode,
    label: &'static str,
    title: &'static str,
    message: &'static str,
    why: String,
) -> Answer {
    Answer {
        status,
        label,
        title,
        message,
        hint: TRY_AGAIN,
        why,
        retry_after_s: None,
        allow: None,
        close: false,
    }
}

fn method_not_allowed(allow: &str) -> Answer {
    let message = "This page does not accept this kind of request.";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    Answer {
        allow: Some(allow.to_owned()),
        why: format!("methods allows {allow} here"),
        ..client(status, "method_not_allowed", "Method not allowed", message)
    }
}

fn body_too_large(said: Option<u64>, max: Bytes) -> Answer {
    let found = match said {
        Some(said) => format!("of {said} bytes, as its Content-Length says"),
        None => "of unknown length, cut off at the limit".to_owned(),
    };
    let message = "What was sent is larger than this page accepts.";
    let why = format!("a body {found}; raise body_max ({max}) of the route if the app needs it");
    closing(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Too large", message, why)
}

fn unsupported_type(found: Option<&str>) -> Answer {
    let why = match found {
        Some(found) => {
            format!("a body of the type {found}; add it to content_types if it should be taken")
        }
        None => "a body without Content-Type, where content_types allows some only".to_owned(),
    };
    let message = "This page does not accept data of this type.";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Answer { why, ..client(status, "content_type", "Unsupported type", message) }
}

fn unreachable_upstream(at: &str, why: &str) -> Answer {
    let message = "The app behind this address cannot be reached right now.";
    let why = format!("{at}: {why}");
    upstream(StatusCode::BAD_GATEWAY, "upstream_unreachable", NO_ANSWER, message, why)
}

fn no_websocket(at: &str) -> Answer {
    let why = format!(
        "{at}: WebSockets are passed on in HTTP/1.1 only; give their path a route with an upstream without h2:// or h2c://"
    );
    let message = "This address takes no WebSockets.";
    upstream(StatusCode::NOT_IMPLEMENTED, "no_websocket", "Not available here", message, why)
}

fn upstream_tls(at: &str, why: &str) -> Answer {
    let message = "The app behind this address cannot be reached right now.";
    upstream(StatusCode::BAD_GATEWAY, "upstream_tls", NO_ANSWER, message, format!("{at}: {why}"))
}

fn upstream_broke(at: &str, why: &str, how: Broke) -> Answer {
    let message = match how {
        Broke::Silent => "The app behind this address ended the connection without an answer.",
        Broke::Midway => "The app behind this address broke off in the middle of its answer.",
        Broke::Nonsense => "The app behind this address gave an answer that cannot be understood.",
    };
    let why = format!("{at}: {why}");
    upstream(StatusCode::BAD_GATEWAY, "upstream_broke", NO_ANSWER, message, why)
}

fn upstream_late(at: &str, waited: Duration, connected: bool) -> Answer {
    let message = "The app behind this address did not answer in time.";
    let waited = HumanDuration(waited);
    let why = if connected {
        format!(
            "{at}: nothing came within {waited}; raise first_byte_timeout of a route that needs longer"
        )
    } else {
        format!(
            "{at}: no connection within {waited} (timeout.connect); is the machine up, and does a firewall let it through?"
        )
    };
    let status = StatusCode::GATEWAY_TIMEOUT;
    upstream(status, "upstream_timeout", "The site takes too long", message, why)
}

fn upstream_busy(at: &str, requests_max: usize, queue: Queue) -> Answer {
    let waited = match queue {
        Queue::TooLong { requests_max: 0 } => "wait_queue is off; switch it on".to_owned(),
        Queue::TooLong { requests_max } => {
            format!("{requests_max} more wait already; raise `requests` of wait_queue")
        }
        Queue::TooSlow { wait_max } => {
            let wait_s = wait_max.as_secs_f64();
            format!("no place became free within {wait_s} s; raise `wait` of wait_queue")
        }
    };
    let why = format!(
        "{at} has as many requests as its requests_max allows ({requests_max}), and {waited} if visitors should wait, \
         or raise requests_max if the app can take more"
    );
    not_now("upstream_busy", "Too busy", "This site has too many visitors right now.", why)
}

fn upstream_down(at: &str, why: &str, retry_s: u32) -> Answer {
    let message = "The app behind this address does not answer in time.";
    let why = format!(
        "{at} was not asked, since requests in a row were not answered in time ({why}); it is tried again in \
         {retry_s} s: look into the app's own log"
    );
    let answer = not_now("upstream_down", NO_ANSWER, message, why);
    Answer { retry_after_s: Some(retry_s), ..answer }
}

const NO_ANSWER: &str = "The site is not answering";

fn decide(denial: &Denial) -> Answer {
    match denial {
        Denial::UnknownHost => Answer {
            why: "no site has this host; add it to `also` of a site if it should".into(),
            ..client(StatusCode::NOT_FOUND, "unknown_host", "No site here", "There is no site with this name at this address.")
        },
        Denial::BadHost => closing(StatusCode::BAD_REQUEST, "bad_host", "Bad request",
            "The request does not say clearly which site it is for.",
            "Host is missing, doubled, unreadable or contradicts the request target".into()),
        Denial::Misdirected { sni, host } => Answer {
            why: format!("TLS asked for {}, the request for {host}", sni.as_ref().map_or("no name", Host::as_str)),
            ..client(StatusCode::MISDIRECTED_REQUEST, "misdirected", "Wrong connection", "This connection was opened for another site.")
        },
        Denial::UriTooLong { uri_bytes } => Answer {
            why: format!("{uri_bytes} bytes; raise http.uri_max if the app needs them"),
            ..client(StatusCode::URI_TOO_LONG, "uri_too_long", "Address too long", "The address of this page is longer than this site accepts.")
        },
        Denial::Overloaded => not_now("overloaded", "Too busy", "This site has too many visitors right now.",
            "every place of connections.total is taken, and this connection has its share of requests in flight".into()),
        Denial::BadRequestLine { rule } => malformed("bad_request_line", rule),
        Denial::BadPath { rule } => bad_path(rule),
        Denial::BadField { rule } => malformed("bad_field", rule),
        Denial::BadFraming { rule } => malformed("bad_framing", rule),
        Denial::BadChunk { rule } => malformed("bad_chunk", rule),
        Denial::UnknownCoding => closing(StatusCode::NOT_IMPLEMENTED, "unknown_coding", "Not implemented",
            "The request is encoded in a way that this site does not know.", "Transfer-Encoding names another coding than chunked".into()),
        Denial::UnknownVersion => closing(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "unknown_version", "Version not supported",
            "The request is in a version of HTTP that is not spoken here.", "the request line says neither HTTP/1.0 nor HTTP/1.1".into()),
        Denial::UnknownMethod => closing(StatusCode::NOT_IMPLEMENTED, "unknown_method", "Not implemented",
            "This site does not know this kind of request.", "the method is longer than 32 bytes".into()),
        Denial::UnknownExpectation => closing(StatusCode::EXPECTATION_FAILED, "unknown_expectation", "Expectation failed",
            "The request expects something that this site does not know.", "Expect asks for something else than 100-continue".into()),
        Denial::HeadTooLarge { head_max } => closing(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "Request too large",
            "The head of the request is larger than this site accepts. Removing the cookies of this site may help.",
            format!("more than {head_max} bytes; raise http.head_max if the app needs them")),
        Denial::TooManyFields { fields_max } => closing(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_fields", "Request too large",
            "The request has more header fields than this site accepts.",
            format!("more than {fields_max} header fields; raise http.fields_max if the app needs them")),
        Denial::MethodNotSupported => closing(StatusCode::METHOD_NOT_ALLOWED, "method", "Method not allowed",
            "This site does not accept this kind of request.", "CONNECT, or an upgrade to something else than a WebSocket".into()),
        Denial::ForeignOrigin { origin } => Answer {
            why: format!("a WebSocket from {origin}; add it to websocket_origins if it should be allowed"),
            ..client(StatusCode::FORBIDDEN, "foreign_origin", "Forbidden", "This site does not accept connections from pages of other sites.")
        },
        Denial::MethodNotAllowed { allow } => method_not_allowed(allow),
        Denial::BodyTooLarge { said, max } => body_too_large(*said, Bytes(*max)),
        Denial::UnsupportedType { found } => unsupported_type(found.as_deref()),
        Denial::BodyTooSlow => closing(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "Request timed out",
            "The request was not received completely in time.",
            "the request body paused for longer than timeout.body_idle, or came slower than http.rate_min".into()),
        Denial::BodyBroken => closing(StatusCode::BAD_REQUEST, "body_broken", "Bad request",
            "The request was not received completely.", "the request body broke off".into()),
        Denial::NotRecordable { why } => not_recordable(why),
        Denial::TooManyActions => too_many_actions(),
        Denial::NoWebSocket { upstream } => no_websocket(upstream),
        Denial::UpstreamUnreachable { upstream, why } => unreachable_upstream(upstream, why),
        Denial::UpstreamTls { upstream, why } => upstream_tls(upstream, why),
        Denial::UpstreamBroke { upstream, why, how } => upstream_broke(upstream, why, *how),
        Denial::UpstreamTimeout { upstream, waited, connected } => upstream_late(upstream, *waited, *connected),
        Denial::UpstreamBusy { upstream, requests_max, queue } => upstream_busy(upstream, *requests_max, *queue),
        Denial::UpstreamDown { upstream, why, retry_s } => upstream_down(upstream, why, *retry_s),
        Denial::Internal { what } => Answer {
            hint: TRY_AGAIN,
            ..closing(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong",
                "The request could not be handled. The fault is on this side.",
                format!("a defect in palisade, please report it: {what}"))
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::DENIALS;

    /// One of each; a new variant belongs here too.
    fn denials() -> Vec<Denial> {
        let at = || "127.0.0.1:3000".to_owned();
        let host = || "a.example".parse().expect("a host");
        vec![
            Denial::UnknownHost,
            Denial::BadHost,
            Denial::Misdirected { sni: None, host: host() },
            Denial::UriTooLong { uri_bytes: 9000 },
            Denial::Overloaded,
            Denial::BadRequestLine { rule: "a rule" },
            Denial::BadPath { rule: "a rule" },
            Denial::BadField { rule: "a rule" },
            Denial::BadFraming { rule: "a rule" },
            Denial::BadChunk { rule: "a rule" },
            Denial::UnknownCoding,
            Denial::UnknownVersion,
            Denial::UnknownMethod,
            Denial::UnknownExpectation,
            Denial::HeadTooLarge { head_max: 65_536 },
            Denial::TooManyFields { fields_max: 100 },
            Denial::MethodNotSupported,
            Denial::ForeignOrigin { origin: "https://evil.example".into() },
            Denial::MethodNotAllowed { allow: "GET".into() },
            Denial::BodyTooLarge { said: None, max: 10 },
            Denial::UnsupportedType { found: Some("text/evil".into()) },
            Denial::BodyTooSlow,
            Denial::BodyBroken,
            Denial::NotRecordable { why: "a test" },
            Denial::TooManyActions,
            Denial::NoWebSocket { upstream: at() },
            Denial::UpstreamUnreachable { upstream: at(), why: "refused".into() },
            Denial::UpstreamTls { upstream: at(), why: "expired".into() },
            Denial::UpstreamBroke { upstream: at(), why: "closed".into(), how: Broke::Silent },
            Denial::UpstreamTimeout {
                upstream: at(),
                waited: Duration::from_secs(60),
                connected: true,
            },
            Denial::UpstreamBusy {
                upstream: at(),
                requests_max: 10,
                queue: Queue::TooLong { requests_max: 100 },
            },
            Denial::UpstreamDown { upstream: at(), why: "no answer".into(), retry_s: 1 },
            Denial::Internal { what: "a test" },
        ]
    }

    #[test]
    fn every_refusal_is_counted_under_a_label_of_its_own() {
        let labels: Vec<&str> = denials().iter().map(|denial| decide(denial).label).collect();
        assert_eq!(labels, DENIALS);
    }

    #[test]
    fn no_word_for_the_client_names_the_app_or_the_reason() {
        for denial in denials() {
            let answer = decide(&denial);
            let told = format!("{} {} {:?}", answer.title, answer.message, answer.hint);
            assert!(!told.contains("127.0.0.1") && !told.contains("evil"), "{told}");
            assert!(!answer.why.is_empty(), "the log needs a reason: {told}");
        }
    }
}
