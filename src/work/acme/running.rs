//! An attempt while it runs: started, watched, and taken off the site when it has ended.
//!
//! Promises: what an attempt brings is dropped if a certificate was imported meanwhile, or if nobody wants one any more;
//! an attempt that panics counts as one that failed, with its wait; it is not
//! started again at once.

use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::attempt::{Ended, Start, Task};
use super::core;
use super::manager::Manager;
use crate::base::Host;
use crate::ops::api::Problem;
use crate::store::certs::History;

impl Manager {
    /// Marks a site as being worked on.
    pub(super) fn begin(&self, site: &Host) -> Option<Task> {
        let over = self.tools.parts.store.leaf(site.as_str()).unwrap_or_default();
        let mut sites = self.sites();
        let (acme, eab_hmac) = (sites.wanted.acme.clone(), sites.wanted.eab_hmac.clone());
        let unfinished = sites.orders.get(site).cloned();
        let known = sites.known.get_mut(site)?;
        let names = known.wanted.as_ref()?.names.clone();
        known.at_work = true;
        known.activity = Some("starting an order".into());
        Some(Task {
            site: site.clone(),
            names,
            history: History {
                failures: if known.is_outdated() { 0 } else { known.history.failures },
                ..known.history.clone()
            },
            under: known.under.clone(),
            held: known.held(&acme.directory.url),
            start: Start { epoch: known.epoch, over },
            replaces: known.replaceable(&acme.directory.url),
            unfinished,
            forced: !known.asked_for.is_empty(),
            acme,
            eab_hmac,
        })
    }

    pub(super) async fn attempt(self: Arc<Self>, task: Task) {
        let mut at_work =
            AtWork { manager: Arc::clone(&self), site: task.site.clone(), answer: None };
        let (manager, site) = (Arc::downgrade(&self), task.site.clone());
        let say = move |what: &str| {
            if let Some(manager) = manager.upgrade()
                && let Some(known) = manager.sites().known.get_mut(&site)
            {
                known.activity = Some(what.to_owned());
            }
        };
        let (site, start) = (task.site.clone(), task.start.clone());
        let ended = match self.run_apart(task.clone(), say).await {
            Ok(ended) => Some(ended),
            Err(cut) if cut.is_panic() => Some(task.stumbled(&self.tools).await),
            Err(_) => None,
        };
        at_work.answer = Some(match ended {
            Some(Ended::Issued { got, record, history }) => {
                self.issued(&site, start, *got, *record, history).await
            }
            Some(Ended::Failed { trouble, history }) => {
                Err(self.failed(&site, start, *trouble, history).await)
            }
            None if self.stands(&site, &start) => return, // a stop
            None => Err(self.give_up(&site).await),
        });
    }

    /// In a task of its own: a panic in what the CA's answers are put through must not end what watches it. Ends with
    /// the future that waits for it.
    async fn run_apart(
        self: &Arc<Self>,
        task: Task,
        say: impl Fn(&str) + Clone + Send + Sync + 'static,
    ) -> Result<Ended, JoinError> {
        let (manager, site, epoch) = (Arc::clone(self), task.site.clone(), task.start.epoch);
        let mut running = JoinSet::new();
        let handle = running.spawn(async move { Box::pin(task.run(&manager.tools, say)).await });
        match self.sites().known.get_mut(&site) {
            Some(known) if known.epoch == epoch => known.running = Some(handle),
            _ => handle.abort(),
        }
        match running.join_next().await {
            Some(outcome) => outcome,
            None => std::future::pending().await, // one was spawned
        }
    }
}

/// Says that a site is not being worked on any more, however the attempt ended.
struct AtWork {
    manager: Arc<Manager>,
    site: Host,
    answer: Option<Result<(), Problem>>,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let asked_for = {
            let mut sites = self.manager.sites();
            let Some(known) = sites.known.get_mut(&self.site) else { return };
            known.at_work = false;
            known.activity = None;
            known.asked_by = None;
            known.running = None;
            if self.answer.is_none() {
                // Ended without an outcome, which is a stop or a defect: it must not start again at once.
                known.history.failures = known.history.failures.saturating_add(1);
                let (now_s, failures) = (self.manager.tools.now_s(), known.history.failures);
                let at_s = core::try_again_at_s(now_s, failures, 0, None, None);
                known.history.not_before_s = Some(at_s);
            }
            std::mem::take(&mut known.asked_for)
        };
        for waiting in asked_for {
            if let Some(answer) = &self.answer {
                let _ = waiting.send(answer.clone()); // it may have gone
            }
        }
        self.manager.nudge.notify_one();
    }
}
