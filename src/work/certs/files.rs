//! Certificates from PEM files.
//!
//! Refuses: a key that does not match, that others can read, a certificate without the site's name.
//! Warns: expired, not yet valid, other names of the site missing.
//! Bounds: a file of more than 1 MiB is no certificate.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{CertError, Certificate, Facts};
use crate::base::Host;
use crate::base::timestamp::rfc3339;

/// Longest PEM file that is read.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the private key comes from.
#[derive(Clone, Copy)]
pub enum Key<'a> {
    /// Its mode is checked.
    File(&'a Path),
    /// Already read from a credential or the environment; `shown` names the place in messages.
    Pem { pem: &'a [u8], shown: &'a str },
}

impl Key<'_> {
    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Pem { shown, .. } => (*shown).to_owned(),
        }
    }
}

/// Loads the chain and key of a site.
///
/// # Errors
/// Everything that would make clients refuse the site, and a key that others can read.
pub fn load(
    site: &Host,
    also: &[Host],
    cert: &Path,
    key: Key<'_>,
    now_unix_s: i64,
) -> Result<Certificate, CertError> {
    let (pem, _) = read(cert, "certificate")?;
    let chain = parse_chain(cert, &pem)?;
    let private = match key {
        Key::File(path) => parse_key(&key.shown(), &read_private(path, "private key")?)?,
        Key::Pem { pem, .. } => parse_key(&key.shown(), pem)?,
    };
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| unusable_key(&key.shown(), error.to_string()))?;
    let leaf = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(CertError::Mismatch { cert: cert.to_owned(), key: key.shown() });
        }
        Err(error) => return Err(unusable_cert(cert, error.to_string())),
    }
    let facts = Facts::read(&leaf).map_err(|why| unusable_cert(cert, why))?;
    if !facts.covers(site) {
        let covered =
            if facts.names.is_empty() { "no name".into() } else { facts.names.join(", ") };
        return Err(CertError::OtherName {
            cert: cert.to_owned(),
            name: site.to_string(),
            covered,
        });
    }
    let warnings = warnings(&facts, also, now_unix_s, cert);
    let path = Some(cert.display().to_string());
    Ok(Certificate { key: Arc::new(certified), facts, path, warnings })
}

fn warnings(facts: &Facts, also: &[Host], now_unix_s: i64, cert: &Path) -> Vec<String> {
    let file = cert.display();
    let mut found = Vec::new();
    if facts.expires_in_s(now_unix_s) <= 0 {
        let ended = rfc3339(facts.not_after_s);
        found.push(format!("certificate {file} expired on {ended}: replace it"));
    }
    if facts.not_before_s > now_unix_s {
        let begins = rfc3339(facts.not_before_s);
        found.push(format!(
            "certificate {file} is not valid before {begins}: check it and the clock"
        ));
    }
    found.extend(also.iter().filter(|name| !facts.covers(name)).map(|name| {
        format!("certificate {file} does not cover {name}: browsers will refuse that name")
    }));
    found
}

pub(super) fn parse_chain(
    cert: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| unusable_cert(cert, error.to_string()))?;
    if chain.is_empty() {
        return Err(unusable_cert(cert, "it holds no `BEGIN CERTIFICATE` block".into()));
    }
    Ok(chain)
}

fn parse_key(shown: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => unusable_key(
            shown,
            "it holds no unencrypted private key (PKCS#8, PKCS#1 or SEC1)".into(),
        ),
        other => unusable_key(shown, other.to_string()),
    })
}

/// Reads a file that must not be readable by others; a group is the operator's own choice (`ssl-cert`).
pub(super) fn read_private(path: &Path, what: &'static str) -> Result<Vec<u8>, CertError> {
    let (bytes, metadata) = read(path, what)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(CertError::Exposed { path: path.to_owned(), mode });
    }
    Ok(bytes)
}

pub(super) fn read(path: &Path, what: &'static str) -> Result<(Vec<u8>, Metadata), CertError> {
    read_bounded(path).map_err(|error| unreadable(path, what, &error))
}

fn read_bounded(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    // The kind is looked at first: opening a pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is larger than 1 MiB"));
    }
    Ok((bytes, metadata))
}

/// Says who is asking and who may, since the answer is nearly always a mode or an owner.
fn unreadable(path: &Path, what: &'static str, error: &io::Error) -> CertError {
    let me = rustix::process::geteuid().as_raw();
    let help = match error.kind() {
        io::ErrorKind::PermissionDenied => match std::fs::metadata(path) {
            Ok(seen) => format!(
                "palisade runs as user id {me}; the file belongs to {}:{} with mode {:04o}: change its owner or group, or hand it over as a systemd credential",
                seen.uid(),
                seen.gid(),
                seen.permissions().mode() & 0o7777
            ),
            Err(_) => format!(
                "user id {me} may not enter a directory above it: chmod o+x or chgrp that directory"
            ),
        },
        io::ErrorKind::NotFound if what == super::local::WHAT => {
            "it is made on the first start of a site with a local certificate: check the directory"
                .to_owned()
        }
        io::ErrorKind::NotFound => "check the path for spelling; it is taken as written".to_owned(),
        _ => "name a PEM file".to_owned(),
    };
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    };
    CertError::Unreadable { what, path: path.to_owned(), why, help }
}

fn unusable_cert(cert: &Path, why: String) -> CertError {
    let help = "it must be PEM, the server's certificate first: `openssl x509 -in FILE -noout -text` shows it";
    CertError::Unusable { what: "certificate", shown: cert.display().to_string(), why, help }
}

fn unusable_key(shown: &str, why: String) -> CertError {
    let help = "it must be an unencrypted PEM key: `openssl pkey -in FILE -out NEW` rewrites one";
    CertError::Unusable { what: "private key", shown: shown.to_owned(), why, help }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
