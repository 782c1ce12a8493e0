//! One attempt for a site: rehearsed if the last one failed, ordered, stored, and its outcome written down.

use super::cause::{self, Advice, Dns, Facts};
use super::core::{self, Held};
use super::facts;
use super::order::{self, Got, Job, Tools};
use super::problem::{Class, Trouble, What};
use super::settings::{Acme, ChallengeKind, Directory};
use crate::base::Host;
use crate::base::timestamp::rfc3339;
use crate::store::certs::{self, Failure, History, Leaf, Origin, Wait};
use crate::telemetry::Level;

/// What may have changed when an attempt ends: then its outcome is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    /// Of the site: another one as soon as a certificate was imported or the site is not ordered any more.
    pub(super) epoch: u64,
    /// The certificate that the state held.
    pub(super) over: Leaf,
}

/// What an attempt starts from.
#[derive(Clone)]
pub(super) struct Task {
    pub(super) site: Host,
    pub(super) names: Vec<Host>,
    pub(super) acme: Acme,
    pub(super) eab_hmac: Option<Vec<u8>>,
    pub(super) history: History,
    /// Names the configuration of this attempt.
    pub(super) under: String,
    pub(super) held: Option<Held>,
    pub(super) start: Start,
    /// DER of the certificate that is replaced, if it is from the same CA.
    pub(super) replaces: Option<Vec<u8>>,
    pub(super) unfinished: Option<certs::Order>,
    /// Somebody asked for it.
    pub(super) forced: bool,
}

/// How it ended.
pub(super) enum Ended {
    Issued { got: Box<Got>, record: Box<certs::Certificate>, history: History },
    Failed { trouble: Box<Trouble>, history: History },
}

impl Task {
    /// Attempts it. Writes nothing about the outcome; `say` tells what is being done.
    pub(super) async fn run(
        mut self,
        tools: &Tools,
        say: impl Fn(&str) + Clone + Send + Sync + 'static,
    ) -> Ended {
        if let Some(trouble) = self.rehearse(tools, say.clone()).await {
            return self.failed(tools, trouble).await;
        }
        let directory = self.acme.directory.clone();
        let outcome = order::issue(tools, &self.job(directory, false, Box::new(say))).await;
        match outcome {
            Ok(got) => self.issued(tools, got),
            Err(trouble) => self.failed(tools, trouble).await,
        }
    }

    fn job(
        &self,
        directory: Directory,
        rehearsal: bool,
        say: Box<dyn Fn(&str) + Send + Sync>,
    ) -> Job {
        Job {
            site: self.site.clone(),
            names: self.names.clone(),
            acme: Acme {
                // Profiles and bindings are those of the real CA.
                profile: self.acme.profile.clone().filter(|_| !rehearsal),
                ..self.acme.clone()
            },
            eab_hmac: self.eab_hmac.clone(),
            directory,
            rehearsal,
            challenges: preferred(&self.acme.challenges, self.history.challenge.as_deref()),
            replaces: self.replaces.clone().filter(|_| !rehearsal),
            unfinished: self.unfinished.clone(),
            say,
        }
    }

    /// After a failure, tries at the staging CA first, where failures cost nothing (promise 4). Returns what the real
    /// CA would say too; trouble of the staging CA itself holds nothing up.
    async fn rehearse(
        &mut self,
        tools: &Tools,
        say: impl Fn(&str) + Send + Sync + 'static,
    ) -> Option<Trouble> {
        let staging = self.acme.staging.clone()?;
        let resumes = self.unfinished.as_ref().is_some_and(|o| !o.rehearsal && o.url.is_some());
        if self.history.last_failure.is_none() || self.history.rehearsed || resumes {
            return None;
        }
        let say = move |what: &str| say(&format!("rehearsing at the staging CA: {what}"));
        let outcome = order::issue(tools, &self.job(staging.clone(), true, Box::new(say))).await;
        self.unfinished = None;
        let why = match outcome {
            Ok(got) => {
                self.history.rehearsed = true;
                self.remember(got.challenge);
                tools.parts.log.event(Level::Info, "certificate_rehearsed", |line| {
                    line.text("site", self.site.as_str()).text("directory", &staging.url);
                });
                let (over, history) = (self.start.over.clone(), self.history.clone());
                return match tools.parts.store.conclude(over, true, history).await {
                    Ok(true) => None,
                    Ok(false) => Some(Trouble::state("another certificate came in between")),
                    Err(error) => Some(error.into()),
                };
            }
            Err(trouble) if tells_of_us(&trouble) => {
                let detail = format!("rehearsal at {}: {}", staging.name, trouble.detail);
                return Some(Trouble { detail, ..trouble });
            }
            Err(trouble) => trouble.detail,
        };
        tools.parts.log.event(Level::Warn, "certificate_rehearsal_skipped", |line| {
            line.text("site", self.site.as_str()).text("why", &why);
        });
        None
    }

    fn remember(&mut self, challenge: Option<ChallengeKind>) {
        if let Some(challenge) = challenge {
            self.history.challenge = Some(challenge.word().to_owned());
        }
    }

    fn issued(mut self, tools: &Tools, got: Got) -> Ended {
        let now_s = tools.now_s();
        self.remember(got.challenge);
        let facts = &got.certificate.facts;
        let record = certs::Certificate {
            site: self.site.to_string(),
            names: facts.names.clone(),
            chain: got.certificate.key.cert.iter().map(|der| der.to_vec()).collect(),
            origin: Origin::Acme,
            directory: Some(self.acme.directory.url.clone()),
            profile: self.acme.profile.clone(),
            not_before_s: facts.not_before_s,
            not_after_s: facts.not_after_s,
            stored_at_s: now_s,
            jitter: tools.random(),
            ari: None,
        };
        let mut history = History {
            site: self.site.to_string(),
            challenge: self.history.challenge.clone(),
            last_success_at_s: Some(now_s),
            ..History::default()
        };
        if let Some(failures) = self.too_soon(now_s, &record) {
            history.failures = failures;
            let at_s = core::try_again_at_s(now_s, failures, tools.random(), None, None);
            history.not_before_s = Some(at_s);
            history.under = Some(self.under.clone());
            history.last_failure = (failures > 1 || self.due_at_once(now_s, &record)).then(|| Failure {
                at_s: now_s,
                kind: None,
                detail: format!(
                    "the certificate of {} to {} was due for renewal as soon as it was issued",
                    rfc3339(record.not_before_s),
                    rfc3339(record.not_after_s)
                ),
                status: None,
                likely: format!(
                    "the clock of this machine or of the CA is wrong; this machine says it is {}",
                    rfc3339(now_s)
                ),
                next: "set the clock (`timedatectl`); if it is right, ask the CA".into(),
                early: false,
            });
        }
        Ended::Issued { got: Box::new(got), record: Box::new(record), history }
    }

    /// A certificate that is due when it is issued, or that replaces one that was got just before by itself, must not
    /// start a loop: it counts as a failure for the backoff. Returns the number of them in a row.
    fn too_soon(&self, now_s: i64, record: &certs::Certificate) -> Option<u32> {
        let replaced_young = !self.forced
            && self.held.as_ref().is_some_and(|held| {
                held.is_young(now_s)
                    && held.uncovered.is_none()
                    && !held.other_ca
                    && !held.self_signed
            });
        (replaced_young || self.due_at_once(now_s, record))
            .then(|| self.history.failures.saturating_add(1))
    }

    fn due_at_once(&self, now_s: i64, record: &certs::Certificate) -> bool {
        let held = Held {
            not_before_s: record.not_before_s,
            not_after_s: record.not_after_s,
            stored_at_s: now_s,
            jitter: record.jitter,
            ari: None,
            uncovered: None,
            other_ca: false,
            imported: false,
            self_signed: false,
        };
        core::plan(now_s, Some(&held), &History::default()).at_s <= now_s
    }

    /// The attempt has panicked: the panic itself is in the log, with its place.
    pub(super) async fn stumbled(self, tools: &Tools) -> Ended {
        let again = self.unfinished.as_ref().is_some_and(|order| order.url.is_some());
        let detail = "palisade stumbled over an answer of the CA";
        self.failed(tools, Trouble::new(What::Defect { again }, Class::Defect, detail)).await
    }

    async fn failed(self, tools: &Tools, trouble: Trouble) -> Ended {
        let now_s = tools.now_s();
        let advice = self.explain(tools, &trouble, now_s).await;
        // Somebody wanted to know; the renewal stays as planned, and nothing is amiss.
        let early = self.forced && !core::is_due(now_s, self.held.as_ref());
        let failures = self.history.failures.saturating_add(1);
        // What costs the CA nothing is tried again sooner: it may be repaired at any time.
        let step = match trouble.class {
            Class::State | Class::Config | Class::Clock => failures.min(2),
            Class::Network => failures.min(3),
            Class::Ca | Class::Validation | Class::RateLimited | Class::Defect => failures,
        };
        let expires_s = self.held.as_ref().map(|held| held.not_after_s);
        let at_s =
            core::try_again_at_s(now_s, step, tools.random(), trouble.retry_after_s, expires_s);
        let told_s = match trouble.retry_after_s {
            Some(wait_s) => Some(now_s.saturating_add(i64::try_from(wait_s).unwrap_or(i64::MAX))),
            None => (trouble.class == Class::RateLimited).then_some(at_s),
        };
        let told = told_s.map(|until_s| Wait {
            directory: self.acme.directory.url.clone(),
            until_s: until_s.min(at_s),
        });
        let (failures, not_before_s) = match (early, told_s) {
            (false, _) => (failures, Some(at_s)),
            (true, Some(_)) => (self.history.failures, Some(at_s)),
            (true, None) => (self.history.failures, self.history.not_before_s),
        };
        let history = History {
            failures,
            not_before_s,
            under: Some(self.under.clone()),
            told_to_wait: told,
            rehearsed: false,
            last_failure: Some(Failure {
                at_s: now_s,
                kind: trouble.kind.clone(),
                detail: trouble.detail.clone(),
                status: trouble.status,
                likely: advice.likely,
                next: advice.next,
                early,
            }),
            ..self.history
        };
        Ended::Failed { trouble: Box::new(trouble), history }
    }

    async fn explain(&self, tools: &Tools, trouble: &Trouble, now_s: i64) -> Advice {
        let dns = match trouble.class {
            Class::Validation => {
                let name = trouble.name.as_ref().unwrap_or(&self.site);
                facts::dns(&*tools.parts.resolver, name, trouble).await
            }
            _ => Dns::Unknown,
        };
        cause::explain(
            trouble,
            &Facts {
                site: &self.site,
                dns,
                directory_name: &self.acme.directory.name,
                directory_url: &self.acme.directory.url,
                challenges: &self.acme.challenges,
                has_ca_file: self.acme.ca_file.is_some(),
                has_eab: self.acme.eab.is_some(),
                now_s,
            },
        )
    }
}

/// Whether the staging CA's refusal is about this site, so that the real CA would say the same.
fn tells_of_us(trouble: &Trouble) -> bool {
    trouble.class == Class::Validation
        || matches!(trouble.what, What::State | What::Wildcard | What::CaFile)
        || matches!(
            trouble.short_kind(),
            Some("caa" | "rejectedIdentifier" | "unsupportedIdentifier" | "badCSR")
        )
}

/// What worked last first, then in the configured order.
fn preferred(configured: &[ChallengeKind], worked: Option<&str>) -> Vec<ChallengeKind> {
    let mut order = configured.to_vec();
    order.sort_by_key(|kind| Some(kind.word()) != worked);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_last_is_tried_first() {
        use ChallengeKind::{Http01, TlsAlpn01};
        let both = [TlsAlpn01, Http01];
        assert_eq!(preferred(&both, None), [TlsAlpn01, Http01]);
        assert_eq!(preferred(&both, Some("http-01")), [Http01, TlsAlpn01]);
        assert_eq!(preferred(&both, Some("tls-alpn-01")), [TlsAlpn01, Http01]);
        assert_eq!(preferred(&[TlsAlpn01], Some("http-01")), [TlsAlpn01]);
    }
}
