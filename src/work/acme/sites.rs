//! What is known about each site, in memory: what is wanted, what is there, what happened.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use super::core::{self, Held, Plan};
use super::issued;
use super::pace::Candidate;
use super::{Wanted, WantedSite};
use crate::base::audit::{By, Intent};
use crate::base::{Host, hex};
use crate::ops::api::Problem;
use crate::store::certs::{self, Failure, History, Leaf, Origin};
use crate::work::certs::Certificate;

/// Instead of the time of the next try, while one is under way.
const SAVING: i64 = i64::MAX;
/// A state that comes and goes must not make an attempt each time.
const STATE_BACK_EVERY_S: i64 = 60;

/// Everything behind the manager's lock.
pub(super) struct Sites {
    pub(super) wanted: Wanted,
    pub(super) known: BTreeMap<Host, Site>,
    /// Orders that have not ended, by site.
    pub(super) orders: HashMap<Host, certs::Order>,
    /// Directories that are not asked about renewal windows before a time.
    pub(super) windows_pause_s: HashMap<String, i64>,
    /// When the state last became writable again.
    pub(super) state_back_s: i64,
}

/// One site, wanted or not.
#[derive(Default)]
pub(super) struct Site {
    /// `None` for a site that is configured no more: its certificate is left alone.
    pub(super) wanted: Option<WantedSite>,
    pub(super) stored: Option<certs::Certificate>,
    pub(super) served: Option<Certificate>,
    pub(super) history: History,
    /// Names the configuration that holds for it now, as `history.under` does.
    pub(super) under: String,
    /// A record that cannot be read: nothing is ordered over it.
    pub(super) unreadable: Option<String>,
    /// Issued, served, and not yet on the disk.
    pub(super) unsaved: Option<Unsaved>,
    pub(super) activity: Option<String>,
    pub(super) at_work: bool,
    /// What an attempt must find again to store its outcome.
    pub(super) epoch: u64,
    /// The attempt that is under way.
    pub(super) running: Option<AbortHandle>,
    /// Its renewal window is not asked for before.
    pub(super) window_pause_s: i64,
    /// The last attempt failed because the state could not be written.
    pub(super) waits_for_state: bool,
    /// Those who wait for an attempt that they asked for.
    pub(super) asked_for: Vec<oneshot::Sender<Result<(), Problem>>>,
    /// Who asked first.
    pub(super) asked_by: Option<By>,
}

/// A certificate that could not be stored.
#[derive(Clone)]
pub(super) struct Unsaved {
    pub(super) record: certs::Certificate,
    pub(super) key: Zeroizing<Vec<u8>>,
    /// As it is to be once the certificate is stored.
    pub(super) history: History,
    /// What the audit log is told once it is stored.
    pub(super) intent: Intent,
    /// What it replaces in the state.
    pub(super) over: Leaf,
    pub(super) retry_at_s: i64,
}

impl Site {
    pub(super) fn ordered(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.order)
    }

    /// Whatever an attempt under way brings, it is not wanted any more.
    pub(super) fn supersede(&mut self) {
        self.epoch += 1;
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    /// What the planner looks at.
    pub(super) fn held(&self, directory_url: &str) -> Option<Held> {
        let (stored, served) = (self.stored.as_ref()?, self.served.as_ref()?);
        let wanted = self.wanted.as_ref();
        let uncovered = wanted.and_then(|wanted| {
            wanted.names.iter().find(|name| !served.facts.covers(name)).map(Host::to_string)
        });
        let by_acme = stored.origin == Origin::Acme;
        let leaf = stored.chain.first().filter(|_| !by_acme);
        Some(Held {
            not_before_s: stored.not_before_s,
            not_after_s: stored.not_after_s,
            stored_at_s: stored.stored_at_s,
            jitter: stored.jitter,
            ari: stored.ari.clone().filter(|_| by_acme),
            uncovered,
            other_ca: by_acme && stored.directory.as_deref() != Some(directory_url),
            imported: !by_acme,
            self_signed: leaf.is_some_and(|der| issued::is_self_signed(der)),
        })
    }

    /// When it is attempted next; `None` for what is never ordered.
    pub(super) fn plan(&self, now_s: i64, directory_url: &str) -> Option<Plan> {
        if !self.ordered() || self.unreadable.is_some() || self.unsaved.is_some() {
            return None;
        }
        let held = self.held(directory_url);
        Some(core::plan(now_s, held.as_ref(), &self.relevant(now_s, directory_url)))
    }

    /// Whether the last attempt was made under a configuration that is gone.
    pub(super) fn is_outdated(&self) -> bool {
        self.history.under.as_ref().is_some_and(|under| *under != self.under)
    }

    /// What of the history holds under the configuration of now. What failed may be repaired, so neither the wait nor
    /// the verdict stays; the limits of a CA no configuration repairs.
    pub(super) fn relevant(&self, now_s: i64, directory_url: &str) -> Cow<'_, History> {
        if !self.is_outdated() {
            return Cow::Borrowed(&self.history);
        }
        let told = self.history.told_to_wait.as_ref();
        let told = told.filter(|wait| wait.directory == directory_url && wait.until_s > now_s);
        let mut history = History {
            failures: 0,
            not_before_s: told.map(|wait| wait.until_s),
            ..self.history.clone()
        };
        history.last_failure = history.last_failure.filter(|_| told.is_some()).map(|failure| {
            let detail = format!("before [acme] or the names changed: {}", failure.detail);
            Failure { detail, ..failure }
        });
        Cow::Owned(history)
    }

    /// The certificate that an order would replace, if the CA at `directory_url` issued it.
    pub(super) fn replaceable(&self, directory_url: &str) -> Option<Vec<u8>> {
        let stored = self.stored.as_ref()?;
        let from_there = stored.directory.as_deref() == Some(directory_url);
        from_there.then(|| stored.chain.first().cloned()).flatten()
    }
}

/// For those who wait for an attempt that nobody wants any more.
pub(super) fn given_up(site: &Host) -> Problem {
    let detail = "a certificate was imported meanwhile, or the configuration orders none any more";
    Problem::new(409, format!("the order for {site} was given up"), detail)
}

/// Names a configuration as far as it concerns one site.
fn under(digest: &Sha256, names: &[Host]) -> String {
    let mut digest = digest.clone();
    for name in names {
        digest.update(name.as_str());
        digest.update([0]);
    }
    let mut text = [0; 16];
    hex::write(&mut text, &digest.finalize());
    String::from_utf8_lossy(&text).into_owned()
}

impl Sites {
    /// Sites that may be attempted, those that somebody asked for as if they were due.
    pub(super) fn candidates(&self, now_s: i64) -> Vec<Candidate<Host>> {
        let directory = &self.wanted.acme.directory.url;
        let of_site = |(name, site): (&Host, &Site)| {
            if site.at_work || !site.ordered() {
                return None;
            }
            let asked = !site.asked_for.is_empty();
            let due_s = if asked { now_s } else { site.plan(now_s, directory)?.at_s };
            let resumes = self.orders.get(name).is_some_and(|order| order.url.is_some());
            let window = site.stored.as_ref().is_some_and(|stored| stored.ari.is_some());
            let exempt = asked || resumes || (window && site.replaceable(directory).is_some());
            // Somebody waits for it: before everything else.
            let expires_s = if asked {
                Some(i64::MIN)
            } else {
                Some(site.stored.as_ref().map_or(now_s, |stored| stored.not_after_s))
            };
            Some(Candidate { site: name.clone(), due_s, expires_s, exempt })
        };
        self.known.iter().filter_map(of_site).collect()
    }

    /// What is only in memory and may be stored now.
    pub(super) fn take_unsaved(&mut self, now_s: i64) -> Vec<(Host, Unsaved)> {
        let mut found = Vec::new();
        for (name, site) in &mut self.known {
            // Further off than any pause: the clock was ahead when it was set.
            if let Some(unsaved) = &mut site.unsaved
                && !(now_s + 1..=now_s + core::DAY_S).contains(&unsaved.retry_at_s)
                && unsaved.retry_at_s != SAVING
            {
                unsaved.retry_at_s = SAVING;
                found.push((name.clone(), unsaved.clone()));
            }
        }
        found
    }

    /// The state can be written again: what waited for that alone waits no more.
    pub(super) fn state_is_back(&mut self, now_s: i64) {
        let again = (0..STATE_BACK_EVERY_S).contains(&now_s.saturating_sub(self.state_back_s));
        for site in self.known.values_mut() {
            if let Some(unsaved) = &mut site.unsaved
                && unsaved.retry_at_s != SAVING
            {
                unsaved.retry_at_s = i64::MIN;
            }
            if site.waits_for_state && !again {
                site.waits_for_state = false;
                site.history.not_before_s = None;
                self.state_back_s = now_s;
            }
        }
    }

    /// Takes a new configuration.
    pub(super) fn configure(&mut self, wanted: Wanted, digest: &Sha256) {
        let other_ca = self.wanted.acme != wanted.acme || self.wanted.eab_hmac != wanted.eab_hmac;
        for site in self.known.values_mut() {
            site.wanted = None;
        }
        for new in &wanted.sites {
            let Some(name) = new.names.first() else { continue };
            let site = self.known.entry(name.clone()).or_default();
            site.history.site = name.to_string();
            site.under = under(digest, &new.names);
            site.wanted = Some(new.clone());
        }
        for (name, site) in &mut self.known {
            // A site that is gone keeps what it is about to get: it may come back.
            if site.wanted.as_ref().is_none_or(|wanted| wanted.order) {
                continue;
            }
            site.supersede();
            if !site.at_work {
                for waiting in site.asked_for.drain(..) {
                    let _ = waiting.send(Err(given_up(name))); // it may have gone
                }
            }
        }
        if other_ca {
            self.windows_pause_s.clear();
        }
        self.wanted = wanted;
    }
}
