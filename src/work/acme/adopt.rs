//! A site that goes by another of its names now keeps its certificate.
//!
//! Promises: nothing is taken from a site that is still configured, and the record it came from stays as it is; what
//! is adopted covers every wanted name and has not expired. It is served at once and sealed anew under the new name,
//! since what seals a key binds the row that it lies in.

use std::collections::BTreeSet;

use super::Wanted;
use super::manager::Manager;
use super::order::{Tools, unseal};
use super::record::facts;
use super::sites::{Site, Sites, Unsaved};
use crate::base::Host;
use crate::base::audit::{By, Intent, Source, action};
use crate::base::timestamp::rfc3339;
use crate::store::certs::{self, History};
use crate::store::sealed::CERTIFICATE_KEYS;
use crate::telemetry::Level;

impl Manager {
    /// Finds certificates for new sites among those of sites that `wanted` has no more. Before its certificates are
    /// asked for.
    pub fn adopt(&self, wanted: &Wanted) {
        adopt(&self.tools, &mut self.sites(), wanted);
        self.nudge.notify_one();
    }
}

pub(super) fn adopt(tools: &Tools, sites: &mut Sites, wanted: &Wanted) {
    let now_s = tools.now_s();
    let configured: BTreeSet<&Host> =
        wanted.sites.iter().filter_map(|site| site.names.first()).collect();
    for new in &wanted.sites {
        let Some(site) = new.names.first() else { continue };
        let own = sites.known.get(site);
        if own.is_some_and(|own| own.unreadable.is_some() || fits(own, &new.names, now_s)) {
            continue;
        }
        let left = sites
            .known
            .iter()
            .filter(|(name, old)| !configured.contains(name) && fits(old, &new.names, now_s));
        let newest = left.max_by_key(|(_, old)| old.stored.as_ref().map(|it| it.not_after_s));
        let Some((from, old)) = newest.map(|(name, old)| (name.clone(), old)) else { continue };
        let Some((unsaved, served)) = copy(tools, site, &from, old) else { continue };
        tools.parts.log.event(Level::Info, "certificate_adopted", |line| {
            line.text("site", site.as_str())
                .text("from", from.as_str())
                .text("not_after", &rfc3339(unsaved.record.not_after_s));
        });
        let known = sites.known.entry(site.clone()).or_default();
        known.served = Some(served);
        known.stored = Some(unsaved.record.clone());
        known.history = unsaved.history.clone();
        known.unsaved = Some(unsaved);
    }
}

/// Whether what is kept for a site can be served under all of `names`.
fn fits(site: &Site, names: &[Host], now_s: i64) -> bool {
    let (Some(stored), Some(served)) = (&site.stored, &site.served) else { return false };
    stored.not_after_s > now_s && names.iter().all(|name| served.facts.covers(name))
}

/// The certificate of `from` as one of `site`, to be stored as any that could not be stored yet.
fn copy(
    tools: &Tools,
    site: &Host,
    from: &Host,
    old: &Site,
) -> Option<(Unsaved, crate::work::certs::Certificate)> {
    let (stored, served) = (old.stored.clone()?, old.served.clone()?);
    let key = match &old.unsaved {
        Some(unsaved) => unsaved.key.clone(),
        // What cannot be opened is ordered anew; the record stays.
        None => unseal(tools, CERTIFICATE_KEYS, from.as_str()).ok().flatten()?,
    };
    let history = History {
        site: site.to_string(),
        challenge: old.history.challenge.clone(),
        last_success_at_s: old.history.last_success_at_s,
        ..History::default()
    };
    let record = certs::Certificate { site: site.to_string(), ..stored };
    let at_ms = tools.now_s().saturating_mul(1000);
    let intent = Intent::new(at_ms, By::system(Source::Acme), action::CERTIFICATE_ADOPT)
        .on(site.as_str())
        .before("site", from.as_str());
    let intent = Intent { after: facts(&record), ..intent };
    let over = tools.parts.store.leaf(site.as_str()).ok()?;
    Some((Unsaved { record, key, history, intent, over, retry_at_s: i64::MIN }, served))
}
