//! TLS towards an upstream: the handshake, what it may fail over in words, and whether an idle connection is still quiet.
//!
//! Promises: whoever cannot prove the name it was reached under gets no request; what was read of a record that is not
//! whole counts as noise. Bounds: what is read of an idle connection at one look ([`LOOK_MAX`]).

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::records::Records;
use super::stream::UpstreamStream;
use super::trust::Trust;
use crate::base::timestamp::rfc3339;
use crate::config::settings::{Protocol, UpstreamTls};
use crate::edge::tls::provider;

/// Sessions kept per upstream: all its connections go to one name.
const SESSIONS_MAX: usize = 8;
/// Read of an idle connection at one look: some tickets, and nothing that an app would say.
const LOOK_MAX: usize = 32 * 1024;
/// Names of a certificate that are shown.
const NAMES_SHOWN_MAX: usize = 5;

/// How connections to one upstream are secured.
#[derive(Debug)]
pub struct Secure {
    trust: Arc<Trust>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    protocol: Protocol,
    private: bool,
}

impl Secure {
    /// `None` if the name is neither a host name nor an address.
    #[must_use]
    pub fn new(tls: &UpstreamTls, protocol: Protocol, trust: Arc<Trust>) -> Option<Self> {
        let name = ServerName::try_from(tls.name.clone()).ok()?;
        let verifier = Arc::clone(&trust.verifier);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .ok()?
            .dangerous() // the name of the door to a verifier of one's own; this one is stricter, not laxer
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![match protocol {
            Protocol::Http1 => b"http/1.1".to_vec(),
            Protocol::Http2 => b"h2".to_vec(),
        }];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let config = Arc::new(config);
        Some(Self { trust, config, name, protocol, private: tls.ca_file.is_some() })
    }

    /// For connections that others make to the same upstream.
    #[must_use]
    pub const fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Whether it believes this one.
    #[must_use]
    pub fn believes(&self, trust: &Arc<Trust>) -> bool {
        Arc::ptr_eq(&self.trust, trust)
    }

    /// Shakes hands on a connection in the clear.
    ///
    /// # Errors
    /// When the other side is not who it should be, or does not speak what it should.
    pub async fn shake(&self, socket: UpstreamStream) -> Result<UpstreamStream, TlsFault> {
        let counted = Counted { socket, records: Records::default() };
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(self.name.clone(), counted).await;
        let stream = connected.map_err(|error| self.fault(error))?;
        let chosen = stream.get_ref().1.alpn_protocol();
        match self.protocol {
            Protocol::Http2 if chosen != Some(b"h2") => Err(TlsFault::NoHttp2),
            // Servers that know nothing of ALPN speak HTTP/1.1.
            Protocol::Http1 | Protocol::Http2 => {
                Ok(UpstreamStream::Tls(Box::new(SecureStream(stream))))
            }
        }
    }

    fn fault(&self, error: io::Error) -> TlsFault {
        // A close with something unread is a reset.
        if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        ) {
            return TlsFault::Cut(self.protocol);
        }
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(Error::InvalidCertificate(wrong)) => self.certificate_fault(wrong),
            Some(Error::InvalidMessage(_)) => TlsFault::NoTls,
            Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                match self.protocol {
                    Protocol::Http1 => TlsFault::NoHttp1,
                    Protocol::Http2 => TlsFault::NoHttp2,
                }
            }
            Some(Error::AlertReceived(AlertDescription::UnrecognisedName)) => {
                TlsFault::NameUnknown { name: self.name.to_str().into_owned() }
            }
            Some(Error::AlertReceived(alert)) => TlsFault::Refused(*alert),
            Some(other) => TlsFault::Other(other.clone()),
            None => TlsFault::Io(error),
        }
    }

    fn certificate_fault(&self, wrong: &CertificateError) -> TlsFault {
        let stamp = |time: rustls::pki_types::UnixTime| {
            rfc3339(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
        };
        match wrong {
            CertificateError::ExpiredContext { not_after, .. } => {
                TlsFault::Expired { since: stamp(*not_after) }
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                TlsFault::NotYet { from: stamp(*not_before) }
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let name = self.name.to_str().into_owned();
                TlsFault::OtherName { name, has: names(presented) }
            }
            CertificateError::UnknownIssuer if self.private => TlsFault::NotInFile,
            CertificateError::UnknownIssuer => TlsFault::NotPublic,
            other => TlsFault::Certificate(other.clone()),
        }
    }
}

/// Some that speak HTTP/2 only close without a word.
const fn or_http2(protocol: &Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => " Or HTTP/2 only? Then write h2:// in front of its address",
        Protocol::Http2 => "",
    }
}

/// Why a handshake with an upstream failed: what is wrong, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    #[error("its certificate has expired on {since}: renew it there")]
    Expired { since: String },
    #[error(
        "its certificate counts from {from} only: set the clock of this machine or of that one"
    )]
    NotYet { from: String },
    #[error(
        "its certificate is for {has} and not for {name}: set upstream_tls.name to one that it has"
    )]
    OtherName { name: String, has: String },
    #[error(
        "its certificate comes from no public authority: name the root of its issuer, or the certificate itself if it is \
         self-signed, as upstream_tls.ca_file"
    )]
    NotPublic,
    #[error(
        "its certificate comes from nobody in upstream_tls.ca_file: put the root of its issuer there, or the certificate itself if \
         it is self-signed"
    )]
    NotInFile,
    #[error("its certificate is not acceptable: {0}; replace it there")]
    Certificate(CertificateError),
    #[error(
        "it does not choose HTTP/2 (ALPN h2): write https:// in front of its address, or switch HTTP/2 on there"
    )]
    NoHttp2,
    #[error("it does not take HTTP/1.1 (ALPN http/1.1): write h2:// in front of its address")]
    NoHttp1,
    #[error(
        "what it speaks is not TLS: leave https:// away, or write h2c:// for HTTP/2 without TLS"
    )]
    NoTls,
    #[error("it knows no site of the name {name}: set upstream_tls.name to one that it has")]
    NameUnknown { name: String },
    #[error("it refused the handshake ({0:?}): look into its own log at this time")]
    Refused(AlertDescription),
    #[error("it closed the connection during the handshake: does it speak TLS on this port?{}", or_http2(.0))]
    Cut(Protocol),
    #[error("nobody is believed about it: a defect in palisade, please report it")]
    NobodyTrusted,
    #[error("the TLS handshake failed: {0}")]
    Other(Error),
    #[error("the TLS handshake broke off: {0}")]
    Io(io::Error),
}

/// The alert with which the other side has ended a connection.
pub fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// Names as rustls hands them out (`DnsName("a.example")`), for a sentence.
fn names(presented: &[String]) -> String {
    let bare = |text: &String| {
        let inner = text.split_once('(').map_or(text.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').chars().take(255).collect::<String>()
    };
    let shown: Vec<String> = presented.iter().take(NAMES_SHOWN_MAX).map(bare).collect();
    match presented.len().saturating_sub(shown.len()) {
        0 if shown.is_empty() => "no name at all (subjectAltName)".into(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct SecureStream(TlsStream<Counted>);

impl SecureStream {
    /// As [`UpstreamStream::is_quiet`]. What TLS says for itself (tickets, new keys) is taken in and is no noise; a close,
    /// a byte of plain text or a record that is not whole is.
    pub fn is_quiet(&mut self) -> bool {
        let (io, session) = self.0.get_mut();
        let mut looked = 0;
        while looked < LOOK_MAX {
            match session.read_tls(&mut Waiting(io)) {
                Ok(0) => return false,
                Ok(count) => looked += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let quiet = session.process_new_packets().is_ok_and(|state| {
                        state.plaintext_bytes_to_read() == 0 && !state.peer_has_closed()
                    });
                    return quiet && io.records.are_whole();
                }
                Err(_) => return false,
            }
            let Ok(state) = session.process_new_packets() else { return false };
            if state.plaintext_bytes_to_read() > 0 || state.peer_has_closed() {
                return false;
            }
        }
        false
    }

    /// What it goes over.
    pub fn socket(&self) -> &UpstreamStream {
        &self.0.get_ref().0.socket
    }

    pub fn stream(&mut self) -> Pin<&mut (impl AsyncRead + AsyncWrite + use<>)> {
        Pin::new(&mut self.0)
    }
}

/// The socket under TLS.
#[derive(Debug)]
struct Counted {
    socket: UpstreamStream,
    records: Records,
}

/// Reads what the kernel has and never waits.
struct Waiting<'a>(&'a mut Counted);

impl Read for Waiting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.0.socket.read_now(buf)?;
        self.0.records.see(buf.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buf))?;
        this.records.see(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
