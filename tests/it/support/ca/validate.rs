//! The CA's own look at the daemon, as RFC 8555 section 8.3 and RFC 8737 section 3 describe it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use x509_parser::extensions::{GeneralName, ParsedExtension};

/// What the daemon has to show.
#[derive(Debug, Clone)]
pub struct Proof {
    pub name: String,
    pub token: String,
    pub key_authorization: String,
}

/// Kind of error and words for people.
pub type Wrong = (&'static str, String);

#[expect(clippy::disallowed_methods, reason = "the CA is another party, not the daemon")]
async fn connect(to: SocketAddr) -> Result<TcpStream, Wrong> {
    TcpStream::connect(to).await.map_err(|error| ("connection", format!("{to}: {error}")))
}

fn broken(error: &io::Error) -> Wrong {
    ("connection", format!("during the answer: {error}"))
}

/// Fetches the file of an http-01 challenge.
pub async fn http_01(proof: &Proof, to: SocketAddr) -> Result<(), Wrong> {
    let mut stream = connect(to).await?;
    let Proof { name, token, key_authorization } = proof;
    let request = format!(
        "GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\n\
         User-Agent: a scripted CA\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| broken(&error))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(|error| broken(&error))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let first = head.lines().next().unwrap_or_default();
    if !first.starts_with("HTTP/1.1 200 ") {
        return Err(("unauthorized", format!("Invalid response: {first:?}")));
    }
    if body.trim_end() != key_authorization {
        let detail = format!("the file holds {body:?} and should hold {key_authorization:?}");
        return Err(("unauthorized", detail));
    }
    Ok(())
}

/// Shakes hands with `acme-tls/1` and reads the certificate.
pub async fn tls_alpn_01(proof: &Proof, to: SocketAddr) -> Result<(), Wrong> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let name = ServerName::try_from(proof.name.clone()).expect("a name");
    let stream = connect(to).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let tls = connector.connect(name, stream).await;
    let tls = tls.map_err(|error| ("tls", format!("the handshake failed: {error}")))?;
    let (_, session) = tls.get_ref();
    if session.alpn_protocol() != Some(b"acme-tls/1") {
        return Err(("unauthorized", "acme-tls/1 was not negotiated".to_owned()));
    }
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.expect("a certificate");
    judge(certificate, proof).map_err(|detail| ("unauthorized", detail))
}

/// The certificate names the domain and nothing else, and its critical extension holds the digest.
fn judge(certificate: &CertificateDer<'_>, proof: &Proof) -> Result<(), String> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let mut names = Vec::new();
    let mut digest = None;
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() {
            names = san.general_names.clone();
        }
        if extension.oid.to_id_string() == "1.3.6.1.5.5.7.1.31" {
            if !extension.critical {
                return Err("acmeIdentifier is not critical".to_owned());
            }
            digest = Some(extension.value.to_vec());
        }
    }
    if names != [GeneralName::DNSName(&proof.name)] {
        return Err(format!("the certificate is for {names:?}, not for {} alone", proof.name));
    }
    let expected = [&[4, 32][..], &Sha256::digest(&proof.key_authorization)].concat();
    if digest.as_ref() != Some(&expected) {
        return Err(format!("acmeIdentifier is {digest:?} and should be {expected:?}"));
    }
    Ok(())
}

/// The certificate is proof by what it says, not by who signed it; who shakes hands has to own its key.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("only TLS 1.3 is offered")
    }

    /// By the bare key: the usual way refuses certificates with a critical extension that it does not know.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let unreadable = |_| rustls::CertificateError::BadEncoding;
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(unreadable)?;
        let key = SubjectPublicKeyInfoDer::from(parsed.public_key().raw);
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
