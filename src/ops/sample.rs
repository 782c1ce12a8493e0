//! A daemon for tests that answers from memory.

use std::sync::{Arc, OnceLock};

use super::Caller;
use super::api::audit::{AuditMark, AuditPage, AuditQuery, AuditVerdict};
use super::api::live::{ExplainQuery, Explanation};
use super::api::{
    Attention, CapabilityStatus, CertificateFailure, CertificateInfo, CertificateState,
    Connections, ImportCertificate, KeyRotation, Level, Listener, LocalCa, Problem, ReloadStatus,
    Reloaded, Renewal, SiteStatus, State, Status, Traffic,
};
use super::router::{Answer, Control};
use crate::base::{Capability, Mode};
use crate::ports::system::SystemClock;
use crate::telemetry::events::Hub;
use crate::telemetry::history::{History, Sample};

pub(crate) fn certificate(site: &str, days: i64) -> CertificateInfo {
    CertificateInfo {
        site: site.into(),
        source: "local".into(),
        names: vec![site.into()],
        state: CertificateState::Served,
        issuer: Some("palisade local CA (web-1)".into()),
        not_before: Some("2026-11-21T00:00:00Z".into()),
        not_after: Some("2027-02-19T00:00:00Z".into()),
        expires_in_s: Some(days * 86_400),
        sha256: Some("ab".repeat(32)),
        path: None,
        renewal: None,
        failure: None,
        activity: None,
        warnings: Vec::new(),
    }
}

/// From a CA, with its next renewal planned.
pub(crate) fn renewed(site: &str, days: i64) -> CertificateInfo {
    let renewal = Renewal {
        at: "2027-01-20T03:04:05Z".into(),
        in_s: (days - 30) * 86_400,
        why: "the CA suggests this window".into(),
    };
    CertificateInfo {
        source: "acme".into(),
        issuer: Some("Let's Encrypt E7".into()),
        renewal: Some(renewal),
        ..certificate(site, days)
    }
}

/// Ordered from a CA that cannot reach port 80; a certificate of the local CA stands in or nothing does.
pub(crate) fn failing(site: &str, state: CertificateState) -> CertificateInfo {
    let failure = CertificateFailure {
        at: "2026-11-21T20:17:46Z".into(),
        attempts: 2,
        kind: Some("urn:ietf:params:acme:error:connection".into()),
        detail: format!("203.0.113.7: Fetching http://{site}/.well-known/…: Timeout"),
        likely: "port 80 is closed in front of this machine (DNS does point here)".into(),
        next: format!(
            "open port 80, or set acme.challenges = [\"tls-alpn-01\"]; then `palisade cert renew {site}`"
        ),
        retry_in_s: Some(600),
        early: false,
    };
    let info = CertificateInfo { source: "acme".into(), state, ..certificate(site, 63) };
    let failure = Some(failure);
    match state {
        CertificateState::Missing => CertificateInfo {
            issuer: None,
            not_before: None,
            not_after: None,
            expires_in_s: None,
            sha256: None,
            failure,
            ..info
        },
        _ => CertificateInfo { failure, ..info },
    }
}

pub(crate) fn status() -> Status {
    let site = |name: &str, also: &[&str], days| SiteStatus {
        name: name.into(),
        also: also.iter().map(|name| (*name).to_owned()).collect(),
        upstreams: vec!["127.0.0.1:3000".into()],
        certificate: certificate(name, days),
    };
    let listener =
        |role: &str, address: &str| Listener { role: role.into(), address: address.into() };
    Status {
        version: "0.1.0".into(),
        pid: 4242,
        uptime_s: 12 * 86_400 + 4 * 3_600 + 59,
        config: Some("/etc/palisade/palisade.toml".into()),
        state_dir: "/var/lib/palisade".into(),
        workers: 2,
        state: State::Ready,
        listeners: vec![
            listener("https", "[::]:443"),
            listener("http", "[::]:80"),
            listener("ops", "127.0.0.1:9180"),
            listener("control", "/run/palisade/control.sock"),
        ],
        sites: vec![
            site("app.example.com", &["www.example.com"], 63),
            site("shop.example.com", &[], -2),
        ],
        capabilities: Capability::ALL
            .map(|name| CapabilityStatus {
                name,
                mode: if name == Capability::RateLimit { Mode::Off } else { Mode::Enforce },
                available: name.is_available(),
                configured: Mode::Enforce,
                flag: name.flag().into(),
                flag_value: (name == Capability::RateLimit).then_some(false),
            })
            .into(),
        connections: Connections { open: 12, max: 20_000, refused: 3 },
        traffic: Traffic {
            requests: 1_284_007,
            responses_4xx: 311,
            responses_5xx: 2,
            panics: 0,
            log_lines_dropped: 0,
        },
        reload: ReloadStatus {
            generation: 3,
            loaded_at: "2026-11-21T20:17:46Z".into(),
            last_error: None,
        },
        attention: vec![Attention {
            level: Level::Fail,
            message: "certificate of shop.example.com expired 2 days ago".into(),
        }],
    }
}

/// The hub of every [`Daemon`] of a test; each test has a thread of its own.
pub(crate) fn events() -> &'static Arc<Hub> {
    thread_local! {
        static HUB: &'static Arc<Hub> =
            Box::leak(Box::new(Hub::new(1, Arc::new(SystemClock))));
    }
    HUB.with(|hub| *hub)
}

/// Answers calls; `ready` and `reloads` choose how.
pub(crate) struct Daemon {
    pub ready: bool,
    pub reloads: bool,
}

impl Control for Daemon {
    fn status(&self) -> Status {
        status()
    }

    fn certificates(&self) -> Vec<CertificateInfo> {
        status().sites.into_iter().map(|site| site.certificate).collect()
    }

    fn local_ca(&self) -> Result<LocalCa, Problem> {
        Err(Problem::new(404, "No local CA", "no site uses the local CA"))
    }

    fn reload<'a>(&'a self, _caller: &'a Caller) -> Answer<'a, Reloaded> {
        Box::pin(async {
            if !self.reloads {
                return Err(Problem::new(422, "Configuration refused", "error: no site"));
            }
            Ok(Reloaded { generation: 4, changes: vec!["site localhost added".into()] })
        })
    }

    fn renew_certificate<'a>(
        &'a self,
        _caller: &'a Caller,
        site: &'a str,
    ) -> Answer<'a, CertificateInfo> {
        Box::pin(async move {
            match site {
                "app.example.com" => Ok(renewed(site, 90)),
                "shop.example.com" => Err(Problem::new(502, "Not issued", "the CA says: no")),
                _ => Err(Problem::new(404, "Not Found", format!("there is no site \"{site}\""))),
            }
        })
    }

    fn import_certificate<'a>(
        &'a self,
        _caller: &'a Caller,
        site: &'a str,
        import: ImportCertificate,
    ) -> Answer<'a, CertificateInfo> {
        Box::pin(async move {
            if import.cert_pem.contains("CERTIFICATE") && import.key_pem.contains("PRIVATE KEY") {
                return Ok(CertificateInfo { source: "imported".into(), ..certificate(site, 90) });
            }
            Err(Problem::new(422, "Not imported", "the key does not belong to the certificate"))
        })
    }

    fn request_id(&self) -> String {
        "019-id".into()
    }

    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Problem> {
        let last = query.after;
        Ok(AuditPage { records: Vec::new(), next: None, last, stub: None })
    }

    fn verify_audit(&self) -> Answer<'_, AuditVerdict> {
        Box::pin(async { Err(Problem::new(503, "Not now", "the key cannot be read")) })
    }

    fn audit_checkpoint(&self) -> Answer<'_, AuditMark> {
        Box::pin(async { Err(Problem::new(409, "Nothing to sign", "the audit log is empty")) })
    }

    fn rotate_keys<'a>(&'a self, _caller: &'a Caller) -> Answer<'a, KeyRotation> {
        Box::pin(async { Ok(KeyRotation { key: 2, rows: 7 }) })
    }

    fn readiness(&self) -> Result<(), Vec<String>> {
        if self.ready { Ok(()) } else { Err(vec!["draining".into(), "no certificate".into()]) }
    }

    fn metrics(&self) -> String {
        "# EOF\n".into()
    }

    fn events(&self) -> &Arc<Hub> {
        events()
    }

    fn explain(&self, query: &ExplainQuery) -> Result<Explanation, Problem> {
        Err(Problem::new(400, "Bad Request", format!("{} is no URL", query.url)))
    }

    fn history(&self) -> &History {
        static HISTORY: OnceLock<History> = OnceLock::new();
        HISTORY.get_or_init(|| {
            let history = History::new(1_000, Sample::default());
            history.observe(1_001, Sample::default());
            history
        })
    }
}
