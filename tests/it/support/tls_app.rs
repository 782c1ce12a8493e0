//! An app that speaks TLS with a certificate of the test's choice, and says in each answer how its connection began.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::{DEADLINE, Issued};

/// Answers `NUMBER full` or `NUMBER resumed`, the number being that of the connection from 0. `/close` ends the
/// connection behind its answer, with a word of TLS for it.
pub struct TlsApp {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl TlsApp {
    pub fn start(issued: &Issued, alpn: &[&str]) -> Self {
        Self::run(issued, alpn, None)
    }

    /// Wants clients to have a certificate of this authority.
    pub fn wanting_certificates(issued: &Issued, alpn: &[&str], authority: &str) -> Self {
        Self::run(issued, alpn, Some(authority))
    }

    fn run(issued: &Issued, alpn: &[&str], clients_of: Option<&str>) -> Self {
        let cert = CertificateDer::from_pem_slice(issued.cert.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = clients_of.map_or_else(WebPkiClientVerifier::no_client_auth, |pem| {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
            roots.add(root).expect("a root");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            verifier.build().expect("a verifier")
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![cert], key)
            .expect("a certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let connections = Arc::<AtomicUsize>::default();
        let theirs = Arc::clone(&connections);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let number = theirs.fetch_add(1, Ordering::SeqCst);
                let config = Arc::clone(&config);
                // Whoever leaves inside a handshake or a request has a right to.
                std::thread::spawn(move || drop(serve(stream, number, config)));
            }
        });
        Self { addr, connections }
    }

    pub fn address(&self) -> SocketAddr {
        self.addr
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(tcp: TcpStream, number: usize, config: Arc<ServerConfig>) -> std::io::Result<()> {
    tcp.set_read_timeout(Some(DEADLINE))?;
    tcp.set_nodelay(true)?;
    let tls = ServerConnection::new(config).expect("a connection");
    let mut stream = BufReader::new(StreamOwned::new(tls, tcp));
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line)?;
        }
        let kind = match stream.get_ref().conn.handshake_kind() {
            Some(HandshakeKind::Resumed) => "resumed",
            _ => "full",
        };
        let body = format!("{number} {kind}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(answer.as_bytes())?;
        stream.get_mut().flush()?;
        if first.starts_with("GET /close ") {
            stream.get_mut().conn.send_close_notify();
            stream.get_mut().flush()?;
            // The other side sees the word for the end, and not the end of the socket.
            let _ = stream.read_line(&mut line);
            return Ok(());
        }
    }
}
