//! What people want to know about a certificate.

use std::fmt::Write as _;
use std::net::IpAddr;

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::base::Host;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// DNS names and addresses it is for.
    pub names: Vec<String>,
    pub issuer: String,
    /// Unix seconds.
    pub not_before_s: i64,
    /// Unix seconds.
    pub not_after_s: i64,
    /// Lower-case hex SHA-256 of the DER certificate.
    pub sha256: String,
}

impl Facts {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// What makes it no certificate.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let validity = parsed.validity();
        Ok(Self {
            names: names(&parsed),
            issuer: issuer(&parsed),
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
            sha256: fingerprint(der),
        })
    }

    /// Negative once expired.
    #[must_use]
    pub const fn expires_in_s(&self, now_unix_s: i64) -> i64 {
        self.not_after_s.saturating_sub(now_unix_s)
    }

    /// A name of the certificate stands for the host itself; a wildcard for exactly one label more (RFC 9525 §6.3).
    #[must_use]
    pub fn covers(&self, host: &Host) -> bool {
        let wildcard = host.wildcard();
        self.names.iter().any(|name| {
            name == host.as_str() || wildcard.as_deref().is_some_and(|wildcard| name == wildcard)
        })
    }
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
        assert!(Facts::read(b"").is_err());
        assert!(Facts::read(&[0x30, 0x82, 0xff, 0xff]).is_err());
    }
}
