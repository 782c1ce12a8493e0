//! A daemon for tests that answers from memory.

use std::sync::{Arc, OnceLock};

use super::api::access::{CreateToken, Elevated, TokenInfo, TokenMade, TotpInfo, TotpSecret};
use super::api::activity::{Activity, Recorded};
use super::api::audit::{AuditMark, AuditPage, AuditQuery, AuditVerdict};
use super::api::live::{ExplainQuery, Explanation};
use super::api::page::{Page, PageQuery};
use super::api::switches::SetCapability;
use super::api::upstreams::{
    UpstreamFailure, UpstreamState, UpstreamStatus, UpstreamTallies, UpstreamUse,
};
use super::api::{
    Attention, CapabilityStatus, CertificateFailure, CertificateInfo, CertificateState,
    Connections, ImportCertificate, KeyRotation, Level, Listener, LocalCa, Problem, ReloadStatus,
    Reloaded, Renewal, SiteStatus, State, Status, Traffic,
};
use super::caller::{Caller, Proof};
use super::control::{Access, Answer, Asked, Control, Holder, Switches};
use crate::base::{Capability, Mode, Role, Scope};
use crate::ports::system::SystemClock;
use crate::sys::peer::Peer;
use crate::telemetry::events::Hub;
use crate::telemetry::history::{History, Sample};
use crate::telemetry::originals::Originals;

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

/// One that has failed, and is asked again in three seconds.
pub(crate) fn upstream(name: &str) -> UpstreamStatus {
    let failure =
        UpstreamFailure { at: "2026-11-21T20:17:46Z".into(), text: "connection refused".into() };
    let site = |site: &str| UpstreamUse { site: site.into(), route: None, weight: 1 };
    UpstreamStatus {
        upstream: name.into(),
        state: UpstreamState::Failing,
        why: Some(failure.text.clone()),
        last_failure: Some(failure),
        since: Some("2026-11-21T20:17:40Z".into()),
        probe_in_ms: Some(3_000),
        protocol: "http/1.1".into(),
        tls: false,
        used_by: vec![site("app.example.com"), site("shop.example.com")],
        used_by_total: 2,
        requests_max: Some(100),
        in_flight: 0,
        waiting: 0,
        tallies: UpstreamTallies { opened: 1, ..UpstreamTallies::default() },
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
        upstreams_out: 0,
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
        sites_total: 2,
        capabilities: Capability::ALL
            .map(|name| CapabilityStatus {
                name,
                mode: if name == Capability::RateLimit { Mode::Off } else { Mode::Enforce },
                available: name.is_available(),
                configured: Mode::Enforce,
                flag: name.flag().into(),
                flag_value: (name == Capability::RateLimit).then_some(false),
                runtime: None,
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

/// A user who may do everything.
pub(crate) fn root() -> Peer {
    Peer { uid: 0, gid: 0, groups: Vec::new() }
}

/// Makes whoever wants something slow wait.
#[derive(Default)]
pub(crate) struct Slow {
    pub started: tokio::sync::Notify,
    pub go: tokio::sync::Notify,
    pub done: std::sync::atomic::AtomicU32,
}

/// Answers calls; the fields choose how.
pub(crate) struct Daemon {
    pub ready: bool,
    pub reloads: bool,
    /// A reload waits for it, a renewal never ends.
    pub slow: Option<Arc<Slow>>,
    /// Whether a second factor is wanted; its code is 123456.
    pub factor: bool,
    /// Every token that was good is so no more, and nobody but root has a role.
    pub revoked: Arc<std::sync::atomic::AtomicBool>,
    /// How many codes were looked at.
    pub codes: Arc<std::sync::atomic::AtomicU32>,
    /// The user that is the app.
    pub app: u32,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            ready: true,
            reloads: true,
            slow: None,
            factor: false,
            revoked: Arc::default(),
            codes: Arc::default(),
            app: 3,
        }
    }
}

fn later<T>() -> Answer<'static, T> {
    Box::pin(async { Err(Problem::new(501, "Not here", "the sample does not do this")) })
}

/// Users 0 to 2 are admin, operator and viewer; user 3 is the app, if not told otherwise. Tokens are the names of roles.
impl Access for Daemon {
    fn role(&self, peer: &Peer) -> Option<Role> {
        let roles = [Role::Admin, Role::Operator, Role::Viewer];
        roles.get(peer.uid as usize).copied().filter(|_| peer.uid == 0 || self.stands(""))
    }

    fn is_app(&self, peer: &Peer) -> bool {
        peer.uid == self.app
    }

    fn holder(&self, token: &str) -> Result<Holder, Problem> {
        let (word, scope) = token.split_once('/').unwrap_or((token, ""));
        let role = Role::ALL.into_iter().find(|role| role.word() == word);
        let role = role
            .filter(|_| self.stands(""))
            .ok_or_else(|| Problem::new(401, "Unauthorized", "no such token"))?;
        let scopes = Scope::ALL.into_iter().filter(|known| known.word() == scope).collect();
        Ok(Holder { id: "t1".into(), name: word.into(), role, scopes })
    }

    fn stands(&self, _token: &str) -> bool {
        !self.revoked.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn wants_factor(&self) -> bool {
        self.factor
    }

    fn confirm<'a>(&'a self, _: &'a Caller, _: &'static str, proof: Proof) -> Answer<'a, String> {
        self.codes.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Box::pin(async move {
            if proof == Proof::Code("123456".into()) {
                return Ok("phone".into());
            }
            Err(Problem::new(403, "Wrong code", "the code is wrong"))
        })
    }

    fn refused(&self, _caller: &Caller, _call: Asked<'_>, _why: &Problem) {}

    fn tokens(&self, query: &PageQuery) -> Page<TokenInfo> {
        query.of(Vec::<TokenInfo>::new(), |token| &token.id)
    }

    fn create_token<'a>(&'a self, _caller: &'a Caller, _: CreateToken) -> Answer<'a, TokenMade> {
        later()
    }

    fn revoke_token<'a>(&'a self, _caller: &'a Caller, _id: &'a str) -> Answer<'a, TokenInfo> {
        later()
    }

    fn factors(&self, query: &PageQuery) -> Page<TotpInfo> {
        query.of(Vec::<TotpInfo>::new(), |factor| &factor.name)
    }

    fn enroll<'a>(&'a self, _caller: &'a Caller, _name: &'a str) -> Answer<'a, TotpSecret> {
        later()
    }

    fn activate<'a>(
        &'a self,
        _caller: &'a Caller,
        _name: &'a str,
        _code: &'a str,
    ) -> Answer<'a, TotpInfo> {
        later()
    }

    fn remove_factor<'a>(&'a self, _caller: &'a Caller, _name: &'a str) -> Answer<'a, TotpInfo> {
        later()
    }

    fn elevate<'a>(&'a self, _caller: &'a Caller, _code: &'a str) -> Answer<'a, Elevated> {
        later()
    }
}

impl Switches for Daemon {
    fn capabilities(&self) -> Vec<CapabilityStatus> {
        status().capabilities
    }

    fn set_capability<'a>(
        &'a self,
        _caller: &'a Caller,
        _name: Capability,
        _wanted: SetCapability,
    ) -> Answer<'a, CapabilityStatus> {
        later()
    }
}

impl Control for Daemon {
    fn status(&self) -> Status {
        status()
    }

    fn sites(&self, query: &PageQuery) -> Page<SiteStatus> {
        query.of(status().sites, |site| &site.name)
    }

    fn upstreams(&self, query: &PageQuery) -> Page<UpstreamStatus> {
        query.of([upstream("127.0.0.1:3000")], |upstream| &upstream.upstream)
    }

    fn certificates(&self, query: &PageQuery) -> Page<CertificateInfo> {
        query.of(status().sites.into_iter().map(|site| site.certificate), |info| &info.site)
    }

    fn local_ca(&self) -> Result<LocalCa, Problem> {
        Err(Problem::new(404, "No local CA", "no site uses the local CA"))
    }

    fn reload<'a>(&'a self, _caller: &'a Caller) -> Answer<'a, Reloaded> {
        Box::pin(async {
            if let Some(slow) = &self.slow {
                slow.started.notify_one();
                slow.go.notified().await;
                slow.done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
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
            if self.slow.is_some() {
                std::future::pending::<()>().await;
            }
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

    fn activity<'a>(&'a self, caller: &'a Caller, _: Activity) -> Answer<'a, Recorded> {
        Box::pin(async { Ok(Recorded { request_id: caller.request_id.clone() }) })
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

    fn originals(&self) -> &Originals {
        static ORIGINALS: OnceLock<Arc<Originals>> = OnceLock::new();
        ORIGINALS.get_or_init(|| Originals::new(Arc::new(SystemClock)))
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
