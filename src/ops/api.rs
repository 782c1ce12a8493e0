//! The words of the control socket: one type per request and response, shared by server, client and tests.
//!
//! Promises: fields are added, never renamed or removed, within one `API_VERSION`.

pub mod access;
pub mod activity;
pub mod audit;
pub mod body;
pub mod errors;
pub mod live;
pub mod page;
pub mod switches;
pub mod upstreams;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Capability, Mode};

/// Largest body of a call: a certificate chain and its key are a few KiB.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Names the version of the API on every answer.
pub const API_HEADER: &str = "palisade-api";
/// The version; the client compares it.
pub const API_VERSION: &str = "1";
/// Names the version of palisade on every answer.
pub const VERSION_HEADER: &str = "palisade-version";
/// Most sites in a [`Status`].
pub const STATUS_SITES_MAX: usize = 100;

/// `GET /v1/status`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// Whole seconds since start.
    pub uptime_s: u64,
    /// Absent without a file.
    pub config: Option<String>,
    pub state_dir: String,
    pub workers: usize,
    /// `ready`, `draining`
    pub state: State,
    pub listeners: Vec<Listener>,
    /// At most 100: those that need attention first, each part by name. `GET /v1/sites` has all of them.
    pub sites: Vec<SiteStatus>,
    /// How many sites there are.
    #[serde(default)]
    pub sites_total: usize,
    pub capabilities: Vec<CapabilityStatus>,
    pub connections: Connections,
    pub traffic: Traffic,
    pub reload: ReloadStatus,
    /// Sentences, most urgent first; empty when all is well. At most 100, the last one then says how many are left out.
    pub attention: Vec<Attention>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Starting,
    Ready,
    Draining,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// `https`, `http`, `ops` or `control`
    pub role: String,
    /// As bound, so that port 0 shows the real port.
    pub address: String,
}

/// `GET /v1/sites` lists these, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiteStatus {
    pub name: String,
    pub also: Vec<String>,
    /// Of the site itself; a route may have others.
    pub upstreams: Vec<String>,
    /// How many of these are out: they fail, or their health checks do.
    #[serde(default)]
    pub upstreams_out: usize,
    pub certificate: CertificateInfo,
}

/// `GET /v1/certificates` lists these, one per site and by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateInfo {
    pub site: String,
    /// What the site asks for: `acme`, `imported`, `local` or `files`
    pub source: String,
    pub state: CertificateState,
    /// Of the certificate that is served; while there is none, the names that one is wanted for.
    pub names: Vec<String>,
    /// Absent, like the next four, while there is no certificate.
    pub issuer: Option<String>,
    /// RFC 3339, UTC
    pub not_before: Option<String>,
    pub not_after: Option<String>,
    /// Negative once expired.
    pub expires_in_s: Option<i64>,
    /// Lower-case hex SHA-256 of the DER certificate.
    pub sha256: Option<String>,
    /// Where it was read from, if from files.
    pub path: Option<String>,
    /// When the next one is fetched, where palisade does that.
    #[serde(default)]
    pub renewal: Option<Renewal>,
    /// Why the last attempt failed; absent once one succeeds.
    #[serde(default)]
    pub failure: Option<CertificateFailure>,
    /// What is being done now, if an order is on its way.
    #[serde(default)]
    pub activity: Option<String>,
    /// What is not quite right with it, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// What the site asks for is served.
    Served,
    /// A certificate of the local CA is served until the right one is there.
    StandIn,
    /// Handshakes for the site are refused.
    Missing,
}

/// When the next certificate is fetched, and why then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewal {
    /// RFC 3339, UTC
    pub at: String,
    /// Negative when it is due.
    pub in_s: i64,
    pub why: String,
}

/// An attempt to get a certificate that failed: the CA's words first (RFC 8555 §6.7), then ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateFailure {
    /// RFC 3339, UTC
    pub at: String,
    /// Failed attempts since the last success.
    pub attempts: u32,
    /// `urn:ietf:params:acme:error:…`, where the CA gave one.
    pub kind: Option<String>,
    pub detail: String,
    pub likely: String,
    pub next: String,
    /// Seconds until the next attempt; zero or less when it is due.
    pub retry_in_s: Option<i64>,
    /// The attempt was not due: somebody asked for it, and the renewal stays as planned.
    #[serde(default)]
    pub early: bool,
}

/// `POST /v1/certificates/{site}/import` takes this and answers the [`CertificateInfo`].
/// `POST /v1/certificates/{site}/renew` takes nothing and answers the same when the attempt has ended.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportCertificate {
    pub cert_pem: String,
    pub key_pem: String,
}

/// `POST /v1/crypto/rotate`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRotation {
    /// Number of the data key now in use.
    pub key: u32,
    /// Secrets sealed anew.
    pub rows: u64,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CapabilityStatus {
    pub name: Capability,
    /// In force.
    pub mode: Mode,
    /// What the configuration asks for.
    pub configured: Mode,
    /// False while this version has nothing that obeys the switch.
    #[serde(default = "yes")]
    pub available: bool,
    /// Name of the emergency flag.
    pub flag: String,
    /// Value of the flag, if set.
    pub flag_value: Option<bool>,
    /// What was set while running, if it was.
    #[serde(default)]
    pub runtime: Option<switches::CapabilityOverride>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    pub open: u64,
    pub max: u64,
    /// Refused because of a cap, since start.
    pub refused: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    pub requests: u64,
    pub responses_4xx: u64,
    pub responses_5xx: u64,
    pub panics: u64,
    pub log_lines_dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadStatus {
    /// Starts at 1, grows with each successful reload.
    pub generation: u64,
    /// RFC 3339, UTC: when the running configuration was taken.
    pub loaded_at: String,
    /// Why the last reload was refused; absent once one succeeds.
    pub last_error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attention {
    pub level: Level,
    pub message: String,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    Fail,
    Warn,
}

/// `POST /v1/reload` answers this with 200, or a [`Problem`] with 422 when the configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    pub generation: u64,
    /// What changed, a line each; empty when nothing did.
    pub changes: Vec<String>,
}

/// `GET /v1/local-ca` : the PEM of the local root, for `palisade cert trust`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalCa {
    pub pem: String,
    pub path: String,
    pub sha256: String,
}

/// `GET /health`: nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    pub status: String,
    pub version: String,
    pub uptime_s: u64,
}

/// `GET /healthz` and `GET /readyz`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// `ok` or `ready`
    pub status: String,
}

/// RFC 9457 problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem without a type of its own (RFC 9457 §4.2.1).
    #[must_use]
    pub fn new(status: u16, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: title.into(),
            status,
            detail: Some(detail.into()),
            request_id: None,
        }
    }
}
