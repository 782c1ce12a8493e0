//! Who is believed about who an upstream is: the public authorities, or those of a file and nobody else.
//!
//! Promises: name and validity count whoever has signed; a certificate that stands in the file itself is believed as it
//! is, which is how a self-signed one is used; a certificate in the file that is no authority vouches for nobody but
//! itself. There is no way to believe everybody.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::edge::tls::provider;

/// The roots that vouch for upstreams, as one file or the public has them.
#[derive(Debug)]
pub struct Trust {
    /// What the file holds, to tell a changed one; empty for the public roots.
    certificates: Vec<CertificateDer<'static>>,
    pub(super) verifier: Arc<Verifier>,
}

impl Trust {
    /// The authorities that browsers trust.
    #[must_use]
    pub fn public() -> Arc<Self> {
        let roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Arc::new(Self {
            certificates: Vec::new(),
            verifier: Arc::new(Verifier::new(roots, Vec::new())),
        })
    }

    /// Those of a PEM file; `before` stays if it holds the same.
    ///
    /// # Errors
    /// Why the content is of no use.
    pub fn of_pem(pem: &[u8], before: Option<&Arc<Self>>) -> Result<Arc<Self>, String> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("is no PEM file: {error}"))?;
        if certificates.is_empty() {
            return Err("holds no `BEGIN CERTIFICATE` block".into());
        }
        if let Some(before) = before.filter(|before| before.certificates == certificates) {
            return Ok(Arc::clone(before));
        }
        let mut roots = RootCertStore::empty();
        for der in &certificates {
            let unusable = |why: String| format!("holds a certificate that cannot be used: {why}");
            let (_, parsed) =
                X509Certificate::from_der(der).map_err(|error| unusable(error.to_string()))?;
            if is_authority(&parsed) {
                roots.add(der.clone()).map_err(|error| unusable(error.to_string()))?;
            }
        }
        let verifier = Arc::new(Verifier::new(roots, certificates.clone()));
        Ok(Arc::new(Self { certificates, verifier }))
    }
}

/// A certificate of the first version cannot say what it is; old private roots are of that kind.
fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    certificate.version() == X509Version::V1 || certificate.is_ca()
}

/// The trust of each `ca_file`, and under `None` that of the public, as far as upstreams ask for it.
#[derive(Debug, Clone, Default)]
pub struct Trusts(HashMap<Option<PathBuf>, Arc<Trust>>);

impl Trusts {
    #[must_use]
    pub fn get(&self, ca_file: Option<&PathBuf>) -> Option<&Arc<Trust>> {
        self.0.get(&ca_file.cloned())
    }

    pub fn add(&mut self, ca_file: Option<PathBuf>, trust: Arc<Trust>) {
        self.0.insert(ca_file, trust);
    }
}

/// Judges what an upstream shows.
#[derive(Debug)]
pub struct Verifier {
    /// `None` where the file holds no authority.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    listed: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(roots: RootCertStore, listed: Vec<CertificateDer<'static>>) -> Self {
        let provider = Arc::new(provider());
        let algorithms = provider.signature_verification_algorithms;
        // It fails without roots and never else: there are no revocation lists to be read.
        let authorities =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok();
        Self { authorities, listed, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.listed.iter().any(|listed| listed == end_entity) {
            return as_listed(end_entity, server_name, now);
        }
        let unknown = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        let Some(authorities) = &self.authorities else { return unknown };
        let verified = authorities.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // An authority's own certificate in the place of a server's: most self-signed ones are made like that.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if signs_itself(end_entity) =>
            {
                unknown
            }
            // Another authority of the same name, such as one that was made anew.
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => unknown,
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Believed because the operator has listed it: only its name and its time are left to be judged.
fn as_listed(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let unix = |time: i64| {
        let seconds = u64::try_from(time).unwrap_or_default();
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    };
    let not_before = unix(parsed.validity().not_before.timestamp());
    let not_after = unix(parsed.validity().not_after.timestamp());
    if now < not_before {
        let early = CertificateError::NotValidYetContext { time: now, not_before };
        return Err(Error::InvalidCertificate(early));
    }
    if now > not_after {
        let late = CertificateError::ExpiredContext { time: now, not_after };
        return Err(Error::InvalidCertificate(late));
    }
    let parsed = ParsedCertificate::try_from(certificate)?;
    rustls::client::verify_server_name(&parsed, name)?;
    Ok(ServerCertVerified::assertion())
}

fn signs_itself(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
}
