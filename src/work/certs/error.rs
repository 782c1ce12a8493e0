//! What can be wrong with a certificate or its key: the thing, the reason, the next step.

use std::path::PathBuf;

/// Every message is complete: it names the file, the reason and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    #[error("cannot read the {what} {}: {why}\n  {help}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, why: String, help: String },
    #[error("the private key {} can be read by every user of this machine (mode {mode:04o})\n  run: chmod 600 {}; then make a new key if others had access", path.display(), path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the {what} {shown} is not usable: {why}\n  {help}")]
    Unusable { what: &'static str, shown: String, why: String, help: &'static str },
    #[error("the certificate {} does not belong to the private key {key}\n  the server's certificate must come first in the file, the CA's after it; otherwise get the key it was issued for", cert.display())]
    Mismatch { cert: PathBuf, key: String },
    #[error("the certificate {} does not cover {name}; it is for {covered}\n  get one for {name}, or name the site after the certificate", cert.display())]
    OtherName { cert: PathBuf, name: String, covered: String },
    #[error("the local CA in {} is incomplete or damaged: {why}\n  restore {file} from a backup, or remove {ROOT} and {KEY} there to start a new CA (clients have to trust it again: `palisade cert trust`)", dir.display(), ROOT = super::local::ROOT_FILE, KEY = super::local::KEY_FILE)]
    DamagedCa { dir: PathBuf, file: &'static str, why: String },
    #[error("the key of the local CA {} is not in the state\n  put {CORE} and the master key back from a backup, or remove {} to start a new CA (clients have to trust it again: `palisade cert trust`)", root.display(), root.display(), CORE = crate::store::CORE_FILE)]
    LostCa { root: PathBuf },
    #[error("the local CA in {}/{CORE} cannot be used: {why}\n  restore {CORE} from a backup; without one move it and {ROOT} away to start anew (clients have to trust the new CA, certificates are ordered again)", dir.display(), CORE = crate::store::CORE_FILE, ROOT = super::local::ROOT_FILE)]
    SpoiltCa { dir: PathBuf, why: String },
    #[error("the local CA was not opened: {why}")]
    UnkeptCa { why: String },
    #[error("the local CA cannot issue a certificate for {names}: {why}")]
    Issue { names: String, why: String },
}
