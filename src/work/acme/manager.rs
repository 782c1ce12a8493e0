//! The manager: what the daemon talks to, and the loop that keeps certificates fresh.
//!
//! The lock over the sites is never held across a wait. Everything slow runs in tasks of the loop; when it is stopped
//! they are dropped, which is as safe as a crash, since each step of an order is stored before it is taken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::gate::Gate;
use super::order::Tools;
use super::pace::{self, Placed};
use super::sites::{Site, Sites};
use super::{Outlook, Parts, Totals, Wanted, core, issued, load};
use crate::base::Host;
use crate::base::audit::By;
use crate::base::timestamp::rfc3339;
use crate::ops::api::{CertificateFailure, Problem, Renewal};
use crate::store::certs::{self, History, Origin};
use crate::telemetry::Level;
use crate::work::certs::Certificate;

/// The plan is looked at this often even if nothing happens: somebody may set the clock.
const LOOK: Duration = Duration::from_secs(60);

/// Keeps the certificates of all sites that ask for it.
pub struct Manager {
    pub(super) tools: Tools,
    sites: Mutex<Sites>,
    pub(super) totals: Mutex<Totals>,
    pub(super) nudge: Notify,
    /// Held while something is stored and then served, so that the last one stored is the one that is served.
    pub(super) storing: tokio::sync::Mutex<()>,
}

impl Manager {
    /// Reads what is stored. A record that cannot be read is logged and its site reported, and the others go on.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn open(parts: Parts, wanted: Wanted) -> Result<Arc<Self>, crate::store::StoreError> {
        let placed = parts.store.orders_placed(&wanted.acme.directory.url)?;
        let now = parts.clock.now();
        let mut tools = Tools {
            parts,
            gate: Gate::new(0, now),
            accounts: tokio::sync::Mutex::default(),
            warning: Mutex::default(),
        };
        let since_s = tools.now_s() - pace::WINDOW_S;
        tools.gate = Gate::new(placed.iter().filter(|at| **at > since_s).count(), now);
        let sites = load::load(&tools, wanted)?;
        Ok(Arc::new(Self {
            tools,
            sites: Mutex::new(sites),
            totals: Mutex::default(),
            nudge: Notify::new(),
            storing: tokio::sync::Mutex::default(),
        }))
    }

    /// Takes a new configuration: new names are ordered, names that are gone are left alone in the store. An attempt
    /// for a site that is `imported` now ends here; one for a site that is gone goes on.
    pub fn configure(&self, wanted: Wanted) {
        *self.tools.warning.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let digest = wanted.digest();
        self.sites().configure(wanted, &digest);
        self.nudge.notify_one();
    }

    /// Orders and renews until `stop`. Not before the process accepts connections.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        for site in self.sites().known.values_mut() {
            // A life that was cut short may have left this in its hands.
            if let Some(unsaved) = &mut site.unsaved {
                unsaved.retry_at_s = i64::MIN;
            }
        }
        let mut tasks = JoinSet::new();
        let mut asking = JoinSet::new();
        let mut starts_s = VecDeque::new();
        let store = &self.tools.parts.store;
        loop {
            let wait = self.start_what_is_due(&mut tasks, &mut starts_s);
            if asking.is_empty() {
                let ask = self.windows_to_ask();
                if !ask.is_empty() {
                    asking.spawn(Arc::clone(&self).ask_windows(ask));
                }
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = self.nudge.notified() => {}
                () = store.recovered() => self.sites().state_is_back(self.tools.now_s()),
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                Some(_) = asking.join_next(), if !asking.is_empty() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// The stored certificate of a site, if there is one (it may have expired, or cover fewer names than wanted).
    #[must_use]
    pub fn certificate(&self, site: &Host) -> Option<Certificate> {
        let mut certificate = self.sites().known.get(site)?.served.clone()?;
        let warning = self.tools.warning.lock().unwrap_or_else(PoisonError::into_inner).clone();
        certificate.warnings.extend(warning);
        Some(certificate)
    }

    /// When a site's next certificate is fetched, why the last attempt failed, and what is being done.
    #[must_use]
    pub fn outlook(&self, site: &Host) -> Outlook {
        let now_s = self.tools.now_s();
        let sites = self.sites();
        let Some(known) = sites.known.get(site) else { return Outlook::default() };
        let directory = &sites.wanted.acme.directory.url;
        let (plan, history) = (known.plan(now_s, directory), known.relevant(now_s, directory));
        let renewal = plan.as_ref().map(|plan| Renewal {
            at: rfc3339(plan.at_s),
            in_s: plan.at_s.saturating_sub(now_s),
            why: plan.why.clone(),
        });
        let retry_in_s = plan.map(|plan| plan.at_s.saturating_sub(now_s));
        let failure = match &known.unreadable {
            Some(why) => Some(CertificateFailure {
                at: rfc3339(now_s),
                attempts: known.history.failures,
                kind: None,
                detail: why.clone(),
                likely: "the state is damaged, or was written under another master key".into(),
                next: load::next(site.as_str()),
                retry_in_s: None,
                early: false,
            }),
            None => core::failure(now_s, &history).map(|failure| CertificateFailure {
                at: rfc3339(failure.at_s),
                attempts: history.failures.max(1),
                kind: failure.kind.clone(),
                detail: failure.detail.clone(),
                likely: failure.likely.clone(),
                next: failure.next.clone(),
                retry_in_s,
                early: failure.early,
            }),
        };
        let imported = known.stored.as_ref().is_some_and(|it| it.origin == Origin::Imported);
        Outlook { renewal, failure, activity: known.activity.clone(), imported }
    }

    /// Attempts a site now on behalf of `by`, whatever the plan says, and returns when the attempt has ended. Joins one
    /// that is on its way.
    ///
    /// # Errors
    /// 404: no such site, or not managed here. 409: `order = false`, import instead. 502: the
    /// attempt failed, with the CA's words, the likely cause and the next step in `detail`.
    pub async fn renew(&self, site: &Host, by: By) -> Result<(), Problem> {
        let ended = {
            let mut sites = self.sites();
            let known = managed(&mut sites, site)?;
            if !known.ordered() {
                let detail = format!(
                    "palisade orders nothing for it: `palisade cert import {site}` brings the next one"
                );
                return Err(Problem::new(409, format!("{site} has tls = \"imported\""), detail));
            }
            // One that is on its way already answers everybody who has asked until it ends.
            let (tell, ended) = oneshot::channel();
            known.asked_for.push(tell);
            known.asked_by.get_or_insert(by);
            ended
        };
        self.nudge.notify_one();
        ended.await.unwrap_or_else(|_| {
            Err(Problem::new(503, "the attempt was cut short", "palisade is stopping; try again"))
        })
    }

    /// Takes a certificate and key made elsewhere, checks them as files are checked, stores and serves them. An attempt
    /// that is under way ends; its order is kept for the next one.
    ///
    /// # Errors
    /// 404 as above; 422: the pair cannot be used, with the reason; 503: the state cannot be written.
    pub async fn import(
        &self,
        site: &Host,
        cert_pem: &[u8],
        key_pem: &[u8],
        by: By,
    ) -> Result<Certificate, Problem> {
        let names = {
            let mut sites = self.sites();
            let wanted = managed(&mut sites, site)?.wanted.as_ref();
            wanted.map(|wanted| wanted.names.clone()).unwrap_or_default()
        };
        let now_s = self.tools.now_s();
        let refused = |why: String| {
            Problem::new(422, format!("the certificate for {site} cannot be used"), why)
        };
        let key = issued::der_of_pem(key_pem).map_err(refused)?;
        // It must cover the site; that it misses a name of `also` is a warning, as with files.
        let mut certificate =
            issued::check(cert_pem, &key, std::slice::from_ref(site), now_s).map_err(refused)?;
        let missing = names.iter().filter(|name| !certificate.facts.covers(name));
        certificate.warnings = missing
            .map(|name| {
                format!(
                    "the imported certificate does not cover {name}: browsers will refuse that name"
                )
            })
            .collect();
        let facts = &certificate.facts;
        let record = certs::Certificate {
            site: site.to_string(),
            names: facts.names.clone(),
            chain: certificate.key.cert.iter().map(|der| der.to_vec()).collect(),
            origin: Origin::Imported,
            directory: None,
            profile: None,
            not_before_s: facts.not_before_s,
            not_after_s: facts.not_after_s,
            stored_at_s: now_s,
            jitter: self.tools.random(),
            ari: None,
        };
        let _storing = self.storing.lock().await;
        let challenge = managed(&mut self.sites(), site)?.history.challenge.clone();
        let history = History {
            site: site.to_string(),
            challenge,
            last_success_at_s: Some(now_s),
            ..History::default()
        };
        let intent = self.intent(site, Some(by), &record);
        self.store(&record, &key, &history, intent).await.map_err(|trouble| {
            let detail = format!("{}; nothing was changed", trouble.detail);
            Problem::new(503, "the state cannot be written", detail)
        })?;
        self.serve(site, certificate.clone(), record, history, None);
        // What an attempt under way would bring is older than this.
        if let Some(known) = self.sites().known.get_mut(site) {
            known.supersede();
        }
        self.tools.parts.log.event(Level::Info, "certificate_imported", |line| {
            line.text("site", site.as_str())
                .text("not_after", &rfc3339(certificate.facts.not_after_s));
        });
        Ok(certificate)
    }

    /// Attempts since start.
    #[must_use]
    pub fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts attempts for the sites whose turn it is; returns how long to wait until the next look.
    fn start_what_is_due(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        starts_s: &mut VecDeque<i64>,
    ) -> Duration {
        let now_s = self.tools.now_s();
        starts_s.retain(|at| (now_s - pace::WINDOW_S..=now_s).contains(at));
        let (choice, unsaved) = {
            let mut sites = self.sites();
            let unsaved = sites.take_unsaved(now_s);
            let directory = &sites.wanted.acme.directory.url;
            // A state that cannot be read cannot be written either; the attempt will say so.
            let at_ca_s = self.tools.parts.store.orders_placed(directory).unwrap_or_default();
            let placed = Placed {
                at_work: sites.known.values().filter(|site| site.at_work).count(),
                recent_s: starts_s.make_contiguous(),
                at_ca_s: &at_ca_s,
                allowance: pace::allowance(directory),
            };
            (pace::choose(now_s, &sites.candidates(now_s), placed), unsaved)
        };
        for (site, unsaved) in unsaved {
            tasks.spawn(Arc::clone(self).save_again(site, unsaved));
        }
        for site in choice.start {
            if let Some(task) = self.begin(&site) {
                starts_s.push_back(now_s);
                tasks.spawn(Arc::clone(self).attempt(task));
            }
        }
        let next = choice.look_again_s.map(|at| at.saturating_sub(now_s).max(1));
        next.and_then(|s| u64::try_from(s).ok()).map_or(LOOK, Duration::from_secs).min(LOOK)
    }
}

fn managed<'a>(sites: &'a mut Sites, site: &Host) -> Result<&'a mut Site, Problem> {
    sites.known.get_mut(site).filter(|known| known.wanted.is_some()).ok_or_else(|| {
        let detail = "only sites with tls = \"acme\" or \"imported\" have certificates kept by palisade: `palisade cert list` names them";
        Problem::new(404, format!("no certificate of {site} is managed here"), detail)
    })
}

#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
