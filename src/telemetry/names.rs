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
    UpstreamChecks,
    NameFailures,
    Panics,
    LogLinesDropped,
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
            Self::Denials => {
                ("palisade_denials", "Requests that palisade itself refused, by reason")
            }
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
            Self::UpstreamConnections => (
                "palisade_upstream_connections",
                "Requests to the app by how their connection was come by",
            ),
            Self::UpstreamChecks => (
                "palisade_upstream_checks",
                "Health checks and pings that keep apps awake, by outcome",
            ),
            Self::NameFailures => {
                ("palisade_name_failures", "Questions for addresses of upstreams that brought none")
            }
            Self::Panics => ("palisade_panics", "Defects that ended one connection"),
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
