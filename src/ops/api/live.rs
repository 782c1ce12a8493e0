//! What moves: the event stream and the history that screens draw.
//!
//! Times are Unix milliseconds or seconds, as the names say; durations are microseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/events` answers these, one JSON object per line, until the client goes away.
///
/// Query: `kinds` (comma-separated: `request`, `log`, `state`; default all), and filters on requests: `site`, `route`,
/// `ip`, `status` (`404`, `4xx`), `path` (prefix), `denied`, `slower_us`. Filters never apply to other kinds.
/// The stream ends when the daemon stops, after its last request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First line.
    Hello {
        version: String,
        now_ms: i64,
    },
    Request(Box<RequestSeen>),
    Log(LogLine),
    State(StateChange),
    /// This subscriber was too slow: so many events were left out before the next one.
    Dropped {
        count: u64,
    },
    /// From now on one of `one_in` requests is shown; 1 is all of them. Errors and refusals are all shown while they
    /// are few.
    Sampling {
        one_in: u32,
    },
    /// Nothing happened for a while; tells a quiet daemon from a stalled one.
    Alive {
        now_ms: i64,
    },
}

/// What to ask `GET /v1/events` for; empty and absent parts let everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsQuery {
    /// Some of `request`, `log`, `state`.
    pub kinds: Vec<String>,
    pub site: Option<String>,
    pub route: Option<String>,
    pub ip: Option<String>,
    /// `404` or `4xx`
    pub status: Option<String>,
    /// Prefix.
    pub path: Option<String>,
    /// Label of a refusal, as in the metrics.
    pub denied: Option<String>,
    pub slower_us: Option<u64>,
}

/// One request, when it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestSeen {
    pub id: String,
    /// When it arrived.
    pub at_ms: i64,
    pub site: Option<String>,
    pub route: Option<String>,
    pub method: String,
    /// Without the query.
    pub path: String,
    /// `http/1.1` or `h2`
    pub protocol: String,
    /// 499: the client left first.
    pub status: u16,
    pub duration_us: u64,
    pub response_bytes: u64,
    pub client_ip: String,
    pub upstream: Option<String>,
    /// To the head of the app's answer.
    pub upstream_us: Option<u64>,
    pub denied: Option<String>,
    pub why: Option<String>,
    pub aborted: Option<String>,
    /// What the request met, in order (the list of `edge/request.rs`).
    pub steps: Vec<Step>,
}

/// One step of a request's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// `client`, `site`, `challenge` (only where a CA asks), `redirect`, `route`, `admit`, `websocket`, `upstream`, `headers`
    pub name: String,
    /// `passed`, `refused`, `answered` or `skipped`
    pub outcome: String,
    /// What it found, for people.
    pub note: String,
}

/// A line of the log that is no request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    pub at_ms: i64,
    /// `info`, `warn` or `error`
    pub level: String,
    pub event: String,
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// Something about the daemon changed; screens that show it ask again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateChange {
    pub at_ms: i64,
    /// `reloaded`, `reload_refused`, `certificate`, `capability`, `token`, `totp`, `draining`
    pub what: String,
    /// Which one, where there are several.
    pub subject: Option<String>,
    pub text: String,
}

/// `GET /v1/explain?url=…&method=…&ip=…&header=name:value`: what such a request would meet by the configuration in
/// force, without sending it. `url` must be there; the method is GET and the address 127.0.0.1 unless they are named;
/// `header` may come several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    pub method: String,
    pub url: String,
    /// The client that it would come from, by the word of trusted proxies where they count.
    pub client_ip: String,
    /// In order, up to the one that decides; then the headers of the answer.
    pub steps: Vec<Step>,
    /// Name of the step that decides.
    pub decided_by: String,
    /// What palisade answers by itself; absent where the app answers, or nobody does.
    pub status: Option<u16>,
    pub site: Option<String>,
    pub route: Option<String>,
    /// Every route that is looked at, the one that matches last.
    pub routes: Vec<RouteTried>,
    /// Where it would go.
    pub upstreams: Vec<String>,
    /// The same upstreams with what would become of each at this moment.
    #[serde(default)]
    pub candidates: Vec<UpstreamTried>,
    /// Fields of the request that palisade sets, or takes away.
    pub request_headers: Vec<HeaderChange>,
    /// Fields that palisade adds to an answer that has none of them.
    pub response_headers: Vec<HeaderChange>,
}

/// A route that a request was held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteTried {
    pub name: String,
    pub matches: bool,
    /// Why not.
    pub why: Option<String>,
}

/// An upstream that a request might be sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpstreamTried {
    pub upstream: String,
    /// `asked` (one of several in their turns), `probed` (asked first, to find out whether it is back), `awaited` (it has
    /// no place now) or `skipped`
    pub outcome: String,
    /// For people.
    pub why: String,
}

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderChange {
    pub name: String,
    /// Absent: taken away.
    pub value: Option<String>,
}

/// What to ask `GET /v1/explain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainQuery {
    pub url: String,
    pub method: Option<String>,
    pub ip: Option<String>,
    /// `name:value`
    pub headers: Vec<String>,
}

/// `GET /v1/history?resolution=1s|10s|1m`: 10 minutes, 2 hours or 24 hours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    pub resolution_s: u32,
    /// Oldest first, without gaps; the last one ended at `end_s`.
    pub points: Vec<Point>,
    pub end_s: i64,
}

/// What happened in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    pub requests: u64,
    pub responses_4xx: u64,
    pub responses_5xx: u64,
    pub denied: u64,
    /// Estimated from a histogram; 0 without requests.
    pub p50_us: u64,
    pub p95_us: u64,
    pub p99_us: u64,
    /// At its end.
    pub connections: u64,
    /// At its end.
    pub rss_bytes: u64,
    /// Of the whole process, 1000 is one core.
    pub cpu_permille: u32,
}
