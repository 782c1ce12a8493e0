//! The certificates of all sites: loaded together, kept across reloads where nothing changed.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use crate::base::{Host, SecretRef};
use crate::config::settings::{Settings, Site, TlsSource};
use crate::config::{Environment, Report, resolve_secret};
use crate::edge::tls::TlsFactory;
use crate::ports::Clock;
use crate::work::certs::{self, Certificate, Key, LEAF_DAYS, LocalCa};

/// A local certificate is replaced when this much of its life is left: a third.
pub const LOCAL_RENEW_S: i64 = (LEAF_DAYS as i64) * 86_400 / 3;

/// What stays between one configuration and the next.
pub struct Materials {
    factory: TlsFactory,
    ca: Option<LocalCa>,
    /// Certificates of the local CA, by their names.
    local: HashMap<Vec<Host>, Certificate>,
}

/// The certificates of one configuration, in the order of its sites.
pub struct Loaded {
    pub certificates: Vec<Certificate>,
    pub tls: Vec<Arc<ServerConfig>>,
}

impl Materials {
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self { factory: TlsFactory::new()?, ca: None, local: HashMap::new() })
    }

    /// The local CA, once a site has used it.
    pub const fn local_ca(&self) -> Option<&LocalCa> {
        self.ca.as_ref()
    }

    /// Loads everything that `settings` need.
    ///
    /// # Errors
    /// Everything that is wrong, one entry per site.
    pub fn load(
        &mut self,
        settings: &Settings,
        environment: &Environment,
        clock: &dyn Clock,
    ) -> Result<Loaded, Report> {
        let now_s = unix_s(clock);
        let mut report = Report::default();
        let mut loaded = Loaded { certificates: Vec::new(), tls: Vec::new() };
        for site in &settings.sites {
            let certificate = match &site.tls {
                TlsSource::Local => self.local(&settings.state_dir, site, now_s),
                TlsSource::Files { cert, key } => from_files(site, cert, key, environment, now_s),
            };
            let made = certificate.and_then(|certificate| {
                let tls = self.factory.config(Arc::clone(&certificate.key));
                tls.map(|tls| (certificate, tls)).map_err(|error| failure(site, error.to_string()))
            });
            match made {
                Ok((certificate, tls)) => {
                    loaded.certificates.push(certificate);
                    loaded.tls.push(tls);
                }
                Err(found) => report.extend(found),
            }
        }
        if report.is_empty() { Ok(loaded) } else { Err(report) }
    }

    fn local(&mut self, state: &Path, site: &Site, now_s: i64) -> Result<Certificate, Report> {
        let names: Vec<Host> = site.names().cloned().collect();
        if let Some(kept) = self.local.get(&names) {
            if kept.facts.expires_in_s(now_s) > LOCAL_RENEW_S {
                return Ok(kept.clone());
            }
        }
        let ca = match self.ca.take() {
            Some(ca) => ca,
            None => LocalCa::open(state, &certs::hostname(), now_s)
                .map_err(|error| failure(site, error.to_string()))?,
        };
        let issued = ca.issue(&names, now_s);
        self.ca = Some(ca);
        let issued = issued.map_err(|error| failure(site, error.to_string()))?;
        self.local.insert(names, issued.clone());
        Ok(issued)
    }
}

/// Loads what comes from files and leaves the local CA alone.
pub fn check(
    settings: &Settings,
    environment: &Environment,
    clock: &dyn Clock,
) -> Result<(), Report> {
    let mut report = Report::default();
    for site in &settings.sites {
        if let TlsSource::Files { cert, key } = &site.tls {
            match from_files(site, cert, key, environment, unix_s(clock)) {
                Ok(certificate) => certificate
                    .warnings
                    .into_iter()
                    .for_each(|warning| report.extend(Report::warning(warning, ""))),
                Err(found) => report.extend(found),
            }
        }
    }
    if report.is_empty() { Ok(()) } else { Err(report) }
}

fn from_files(
    site: &Site,
    cert: &Path,
    key: &SecretRef,
    environment: &Environment,
    now_s: i64,
) -> Result<Certificate, Report> {
    let (name, also) = (&site.name, &site.also);
    let (pem, shown) = match key {
        SecretRef::File(path) => {
            return certs::load(name, also, cert, Key::File(path), now_s)
                .map_err(|error| failure(site, error.to_string()));
        }
        SecretRef::Credential(credential) => (key, format!("credential {credential}")),
        SecretRef::Env(variable) => (key, format!("environment variable {variable}")),
    };
    let pem = resolve_secret(pem, environment).map_err(|error| failure(site, error.to_string()))?;
    let key = Key::Pem { pem: &pem, shown: &shown };
    certs::load(name, also, cert, key, now_s).map_err(|error| failure(site, error.to_string()))
}

/// The first line of a message says what is wrong, the rest what to do.
fn failure(site: &Site, message: String) -> Report {
    let (what, help) = message.split_once('\n').unwrap_or((&message, ""));
    Report::at(&site.declared_at, format!("site \"{}\": {what}", site.name), help.trim())
}

/// What tells a changed certificate or key file from an unchanged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, Option<FileStamp>)>);

/// Inode, length, and time of the last change in seconds and nanoseconds.
type FileStamp = (u64, u64, i64, i64);

impl Stamp {
    /// Looks at every file that `settings` take certificates and keys from.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let files = settings.sites.iter().flat_map(|site| match &site.tls {
            TlsSource::Files { cert, key: SecretRef::File(key) } => vec![cert, key],
            TlsSource::Files { cert, .. } => vec![cert],
            TlsSource::Local => Vec::new(),
        });
        let stamp = |path: &PathBuf| {
            let meta = std::fs::metadata(path).ok();
            meta.map(|meta| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        };
        Self(files.map(|path| (path.clone(), stamp(path))).collect())
    }
}

/// Whole seconds since 1970.
pub fn unix_s(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.unix().as_secs()).unwrap_or(i64::MAX)
}
