//! What survives a restart: the state file, the keys over it, and the certificates that palisade keeps itself.
//!
//! Opened after the sockets are bound and before anything is served; closed after everything else.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use super::StartError;
use super::reload::managed;
use crate::config::settings::{Settings, TlsSource};
use crate::config::{self, Environment, Report, resolve_secret};
use crate::keyring::{Keyring, MasterKey};
use crate::ports::{Clock, Entropy, Resolver};
use crate::store::Store;
use crate::store::audit::AuditLog;
use crate::telemetry::{Level, Log};
use crate::work::acme::{Challenges, Manager, Parts, Wanted, WantedSite};
use crate::work::audit::{self, Audit};

/// The open state.
pub(super) struct State {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    pub audit: Arc<Audit>,
    pub manager: Arc<Manager>,
    pub challenges: Arc<Challenges>,
    /// Rung when the manager has stored a certificate.
    pub stored: Arc<Notify>,
    /// The file of the master key, if this start has made it.
    pub generated: Option<PathBuf>,
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
    let book = AuditLog::open(&settings.state_dir, Arc::clone(&clock), log.clone())
        .map_err(|error| StartError::Failed(error.to_string()))?;
    let (keyring, generated) = keyring(settings, environment, &store, &clock, &entropy)?;
    if let Some(path) = &generated {
        log.event(Level::Warn, "master_key_generated", |line| {
            line.text("path", &path.display().to_string()).text(
                "next",
                "keep a copy elsewhere: without it the secrets in the state are lost",
            );
        });
    }
    let audit = Audit::open(audit::Parts {
        store: store.clone(),
        log: book,
        keyring: Arc::clone(&keyring),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        events: log.clone(),
        keep: settings.audit.keep,
    });
    let audit = audit.map_err(|error| StartError::Failed(error.to_string()))?;
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
    Ok(State { store, keyring, audit, manager, challenges, stored, generated })
}

/// The keys over the state, and the master key's file if this start has made it.
fn keyring(
    settings: &Settings,
    environment: &Environment,
    store: &Store,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<(Arc<Keyring>, Option<PathBuf>), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Failed(error.to_string());
    let given = config::master_keys(settings, environment).map_err(|error| failed(&error))?;
    let previous =
        config::previous_master_key(settings, environment).map_err(|error| failed(&error))?;
    let previous = previous.map(|secret| MasterKey::parse(&secret)).transpose();
    let loaded = MasterKey::load(&given, &config::master_key_file(settings), store, &**entropy)
        .map_err(|error| failed(&error))?;
    let keyring = Keyring::open(
        store.clone(),
        loaded.key,
        previous.map_err(|error| failed(&error))?,
        Arc::clone(clock),
        Arc::clone(entropy),
    );
    Ok((Arc::new(keyring.map_err(|error| failed(&error))?), loaded.generated))
}

/// Whether the master keys that the configuration names can be fetched and are keys.
///
/// # Errors
/// The first that is not.
pub(super) fn check_keys(settings: &Settings, environment: &Environment) -> Result<(), Report> {
    let refused = |error: String| {
        let (what, help) = error.split_once('\n').unwrap_or((&error, ""));
        Report::error(format!("crypto: {what}"), help.trim())
    };
    // The usual places may be closed to whoever only checks a file.
    let named = settings.crypto.master_key.is_some();
    let given = if named { config::master_keys(settings, environment) } else { Ok(Vec::new()) };
    let previous = config::previous_master_key(settings, environment);
    let given = given.and_then(|given| Ok((given, previous?))).map_err(|e| refused(e.to_string()));
    let (given, previous) = given?;
    for secret in given.iter().chain(&previous) {
        MasterKey::parse(secret).map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
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
