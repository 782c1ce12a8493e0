//! What the daemon itself writes into the audit log, and what it answers about it.

use super::control::Daemon;
use crate::base::RequestId;
use crate::base::audit::{By, Intent, Source, action};
use crate::ops::Answer;
use crate::ops::api::audit::{AuditMark, AuditVerdict};
use crate::ops::api::{Attention, Level, Problem, Reloaded};
use crate::telemetry::metrics::AuditFigures;

impl Daemon {
    /// It serves.
    pub(super) fn record_start(&self) {
        let sites = i64::try_from(self.inner().settings.sites.len()).unwrap_or(i64::MAX);
        let intent = self.intent(&By::system(Source::Process), action::DAEMON_START);
        let intent = intent.after("version", env!("CARGO_PKG_VERSION")).after("sites", sites);
        self.state.audit.record(intent.after("pid", i64::from(std::process::id())));
        // With it the log has its key and its first checkpoint before anybody asks.
        self.state.audit.tend();
    }

    /// Certificate files that have changed were taken or refused.
    pub(super) fn record_files(&self, changed: &[String], refused: Option<&str>) {
        let intent = self.intent(&By::system(Source::Schedule), action::CERTIFICATE_FILES);
        let intent = if changed.is_empty() { intent } else { intent.after("files", changed) };
        self.state.audit.record(match refused {
            Some(why) => intent.refused(why),
            None => intent,
        });
    }

    /// It was told to stop.
    pub(super) fn record_stop(&self) {
        let intent = self.intent(&By::system(Source::Signal), action::DAEMON_STOP);
        self.state.audit.record(intent.before("pid", i64::from(std::process::id())));
    }

    /// A reload was taken or refused. In force already, and not reported yet.
    pub(super) fn record_reload(&self, by: &By, before: u64, result: &Result<Reloaded, String>) {
        let number = |generation: u64| i64::try_from(generation).unwrap_or(i64::MAX);
        let intent = match result {
            Ok(reloaded) => self
                .intent(by, action::CONFIG_RELOAD)
                .after("generation", number(reloaded.generation))
                .after("changes", &reloaded.changes[..]),
            Err(why) => self.intent(by, action::CONFIG_RELOAD_REFUSED).refused(why),
        };
        let intent = intent.before("generation", number(before));
        self.state.audit.record(match self.source.path() {
            Some(path) => intent.on(&path),
            None => intent,
        });
    }

    /// Something that was asked for and did not come about. What did has its record already.
    pub(super) async fn or_record<T>(
        &self,
        outcome: Result<T, Problem>,
        (by, action, subject): (&By, &str, &str),
    ) -> Result<T, Problem> {
        if let Err(problem) = &outcome {
            let why = match &problem.detail {
                Some(detail) => format!("{}: {}", problem.title, detail.replace('\n', "; ")),
                None => problem.title.clone(),
            };
            let intent = self.intent(by, action).on(subject).refused(&why);
            tokio::task::block_in_place(|| self.state.audit.record(intent));
        }
        outcome
    }

    fn intent(&self, by: &By, action: &str) -> Intent {
        self.state.audit.intent(by, action)
    }

    /// An id for a call; without randomness the time in it still tells calls apart.
    pub(super) fn fresh_id(&self) -> String {
        let mut random = [0; 16];
        let _ = self.shared.entropy.fill(&mut random);
        let unix_ms = u64::try_from(self.shared.clock.unix().as_millis()).unwrap_or(u64::MAX);
        RequestId::new(unix_ms, u128::from_be_bytes(random)).to_string()
    }

    pub(super) fn verify_now(&self) -> Answer<'_, AuditVerdict> {
        Box::pin(async { tokio::task::block_in_place(|| self.state.audit.verify()) })
    }

    pub(super) fn checkpoint_now(&self) -> Answer<'_, AuditMark> {
        Box::pin(async { tokio::task::block_in_place(|| self.state.audit.checkpoint()) })
    }

    /// What about the audit log needs somebody.
    pub(super) fn about_audit(&self) -> Vec<Attention> {
        let found = self.state.audit.attention().into_iter();
        let level = |bad| if bad { Level::Fail } else { Level::Warn };
        found.map(|(bad, message)| Attention { level: level(bad), message }).collect()
    }

    pub(super) fn audit_figures(&self) -> AuditFigures {
        let figures = self.state.audit.figures();
        AuditFigures { records: figures.records, outbox: figures.outbox }
    }
}
