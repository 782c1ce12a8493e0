//! Every way in which palisade refuses a request. `edge::deny` alone turns one into an answer.

use std::time::Duration;

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
    /// Every place for a connection is taken, and this HTTP/2 client already has its share of requests in flight.
    Overloaded,
    /// The request line breaks a rule of RFC 9112 §3.
    BadRequestLine { rule: &'static str },
    /// The target cannot be matched without guessing what the app makes of it.
    BadPath { rule: &'static str },
    /// A header field breaks a rule of RFC 9112 §5.
    BadField { rule: &'static str },
    /// Where the body ends is not said clearly (RFC 9112 §6).
    BadFraming { rule: &'static str },
    /// The chunks of a body break a rule of RFC 9112 §7.1, after their head has gone on.
    BadChunk { rule: &'static str },
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    UnknownCoding,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    UnknownVersion,
    /// A method that is longer than any there is.
    UnknownMethod,
    /// An `Expect` other than `100-continue` (RFC 9110 §10.1.1).
    UnknownExpectation,
    /// Longer than `http.head_max`.
    HeadTooLarge { head_max: usize },
    /// More than `http.fields_max`.
    TooManyFields { fields_max: usize },
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
    /// The request is an action that is always recorded, and it could not be recorded now.
    NotRecordable { why: &'static str },
    /// The request is an action, and its client has as many under way as one may have.
    TooManyActions,
    /// No connection to the app.
    UpstreamUnreachable { upstream: String, why: String },
    /// A WebSocket to an app that is spoken to in HTTP/2.
    NoWebSocket { upstream: String },
    /// The app was reached, and could not prove who it is or does not speak what it should; `why` has the next step.
    UpstreamTls { upstream: String, why: String },
    /// The app took the request and closed or broke the connection before answering.
    UpstreamBroke { upstream: String, why: String, how: Broke },
    /// No connection, or no response head, within the deadline.
    UpstreamTimeout { upstream: String, waited: Duration, connected: bool },
    /// Every upstream that could be asked has as many requests as it may, `requests_max`, and so has the queue.
    UpstreamBusy { upstream: String, requests_max: usize, queue: Queue },
    /// Every upstream lets deadlines pass, and is left alone until the next probe.
    UpstreamDown { upstream: String, why: String, retry_s: u32 },
    /// A defect in palisade: a step ended in a state that it must not reach.
    Internal { what: &'static str },
}

/// How an app broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broke {
    /// Before the first byte of an answer.
    Silent,
    /// In the middle.
    Midway,
    /// What it said is no answer.
    Nonsense,
}

/// Why a request does not wait for a place at an upstream, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    TooLong { requests_max: usize },
    TooSlow { wait_max: Duration },
}
