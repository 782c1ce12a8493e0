//! Every metric palisade exports: its name, type and meaning, in one place.

/// A metric family. Counters get `_total` from the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    BuildInfo,
    UptimeSeconds,
    Requests,
    RequestDuration,
    Denials,
    ObservedHeaders,
    Handshakes,
    ProxyHeaders,
    ConnectionsOpen,
    ConnectionsRefused,
    ConnectionsEnded,
    UpstreamConnections,
    Upstream(OfUpstream),
    UpstreamChecks,
    NameFailures,
    Panics,
    LogLinesDropped,
    HiddenErrorsDropped,
    ConfigGeneration,
    ReloadsRefused,
    CertificateExpiry,
    CertificatesMissing,
    CertificatesIssued,
    CertificateFailures,
    StateWritable,
    StateFileBytes,
    StateCommits,
    StateRows,
    StateFailures,
    AuditRecords,
    AuditOutbox,
}

impl Family {
    /// Name without the suffix that the encoder adds, and what it counts.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "a table, one entry for each family")]
    pub const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::BuildInfo => ("palisade_build_info", "Always 1; the version is a label"),
            Self::UptimeSeconds => ("palisade_uptime_seconds", "Seconds since start"),
            Self::Requests => ("palisade_requests", "Requests answered, by class of status code"),
            Self::RequestDuration => (
                "palisade_request_duration_seconds",
                "From the request head to the last byte of the response",
            ),
            Self::Denials => ("palisade_denials", "Requests that were refused, by reason"),
            Self::ObservedHeaders => (
                "palisade_headers_observed",
                "Responses that security_headers would have changed, had it been set to enforce",
            ),
            Self::Handshakes => ("palisade_tls_handshakes", "TLS handshakes, by outcome"),
            Self::ProxyHeaders => {
                ("palisade_proxy_headers", "Connections that had to begin with a PROXY header")
            }
            Self::ConnectionsOpen => ("palisade_connections_open", "Client connections open now"),
            Self::ConnectionsRefused => (
                "palisade_connections_refused",
                "Client connections closed at accept, by the cap that they met",
            ),
            Self::ConnectionsEnded => (
                "palisade_connections_ended",
                "Client connections that palisade ended early, by reason",
            ),
            Self::UpstreamConnections => {
                ("palisade_upstream_connections", "Requests by how their connection was come by")
            }
            Self::Upstream(figure) => figure.describe(),
            Self::UpstreamChecks => (
                "palisade_upstream_checks",
                "Health checks and pings that keep apps awake, by outcome",
            ),
            Self::NameFailures => {
                ("palisade_name_failures", "Questions for addresses of upstreams that brought none")
            }
            Self::Panics => ("palisade_panics", "Defects that ended one connection"),
            Self::HiddenErrorsDropped => (
                "palisade_hidden_errors_dropped",
                "Answers replaced by hide_errors that could not be kept, since too many came at once",
            ),
            Self::LogLinesDropped => {
                ("palisade_log_lines_dropped", "Log lines lost because the log could not keep up")
            }
            Self::ConfigGeneration => {
                ("palisade_config_generation", "1 at start, one more for each reload taken")
            }
            Self::ReloadsRefused => ("palisade_reloads_refused", "Reloads refused"),
            Self::CertificateExpiry => (
                "palisade_certificate_expiry_seconds",
                "Seconds until the certificate of a site ends; negative once it has",
            ),
            Self::CertificatesMissing => {
                ("palisade_certificates_missing", "Sites without the certificate that they ask for")
            }
            Self::CertificatesIssued => {
                ("palisade_certificates_issued", "Certificates issued by an ACME authority")
            }
            Self::CertificateFailures => (
                "palisade_certificate_failures",
                "Attempts to get a certificate that failed, by class",
            ),
            Self::StateWritable => {
                ("palisade_state_writable", "1 while the state can be written, else 0")
            }
            Self::StateFileBytes => ("palisade_state_file_bytes", "Size of the state file"),
            Self::StateCommits => ("palisade_state_commits", "Durable commits of the state"),
            Self::StateRows => ("palisade_state_rows", "Rows written to the state"),
            Self::StateFailures => ("palisade_state_failures", "Commits of the state that failed"),
            Self::AuditRecords => ("palisade_audit_records", "Records of the audit log so far"),
            Self::AuditOutbox => {
                ("palisade_audit_outbox", "Changes that are not in the audit log yet")
            }
        }
    }
}

/// What there is for each upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfUpstream {
    State,
    InFlight,
    Waiting,
    Opened,
    Retries,
    RetriesSpared,
    Busy,
}

impl OfUpstream {
    const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::State => (
                "palisade_upstream_state",
                "0 while requests go there, 1 while a probe is under way, 2 while it is left alone, 3 while only its health \
                 checks fail, 4 while it answers none of its requests",
            ),
            Self::InFlight => {
                ("palisade_upstream_requests_in_flight", "Requests under way at an upstream")
            }
            Self::Waiting => {
                ("palisade_upstream_requests_waiting", "Requests that wait for a place there")
            }
            Self::Opened => (
                "palisade_upstream_breaker_opened",
                "Times that an upstream was left alone from then on",
            ),
            Self::Retries => (
                "palisade_upstream_retries",
                "Requests that an upstream failed and that another one was asked",
            ),
            Self::RetriesSpared => (
                "palisade_upstream_retries_spared",
                "Requests that were not sent again because retry_percent was spent",
            ),
            Self::Busy => ("palisade_upstream_busy", "Requests refused because of requests_max"),
        }
    }
}
