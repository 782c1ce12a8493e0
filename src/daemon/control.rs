//! What the running daemon knows about itself, and what it answers on its control socket.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Source;
use super::activity::Reports;
use super::crowd::Crowd;
use super::live;
use super::materials::{Materials, Shown, Stamp, unix_s};
use super::refusals::Refusals;
use super::switches::Switchboard;
use super::upkeep::Upkeep;
use super::{sites, state};
use crate::base::audit::action;
use crate::base::timestamp::{SURELY_PAST_S, rfc3339};
use crate::config::Environment;
use crate::config::settings::Settings;
use crate::edge::Shared;
use crate::edge::accept::{Acceptor, Role};
use crate::ops::api::activity::{Activity, Recorded};
use crate::ops::api::audit::{AuditMark, AuditPage, AuditQuery, AuditVerdict};
use crate::ops::api::live::{ExplainQuery, Explanation};
use crate::ops::api::page::{Page, PageQuery};
use crate::ops::api::upstreams::UpstreamStatus;
use crate::ops::api::{
    Attention, CertificateInfo, CertificateState, Connections, ImportCertificate, KeyRotation,
    Level, Listener, LocalCa, Problem, ReloadStatus, Reloaded, SiteStatus, State, Status, Traffic,
};
use crate::ops::{Answer, Caller, Control};
use crate::store::Health;
use crate::telemetry::Level as Severity;
use crate::telemetry::events::Hub;
use crate::telemetry::history::History;
use crate::telemetry::metrics::{Gauges, StateFigures};
use crate::telemetry::originals::Originals;
use crate::work::certs;

/// Refusals that mean that the app is not there or does not answer.
const APP_DOWN: [&str; 5] =
    ["upstream_unreachable", "upstream_tls", "upstream_broke", "upstream_timeout", "upstream_down"];
/// How far back requests without an app are mentioned.
const LATELY: Duration = Duration::from_secs(60);
/// Samples kept for it: one every two seconds.
const SAMPLES: usize = 30;

/// The parts of the daemon that outlive a configuration.
pub(super) struct Daemon {
    pub shared: Arc<Shared>,
    pub source: Source,
    pub environment: Environment,
    pub started: Instant,
    pub state: state::State,
    pub inner: Mutex<Inner>,
    pub history: History,
    pub refusals: Refusals,
    pub reports: Reports,
    pub switchboard: Switchboard,
    pub upkeep: Upkeep,
}

/// What a reload changes.
pub(super) struct Inner {
    pub state: State,
    pub settings: Settings,
    pub materials: Materials,
    /// In the order of the sites.
    pub certificates: Vec<Shown>,
    pub stamp: Stamp,
    pub generation: u64,
    pub loaded_at_s: i64,
    pub last_error: Option<String>,
    /// Why changed certificate files were not taken; the ones before them serve.
    pub certificates_error: Option<String>,
    pub reloads_refused: u64,
    /// When, and how many requests had found no app by then; oldest first.
    pub app_down: VecDeque<(Instant, u64)>,
    /// Requests that found no place at an upstream.
    pub crowd: Crowd,
    /// Found at the start or at the last reload.
    pub warnings: Vec<String>,
    pub listeners: Vec<Listener>,
    pub inherited: Vec<Role>,
    /// Gone once the daemon drains.
    pub acceptor: Option<Acceptor>,
}

impl Daemon {
    /// The state stays usable although a thread panicked while holding it: a reload assigns it as its last step.
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now_s(&self) -> i64 {
        unix_s(&*self.shared.clock)
    }

    /// Counts anew the requests that found no place.
    fn look_at_the_crowd(&self, inner: &mut Inner) {
        let (policy, now) = (self.shared.policy.load(), self.shared.clock.now());
        let busy = policy.peers.iter().map(|peer| {
            (peer.endpoint.clone(), peer.tally.busy.load(std::sync::atomic::Ordering::Relaxed))
        });
        inner.crowd.look(now, busy);
    }

    /// Remembers how many requests have found no app or no place, for the comparison with a minute later.
    pub fn sample(&self) {
        let sample = (self.shared.clock.now(), self.shared.metrics.denied(&APP_DOWN));
        let mut inner = self.inner();
        inner.app_down.push_back(sample);
        if inner.app_down.len() > SAMPLES {
            inner.app_down.pop_front();
        }
        self.look_at_the_crowd(&mut inner);
    }

    fn uptime_s(&self) -> u64 {
        self.shared.clock.now().saturating_duration_since(self.started).as_secs()
    }

    /// `about` has what the certificates need.
    fn attention(&self, inner: &Inner, about: Vec<Vec<Attention>>) -> Vec<Attention> {
        let mut found = Vec::new();
        let mut say = |level, message: String| found.push(Attention { level, message });
        if let Health::Refusing { why, .. } = self.state.store.health() {
            say(Level::Fail, format!("the state cannot be written, sites are served on: {why}"));
        }
        if self.now_s() < SURELY_PAST_S {
            say(Level::Fail, wrong_clock(self.now_s()));
        }
        if let Some(trouble) = self.state.master.trouble() {
            let first = trouble.lines().next().unwrap_or_default();
            say(Level::Fail, format!("the next start will be refused: {first}"));
        }
        if let Some(error) = &inner.certificates_error {
            let first = error.lines().next().unwrap_or_default();
            say(
                Level::Warn,
                format!("changed files were refused, what was read before still counts: {first}"),
            );
        }
        for warning in &inner.warnings {
            say(Level::Warn, warning.lines().next().unwrap_or_default().to_owned());
        }
        let now = self.shared.clock.now();
        let before =
            inner.app_down.iter().find(|(at, _)| now.saturating_duration_since(*at) <= LATELY);
        let down = self.shared.metrics.denied(&APP_DOWN);
        let lately = down.saturating_sub(before.map_or(0, |(_, count)| *count));
        if lately > 0 {
            say(
                Level::Fail,
                format!(
                    "requests without an answer from the app in the last minute: {lately} (the log says why)"
                ),
            );
        }
        let (dropped, panics) = (self.shared.log.dropped(), self.shared.metrics.panics());
        if dropped > 0 {
            say(Level::Warn, format!("{dropped} log lines were dropped since start"));
        }
        if panics > 0 {
            say(Level::Warn, format!("{panics} panics since start; each is in the log"));
        }
        found.extend(self.about_switches(inner));
        found.extend(super::sockets::about(&inner.settings));
        found.extend(self.about_audit());
        found.extend(about.into_iter().flatten());
        sites::bounded(found)
    }
}

impl Control for Daemon {
    fn status(&self) -> Status {
        let mut inner = self.inner();
        self.look_at_the_crowd(&mut inner);
        let certificates = self.certificate_infos(&inner);
        let mut about = self.about_certificates(&inner, &certificates);
        let (out, crowd) = (self.upstreams_out(), inner.crowd.lately());
        for (about, site) in about.iter_mut().zip(&inner.settings.sites) {
            about.extend(out.about(site));
            about.extend(crowd.about(site));
        }
        let sites = sites::foremost(&inner.settings.sites, certificates, &about, &out);
        let [_, _, _, responses_4xx, responses_5xx] = self.shared.metrics.classes();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: self.uptime_s(),
            config: self.source.path(),
            state_dir: inner.settings.state_dir.display().to_string(),
            workers: inner.settings.workers,
            state: inner.state,
            listeners: inner.listeners.clone(),
            sites,
            sites_total: inner.settings.sites.len(),
            capabilities: self.capabilities_of(&inner),
            connections: Connections {
                open: self.shared.caps.open() as u64,
                max: self.shared.caps.max() as u64,
                refused: self.shared.caps.refused().iter().map(|(_, count)| count).sum(),
            },
            traffic: Traffic {
                requests: self.shared.metrics.classes().iter().sum(),
                responses_4xx,
                responses_5xx,
                panics: self.shared.metrics.panics(),
                log_lines_dropped: self.shared.log.dropped(),
            },
            reload: ReloadStatus {
                generation: inner.generation,
                loaded_at: rfc3339(inner.loaded_at_s),
                last_error: inner.last_error.clone(),
            },
            attention: self.attention(&inner, about),
        }
    }

    fn sites(&self, query: &PageQuery) -> Page<SiteStatus> {
        self.sites_page(&self.inner(), query)
    }

    fn upstreams(&self, query: &PageQuery) -> Page<UpstreamStatus> {
        self.upstreams_page(query)
    }

    fn certificates(&self, query: &PageQuery) -> Page<CertificateInfo> {
        self.certificates_page(&self.inner(), query)
    }

    fn local_ca(&self) -> Result<LocalCa, Problem> {
        let inner = self.inner();
        let ca = inner.materials.local_ca().map(certs::LocalCa::public);
        ca.ok_or_else(|| Problem {
            kind: "about:blank".into(),
            title: "No local CA".into(),
            status: 404,
            detail: Some("no site uses a certificate of the local CA".into()),
            request_id: None,
        })
    }

    fn reload<'a>(&'a self, caller: &'a Caller) -> Answer<'a, Reloaded> {
        Box::pin(async move {
            // Reads files and may make keys: a thread of its own for it would need the daemon in an Arc; the control
            // runtime has several threads, and this takes milliseconds.
            tokio::task::block_in_place(|| self.reload_now(&caller.by())).map_err(|text| Problem {
                kind: "about:blank".into(),
                title: "The new configuration was refused; the running one is unchanged".into(),
                status: 422,
                detail: Some(text),
                request_id: None,
            })
        })
    }

    fn renew_certificate<'a>(
        &'a self,
        caller: &'a Caller,
        site: &'a str,
    ) -> Answer<'a, CertificateInfo> {
        Box::pin(async move {
            let (by, outcome) = (caller.by(), self.renew(caller.by(), site).await);
            self.or_record(outcome, (&by, action::CERTIFICATE_RENEW, site)).await
        })
    }

    fn import_certificate<'a>(
        &'a self,
        caller: &'a Caller,
        site: &'a str,
        import: ImportCertificate,
    ) -> Answer<'a, CertificateInfo> {
        Box::pin(async move {
            let (by, outcome) = (caller.by(), self.import(caller.by(), site, import).await);
            self.or_record(outcome, (&by, action::CERTIFICATE_IMPORT, site)).await
        })
    }

    fn request_id(&self) -> String {
        self.fresh_id()
    }

    fn activity<'a>(&'a self, caller: &'a Caller, activity: Activity) -> Answer<'a, Recorded> {
        Box::pin(self.reports.take(caller, activity))
    }

    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Problem> {
        tokio::task::block_in_place(|| self.state.audit.page(query))
    }

    fn verify_audit(&self) -> Answer<'_, AuditVerdict> {
        self.verify_now()
    }

    fn audit_checkpoint(&self) -> Answer<'_, AuditMark> {
        self.checkpoint_now()
    }

    fn rotate_keys<'a>(&'a self, caller: &'a Caller) -> Answer<'a, KeyRotation> {
        Box::pin(async move {
            // Cannot be left half done: a second call finishes what the first began.
            let rotated = tokio::task::block_in_place(|| {
                self.state.master.check()?;
                self.state.keyring.rotate(&caller.by()).map_err(|error| error.to_string())
            });
            let rotated = rotated.map_err(|error| {
                let title = "The keys were not rotated; what was sealed before can still be read";
                Problem::new(503, title, error)
            })?;
            let (key, rows) = (rotated.key, rotated.rows);
            self.shared.log.event(Severity::Info, "keys_rotated", |line| {
                line.number("key", u64::from(key)).number("rows", rows);
            });
            Ok(KeyRotation { key, rows })
        })
    }

    fn readiness(&self) -> Result<(), Vec<String>> {
        let mut why = match self.inner().state {
            State::Ready => Vec::new(),
            State::Starting => vec!["starting".to_owned()],
            State::Draining => vec!["stopping: finishing what was accepted".to_owned()],
        };
        if let Health::Refusing { why: refusing, .. } = self.state.store.health() {
            why.push(format!("state: {refusing}"));
        }
        why.extend(self.no_app_is_well());
        if why.is_empty() { Ok(()) } else { Err(why) }
    }

    fn metrics(&self) -> String {
        let inner = self.inner();
        let certificates = self.certificate_infos(&inner);
        let missing = |info: &&CertificateInfo| info.state != CertificateState::Served;
        let totals = self.state.manager.totals();
        let figures = self.state.store.figures();
        let gauges = Gauges {
            uptime_s: self.uptime_s(),
            connections_open: self.shared.caps.open() as u64,
            connections_refused: self.shared.caps.refused(),
            log_lines_dropped: self.shared.log.dropped(),
            upstreams: self.upstream_figures(),
            hidden_errors_dropped: self.shared.originals.lost(),
            config_generation: inner.generation,
            reloads_refused: inner.reloads_refused,
            certificates_missing: certificates.iter().filter(missing).count() as u64,
            certificates: certificates
                .into_iter()
                .filter_map(|info| Some((info.site, info.expires_in_s?)))
                .collect(),
            certificates_issued: totals.issued,
            certificate_failures: totals.failed.to_vec(),
            upstream_checks: self.upkeep.checks.counts(),
            name_failures: self.upkeep.names.failures(),
            state: StateFigures {
                commits: figures.commits,
                rows: figures.rows,
                failures: figures.failures,
                file_bytes: figures.file_bytes,
                writable: self.state.store.health() == Health::Writable,
            },
            audit: self.audit_figures(),
        };
        drop(inner);
        self.shared.metrics.render(gauges)
    }

    fn events(&self) -> &Arc<Hub> {
        &self.shared.events
    }

    fn originals(&self) -> &Originals {
        &self.shared.originals
    }

    fn explain(&self, query: &ExplainQuery) -> Result<Explanation, Problem> {
        live::explain(&self.shared.policy.load(), query, self.shared.now_ms())
    }

    fn history(&self) -> &History {
        &self.history
    }
}

/// It is served all the same: the network often brings the time, and the network may need what is served.
fn wrong_clock(now_s: i64) -> String {
    format!(
        "this machine's clock says {}: set it (timedatectl, or a time server); until then browsers refuse \
         new local certificates and no certificate can be ordered",
        rfc3339(now_s)
    )
}
