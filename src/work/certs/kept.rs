//! Where the local CA is kept: its key sealed in the state, its root beside it, and a public copy of the root as a file.
//!
//! Promises: root and key are written in one commit, and the first that is written stays; a CA that an earlier version
//! kept in files is taken over, and its key file removed only after that commit; the public copy says what the state says.
//! Refuses: to make a CA where the root of one that is lost lies, and to replace one that is damaged: clients may trust it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::local::{self, KEY_FILE, ROOT_FILE};
use super::{CertError, files};
use crate::keyring::Keyring;
use crate::store::Store;
use crate::store::local_ca::{LOCAL_CA_ROW, LocalRoot};
use crate::store::sealed::{LOCAL_CA_KEYS, Sealed};
use crate::sys;
use crate::telemetry::{Level, Log};

/// What the local CA is kept with.
#[derive(Clone, Copy)]
pub struct Vault<'a> {
    pub store: &'a Store,
    pub keyring: &'a Keyring,
    pub log: &'a Log,
    pub state_dir: &'a Path,
}

/// A root with the key that belongs to it.
pub(super) struct Kept {
    pub root: CertificateDer<'static>,
    pub pair: KeyPair,
}

impl Vault<'_> {
    pub(super) fn root_file(&self) -> PathBuf {
        self.state_dir.join(ROOT_FILE)
    }

    fn key_file(&self) -> PathBuf {
        self.state_dir.join(KEY_FILE)
    }

    /// The CA of this state, or a new one.
    pub(super) fn open(&self, hostname: &str, now_unix_s: i64) -> Result<Kept, CertError> {
        let record = match self.store.local_ca().map_err(unkept)? {
            Some(record) => record,
            None => self.begin(hostname, now_unix_s)?,
        };
        let kept = self.unsealed(&record.0, &record.1)?;
        check(&kept, now_unix_s).map_err(|why| self.spoilt(why))?;
        self.remove_key_file(&kept.pair);
        self.publish(&kept.root);
        Ok(kept)
    }

    /// Takes the CA of an earlier version over or makes one, and commits it.
    fn begin(&self, hostname: &str, now_unix_s: i64) -> Result<(LocalRoot, Sealed), CertError> {
        let (pair, root, from) = match self.earlier()? {
            Some((pair, root)) => (pair, root, KEY_FILE),
            None => (KeyPair::generate().map_err(unmade)?, None, "a new key"),
        };
        let root = match root {
            Some(root) => root,
            None => local::make_root(&pair, hostname, now_unix_s).map_err(unmade)?,
        };
        let kept = Kept { root, pair };
        check(&kept, now_unix_s).map_err(|why| self.damaged(KEY_FILE, why))?;
        let key = Zeroizing::new(kept.pair.serialize_der());
        let sealed = self.keyring.seal(LOCAL_CA_KEYS, LOCAL_CA_ROW, &key).map_err(unkept)?;
        let record = LocalRoot { certificate: kept.root.to_vec(), stored_at_s: now_unix_s };
        let record = self.store.add_local_ca(record, sealed).wait().map_err(unkept)?;
        self.log.event(Level::Info, "local_ca_stored", |line| {
            line.text("from", from).text("sha256", &super::fingerprint(&record.0.certificate));
        });
        Ok(record)
    }

    /// What an earlier version kept: a key, and the root unless a crash came between the two.
    fn earlier(&self) -> Result<Option<(KeyPair, Option<CertificateDer<'static>>)>, CertError> {
        let (root, key) = (self.root_file(), self.key_file());
        match (key.exists(), root.exists()) {
            (false, false) => return Ok(None),
            (false, true) => return Err(CertError::LostCa { root }),
            (true, _) => {}
        }
        let pem = Zeroizing::new(files::read_private(&key, "key of the local CA")?);
        let pair = parse_key(&pem).map_err(|why| self.damaged(KEY_FILE, why))?;
        if !root.exists() {
            return Ok(Some((pair, None)));
        }
        let (pem, _) = files::read(&root, local::WHAT)?;
        let root = local::single_root(&root, &pem).map_err(|why| self.damaged(ROOT_FILE, why))?;
        Ok(Some((pair, Some(root))))
    }

    fn unsealed(&self, root: &LocalRoot, sealed: &Sealed) -> Result<Kept, CertError> {
        let key = self.keyring.unseal(LOCAL_CA_KEYS, LOCAL_CA_ROW, sealed);
        let key = key.map_err(|error| self.spoilt(error))?;
        let pair = KeyPair::try_from(key.as_slice()).map_err(|error| self.spoilt(error))?;
        Ok(Kept { root: CertificateDer::from(root.certificate.clone()), pair })
    }

    /// The plain key of an earlier version, once it is sealed. Also after a crash in between.
    fn remove_key_file(&self, pair: &KeyPair) {
        let path = self.key_file();
        let Ok(pem) = std::fs::read(&path).map(Zeroizing::new) else { return };
        let same = parse_key(&pem).is_ok_and(|key| key.public_key_raw() == pair.public_key_raw());
        let shown = path.display().to_string();
        let outcome = if same { sys::files::remove(&path) } else { Ok(()) };
        match (same, outcome) {
            (true, Ok(())) => self.log.event(Level::Info, "local_ca_key_file_removed", |line| {
                line.text("path", &shown).text("why", "the key is sealed in the state now");
            }),
            (true, Err(error)) => self.log.event(Level::Warn, "local_ca_key_file_left", |line| {
                line.text("path", &shown)
                    .text("why", &error.to_string())
                    .text("next", "remove it: the key is sealed in the state");
            }),
            (false, _) => self.log.event(Level::Warn, "local_ca_key_file_left", |line| {
                line.text("path", &shown)
                    .text("why", "it is not the key of the local CA in the state")
                    .text("next", "move it away; nothing uses it");
            }),
        }
    }

    /// The copy for everyone. The CA works without it, so trouble with it stops nothing.
    fn publish(&self, root: &CertificateDer<'_>) {
        let path = self.root_file();
        let there = std::fs::read(&path).ok();
        let why = match &there {
            Some(pem) if local::single_root(&path, pem).is_ok_and(|found| found == *root) => return,
            Some(_) => "it was not the root in the state",
            None => "it was missing",
        };
        let shown = path.display().to_string();
        match sys::files::replace(&path, pem(root).as_bytes(), 0o644) {
            Ok(()) => self.log.event(Level::Info, "local_ca_written", |line| {
                line.text("path", &shown).text("why", why);
            }),
            Err(error) => self.log.event(Level::Warn, "local_ca_not_written", |line| {
                line.text("path", &shown)
                    .text("why", &error.to_string())
                    .text("next", "`palisade cert trust --print` shows the root all the same");
            }),
        }
    }

    fn damaged(&self, file: &'static str, why: String) -> CertError {
        CertError::DamagedCa { dir: self.state_dir.to_owned(), file, why }
    }

    fn spoilt(&self, why: impl ToString) -> CertError {
        CertError::SpoiltCa { dir: self.state_dir.to_owned(), why: why.to_string() }
    }
}

fn unkept(error: impl ToString) -> CertError {
    CertError::UnkeptCa { why: error.to_string() }
}

fn unmade(error: rcgen::Error) -> CertError {
    unkept(format!("it cannot be made: {error}"))
}

fn parse_key(pem: &[u8]) -> Result<KeyPair, String> {
    let pem = std::str::from_utf8(pem).map_err(|_| "the key is not PEM".to_owned())?;
    KeyPair::from_pem(pem).map_err(|error| format!("{error} ({KEY_FILE})"))
}

/// Whether the two belong together and are of use.
fn check(kept: &Kept, now_unix_s: i64) -> Result<(), String> {
    let (_, parsed) = X509Certificate::from_der(&kept.root).map_err(|error| error.to_string())?;
    if parsed.public_key().raw != kept.pair.subject_public_key_info().as_slice() {
        return Err("certificate and private key do not belong together".into());
    }
    let ends = parsed.validity().not_after.timestamp();
    if ends <= now_unix_s {
        let ended = crate::base::timestamp::rfc3339(ends);
        return Err(format!("it expired on {ended} (is the clock right?)"));
    }
    Ok(())
}

/// As files have it (RFC 7468 §2: lines of 64 characters).
pub(super) fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
