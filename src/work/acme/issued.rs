//! What the CA delivered, checked before it is believed.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::base::Host;
use crate::base::timestamp::rfc3339;
use crate::work::certs::{Certificate, Facts};

/// A chain is two to four certificates.
const CHAIN_MAX: usize = 16;

/// Parses a downloaded chain and checks that it is what was ordered.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn check(
    pem: &[u8],
    key: &[u8],
    names: &[Host],
    now_s: i64,
) -> Result<Certificate, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .take(CHAIN_MAX)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("what was delivered is no PEM chain: {error}"))?;
    let certificate = build(chain, key)?;
    let facts = &certificate.facts;
    if let Some(missing) = names.iter().find(|name| !facts.covers(name)) {
        return Err(format!(
            "the certificate is for {}, not for {missing}",
            facts.names.join(", ")
        ));
    }
    if facts.not_after_s <= now_s {
        return Err(format!(
            "the certificate ended on {}, and it is {} here",
            rfc3339(facts.not_after_s),
            rfc3339(now_s)
        ));
    }
    Ok(certificate)
}

/// A chain with the key that belongs to it, ready to be served.
///
/// # Errors
/// As [`check`].
pub(super) fn build(
    chain: Vec<CertificateDer<'static>>,
    key: &[u8],
) -> Result<Certificate, String> {
    let Some(leaf) = chain.first() else { return Err("the chain is empty".into()) };
    let facts = Facts::read(leaf).map_err(|why| format!("it is no certificate: {why}"))?;
    // PKCS#8, PKCS#1 or SEC1: imported keys are kept as they came.
    let private =
        PrivateKeyDer::try_from(key).map_err(|why| format!("the key cannot be used: {why}"))?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| format!("the key cannot be used: {error}"))?;
    let certified = CertifiedKey::new(chain, signing);
    certified
        .keys_match()
        .map_err(|error| format!("the certificate does not belong to the key: {error}"))?;
    Ok(Certificate { key: Arc::new(certified), facts, path: None, warnings: Vec::new() })
}

/// Whether it names itself as its issuer.
pub(super) fn is_self_signed(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, it)| it.issuer() == it.subject())
}

/// The DER bytes of an unencrypted PEM key, of whatever encoding.
pub(super) fn der_of_pem(pem: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
    let key = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| format!("there is no unencrypted PEM key: {error}"))?;
    Ok(Zeroizing::new(key.secret_der().to_vec()))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn made(names: &[&str]) -> (String, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("parameters");
        (params.self_signed(&key).expect("signed").pem(), key.serialize_der())
    }

    fn hosts(names: &[&str]) -> Vec<Host> {
        names.iter().map(|name| name.parse().expect("a host")).collect()
    }

    const NOW_S: i64 = 1_800_000_000;

    #[test]
    fn what_was_ordered_is_accepted() {
        let (pem, key) = made(&["a.example", "b.example"]);
        let names = hosts(&["a.example", "b.example"]);
        let certificate = check(pem.as_bytes(), &key, &names, NOW_S).expect("accepted");
        assert_eq!(certificate.facts.names, ["a.example", "b.example"]);
    }

    #[test]
    fn what_was_not_ordered_is_refused_with_the_reason() {
        let (pem, key) = made(&["a.example"]);
        let refused = |pem: &[u8], key: &[u8], names: &[&str], now_s| {
            check(pem, key, &hosts(names), now_s).expect_err("refused")
        };
        let other = made(&["a.example"]).1;
        assert!(refused(pem.as_bytes(), &other, &["a.example"], NOW_S).contains("key"));
        let missing = refused(pem.as_bytes(), &key, &["a.example", "c.example"], NOW_S);
        assert!(missing.ends_with("not for c.example"), "{missing}");
        assert!(refused(b"<html>", &key, &["a.example"], NOW_S).contains("empty"));
        let end = 1_i64 << 40;
        assert!(refused(pem.as_bytes(), &key, &["a.example"], end).contains("ended"));
    }
}
