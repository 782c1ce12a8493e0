//! What the CA delivered or an operator brought, checked before it is believed.
//!
//! Promises: a chain that is accepted is one: each certificate is signed in the name of the next, the server's first.
//! Refuses: a private key among the certificates; a certificate that has ended or not begun.
//! Bounds: [`CHAIN_MAX`] certificates.

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
/// How much later than here it may be where a certificate was made.
const SKEW_S: i64 = 5 * 60;

/// Parses a downloaded chain and checks that it is what was ordered. A certificate must have begun by this clock or, if
/// it is told, by the CA's: visitors' clocks are right even where this one is slow.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub(super) fn delivered(
    pem: &[u8],
    key: &[u8],
    names: &[Host],
    now_s: i64,
    ca_now_s: Option<i64>,
) -> Result<Certificate, String> {
    let certificate = check(pem, key, names, now_s)?;
    let (begins_s, latest_s) =
        (certificate.facts.not_before_s, now_s.max(ca_now_s.unwrap_or(now_s)));
    if begins_s > latest_s.saturating_add(SKEW_S) {
        return Err(format!(
            "the certificate begins on {} only, and it is {} here",
            rfc3339(begins_s),
            rfc3339(now_s)
        ));
    }
    Ok(certificate)
}

/// Parses a chain from anywhere.
///
/// # Errors
/// As [`delivered`].
pub(super) fn check(
    pem: &[u8],
    key: &[u8],
    names: &[Host],
    now_s: i64,
) -> Result<Certificate, String> {
    let certificate = build(chain(pem)?, key)?;
    let facts = &certificate.facts;
    if let Some(missing) = names.iter().find(|name| !facts.covers(name)) {
        return Err(format!(
            "the certificate is for {}, not for {missing}",
            some_names(&facts.names)
        ));
    }
    if facts.not_before_s >= facts.not_after_s {
        return Err(format!(
            "the certificate ends on {}, before it begins on {}",
            rfc3339(facts.not_after_s),
            rfc3339(facts.not_before_s)
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

/// The certificates of a PEM text, the server's first, each signed in the name of the next.
fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    // Whatever follows a key in such a file, the key is out of its place, and maybe on its way to visitors.
    if String::from_utf8_lossy(pem).contains("PRIVATE KEY-----") {
        return Err("a private key stands among the certificates: take it out".into());
    }
    let mut chain: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("it is no PEM chain: {error}"))?;
        if chain.len() == CHAIN_MAX {
            return Err(format!("the chain has more than {CHAIN_MAX} certificates"));
        }
        chain.push(certificate);
    }
    let mut parsed = Vec::with_capacity(chain.len());
    for (at, der) in chain.iter().enumerate() {
        let which = if at == 0 { "it".into() } else { format!("number {} of the chain", at + 1) };
        match X509Certificate::from_der(der) {
            Ok(([], certificate)) => parsed.push(certificate),
            Ok(_) => return Err(format!("{which} is no certificate: bytes follow its end")),
            Err(error) => return Err(format!("{which} is no certificate: {error}")),
        }
    }
    if parsed.first().is_some_and(|leaf| leaf.is_ca()) {
        return Err(
            "the first certificate is that of a CA (CA:TRUE): the server's own comes first".into(),
        );
    }
    for (at, pair) in parsed.windows(2).enumerate() {
        if let [one, next] = pair
            && one.issuer().as_raw() != next.subject().as_raw()
        {
            return Err(format!(
                "the chain is in disorder: number {} was issued by {}, and number {} is {}; \
                 the server's certificate comes first, then each one's issuer",
                at + 1,
                super::problem::words(&one.issuer().to_string()),
                at + 2,
                super::problem::words(&next.subject().to_string())
            ));
        }
    }
    drop(parsed);
    Ok(chain)
}

/// The first few: a certificate may have thousands.
fn some_names(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(SHOWN);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    super::problem::words(&format!("{}{tail}", shown.join(", ")))
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

    /// A leaf with its intermediate and its root, each as PEM, and the leaf's key.
    fn three(change: impl FnOnce(&mut CertificateParams)) -> ([String; 3], Vec<u8>) {
        let ca = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            (params, KeyPair::generate().expect("a key"))
        };
        let (params, key) = ca("root");
        let root = params.self_signed(&key).expect("signed").pem();
        let signer = rcgen::Issuer::new(params, key);
        let (params, key) = ca("intermediate");
        let middle = params.signed_by(&key, &signer).expect("signed").pem();
        let signer = rcgen::Issuer::new(params, key);
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("parameters");
        change(&mut params);
        let leaf = params.signed_by(&key, &signer).expect("signed").pem();
        ([leaf, middle, root], key.serialize_der())
    }

    fn checked(pem: &str, key: &[u8]) -> Result<Certificate, String> {
        check(pem.as_bytes(), key, &hosts(&["a.example"]), NOW_S)
    }

    #[test]
    fn a_chain_is_taken_in_its_order_with_or_without_the_root() {
        let ([leaf, middle, root], key) = three(|_| {});
        for pem in [leaf.clone(), format!("{leaf}{middle}"), format!("{leaf}{middle}{root}")] {
            checked(&pem, &key).expect("accepted");
        }
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let private = KeyPair::generate().expect("a key").serialize_pem();
        for (pem, words) in [
            (
                format!("{leaf}{root}{middle}"),
                "number 1 was issued by CN=intermediate, and number 2",
            ),
            (format!("{leaf}{leaf}"), "disorder"),
            (format!("{middle}{leaf}"), "CA:TRUE"),
            (format!("{leaf}{garbage}"), "number 2 of the chain is no certificate"),
            (format!("{leaf}{middle}{private}"), "private key"),
            (format!("{leaf}{middle}{}", root.repeat(15)), "more than 16"),
        ] {
            let refused = checked(&pem, &key).expect_err(words);
            assert!(refused.contains(words), "{refused}");
        }
        checked(&format!("{leaf}{middle}{}", root.repeat(14)), &key).expect("sixteen");
        let ([leaf, middle, _], key) = three(|params| {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        });
        let refused = checked(&format!("{leaf}{middle}"), &key).expect_err("a CA");
        assert!(refused.contains("CA:TRUE"), "{refused}");
    }

    #[test]
    fn what_has_not_begun_is_refused_unless_the_cas_clock_has_come_so_far() {
        let at = |s: i64| time::OffsetDateTime::from_unix_timestamp(s).expect("a time");
        let made = |begins_s: i64, ends_s: i64| {
            let ([leaf, middle, _], key) = three(|params| {
                params.not_before = at(begins_s);
                params.not_after = at(ends_s);
            });
            (format!("{leaf}{middle}"), key)
        };
        let names = hosts(&["a.example"]);
        let (pem, key) = made(NOW_S + 7200, NOW_S + 90 * 86_400);
        let taken = |ca_now_s| delivered(pem.as_bytes(), &key, &names, NOW_S, ca_now_s);
        for ca_now_s in [None, Some(NOW_S), Some(NOW_S - 86_400)] {
            let refused = taken(ca_now_s).expect_err("not begun");
            assert!(refused.contains("begins on 2027-01-15T10:00:00Z only"), "{refused}");
        }
        taken(Some(NOW_S + 7200)).expect("this clock is slow");
        let (pem, key) = made(NOW_S + 60, NOW_S + 90 * 86_400);
        delivered(pem.as_bytes(), &key, &names, NOW_S, None).expect("a small skew");
        let (pem, key) = made(NOW_S + 30 * 86_400, NOW_S + 86_400);
        let refused = checked(&pem, &key).expect_err("ends before it begins");
        assert!(refused.contains("before it begins"), "{refused}");
    }

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
