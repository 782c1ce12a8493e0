//! An attempt while it runs: started, watched, and taken off the site when it has ended.

use std::sync::Arc;

use super::attempt::{Ended, Task};
use super::manager::Manager;
use crate::base::Host;
use crate::ops::api::Problem;

impl Manager {
    /// Marks a site as being worked on.
    pub(super) fn begin(&self, site: &Host) -> Option<Task> {
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
            history: known.history.clone(),
            under: known.under.clone(),
            held: known.held(&acme.directory.url),
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
        let site = task.site.clone();
        at_work.answer = Some(match Box::pin(task.run(&self.tools, say)).await {
            Ended::Issued { got, record, history } => {
                self.issued(&site, *got, *record, history).await;
                Ok(())
            }
            Ended::Failed { trouble, history } => Err(self.failed(&site, *trouble, history).await),
        });
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
