//! The certificates of all sites and what is known of their upstreams: loaded together, kept across reloads where
//! nothing changed.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{state, trust};
use crate::base::timestamp::SURELY_PAST_S;
use crate::base::{Host, SecretRef};
use crate::config::settings::{Settings, Site, TlsSource};
use crate::config::{Environment, Report, resolve_secret};
use crate::edge::tls::TlsFactory;
use crate::edge::upstream::{Peers, Trusts};
use crate::ports::Clock;
use crate::work::certs::{self, Certificate, Facts, Key, LEAF_DAYS, LocalCa, Vault};

/// A local certificate is replaced when this much of its life is left: a third.
pub const LOCAL_RENEW_S: i64 = (LEAF_DAYS as i64) * 86_400 / 3;

/// What stays between one configuration and the next.
pub struct Materials {
    factory: TlsFactory,
    ca: Option<LocalCa>,
    /// Certificates of the local CA, by their names.
    local: HashMap<Vec<Host>, Certificate>,
    /// What is known of upstreams that stay.
    peers: Peers,
    /// Who is believed about them.
    trusts: Trusts,
}

/// The certificates of one configuration, in the order of its sites, and its upstreams.
#[derive(Default)]
pub struct Loaded {
    pub certificates: Vec<Shown>,
    pub tls: Vec<Option<Arc<ServerConfig>>>,
    pub peers: Peers,
}

impl Loaded {
    /// What is not quite right with them, one sentence each.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.certificates.iter().filter_map(Shown::certificate).flat_map(|c| c.warnings.clone())
    }
}

/// What a site shows to its visitors.
#[derive(Debug, Clone)]
pub enum Shown {
    /// What it asks for. An expired one too: a browser warns of it as of none at all, and some clients go on.
    Served(Certificate),
    /// One of the local CA, until the right one is there.
    StandIn(Certificate),
    /// Nothing: handshakes are refused.
    Missing,
}

impl Shown {
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Served(certificate) | Self::StandIn(certificate) => Some(certificate),
            Self::Missing => None,
        }
    }
}

/// Where the certificates are that palisade keeps itself.
pub type Stored<'a> = &'a dyn Fn(&Host) -> Option<Certificate>;

impl Materials {
    /// # Errors
    /// When the system has no randomness.
    pub fn new() -> Result<Self, rustls::Error> {
        Ok(Self {
            factory: TlsFactory::new()?,
            ca: None,
            local: HashMap::new(),
            peers: Peers::default(),
            trusts: Trusts::default(),
        })
    }

    /// The local CA, once a site has used it.
    pub const fn local_ca(&self) -> Option<&LocalCa> {
        self.ca.as_ref()
    }

    /// Loads everything that `settings` need.
    ///
    /// # Errors
    /// Everything that is wrong, one entry per site or upstream.
    pub fn load(
        &mut self,
        settings: &Settings,
        environment: &Environment,
        stored: Stored<'_>,
        vault: &Vault<'_>,
        clock: &dyn Clock,
    ) -> Result<Loaded, Report> {
        let now_s = unix_s(clock);
        let mut report = Report::default();
        let mut loaded = Loaded::default();
        for site in &settings.sites {
            let shown = match &site.tls {
                TlsSource::Acme { .. } | TlsSource::Imported => {
                    self.managed(vault, site, stored, now_s)
                }
                TlsSource::Local => self.local(vault, site, now_s).map(Shown::Served),
                TlsSource::Files { cert, key } => {
                    from_files(site, cert, key, environment, now_s).map(Shown::Served)
                }
            };
            match shown.and_then(|shown| Ok((self.server(site, &shown)?, shown))) {
                Ok((tls, shown)) => {
                    loaded.certificates.push(shown);
                    loaded.tls.push(tls);
                }
                Err(found) => report.extend(found),
            }
        }
        let trusts = trust::trusts(settings, &self.trusts);
        let trusts = trusts.unwrap_or_else(|found| {
            report.extend(found);
            Trusts::default()
        });
        if !report.is_empty() {
            return Err(report);
        }
        self.peers = Peers::of(settings, Some(&self.peers), &trusts);
        self.trusts = trusts;
        loaded.peers = self.peers.clone();
        Ok(loaded)
    }

    /// The certificate that palisade keeps for a site, or what stands in for it.
    fn managed(
        &mut self,
        vault: &Vault<'_>,
        site: &Site,
        stored: Stored<'_>,
        now_s: i64,
    ) -> Result<Shown, Report> {
        match (stored(&site.name), &site.tls) {
            // Its warnings change with time: the manager is asked for them when they are wanted.
            (Some(certificate), _) => {
                Ok(Shown::Served(Certificate { warnings: Vec::new(), ..certificate }))
            }
            (None, TlsSource::Acme { stand_in: true }) => {
                self.local(vault, site, now_s).map(Shown::StandIn)
            }
            (None, _) => Ok(Shown::Missing),
        }
    }

    /// The server side of what a site shows.
    ///
    /// # Errors
    /// As [`TlsFactory::config`].
    pub fn server(&self, site: &Site, shown: &Shown) -> Result<Option<Arc<ServerConfig>>, Report> {
        let Some(certificate) = shown.certificate() else { return Ok(None) };
        let config = self.factory.config(Arc::clone(&certificate.key));
        config.map(Some).map_err(|error| failure(site, error.to_string()))
    }

    fn local(&mut self, vault: &Vault<'_>, site: &Site, now_s: i64) -> Result<Certificate, Report> {
        let names: Vec<Host> = site.names().cloned().collect();
        if let Some(kept) = self.local.get(&names)
            && kept.facts.expires_in_s(now_s) > LOCAL_RENEW_S
        {
            return Ok(kept.clone());
        }
        let ca = match self.ca.take() {
            Some(ca) => ca,
            // Ten years from 1970, from a clock that nobody had set yet, would be over.
            None => LocalCa::open(vault, &certs::hostname(), now_s.max(SURELY_PAST_S))
                .map_err(|error| failure(site, error.to_string()))?,
        };
        let issued = ca.issue(&names, now_s);
        self.ca = Some(ca);
        let issued = issued.map_err(|error| failure(site, error.to_string()))?;
        self.local.insert(names, issued.clone());
        Ok(issued)
    }
}

/// Loads what comes from files and leaves the local CA and the state alone. Warnings make a report too.
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
    report.extend(trust::trusts(settings, &Trusts::default()).err().unwrap_or_default());
    report.extend(unreadable_roots(settings));
    report.extend(state::wanted(settings, environment).err().unwrap_or_default());
    report.extend(state::check_keys(settings, environment).err().unwrap_or_default());
    if report.is_empty() { Ok(()) } else { Err(report) }
}

/// A warning only: certificates that are stored are served without it, new ones are not to be had.
fn unreadable_roots(settings: &Settings) -> Report {
    let orders = settings.sites.iter().any(|site| matches!(site.tls, TlsSource::Acme { .. }));
    let file = settings.acme.ca_file.as_deref().filter(|_| orders);
    let Some(path) = file else { return Report::default() };
    let why = match trust::read(path) {
        Err(why) => why,
        Ok(pem) if pem.trim_ascii().is_empty() => "is empty".into(),
        Ok(pem) => match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
            Ok(roots) if roots.is_empty() => "holds no `BEGIN CERTIFICATE` block".into(),
            Ok(roots) => match roots.iter().find_map(|root| Facts::read(root).err()) {
                Some(why) => format!("holds a certificate that cannot be read: {why}"),
                None => return Report::default(),
            },
            Err(error) => format!("is no PEM file: {error}"),
        },
    };
    let what = format!("acme.ca_file: {} {why}", path.display());
    Report::warning(what, "until it has the roots of the authority, no certificate is ordered")
}

/// [`check`] without its warnings.
pub fn check_errors(
    settings: &Settings,
    environment: &Environment,
    clock: &dyn Clock,
) -> Result<(), Report> {
    check(settings, environment, clock).or_else(|report| match report.errors() {
        0 => Ok(()),
        _ => Err(report),
    })
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

/// What tells a changed file of certificates or keys from an unchanged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<(PathBuf, Option<FileStamp>)>);

/// Inode, length, and time of the last change in seconds and nanoseconds.
type FileStamp = (u64, u64, i64, i64);

impl Stamp {
    /// Looks at every file that `settings` take certificates, keys and the roots of upstreams from.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let files = settings.sites.iter().flat_map(|site| match &site.tls {
            TlsSource::Files { cert, key: SecretRef::File(key) } => vec![cert, key],
            TlsSource::Files { cert, .. } => vec![cert],
            TlsSource::Acme { .. } | TlsSource::Imported | TlsSource::Local => Vec::new(),
        });
        let stamp = |path: &PathBuf| {
            let meta = std::fs::metadata(path).ok();
            meta.map(|meta| (meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        };
        let roots = trust::ca_files(settings);
        Self(files.chain(roots).map(|path| (path.clone(), stamp(path))).collect())
    }
}

/// Whole seconds since 1970.
pub fn unix_s(clock: &dyn Clock) -> i64 {
    i64::try_from(clock.unix().as_secs()).unwrap_or(i64::MAX)
}
