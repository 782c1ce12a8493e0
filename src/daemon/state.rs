//! What survives a restart: the state file, the keys over it, and the certificates that palisade keeps itself.
//!
//! Opened after the sockets are bound and before anything is served; closed after everything else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;

use super::StartError;
use super::master::MasterWatch;
use super::reload::managed;
use crate::config::settings::{Settings, TlsSource};
use crate::config::{self, Environment, Report, SecretError, resolve_secret};
use crate::keyring::{Keyring, MasterKey};
use crate::ports::{Clock, Entropy, Resolver};
use crate::store::Store;
use crate::store::audit::AuditLog;
use crate::telemetry::{Level, Log};
use crate::work::acme::{self, Challenges, Manager, Parts, Wanted, WantedSite};
use crate::work::audit::actions::ActionLog;
use crate::work::audit::{self, Audit};
use crate::work::certs::Vault;
use crate::work::tokens::Tokens;
use crate::work::totp::{self, Factors};

/// What is left to do once every data key is wrapped by the new master key.
const MASTER_KEY_CHANGED: &str =
    "keep a copy of the new key elsewhere, then remove previous_master_key from [crypto]";

/// The open state.
pub(super) struct State {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    pub audit: Arc<Audit>,
    pub tokens: Tokens,
    /// What happens on the request path, on its way there.
    pub actions: Arc<ActionLog>,
    pub master: MasterWatch,
    pub factors: Factors,
    pub manager: Arc<Manager>,
    pub challenges: Arc<Challenges>,
    /// Rung when the manager has stored a certificate.
    pub stored: Arc<Notify>,
    /// The file of the master key, if this start has made it.
    pub generated: Option<PathBuf>,
}

impl State {
    /// What this start has done that somebody has to know, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let generated = self.generated.as_ref();
        let made = generated
            .map(|path| format!("made a master key: keep a copy of {} elsewhere", path.display()));
        let changed = (self.keyring.rewrapped() > 0)
            .then(|| format!("the master key was changed: {MASTER_KEY_CHANGED}"));
        made.into_iter().chain(changed).collect()
    }

    /// What the local CA is kept with.
    pub fn vault<'a>(&'a self, state_dir: &'a Path, log: &'a Log) -> Vault<'a> {
        Vault { store: &self.store, keyring: &self.keyring, log, state_dir }
    }
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
    tell_of_keys(&log, generated.as_deref(), keyring.rewrapped());
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
    let tokens = Tokens::open(store.clone(), Arc::clone(&clock), Arc::clone(&entropy))
        .map_err(|error| StartError::Failed(error.to_string()))?;
    let actions = ActionLog::new(store.clone(), log.clone());
    let source = config::master_key_source(settings, environment);
    let master = MasterWatch::new(source, keyring.master());
    let factors = Factors::new(totp::Parts {
        store: store.clone(),
        keyring: Arc::clone(&keyring),
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        log: log.clone(),
    });
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
    Ok(State {
        store,
        keyring,
        audit,
        tokens,
        actions,
        master,
        factors,
        manager,
        challenges,
        stored,
        generated,
    })
}

/// What a start has done to the keys over the state.
fn tell_of_keys(log: &Log, generated: Option<&Path>, rewrapped: usize) {
    if let Some(path) = generated {
        log.event(Level::Warn, "master_key_generated", |line| {
            line.text("path", &path.display().to_string()).text(
                "next",
                "keep a copy elsewhere: without it the secrets in the state are lost",
            );
        });
    }
    if rewrapped > 0 {
        log.event(Level::Info, "master_key_changed", |line| {
            line.number("data_keys", rewrapped as u64).text("next", MASTER_KEY_CHANGED);
        });
    }
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
    let sealed = !store.wrapped_keys().map_err(|error| failed(&error))?.is_empty();
    let unfetched =
        |what, error: &SecretError, sealed| StartError::Failed(unfetched(what, error, sealed));
    let given = config::master_keys(settings, environment)
        .map_err(|error| unfetched("the master key", &error, sealed))?;
    let previous = config::previous_master_key(settings, environment)
        .map_err(|error| unfetched("crypto.previous_master_key", &error, true))?;
    let previous = previous.map(|secret| MasterKey::parse_kept(&secret)).transpose();
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

/// Why a master key was not fetched, and what to do. Over a state that is `sealed` a new key would lose everything.
fn unfetched(what: &str, error: &SecretError, sealed: bool) -> String {
    let help = match error {
        SecretError::ReadableByOthers { .. } | SecretError::NoCredentials { .. } => "",
        SecretError::Unreadable { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            let uid = rustix::process::geteuid().as_raw();
            return format!(
                "{what}: {error}\n  make it the file of user id {uid} with mode 0600 (chown, chmod), or \
                 hand it over as the systemd credential master-key"
            );
        }
        _ if sealed => "put the copy of the key back, or name its place; nothing was changed",
        _ => "name the place of a key, or write one: openssl rand -hex 32; nothing was changed",
    };
    let line = if help.is_empty() { "" } else { "\n  " };
    format!("{what}: {error}{line}{help}")
}

/// Whether the master keys that the configuration names can be fetched and are keys.
///
/// # Errors
/// The first that is not.
pub(super) fn check_keys(settings: &Settings, environment: &Environment) -> Result<(), Report> {
    let refused = |error: String| {
        let (what, help) = error.split_once('\n').unwrap_or((&error, ""));
        Report::error(what.to_owned(), help.trim())
    };
    // Nobody looks into the state here; a copy of the key is right in any case.
    let unfetched = |what, error: &SecretError| refused(unfetched(what, error, true));
    // The usual places may be closed to whoever only checks a file.
    let named = settings.crypto.master_key.is_some();
    let given = if named { config::master_keys(settings, environment) } else { Ok(Vec::new()) };
    let given = given.map_err(|error| unfetched("crypto.master_key", &error))?;
    let previous = config::previous_master_key(settings, environment)
        .map_err(|error| unfetched("crypto.previous_master_key", &error))?;
    for secret in &given {
        MasterKey::parse(secret).map_err(|error| refused(error.to_string()))?;
    }
    if let Some(secret) = &previous {
        MasterKey::parse_kept(secret).map_err(|error| refused(error.to_string()))?;
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
    if let (Some(key), Some(eab)) = (&eab_hmac, &acme.eab)
        && acme::binding_key(key).is_none()
    {
        let what = format!("acme.eab.hmac: {} holds no key in base64url", eab.hmac);
        return Err(Report::error(
            what,
            "put the key there as the authority gave it, nothing else",
        ));
    }
    let sites = settings.sites.iter().filter(|site| managed(site));
    let sites = sites.map(|site| WantedSite {
        names: site.names().cloned().collect(),
        order: matches!(site.tls, TlsSource::Acme { .. }),
    });
    Ok(Wanted { acme: acme.clone(), eab_hmac, sites: sites.collect() })
}
