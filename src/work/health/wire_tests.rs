//! Checks over HTTP/2 and TLS: asked as requests are.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use super::tests::{Bench, check};
use super::*;
use crate::config::settings::{Protocol, UpstreamAddr, UpstreamTls};
use crate::ports::health::Health;

const NAME: &str = "inside.example";

type Asked = (Version, String);

/// Answers 200 to everything, over TLS if there is a certificate for it, and reports what it was asked.
async fn app(
    protocol: Protocol,
    tls: Option<Arc<ServerConfig>>,
) -> (SocketAddr, UnboundedReceiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (tell, asked) = unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
        let _ = tell.send((request.version(), host.map_or(request.uri().to_string(), Into::into)));
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok")))) }
    });
    #[expect(clippy::disallowed_methods, reason = "it ends with its runtime")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            match &tls {
                None => {
                    let h2 = http2::Builder::new(TokioExecutor::new());
                    let _ = h2.serve_connection(TokioIo::new(stream), service).await;
                }
                Some(tls) => {
                    let accepted = TlsAcceptor::from(Arc::clone(tls)).accept(stream).await;
                    let Ok(stream) = accepted else { continue };
                    assert_eq!(protocol, Protocol::Http1, "the tests ask for no other");
                    let h1 = http1::Builder::new();
                    let _ = h1.serve_connection(TokioIo::new(stream), service).await;
                }
            }
        }
    });
    (address, asked)
}

/// A certificate that signs itself, on the server and as what a client believes.
fn certificate() -> (Arc<ServerConfig>, RootCertStore) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key);
    (Arc::new(server.expect("a server")), roots)
}

fn believing(roots: RootCertStore, name: &str, protocol: Protocol) -> Arc<Handshake> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let http2 = protocol == Protocol::Http2;
    Arc::new(Handshake::new(config, name, http2, true).expect("a name"))
}

fn tcp(address: SocketAddr) -> UpstreamAddr {
    UpstreamAddr::Tcp { host: address.ip().to_string(), port: address.port() }
}

#[tokio::test]
async fn an_app_that_speaks_http_2_in_the_clear_is_asked_in_it() {
    let (address, mut asked) = app(Protocol::Http2, None).await;
    let mut bench = Bench::start();
    let mut target = bench.target(tcp(address));
    target.endpoint.protocol = Protocol::Http2;
    bench.checks.configure(vec![Wanted::check(target, check())]);
    bench.told(Health::Up).await;
    let (version, uri) = asked.recv().await.expect("asked");
    assert_eq!(version, Version::HTTP_2);
    assert_eq!(uri, "http://app.example/healthz?deep=1");
}

#[tokio::test]
async fn an_app_behind_tls_is_asked_once_it_has_proven_its_name() {
    let (server, roots) = certificate();
    let (address, mut asked) = app(Protocol::Http1, Some(server)).await;
    let secured = |bench: &Bench, name: &str, protocol: Protocol| {
        let mut target = bench.target(tcp(address));
        target.endpoint.tls = Some(UpstreamTls { name: name.into(), ca_file: None });
        target.endpoint.protocol = protocol;
        target.tls = Some(believing(roots.clone(), name, protocol));
        target
    };
    let mut bench = Bench::start();
    let target = secured(&bench, NAME, Protocol::Http1);
    bench.checks.configure(vec![Wanted::check(target, check())]);
    bench.told(Health::Up).await;
    assert_eq!(asked.recv().await, Some((Version::HTTP_11, "app.example".into())));
    bench.checks.configure(Vec::new());

    // A failure is told as that of a request is.
    for (name, protocol, words) in [
        (
            "other.example",
            Protocol::Http1,
            "its certificate is for inside.example and not for other.example",
        ),
        (NAME, Protocol::Http2, "it does not choose HTTP/2 (ALPN h2)"),
    ] {
        let mut bench = Bench::start();
        let target = secured(&bench, name, protocol);
        bench.checks.configure(vec![Wanted::check(target, check())]);
        bench.told(Health::Down).await;
        assert!(bench.logged().contains(words), "{}", bench.logged());
    }
}
