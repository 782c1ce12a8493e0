//! A client at the level of bytes: plain TCP, or TLS with every knob that a test turns.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::DEADLINE;
use super::http::{Answer, read_answer};

/// A client with its own session cache: two connections of one client may resume.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// Trusts these roots (PEM) and speaks TLS 1.2 and 1.3, without ALPN.
    pub fn trusting(roots_pem: &str) -> Self {
        Self::speaking(roots_pem, rustls::ALL_VERSIONS)
    }

    pub fn speaking(roots_pem: &str, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots_pem.as_bytes()) {
            roots.add(root.expect("PEM")).expect("a root");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config: Arc::new(config) }
    }

    /// Judges certificates by a clock that is ahead of the machine's.
    #[must_use]
    pub fn ahead_s(mut self, seconds: u64) -> Self {
        #[derive(Debug)]
        struct Ahead(Duration);
        impl TimeProvider for Ahead {
            fn current_time(&self) -> Option<UnixTime> {
                let now = Duration::from_secs(UnixTime::now().as_secs());
                Some(UnixTime::since_unix_epoch(now + self.0))
            }
        }
        let ahead = Arc::new(Ahead(Duration::from_secs(seconds)));
        Arc::make_mut(&mut self.config).time_provider = ahead;
        self
    }

    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Arc::make_mut(&mut self.config).alpn_protocols = protocols;
        self
    }

    /// Connects and shakes hands; an IP address as `name` sends no SNI.
    pub fn connect(&self, to: SocketAddr, name: &str) -> io::Result<Connection> {
        self.connect_over(plain(to)?, name)
    }

    /// The same on a connection that has said something already.
    pub fn connect_over(&self, tcp: TcpStream, name: &str) -> io::Result<Connection> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut tls =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        let mut socket = tcp;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Connection { inner: BufReader::new(StreamOwned::new(tls, socket)) })
    }
}

/// A TLS connection after its handshake.
pub struct Connection {
    inner: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Connection {
    pub fn tls(&self) -> &ClientConnection {
        &self.inner.get_ref().conn
    }

    pub fn resumed(&self) -> bool {
        self.tls().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The protocol that ALPN chose.
    pub fn protocol(&self) -> Option<String> {
        self.tls().alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned())
    }

    /// The server's certificate, as DER.
    pub fn certificate(&self) -> Vec<u8> {
        self.tls().peer_certificates().expect("a certificate")[0].to_vec()
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.inner.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// The next response, to a request with `method`.
    pub fn answer(&mut self, method: &str) -> io::Result<Answer> {
        read_answer(&mut self.inner, method)
    }

    /// GET on this connection, kept open.
    pub fn get(&mut self, host: &str, path: &str) -> io::Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))?;
        self.answer("GET")
    }

    /// Everything until the server closes; a reset counts as the end.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.inner.read_to_end(&mut rest);
        rest
    }

    /// Bytes until and with `end`.
    pub fn read_until(&mut self, end: &str) -> io::Result<String> {
        let mut text = Vec::new();
        let mut byte = [0];
        while !text.ends_with(end.as_bytes()) {
            if self.inner.read(&mut byte)? == 0 {
                let so_far = String::from_utf8_lossy(&text).into_owned();
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, so_far));
            }
            text.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl BufRead for Connection {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.get_mut().flush()
    }
}

/// A TCP connection that fails rather than hangs.
#[expect(clippy::disallowed_methods, reason = "the test is the client")]
pub fn plain(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
