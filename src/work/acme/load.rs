//! What the state holds, read at the start.
//!
//! Promises: a record that cannot be read is reported and kept as it is; the others go on.

use std::collections::BTreeMap;

use rustls::pki_types::CertificateDer;

use super::Wanted;
use super::adopt::adopt;
use super::issued;
use super::order::Tools;
use super::sites::{Site, Sites};
use crate::base::Host;
use crate::store::StoreError;
use crate::store::certs;
use crate::store::sealed::CERTIFICATE_KEYS;
use crate::telemetry::Level;
use crate::work::certs::Certificate;

/// Reads certificates, histories and unfinished orders.
///
/// # Errors
/// The state cannot be read at all.
pub(super) fn load(tools: &Tools, wanted: Wanted) -> Result<Sites, StoreError> {
    let store = &tools.parts.store;
    let mut known: BTreeMap<Host, Site> = BTreeMap::new();
    let (histories, mut refused) = store.readable_histories()?;
    for history in histories {
        if let Some(site) = site_of(&mut known, &history.site) {
            site.history = history;
        }
    }
    let (certificates, broken) = store.readable_certificates()?;
    for stored in certificates {
        let opened = open(tools, &stored);
        let Some(site) = site_of(&mut known, &stored.site) else { continue };
        match opened {
            Ok(certificate) => {
                site.served = Some(certificate);
                site.stored = Some(stored);
            }
            Err(why) => unreadable(tools, &stored.site, site, &why),
        }
    }
    let (orders, more) = store.readable_orders()?;
    refused.extend(more);
    for error in &refused {
        unremembered(tools, error);
    }
    for error in &broken {
        match error {
            StoreError::Record { row, .. } => match site_of(&mut known, row) {
                Some(site) => unreadable(tools, row, site, &error.to_string()),
                None => unremembered(tools, error),
            },
            other => unremembered(tools, other),
        }
    }
    let orders =
        orders.into_iter().filter_map(|order| Some((order.site.parse().ok()?, order))).collect();
    let mut sites = Sites {
        wanted: wanted.clone(),
        known,
        orders,
        windows_pause_s: Default::default(),
        state_back_s: i64::MIN,
    };
    let digest = wanted.digest();
    adopt(tools, &mut sites, &wanted);
    sites.configure(wanted, &digest);
    Ok(sites)
}

fn site_of<'a>(known: &'a mut BTreeMap<Host, Site>, name: &str) -> Option<&'a mut Site> {
    let host: Host = name.parse().ok()?;
    let site = known.entry(host).or_default();
    name.clone_into(&mut site.history.site);
    Some(site)
}

/// A stored certificate with its key, ready to be served.
fn open(tools: &Tools, stored: &certs::Certificate) -> Result<Certificate, String> {
    let sealed = tools.parts.store.sealed(CERTIFICATE_KEYS, &stored.site);
    let sealed = sealed
        .map_err(|error| error.to_string())?
        .ok_or_else(|| "its private key is missing".to_owned())?;
    let key = tools.parts.keyring.unseal(CERTIFICATE_KEYS, &stored.site, &sealed);
    let key = key.map_err(|error| error.to_string())?;
    issued::build(stored.chain.iter().cloned().map(CertificateDer::from).collect(), &key)
}

/// Histories and orders: only the memory of them is lost.
fn unremembered(tools: &Tools, error: &StoreError) {
    tools.parts.log.event(Level::Error, "certificate_record_unreadable", |line| {
        line.text("why", &error.to_string())
            .text("next", "nothing, it is left as it is; restore a backup if it matters");
    });
}

fn unreadable(tools: &Tools, name: &str, site: &mut Site, why: &str) {
    tools.parts.log.event(Level::Error, "certificate_record_unreadable", |line| {
        line.text("site", name).text("why", why).text("next", &next(name));
    });
    site.unreadable = Some(why.to_owned());
}

/// What an operator can do about a record that cannot be read.
pub(super) fn next(site: &str) -> String {
    format!(
        "restore the state or its master key, or replace the record: `palisade cert renew {site}`"
    )
}
