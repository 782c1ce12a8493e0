//! Certificates from an ACME authority (RFC 8555): ordered, stored, renewed, without anybody being asked.
//!
//! Promises: a stored certificate that has not expired is served whatever the CA does (1); renewal is planned by a
//! pure function (2); no order is placed unless the state can be written (6), and none for a name that is not
//! configured (7); one order per site at a time; a failure keeps the CA's own words and says what to do (9).
//! Bounds: 10 new orders in 10 seconds, 4 at work at a time, 30 s for each answer of the CA.

mod account;
mod answers;
mod cause;
pub mod challenges;
mod core;
mod facts;
mod fault;
mod gate;
mod http;
mod issued;
mod names;
mod order;
mod pace;
mod problem;
pub mod settings;

use std::sync::Arc;

use tokio::sync::watch;

pub use challenges::Challenges;

use self::settings::Acme;
use crate::base::Host;
use crate::keyring::Keyring;
use crate::ops::api::{CertificateFailure, Problem, Renewal};
use crate::ports::{Clock, Entropy, Resolver};
use crate::store::Store;
use crate::telemetry::Log;
use crate::work::certs::Certificate;

/// What the manager is built from.
pub struct Parts {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub resolver: Arc<dyn Resolver>,
    pub log: Log,
    pub challenges: Arc<Challenges>,
    /// Called after the certificate of a site has changed; must not call back into the manager.
    pub changed: Box<dyn Fn(&str) + Send + Sync>,
}

/// What the configuration wants: told at the start and at every reload.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub acme: Acme,
    /// `hmac` of `acme.eab`, resolved.
    pub eab_hmac: Option<Vec<u8>>,
    /// Sites whose certificates are managed here, each with all its names, its own first.
    pub sites: Vec<WantedSite>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSite {
    pub names: Vec<Host>,
    /// False for `tls = "imported"`: kept and served, never ordered.
    pub order: bool,
}

/// Keeps the certificates of all sites that ask for it.
pub struct Manager {}

/// What there is to say about a site beside its certificate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outlook {
    pub renewal: Option<Renewal>,
    pub failure: Option<CertificateFailure>,
    /// What is being done now, if an order is on its way.
    pub activity: Option<String>,
}

/// Attempts since start, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub issued: u64,
    /// By class: `ca`, `network`, `validation`, `rate_limited`, `state`.
    pub failed: [(&'static str, u64); 5],
}

impl Manager {
    /// Reads what is stored. A record that cannot be read is logged and its site reported, and the others go on.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn open(_parts: Parts, _wanted: Wanted) -> Result<Arc<Self>, crate::store::StoreError> {
        todo!()
    }

    /// Takes a new configuration: new names are ordered, names that are gone are left alone in the store.
    pub fn configure(&self, _wanted: Wanted) {
        todo!()
    }

    /// Orders and renews until `stop`. Not before the process accepts connections.
    pub async fn run(self: Arc<Self>, _stop: watch::Receiver<bool>) {
        todo!()
    }

    /// The stored certificate of a site, if there is one (it may have expired, or cover fewer names than wanted).
    pub fn certificate(&self, _site: &Host) -> Option<Certificate> {
        todo!()
    }

    pub fn outlook(&self, _site: &Host) -> Outlook {
        todo!()
    }

    /// Attempts a site now, whatever the plan says, and returns when the attempt has ended.
    ///
    /// # Errors
    /// 404: no such site, or not managed here. 409: an order is on its way (`order = false`: import instead). 502: the
    /// attempt failed, with the CA's words, the likely cause and the next step in `detail`.
    pub async fn renew(&self, _site: &Host) -> Result<(), Problem> {
        todo!()
    }

    /// Takes a certificate and key made elsewhere, checks them as files are checked, stores and serves them.
    ///
    /// # Errors
    /// 404 as above; 422: the pair cannot be used, with the reason; 503: the state cannot be written.
    pub async fn import(
        &self,
        _site: &Host,
        _cert_pem: &[u8],
        _key_pem: &[u8],
    ) -> Result<Certificate, Problem> {
        todo!()
    }

    pub fn totals(&self) -> Totals {
        todo!()
    }
}
