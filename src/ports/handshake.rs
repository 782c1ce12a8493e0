//! TLS towards an upstream, for requests and health checks alike: the handshake, and what it may fail over in words.
//!
//! Promises: whoever cannot prove the name it was reached under, or does not speak what it should, gets nothing. Who is
//! believed is said by the configuration that is handed in. Bounds: names of a certificate that are shown.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::base::timestamp::rfc3339;

/// Names of a certificate that are shown.
const NAMES_SHOWN_MAX: usize = 5;

/// How hands are shaken with one upstream, on whichever connection.
#[derive(Debug)]
pub struct Handshake {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    http2: bool,
    private: bool,
}

impl Handshake {
    /// `None` if the name is neither a host name nor an address. `http2`: what is spoken afterwards, else HTTP/1.1;
    /// `private`: the configuration believes the authorities of a file, else those of the public.
    #[must_use]
    pub fn new(mut config: ClientConfig, name: &str, http2: bool, private: bool) -> Option<Self> {
        let name = ServerName::try_from(name.to_owned()).ok()?;
        config.alpn_protocols = vec![if http2 { H2 } else { HTTP1 }.to_vec()];
        Some(Self { config: Arc::new(config), name, http2, private })
    }

    /// Shakes hands on a connection in the clear.
    ///
    /// # Errors
    /// When the other side is not who it should be, or does not speak what it should.
    pub async fn shake<S>(&self, socket: S) -> Result<TlsStream<S>, TlsFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let connected = connector.connect(self.name.clone(), socket).await;
        let stream = connected.map_err(|error| self.fault(error))?;
        // Servers that know nothing of ALPN speak HTTP/1.1.
        if self.http2 && stream.get_ref().1.alpn_protocol() != Some(H2) {
            return Err(TlsFault::NoHttp2);
        }
        Ok(stream)
    }

    fn fault(&self, error: io::Error) -> TlsFault {
        // A close with something unread is a reset.
        if matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        ) {
            return TlsFault::Cut { http2: self.http2 };
        }
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        match inner {
            Some(Error::InvalidCertificate(wrong)) => self.certificate_fault(wrong),
            Some(Error::InvalidMessage(_)) => TlsFault::NoTls,
            Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                if self.http2 {
                    TlsFault::NoHttp2
                } else {
                    TlsFault::NoHttp1
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
        let stamp = |time: UnixTime| rfc3339(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
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
    #[error("it closed the connection during the handshake: does it speak TLS on this port?{}", or_http2(.http2))]
    Cut { http2: bool },
    #[error("nobody is believed about it: a defect in palisade, please report it")]
    NobodyTrusted,
    #[error("the TLS handshake failed: {0}")]
    Other(Error),
    #[error("the TLS handshake broke off: {0}")]
    Io(io::Error),
}

/// Some that speak HTTP/2 only close without a word.
const fn or_http2(http2: &bool) -> &'static str {
    if *http2 { "" } else { " Or HTTP/2 only? Then write h2:// in front of its address" }
}

/// The alert with which the other side has ended a connection.
#[must_use]
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

const HTTP1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";
