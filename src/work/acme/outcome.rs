//! What becomes of an attempt: stored and served, or written down and explained.

use std::sync::{Arc, PoisonError};

use super::attempt::Start;
use super::core;
use super::manager::Manager;
use super::order::{Got, seal};
use super::problem::{Class, Trouble};
use super::sites::{Site, Unsaved, given_up};
use crate::base::Host;
use crate::base::audit::Intent;
use crate::base::timestamp::rfc3339;
use crate::ops::api::Problem;
use crate::store::Health;
use crate::store::certs::{self, Failure, History, Leaf, Origin};
use crate::store::sealed::CERTIFICATE_KEYS;
use crate::telemetry::Level;
use crate::work::certs::Certificate;

/// Between attempts to store what is only in memory.
const SAVE_AGAIN_S: i64 = 60;

impl Manager {
    /// Stores and serves what was got. If it cannot be stored it is served all the same, and stored later.
    ///
    /// # Errors
    /// Nobody wants it any more.
    pub(super) async fn issued(
        &self,
        site: &Host,
        start: Start,
        got: Got,
        record: certs::Certificate,
        history: History,
    ) -> Result<(), Problem> {
        let _storing = self.storing.lock().await;
        if !self.stands(site, &start) {
            return Err(self.give_up(site).await);
        }
        let by = self.sites().known.get(site).and_then(|known| known.asked_by.clone());
        let intent = self.intent(site, by, &record);
        let told = intent.clone();
        let stored = match self.store_over(&start.over, &record, &got.key, &history, told).await {
            Ok(true) => Ok(()),
            Ok(false) => return Err(self.give_up(site).await),
            Err(trouble) => Err(trouble),
        };
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
                over: start.over,
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
        Ok(())
    }

    /// Whether what an attempt has brought is still wanted.
    pub(super) fn stands(&self, site: &Host, start: &Start) -> bool {
        self.sites().known.get(site).is_some_and(|known| known.epoch == start.epoch)
    }

    /// An attempt that was ended, or whose outcome was dropped. Its order is kept where it may be gone on with.
    pub(super) async fn give_up(&self, site: &Host) -> Problem {
        let ordered = self.sites().known.get(site).is_some_and(Site::ordered);
        if !ordered {
            let _ = self.tools.parts.store.drop_order(site.as_str()).await; // kept at the worst
        }
        self.read_order(site);
        self.tools.parts.log.event(Level::Info, "certificate_attempt_given_up", |line| {
            let why = if ordered {
                "a certificate was imported meanwhile"
            } else {
                "the configuration orders none any more"
            };
            line.text("site", site.as_str()).text("why", why);
        });
        given_up(site)
    }

    /// Takes a site's order as the state has it: what an attempt has stored of it, however it ended.
    fn read_order(&self, site: &Host) {
        let orders = self.tools.parts.store.readable_orders();
        let orders = orders.map(|(orders, _)| orders).unwrap_or_default();
        let mut sites = self.sites();
        match orders.into_iter().find(|order| order.site == site.as_str()) {
            Some(order) => sites.orders.insert(site.clone(), order),
            None => sites.orders.remove(site),
        };
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

    /// As [`Manager::store`], unless another certificate was stored since the attempt began: false then.
    async fn store_over(
        &self,
        over: &Leaf,
        record: &certs::Certificate,
        key: &zeroize::Zeroizing<Vec<u8>>,
        history: &History,
        intent: Intent,
    ) -> Result<bool, Trouble> {
        let sealed = seal(&self.tools, CERTIFICATE_KEYS, &record.site, key.clone()).await?;
        let (over, record, history) = (over.clone(), record.clone(), history.clone());
        let store = &self.tools.parts.store;
        Ok(store.replace_certificate(over, record, sealed, history, intent).await?)
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
        let _storing = self.storing.lock().await;
        // Something newer may have come in between.
        let newest =
            |known: &Site| known.unsaved.as_ref().is_some_and(|now| now.record == unsaved.record);
        if !self.sites().known.get(&site).is_some_and(newest) {
            return;
        }
        let Unsaved { record, key, history, over, intent, .. } = &unsaved;
        let stored = self.store_over(over, record, key, history, intent.clone()).await;
        let mut sites = self.sites();
        let Some(known) = sites.known.get_mut(&site) else { return };
        match stored {
            Ok(true) => {
                known.unsaved = None;
                known.history = unsaved.history;
                sites.orders.remove(&site);
                drop(sites);
                self.tools.parts.log.event(Level::Info, "certificate_stored", |line| {
                    line.text("site", site.as_str());
                });
            }
            Ok(false) => known.unsaved = None,
            Err(_) => {
                let retry_at_s = self.tools.now_s() + SAVE_AGAIN_S;
                known.unsaved = Some(Unsaved { retry_at_s, ..unsaved });
            }
        }
    }

    pub(super) async fn failed(
        &self,
        site: &Host,
        start: Start,
        trouble: Trouble,
        history: History,
    ) -> Problem {
        let _storing = self.storing.lock().await;
        if !self.stands(site, &start) {
            return self.give_up(site).await;
        }
        let ends_order = !trouble.leaves_order();
        let store = &self.tools.parts.store;
        // If it was not written, it is in memory at least; the state's own trouble is reported by the state.
        if let Ok(false) = store.conclude(start.over, ends_order, history.clone()).await {
            return self.give_up(site).await;
        }
        self.read_order(site);
        self.count_failure(trouble.class);
        self.report(site, &trouble, history)
    }

    /// Tells the log, and whoever waits; and remembers it.
    fn report(&self, site: &Host, trouble: &Trouble, history: History) -> Problem {
        let failure = history.last_failure.clone();
        let (likely, next) = failure.map(|f| (f.likely, f.next)).unwrap_or_default();
        let attempt = history.failures.max(1);
        let retry_in_s = self.remember_failure(site, trouble, history);
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

    /// Keeps what happened in memory; returns how long the next attempt waits, as `outlook` will say.
    fn remember_failure(&self, site: &Host, trouble: &Trouble, history: History) -> i64 {
        let now_s = self.tools.now_s();
        let mut sites = self.sites();
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
