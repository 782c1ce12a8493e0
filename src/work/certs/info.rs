//! What people want to know about a certificate.

use std::fmt::Write as _;
use std::net::IpAddr;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::base::timestamp::rfc3339;
use crate::ops::api::CertificateInfo;

/// Reads a DER certificate; `Err` says what makes it no certificate.
pub(super) fn read(
    site: &str,
    source: &str,
    der: &[u8],
    now_unix_s: i64,
) -> Result<CertificateInfo, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let validity = parsed.validity();
    let not_after = validity.not_after.timestamp();
    Ok(CertificateInfo {
        site: site.to_owned(),
        source: source.to_owned(),
        names: names(&parsed),
        issuer: issuer(&parsed),
        not_before: rfc3339(validity.not_before.timestamp()),
        not_after: rfc3339(not_after),
        expires_in_s: not_after.saturating_sub(now_unix_s),
        sha256: fingerprint(der),
        path: None,
    })
}

/// Seconds until the certificate becomes valid; negative or zero once it is.
pub(super) fn valid_in_s(der: &[u8], now_unix_s: i64) -> i64 {
    X509Certificate::from_der(der).map_or(0, |(_, parsed)| {
        parsed.validity().not_before.timestamp().saturating_sub(now_unix_s)
    })
}

/// DNS names and addresses of the subject alternative name; browsers look at nothing else (RFC 9525 §6.3).
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(dns) => Some(dns.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
            .ok()
            .map(|ip| ip.to_string()),
        _ => None,
    }
}

/// The common name of the issuer, or its whole name where it has none.
fn issuer(certificate: &X509Certificate<'_>) -> String {
    let issuer = certificate.issuer();
    let common = issuer.iter_common_name().next().and_then(|cn| cn.as_str().ok());
    common.map_or_else(|| issuer.to_string(), str::to_owned)
}

/// Lower-case hex SHA-256. The hash is the one that TLS already uses, so no second implementation is linked.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    let suite = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let Some(suite) = suite.tls13() else { return String::new() };
    let digest = suite.common.hash_provider.hash(der);
    digest.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a String cannot fail
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_sha256() {
        // FIPS 180-2, appendix B.1
        assert_eq!(
            fingerprint(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn what_is_no_certificate_is_an_error_and_no_panic() {
        assert!(read("a", "files", b"", 0).is_err());
        assert!(read("a", "files", &[0x30, 0x82, 0xff, 0xff], 0).is_err());
    }
}
