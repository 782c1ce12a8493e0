//! Answers to the CA's questions, put where the request path finds them, and taken away again.
//!
//! Promises: an answer is gone when the attempt ends, however it ends.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::challenges::{Answer, Challenges};
use crate::base::Host;

/// Answers that stand while this lives, once they were published.
pub(super) struct Answers {
    challenges: Arc<Challenges>,
    ready: Vec<Answer>,
    names: Vec<Host>,
}

impl Answers {
    pub(super) const fn new(challenges: Arc<Challenges>) -> Self {
        Self { challenges, ready: Vec::new(), names: Vec::new() }
    }

    pub(super) fn put_http(&mut self, name: &Host, token: &str, authorization: &str) {
        self.names.push(name.clone());
        self.ready.push(Answer::Http(name.clone(), token.into(), authorization.into()));
    }

    /// Answers with the digest of the key authorization (RFC 8737 §3).
    pub(super) fn put_tls(&mut self, name: &Host, digest: &[u8]) -> Result<(), String> {
        let certificate = validation_certificate(name, digest)?;
        self.names.push(name.clone());
        self.ready.push(Answer::Tls(name.clone(), Arc::new(certificate)));
        Ok(())
    }

    /// Puts what was collected where the request path finds it.
    pub(super) fn publish(&mut self) {
        self.challenges.put(self.ready.drain(..));
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.challenges.remove(&self.names);
    }
}

/// Self-signed, for one name, with the digest in a critical extension. rustls would refuse to build a key from such a
/// certificate by checking it, so it is put together unchecked.
fn validation_certificate(name: &Host, digest: &[u8]) -> Result<CertifiedKey, String> {
    // The library panics on any other length.
    let digest =
        <[u8; 32]>::try_from(digest).map_err(|_| "the digest is not SHA-256".to_owned())?;
    let key = KeyPair::generate().map_err(|error| error.to_string())?;
    let mut params =
        CertificateParams::new(vec![name.to_string()]).map_err(|error| error.to_string())?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions.push(CustomExtension::new_acme_identifier(&digest));
    let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&private)
        .map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], signing))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    fn host(name: &str) -> Host {
        name.parse().expect("a host")
    }

    #[test]
    fn a_validation_certificate_has_the_name_and_the_critical_digest() {
        let key = validation_certificate(&host("app.example.com"), &[7; 32]).expect("made");
        let (_, certificate) = X509Certificate::from_der(&key.cert[0]).expect("a certificate");
        // id-pe-acmeIdentifier, RFC 8737 §6.1
        let extension = certificate
            .iter_extensions()
            .find(|extension| extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31")
            .expect("the extension");
        assert!(extension.critical);
        assert_eq!(extension.value, [&[0x04, 32][..], &[7; 32]].concat());
        let names = certificate.subject_alternative_name().expect("readable").expect("there");
        assert_eq!(names.value.general_names.len(), 1);
        assert!(validation_certificate(&host("app.example.com"), &[7; 31]).is_err());
    }

    #[test]
    fn answers_are_gone_when_the_attempt_ends() {
        let challenges = Arc::new(Challenges::default());
        let name = host("app.example.com");
        let mut answers = Answers::new(Arc::clone(&challenges));
        answers.put_http(&name, "token", "token.thumb");
        answers.put_tls(&name, &[1; 32]).expect("made");
        assert_eq!(challenges.http(&name, "token"), None, "all of an order at once");
        answers.publish();
        assert_eq!(challenges.http(&name, "token").as_deref(), Some("token.thumb"));
        assert!(challenges.tls(&name).is_some());
        drop(answers);
        assert_eq!(challenges.http(&name, "token"), None);
        assert!(challenges.tls(&name).is_none());
    }
}
