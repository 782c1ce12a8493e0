//! Every way in which palisade refuses a request. `edge::deny` alone turns one into an answer.

use super::Host;

/// A refusal, with what the log needs and the client need not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// No site has this host.
    UnknownHost,
    /// The `Host` field is missing, doubled or unreadable.
    BadHost,
    /// The host belongs to another site than the one the TLS handshake named (RFC 9110 §15.5.20).
    Misdirected { sni: Option<Host>, host: Host },
    /// Longer than `http.uri_max`.
    UriTooLong { uri_bytes: usize },
    /// `CONNECT`, or an upgrade to something else than a WebSocket.
    MethodNotSupported,
    /// A WebSocket from a page of another site (promise 22).
    ForeignOrigin { origin: String },
    /// The site or the route takes other methods only; `allow` is the field that says which.
    MethodNotAllowed { allow: String },
    /// The request body is longer than `body_max`: as `said` by Content-Length, or as it came.
    BodyTooLarge { said: Option<u64>, max: u64 },
    /// The site or the route takes bodies of other types only.
    UnsupportedType { found: Option<String> },
    /// The request body stopped coming, or came slower than the minimum rate.
    BodyTooSlow,
    /// The client's body broke off or could not be read.
    BodyBroken,
    /// No connection to the app.
    UpstreamUnreachable { upstream: String, why: String },
    /// The app took the request and closed or broke the connection before answering.
    UpstreamBroke { upstream: String, why: String },
    /// No connection, or no response head, within the deadline.
    UpstreamTimeout { upstream: String, waited_s: u64 },
    /// A defect in palisade: a step ended in a state that it must not reach.
    Internal { what: &'static str },
}
