//! TLS towards an upstream for requests: who is believed, which sessions are kept, and whether an idle connection is
//! still quiet.
//!
//! Promises: what was read of a record that is not whole counts as noise. Bounds: sessions per upstream
//! ([`SESSIONS_MAX`]), what is read of an idle connection at one look ([`LOOK_MAX`]).

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use super::heard::{Ear, Heard};
use super::records::Records;
use super::stream::UpstreamStream;
use super::trust::Trust;
use crate::config::settings::{Protocol, UpstreamTls};
use crate::edge::tls::provider;
use crate::ports::handshake::{Handshake, TlsFault};

/// Sessions kept per upstream: all its connections go to one name.
const SESSIONS_MAX: usize = 8;
/// Read of an idle connection at one look: some tickets, and nothing that an app would say.
const LOOK_MAX: usize = 32 * 1024;

/// How connections to one upstream are secured.
#[derive(Debug)]
pub struct Secure {
    trust: Arc<Trust>,
    handshake: Arc<Handshake>,
}

impl Secure {
    /// `None` if the name is neither a host name nor an address.
    #[must_use]
    pub fn new(tls: &UpstreamTls, protocol: Protocol, trust: Arc<Trust>) -> Option<Self> {
        let verifier = Arc::clone(&trust.verifier);
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .ok()?
            .dangerous() // the name of the door to a verifier of one's own; this one is stricter, not laxer
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        let (http2, private) = (protocol == Protocol::Http2, tls.ca_file.is_some());
        let handshake = Arc::new(Handshake::new(config, &tls.name, http2, private)?);
        Some(Self { trust, handshake })
    }

    /// For connections that others make to the same upstream.
    #[must_use]
    pub const fn handshake(&self) -> &Arc<Handshake> {
        &self.handshake
    }

    /// Whether it believes this one.
    #[must_use]
    pub fn believes(&self, trust: &Arc<Trust>) -> bool {
        Arc::ptr_eq(&self.trust, trust)
    }

    /// Shakes hands on a connection in the clear.
    ///
    /// # Errors
    /// As [`Handshake::shake`].
    pub async fn shake(&self, socket: UpstreamStream) -> Result<UpstreamStream, TlsFault> {
        let heard = Heard { stream: socket, ear: Records::default() };
        let stream = self.handshake.shake(heard).await?;
        Ok(UpstreamStream::Tls(Box::new(SecureStream(stream))))
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct SecureStream(TlsStream<Heard<Records>>);

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
                    return quiet && io.ear.are_whole();
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
        &self.0.get_ref().0.stream
    }

    pub fn stream(&mut self) -> Pin<&mut (impl AsyncRead + AsyncWrite + use<>)> {
        Pin::new(&mut self.0)
    }
}

/// Reads what the kernel has and never waits.
struct Waiting<'a>(&'a mut Heard<Records>);

impl Read for Waiting<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.0.stream.read_now(buf)?;
        self.0.ear.hear(buf.get(..count).unwrap_or_default());
        Ok(count)
    }
}
