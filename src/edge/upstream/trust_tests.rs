//! Handshakes with real servers over a pair of sockets: who is believed, who is not and why, and what an idle connection
//! may say.

use std::future::poll_fn;
use std::sync::Arc;

use http::Request;
use http_body::Frame;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::link::Link;
use super::secure::Secure;
use super::stream::UpstreamStream;
use super::trust::Trust;
use crate::config::settings::{Protocol, UpstreamTls};
use crate::edge::body::RequestBody;
use crate::edge::identity::sample::{LINES, sample};
use crate::edge::tls::provider;
use crate::ports::handshake::TlsFault;

const NAME: &str = "app.internal";

/// A certificate and its key, and its PEM.
struct Made {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).expect("names")
}

fn self_signed(params: &CertificateParams) -> Made {
    let key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate");
    Made { der: cert.der().clone(), pem: cert.pem(), key }
}

fn authority() -> (Made, CertificateParams) {
    let mut params = params(&[]);
    params.distinguished_name.push(rcgen::DnType::CommonName, "a private root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (self_signed(&params), params)
}

fn issued(by: &(Made, CertificateParams), params: &CertificateParams) -> Made {
    let key = KeyPair::generate().expect("a key");
    let issuer = Issuer::from_params(&by.1, &by.0.key);
    let cert = params.signed_by(&key, &issuer).expect("a certificate");
    Made { der: cert.der().clone(), pem: cert.pem(), key }
}

/// Its ALPN is `alpn`; none at all for an empty list.
fn server(made: &Made, alpn: &[&str]) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(made.key.serialize_der()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.der.clone()], key)
        .expect("a certificate");
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn secure(pem: Option<&str>, protocol: Protocol) -> Secure {
    let ca_file = pem.map(|_| "/etc/app/roots.pem".into());
    let trust = match pem {
        Some(pem) => Trust::of_pem(pem.as_bytes(), None).expect("roots"),
        None => Trust::public(),
    };
    Secure::new(&UpstreamTls { name: NAME.into(), ca_file }, protocol, trust).expect("a name")
}

type Far = TlsStream<UnixStream>;

async fn shake(
    secure: &Secure,
    config: &Arc<ServerConfig>,
) -> Result<(UpstreamStream, Far), TlsFault> {
    let (near, far) = UnixStream::pair().expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::clone(config));
    let (near, far) = tokio::join!(secure.shake(UpstreamStream::Unix(near)), acceptor.accept(far));
    near.map(|near| (near, far.expect("the other side agrees")))
}

/// The handshake of a server with this certificate, and what is wrong with it.
async fn refusal(pem: Option<&str>, made: &Made) -> String {
    let outcome = shake(&secure(pem, Protocol::Http1), &server(made, &["http/1.1"])).await;
    outcome.err().map(|fault| fault.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn a_certificate_of_a_listed_authority_is_believed() {
    let authority = authority();
    let made = issued(&authority, &params(&[NAME]));
    assert_eq!(refusal(Some(&authority.0.pem), &made).await, "");
}

#[tokio::test]
async fn nobody_else_than_those_of_the_file_is_believed() {
    let (listed, other) = (authority(), authority());
    let made = issued(&other, &params(&[NAME]));
    let why = refusal(Some(&listed.0.pem), &made).await;
    assert!(why.contains("from nobody in upstream_tls.ca_file"), "{why}");
    let why = refusal(None, &made).await;
    assert!(why.contains("from no public authority"), "{why}");
}

#[tokio::test]
async fn a_name_that_is_not_its_own_is_told_with_those_that_are() {
    let authority = authority();
    let made = issued(&authority, &params(&["other.internal", "192.0.2.7"]));
    let why = refusal(Some(&authority.0.pem), &made).await;
    assert!(why.contains("is for other.internal, 192.0.2.7 and not for app.internal"), "{why}");
}

#[tokio::test]
async fn time_counts() {
    let authority = authority();
    let mut past = params(&[NAME]);
    past.not_before = rcgen::date_time_ymd(2020, 1, 1);
    past.not_after = rcgen::date_time_ymd(2021, 2, 3);
    let mut future = params(&[NAME]);
    future.not_before = rcgen::date_time_ymd(3020, 4, 5);
    for (params, words) in [
        (past, "has expired on 2021-02-03T00:00:00Z"),
        (future, "counts from 3020-04-05T00:00:00Z"),
    ] {
        let why = refusal(Some(&authority.0.pem), &issued(&authority, &params)).await;
        assert!(why.contains(words), "{why}");
        let listed = self_signed(&params);
        let why = refusal(Some(&listed.pem), &listed).await;
        assert!(why.contains(words), "listed, too: {why}");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_counts_where_it_is_listed_itself() {
    let mut as_authority = params(&[NAME]);
    as_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for params in [params(&[NAME]), as_authority] {
        let (made, other) = (self_signed(&params), self_signed(&params));
        assert_eq!(refusal(Some(&made.pem), &made).await, "");
        let why = refusal(Some(&other.pem), &made).await;
        assert!(why.contains("or the certificate itself if it is self-signed"), "{why}");
        let why = refusal(None, &made).await;
        assert!(why.contains("from no public authority"), "{why}");
    }
    let misnamed = self_signed(&self::params(&["other.internal"]));
    let why = refusal(Some(&misnamed.pem), &misnamed).await;
    assert!(why.contains("is for other.internal and not for app.internal"), "{why}");
}

#[tokio::test]
async fn a_listed_certificate_that_is_no_authority_vouches_for_nobody_else() {
    let mut params = params(&[NAME]);
    let listed = (self_signed(&params), params.clone());
    params.distinguished_name = rcgen::DistinguishedName::new();
    let made = issued(&listed, &params);
    let why = refusal(Some(&listed.0.pem), &made).await;
    assert!(why.contains("from nobody in upstream_tls.ca_file"), "{why}");
}

#[tokio::test]
async fn who_knows_the_certificate_and_not_its_key_is_nobody() {
    let (listed, thief) = (self_signed(&params(&[NAME])), self_signed(&params(&[NAME])));
    let stolen = Made { der: listed.der.clone(), pem: String::new(), key: thief.key };
    let key = PrivateKeyDer::try_from(stolen.key.serialize_der()).expect("a key");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
    let key = rustls::sign::CertifiedKey::new(vec![stolen.der], key);
    let config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
    let fault = shake(&secure(Some(&listed.pem), Protocol::Http1), &Arc::new(config)).await;
    let why = fault.err().map(|fault| fault.to_string()).unwrap_or_default();
    assert!(why.contains("not acceptable"), "{why}");
}

#[tokio::test]
async fn http2_has_to_be_chosen_and_http1_need_not_be() {
    let made = self_signed(&params(&[NAME]));
    for (protocol, alpn, words) in [
        (Protocol::Http2, &["h2", "http/1.1"][..], ""),
        (Protocol::Http2, &["http/1.1"], "does not choose HTTP/2"),
        (Protocol::Http2, &[], "does not choose HTTP/2"),
        (Protocol::Http1, &[], ""),
        (Protocol::Http1, &["h2", "http/1.1"], ""),
        (Protocol::Http1, &["h2"], "write h2:// in front"),
    ] {
        let secure = secure(Some(&made.pem), protocol);
        let (near, far) = UnixStream::pair().expect("a pair");
        let acceptor = TlsAcceptor::from(server(&made, alpn));
        let (near, _) =
            tokio::join!(secure.shake(UpstreamStream::Unix(near)), acceptor.accept(far));
        let why = near.err().map(|fault| fault.to_string()).unwrap_or_default();
        assert!(why.contains(words) && why.is_empty() == words.is_empty(), "{alpn:?}: {why}");
    }
}

#[tokio::test]
async fn who_speaks_something_else_is_told_from_who_says_nothing() {
    let secure = secure(None, Protocol::Http1);
    for (said, words) in
        [("HTTP/1.1 400 Bad Request\r\n\r\n", "is not TLS"), ("", "closed the connection")]
    {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        far.write_all(said.as_bytes()).await.expect("written");
        far.shutdown().await.expect("closed");
        let fault = secure.shake(UpstreamStream::Unix(near)).await.expect_err("no TLS");
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[tokio::test]
async fn the_same_content_is_the_same_trust() {
    let (one, other) = (authority().0.pem, authority().0.pem);
    let first = Trust::of_pem(one.as_bytes(), None).expect("roots");
    let commented = format!("a word\n{one}\n");
    let again = Trust::of_pem(commented.as_bytes(), Some(&first)).expect("roots");
    assert!(Arc::ptr_eq(&first, &again));
    let changed = Trust::of_pem((one + &other).as_bytes(), Some(&first)).expect("roots");
    assert!(!Arc::ptr_eq(&first, &changed));
}

#[test]
fn a_file_of_no_use_says_why() {
    const BROKEN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, words) in [("", "holds no"), ("a key", "holds no"), (BROKEN, "cannot be used")] {
        let why = Trust::of_pem(pem.as_bytes(), None).expect_err(pem);
        assert!(why.contains(words), "{why}");
    }
}

/// One request and the answer `ok`.
async fn exchange(link: &mut Link, far: &mut Far, behind: &str) {
    let request = Request::builder().uri("/").body(()).expect("a request");
    link.begin(request.into_parts().0, sample().own(), RequestBody::Empty);
    let served = async {
        let mut seen = [0; 512];
        let count = far.read(&mut seen).await.expect("the request");
        let sent = String::from_utf8_lossy(&seen[..count]);
        assert_eq!(sent, format!("GET / HTTP/1.1\r\n{LINES}\r\n"));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{behind}");
        far.write_all(answer.as_bytes()).await.expect("written");
        far.flush().await.expect("written");
    };
    let answered = async {
        poll_fn(|cx| link.poll_head(cx)).await.expect("an answer");
        let mut body = Vec::new();
        while let Some(frame) = poll_fn(|cx| link.poll_body(cx)).await {
            let data = frame.map(Frame::into_data).expect("no fault").unwrap_or_default();
            body.extend_from_slice(&data);
        }
        assert_eq!(body, b"ok");
    };
    tokio::join!(served, answered);
}

async fn connected() -> (Box<Link>, Far) {
    let made = self_signed(&params(&[NAME]));
    let secure = secure(Some(&made.pem), Protocol::Http1);
    let (near, far) = shake(&secure, &server(&made, &["http/1.1"])).await.expect("a handshake");
    (Link::new(near, 0), far)
}

#[tokio::test]
async fn tickets_condemn_no_connection() {
    let (mut link, mut far) = connected().await;
    assert!(link.is_alive(), "the server's tickets are here already");
    for _ in 0..3 {
        exchange(&mut link, &mut far, "").await;
        assert!(link.is_alive());
        link.finish();
        link.rest();
    }
}

#[tokio::test]
async fn surplus_bytes_close_and_half_records_end_a_connection_while_it_is_idle() {
    let (mut link, mut far) = connected().await;
    exchange(&mut link, &mut far, "surplus").await;
    assert!(!link.is_alive(), "surplus behind the answer");

    let (mut link, mut far) = connected().await;
    exchange(&mut link, &mut far, "").await;
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
    assert!(!link.is_alive(), "an answer that nobody asked for");

    let (mut link, mut far) = connected().await;
    exchange(&mut link, &mut far, "").await;
    far.shutdown().await.expect("closed");
    assert!(!link.is_alive(), "a close");

    let (mut link, mut far) = connected().await;
    exchange(&mut link, &mut far, "").await;
    far.get_mut().0.write_all(&[23, 3, 3, 0, 99, 1, 2, 3]).await.expect("written");
    assert!(!link.is_alive(), "half of a record");
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let made = self_signed(&params(&[NAME]));
    let secure = secure(Some(&made.pem), Protocol::Http1);
    let config = server(&made, &["http/1.1"]);
    for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let (near, mut far) = shake(&secure, &config).await.expect("a handshake");
        let mut link = Link::new(near, 0);
        exchange(&mut link, &mut far, "").await;
        assert_eq!(far.get_ref().1.handshake_kind(), Some(expected));
    }
}
