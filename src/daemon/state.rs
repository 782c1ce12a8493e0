//! What survives a restart: the state file, the keys over it, and the certificates that palisade keeps itself.
//!
//! Opened after the sockets are bound and before anything is served; closed after everything else.

use std::sync::Arc;

use tokio::sync::Notify;

use super::StartError;
use super::reload::managed;
use crate::config::settings::{Settings, TlsSource};
use crate::config::{Environment, Report, resolve_secret};
use crate::keyring::{Keyring, MasterKey};
use crate::ports::{Clock, Entropy, Resolver};
use crate::store::Store;
use crate::telemetry::Log;
use crate::work::acme::{Challenges, Manager, Parts, Wanted, WantedSite};

/// The open state.
pub(super) struct State {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    pub manager: Arc<Manager>,
    pub challenges: Arc<Challenges>,
    /// Rung when the manager has stored a certificate.
    pub stored: Arc<Notify>,
}

/// What the state is opened with.
pub(super) struct World {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub resolver: Arc<dyn Resolver>,
    pub log: Log,
}

/// Opens the state of a configuration, or makes it.
///
/// # Errors
/// The file, the key or the record at fault and what to do; a file that is there is never overwritten.
pub(super) fn open(
    settings: &Settings,
    environment: &Environment,
    world: World,
) -> Result<State, StartError> {
    let wanted = wanted(settings, environment).map_err(StartError::Config)?;
    let World { clock, entropy, resolver, log } = world;
    let store = Store::open(&settings.state_dir, Arc::clone(&clock), log.clone())
        .map_err(|error| StartError::Failed(error.to_string()))?;
    let keyring =
        Keyring::open(store.clone(), MasterKey {}, None, Arc::clone(&clock), Arc::clone(&entropy))
            .map_err(|error| StartError::Failed(error.to_string()))?;
    let keyring = Arc::new(keyring);
    let challenges = Arc::<Challenges>::default();
    let stored = Arc::new(Notify::new());
    let bell = Arc::clone(&stored);
    let parts = Parts {
        store: store.clone(),
        keyring: Arc::clone(&keyring),
        clock,
        entropy,
        resolver,
        log,
        challenges: Arc::clone(&challenges),
        changed: Box::new(move |_| bell.notify_one()),
    };
    let manager =
        Manager::open(parts, wanted).map_err(|error| StartError::Failed(error.to_string()))?;
    Ok(State { store, keyring, manager, challenges, stored })
}

/// What the manager has to know of a configuration.
///
/// # Errors
/// The key of the account binding cannot be fetched.
pub(super) fn wanted(settings: &Settings, environment: &Environment) -> Result<Wanted, Report> {
    let acme = &settings.acme;
    let hmac = acme.eab.as_ref().map(|eab| resolve_secret(&eab.hmac, environment)).transpose();
    let eab_hmac = hmac.map_err(|error| {
        Report::error(format!("acme.eab.hmac: {error}"), "it is the key that the authority gave")
    })?;
    let sites = settings.sites.iter().filter(|site| managed(site));
    let sites = sites.map(|site| WantedSite {
        names: site.names().cloned().collect(),
        order: matches!(site.tls, TlsSource::Acme { .. }),
    });
    Ok(Wanted { acme: acme.clone(), eab_hmac, sites: sites.collect() })
}
