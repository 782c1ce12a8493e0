//! What becomes of an attempt: stored and served, or written down and explained.

use std::sync::{Arc, PoisonError};

use super::core;
use super::manager::Manager;
use super::order::{Got, seal};
use super::problem::{Class, Trouble};
use super::sites::Unsaved;
use crate::base::Host;
use crate::base::audit::Intent;
use crate::base::timestamp::rfc3339;
use crate::ops::api::Problem;
use crate::store::Health;
use crate::store::certs::{self, Failure, History, Origin};
use crate::store::sealed::CERTIFICATE_KEYS;
use crate::telemetry::Level;
use crate::work::certs::Certificate;

/// Between attempts to store what is only in memory.
const SAVE_AGAIN_S: i64 = 60;

impl Manager {
    /// Stores and serves what was got. If it cannot be stored it is served all the same, and stored later.
    pub(super) async fn issued(
        &self,
        site: &Host,
        got: Got,
        record: certs::Certificate,
        history: History,
    ) {
        let by = self.sites().known.get(site).and_then(|known| known.asked_by.clone());
        let intent = self.intent(site, by, &record);
        let stored = self.store(&record, &got.key, &history, intent.clone()).await;
        let (mut history, mut unsaved) = (history, None);
        if let Err(trouble) = stored {
            self.count_failure(Class::State);
            self.tools.parts.log.event(Level::Error, "certificate_not_stored", |line| {
                line.text("site", site.as_str())
                    .text("why", &trouble.detail)
                    .text("next", "free space or repair the state; it is served from memory and stored when that works");
            });
            unsaved = Some(Unsaved {
                record: record.clone(),
                key: got.key.clone(),
                history: history.clone(),
                intent,
                retry_at_s: self.tools.now_s() + SAVE_AGAIN_S,
            });
            history.last_failure = Some(not_stored(&trouble, self.tools.now_s()));
        }
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).issued += 1;
        self.tools.parts.log.event(Level::Info, "certificate_issued", |line| {
            line.text("site", site.as_str())
                .list("names", record.names.iter().map(String::as_str))
                .text("directory", record.directory.as_deref().unwrap_or_default())
                .text("not_after", &rfc3339(record.not_after_s));
            if let Some(challenge) = got.challenge {
                line.text("challenge", challenge.word());
            }
        });
        self.serve(site, got.certificate, record, history, unsaved);
    }

    pub(super) async fn store(
        &self,
        record: &certs::Certificate,
        key: &zeroize::Zeroizing<Vec<u8>>,
        history: &History,
        intent: Intent,
    ) -> Result<(), Trouble> {
        let sealed = seal(&self.tools, CERTIFICATE_KEYS, &record.site, key.clone()).await?;
        let store = &self.tools.parts.store;
        let (record, history) = (record.clone(), history.clone());
        Ok(store.put_certificate(record, sealed, history, Some(intent)).await?)
    }

    pub(super) fn serve(
        &self,
        site: &Host,
        certificate: Certificate,
        record: certs::Certificate,
        history: History,
        unsaved: Option<Unsaved>,
    ) {
        {
            let mut sites = self.sites();
            if record.origin == Origin::Acme && unsaved.is_none() {
                sites.orders.remove(site);
            }
            let known = sites.known.entry(site.clone()).or_default();
            known.served = Some(certificate);
            known.stored = Some(record);
            known.history = history;
            known.unsaved = unsaved;
            known.unreadable = None;
            known.window_pause_s = 0;
            known.waits_for_state = false;
        }
        (self.tools.parts.changed)(site.as_str());
        self.nudge.notify_one();
    }

    /// Writes down what was in memory only.
    pub(super) async fn save_again(self: Arc<Self>, site: Host, unsaved: Unsaved) {
        let Unsaved { record, key, history, intent, .. } = &unsaved;
        let stored = self.store(record, key, history, intent.clone()).await;
        let mut sites = self.sites();
        let Some(known) = sites.known.get_mut(&site) else { return };
        // Something newer may have come in between.
        if known.unsaved.as_ref().is_none_or(|now| now.record != unsaved.record) {
            return;
        }
        match stored {
            Ok(()) => {
                known.unsaved = None;
                known.history = unsaved.history;
                sites.orders.remove(&site);
                drop(sites);
                self.tools.parts.log.event(Level::Info, "certificate_stored", |line| {
                    line.text("site", site.as_str());
                });
            }
            Err(_) => {
                let retry_at_s = self.tools.now_s() + SAVE_AGAIN_S;
                known.unsaved = Some(Unsaved { retry_at_s, ..unsaved });
            }
        }
    }

    pub(super) async fn failed(&self, site: &Host, trouble: Trouble, history: History) -> Problem {
        self.count_failure(trouble.class);
        let history = self.beside_what_came_meanwhile(site, history);
        let store = &self.tools.parts.store;
        let written = if trouble.leaves_order() {
            store.put_history(history.clone()).await
        } else {
            store.end_order(site.as_str(), history.clone()).await
        };
        // If it was not written, it is in memory at least; the state's own trouble is reported by the state.
        let _ = written;
        let orders = store.readable_orders().map(|(orders, _)| orders).unwrap_or_default();
        let order = orders.into_iter().find(|order| order.site == site.as_str());
        let failure = history.last_failure.clone();
        let (likely, next) = failure.map(|f| (f.likely, f.next)).unwrap_or_default();
        let attempt = history.failures.max(1);
        let retry_in_s = self.remember_failure(site, &trouble, history, order);
        self.tools.parts.log.event(Level::Error, "certificate_failed", |line| {
            line.text("site", site.as_str())
                .number("attempt", u64::from(attempt))
                .text("class", trouble.class.word());
            match &trouble.kind {
                Some(kind) => line.text("kind", kind),
                None => line.null("kind"),
            };
            line.text("detail", &trouble.detail)
                .text("likely", &likely)
                .text("next", &next)
                .number("retry_in_s", retry_in_s.unsigned_abs());
        });
        let title = format!(
            "certificate for {site}: not issued (attempt {attempt}, next in {})",
            core::span(retry_in_s)
        );
        let says = match &trouble.kind {
            Some(kind) => format!("CA says: {kind} - {}", trouble.detail),
            None => format!("what happened: {}", trouble.detail),
        };
        Problem::new(502, title, format!("{says}\nlikely: {likely}\ntry: {next}"))
    }

    /// A certificate that was imported while the attempt ran makes its failure one that nobody has to mind.
    fn beside_what_came_meanwhile(&self, site: &Host, history: History) -> History {
        let sites = self.sites();
        let now = sites.known.get(site).map(|known| &known.history);
        let Some(now) = now.filter(|now| now.last_success_at_s != history.last_success_at_s) else {
            return history;
        };
        History {
            last_failure: history.last_failure.map(|failure| Failure { early: true, ..failure }),
            under: history.under,
            told_to_wait: history.told_to_wait,
            ..now.clone()
        }
    }

    /// Keeps what happened in memory; returns how long the next attempt waits, as `outlook` will say.
    fn remember_failure(
        &self,
        site: &Host,
        trouble: &Trouble,
        history: History,
        order: Option<certs::Order>,
    ) -> i64 {
        let now_s = self.tools.now_s();
        let mut sites = self.sites();
        match order {
            Some(order) => sites.orders.insert(site.clone(), order),
            None => sites.orders.remove(site),
        };
        let by_state = trouble.class == Class::State;
        if let Some(known) = sites.known.get_mut(site) {
            known.history = history;
            known.waits_for_state = by_state;
        }
        // It may have come back while this attempt was ending.
        if by_state && self.tools.parts.store.health() == Health::Writable {
            sites.state_is_back(now_s);
        }
        let directory = &sites.wanted.acme.directory.url;
        let plan = sites.known.get(site).and_then(|known| known.plan(now_s, directory));
        plan.map_or(0, |plan| plan.at_s.saturating_sub(now_s).max(0))
    }

    fn count_failure(&self, class: Class) {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        for (word, count) in &mut totals.failed {
            if *word == class.word() {
                *count += 1;
            }
        }
    }
}

fn not_stored(trouble: &Trouble, now_s: i64) -> Failure {
    Failure {
        at_s: now_s,
        kind: None,
        detail: format!("issued and served, but it could not be stored: {}", trouble.detail),
        status: None,
        likely: "the disk is full or failing".into(),
        next: "free space or repair the state directory; it is stored as soon as that works".into(),
        early: false,
    }
}
