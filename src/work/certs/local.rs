//! The local CA: certificates for names that no public CA certifies.
//!
//! Promises: one root per state, made on first use, valid for ten years; whoever opens it at the same time gets the
//! same one; its key is on the disk only sealed (`kept`).
//! Refuses: to replace a root that is there, however damaged: clients may trust it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::kept::{self, Kept, Vault};
use super::{CertError, Certificate, Facts, files, info};
use crate::base::Host;

/// The root certificate inside the state directory.
pub const ROOT_FILE: &str = "local-ca.pem";
/// What messages call it.
pub(super) const WHAT: &str = "local CA";
/// Where earlier versions kept its key in the plain.
pub(super) const KEY_FILE: &str = "local-ca.key";
/// How long a certificate of the local CA is valid; issue the next one after two thirds of it.
pub const LEAF_DAYS: u64 = 90;

const DAY_S: u64 = 86_400;
const ROOT_DAYS: u64 = 3_650;
/// Clients whose clock is behind still accept a new certificate.
const BACKDATED_S: i64 = 3_600;
/// Longest common name (RFC 5280 appendix A, ub-common-name).
const COMMON_NAME_MAX: usize = 64;

/// The root with its key.
pub struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    pem: String,
    path: PathBuf,
}

impl LocalCa {
    /// Opens the CA of a state, or makes it there.
    ///
    /// # Errors
    /// The state cannot be written, or what is there cannot be used.
    pub fn open(vault: &Vault<'_>, hostname: &str, now_unix_s: i64) -> Result<Self, CertError> {
        let Kept { root, pair } = vault.open(hostname, now_unix_s)?;
        let issuer = Issuer::from_ca_cert_der(&root, pair)
            .map_err(|error| CertError::UnkeptCa { why: error.to_string() })?;
        Ok(Self { issuer, pem: kept::pem(&root), root, path: vault.root_file() })
    }

    /// Issues a certificate for all names of a site, valid [`LEAF_DAYS`]; the first name is the site's.
    ///
    /// # Errors
    /// A name that cannot stand in a certificate.
    pub fn issue(&self, names: &[Host], now_unix_s: i64) -> Result<Certificate, CertError> {
        let shown = || names.iter().map(Host::as_str).collect::<Vec<_>>().join(", ");
        let fault = |why: String| CertError::Issue { names: shown(), why };
        let Some(site) = names.first() else { return Err(fault("no name given".into())) };
        let pair = KeyPair::generate().map_err(|error| fault(error.to_string()))?;
        let params =
            leaf_params(site, names, now_unix_s).map_err(|error| fault(error.to_string()))?;
        let leaf =
            params.signed_by(&pair, &self.issuer).map_err(|error| fault(error.to_string()))?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
            .map_err(|error| fault(error.to_string()))?;
        let facts = Facts::read(leaf.der()).map_err(fault)?;
        let chain = vec![leaf.der().clone(), self.root.clone()];
        let key = Arc::new(CertifiedKey::new(chain, signing));
        Ok(Certificate { key, facts, path: None, warnings: Vec::new() })
    }

    /// The root as PEM, with where it is kept and its fingerprint.
    #[must_use]
    pub fn public(&self) -> crate::ops::api::LocalCa {
        crate::ops::api::LocalCa {
            pem: self.pem.clone(),
            path: self.path.display().to_string(),
            sha256: info::fingerprint(&self.root),
        }
    }

    /// Reads only the root of a state directory: what `palisade cert trust` needs, without the key.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read_public(state_dir: &Path) -> Result<crate::ops::api::LocalCa, CertError> {
        let path = state_dir.join(ROOT_FILE);
        let (bytes, _) = files::read(&path, WHAT)?;
        Self::describe(&String::from_utf8_lossy(&bytes), &path)
    }

    /// Takes a PEM for the root it holds, the fingerprint computed here. Whoever is asked to trust it sees all of it:
    /// a second certificate behind the first is refused.
    ///
    /// # Errors
    /// It is not exactly one CA certificate.
    pub fn describe(pem: &str, path: &Path) -> Result<crate::ops::api::LocalCa, CertError> {
        let root = single_root(path, pem.as_bytes()).map_err(|why| CertError::Unusable {
            what: WHAT,
            shown: path.display().to_string(),
            why,
            help: "palisade writes it anew when it starts",
        })?;
        let (pem, path) = (pem.to_owned(), path.display().to_string());
        Ok(crate::ops::api::LocalCa { pem, path, sha256: info::fingerprint(&root) })
    }
}

pub(super) fn single_root(path: &Path, pem: &[u8]) -> Result<CertificateDer<'static>, String> {
    let mut chain =
        files::parse_chain(path, pem).map_err(|_| "the certificate cannot be read".to_owned())?;
    match (chain.pop(), chain.is_empty()) {
        (Some(root), true) if is_ca(&root) => Ok(root),
        (Some(_), true) => Err("the certificate is not a CA".into()),
        _ => Err("it must hold one certificate and nothing else".into()),
    }
}

fn is_ca(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, parsed)| parsed.is_ca())
}

pub(super) fn make_root(
    pair: &KeyPair,
    hostname: &str,
    now_unix_s: i64,
) -> Result<CertificateDer<'static>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&root_name(hostname));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now_unix_s, ROOT_DAYS);
    // The default serial follows from the key; a root made again from the same key needs another one.
    params.serial_number = random_serial();
    Ok(params.self_signed(pair)?.der().clone())
}

/// `palisade local CA (web-1)`: which machine's CA a trust store lists.
fn root_name(hostname: &str) -> String {
    let room = COMMON_NAME_MAX - "palisade local CA ()".len();
    let host: String =
        hostname.trim().chars().filter(|c| c.is_ascii_graphic()).take(room).collect();
    if host.is_empty() { "palisade local CA".into() } else { format!("palisade local CA ({host})") }
}

fn leaf_params(
    site: &Host,
    names: &[Host],
    now_unix_s: i64,
) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(Host::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    if site.as_str().len() <= COMMON_NAME_MAX {
        params.distinguished_name = common_name(site.as_str());
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.serial_number = random_serial();
    set_validity(&mut params, now_unix_s, LEAF_DAYS);
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_validity(params: &mut CertificateParams, now_unix_s: i64, days: u64) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let start = u64::try_from(now_unix_s.saturating_sub(BACKDATED_S)).unwrap_or(0);
    let end = u64::try_from(now_unix_s).unwrap_or(0).saturating_add(days * DAY_S);
    params.not_before = epoch + Duration::from_secs(start);
    params.not_after = epoch + Duration::from_secs(end);
}

/// 16 random bytes, positive (RFC 5280 §4.1.2.2); without entropy rcgen's own serial, the hash of the key, will do.
fn random_serial() -> Option<SerialNumber> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).ok()?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Some(SerialNumber::from_slice(&bytes))
}

/// The name of this machine, as the kernel has it; empty where it cannot be read.
#[must_use]
pub fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
