//! Certificates from an ACME authority (RFC 8555): ordered, stored, renewed, without anybody being asked.
//!
//! Promises: a stored certificate that has not expired is served whatever the CA does (1); renewal is planned by a
//! pure function (2); no order is placed unless the state can be written (6), and none for a name that is not
//! configured (7); one order per site at a time; a failure keeps the CA's own words and says what to do (9).
//! Bounds: 10 new orders in 10 seconds, 4 at work at a time, 30 s for each answer of the CA.

mod account;
mod adopt;
mod answers;
mod attempt;
mod cause;
pub mod challenges;
mod core;
mod elsewhere;
mod facts;
mod fault;
mod gate;
mod http;
mod issued;
mod load;
mod manager;
mod names;
mod order;
mod outcome;
mod pace;
mod problem;
mod proof;
mod record;
mod running;
pub mod settings;
mod sites;
mod window;

use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use account::binding_key;
pub use challenges::Challenges;
pub use manager::Manager;

use self::settings::Acme;
use crate::base::Host;
use crate::keyring::Keyring;
use crate::ops::api::{CertificateFailure, Renewal};
use crate::ports::{Clock, Entropy, Resolver};
use crate::store::Store;
use crate::telemetry::Log;

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

impl Wanted {
    /// What the outcome of every attempt depends on, with the content of `ca_file`, which is repaired where it is.
    fn digest(&self) -> Sha256 {
        let roots = self.acme.ca_file.as_deref().and_then(|path| http::read_roots(path).ok());
        let mut digest = Sha256::new();
        for part in [
            format!("{:?}", self.acme).as_bytes(),
            self.eab_hmac.as_deref().unwrap_or_default(),
            roots.as_deref().unwrap_or_default(),
        ] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        digest
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedSite {
    pub names: Vec<Host>,
    /// False for `tls = "imported"`: kept and served, never ordered.
    pub order: bool,
}

/// What there is to say about a site beside its certificate.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outlook {
    pub renewal: Option<Renewal>,
    pub failure: Option<CertificateFailure>,
    /// What is being done now, if an order is on its way.
    pub activity: Option<String>,
    /// What is kept for it was imported.
    pub imported: bool,
}

/// Attempts since start, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub issued: u64,
    /// By class: `ca`, `network`, `validation`, `rate_limited`, `state`, `config`, `clock`,
    /// `defect`.
    pub failed: [(&'static str, u64); problem::Class::ALL.len()],
}

impl Default for Totals {
    fn default() -> Self {
        Self { issued: 0, failed: problem::Class::ALL.map(|class| (class.word(), 0)) }
    }
}
