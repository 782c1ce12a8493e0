//! TLS: server configurations, and the handshake of one connection.
//!
//! Defaults: 1.2 and 1.3, ECDHE with AES-GCM or ChaCha20, X25519MLKEM768 preferred, one ticket, tickets whose keys
//! rotate and outlive a reload. An unknown name gets the `unrecognized_name` alert (RFC 6066 §3) and nothing else; a
//! client that asks for many of them not even that.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::caps::SitePermit;
use super::challenge;
use super::conn::last_words;
use super::hello::{self, HELLO_MAX, Hello, Parsed, ServerName};
use super::io::Prefixed;
use super::timers::Deadline;
use super::worker::{View, Worker};
use crate::base::Host;
use crate::telemetry::metrics::Handshake;

/// Fatal `unrecognized_name` in a plaintext record (RFC 8446 §6).
const ALERT_UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// Fatal `internal_error`: palisade's own fault, and it may be over soon.
const ALERT_INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
/// Fatal `no_application_protocol` (RFC 7301 §3.2).
const ALERT_NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];
/// Fatal `decode_error`.
const ALERT_DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];
/// What is sealed for a client and not yet taken by the socket: two records.
const SEALED_MAX: usize = 32 * 1024;
const PLAIN_HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 60\r\nConnection: close\r\n\r\n\
    This port speaks HTTPS. Use https:// in front of the address\n";

/// The cryptography of the whole process.
#[must_use]
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
            kx_group::SECP384R1,
        ],
        ..aws_lc_rs::default_provider()
    }
}

/// Makes server configurations that share one set of session-ticket keys.
pub struct TlsFactory {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsFactory {
    /// One per process, kept across reloads, so that a reload costs no client its session.
    ///
    /// # Errors
    /// When the system has no randomness for the ticket keys.
    pub fn new() -> Result<Self, rustls::Error> {
        let tickets = aws_lc_rs::Ticketer::new()?;
        Ok(Self { provider: Arc::new(provider()), tickets })
    }

    /// The configuration of a site with this certificate.
    ///
    /// # Errors
    /// When the provider supports neither TLS 1.2 nor 1.3, which would be a defect.
    pub fn config(&self, key: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = Arc::clone(&self.tickets);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

/// A connection after its handshake.
pub struct Secured {
    pub stream: Box<TlsStream<Prefixed>>,
    pub http2: bool,
    pub sni: Option<Host>,
    /// Only looked up for clients that named no site.
    pub local: Option<IpAddr>,
    pub permit: Option<SitePermit>,
}

/// Reads the hello, chooses the site, shakes hands. `None` when the connection is over; it is counted why.
pub async fn handshake(worker: &Rc<Worker>, mut tcp: TcpStream, peer: IpAddr) -> Option<Secured> {
    let deadline = worker.timers.deadline();
    deadline.arm(worker.timeouts().handshake);
    let (hello, read) = match before(&deadline, read_hello(&mut tcp)).await {
        Some(Ok(read)) => read,
        Some(Err(end)) => {
            worker.shard.handshake(Handshake::Failed);
            if let Some(words) = end {
                before(&deadline, last_words(tcp, words)).await;
            }
            return None;
        }
        None => {
            worker.shard.handshake(Handshake::Timeout);
            return None;
        }
    };
    let (sni, local) = match hello.name {
        ServerName::Name(name) => (Some(name), None),
        ServerName::Absent => (None, tcp.local_addr().ok().map(|addr| addr.ip().to_canonical())),
        ServerName::Unusable => (None, None),
    };
    let asked = challenge::asked_by(&hello.alpn);
    let view = worker.view();
    match choose(worker, &view, (sni.as_ref(), local), asked) {
        Choice::Site { at, config } => {
            let site = view.policy.site(at)?;
            let name = site.name.as_str();
            let permit = match site.connections_per_ip {
                Some(max) => Some(worker.shared.caps.admit_to_site(name, peer, max).ok()?),
                None => None,
            };
            drop(view);
            let stream = accept(worker, &deadline, config, Prefixed::new(tcp, read)).await?;
            let (_, session) = stream.get_ref();
            worker.shard.handshake(match session.handshake_kind() {
                Some(HandshakeKind::Resumed) => Handshake::Resumed,
                _ => Handshake::Full,
            });
            let http2 = session.alpn_protocol() == Some(b"h2");
            Some(Secured { stream: Box::new(stream), http2, sni, local, permit })
        }
        Choice::Challenge(config) => {
            drop(view);
            let mut stream = accept(worker, &deadline, config, Prefixed::new(tcp, read)).await?;
            worker.shard.handshake(Handshake::Challenge);
            before(&deadline, stream.shutdown()).await;
            None
        }
        Choice::Refuse(outcome, alert) => {
            drop(view);
            let stranger = outcome == Handshake::UnknownName;
            let now_ms = worker.timers.now_ms();
            if stranger && !worker.strangers(|s| s.may_be_answered(peer, now_ms)) {
                worker.shard.handshake(Handshake::UnknownThrottled);
                return None;
            }
            worker.shard.handshake(outcome);
            before(&deadline, last_words(tcp, alert)).await;
            None
        }
    }
}

/// What a hello leads to.
enum Choice {
    Site {
        at: usize,
        config: Arc<ServerConfig>,
    },
    /// A CA asks for a proof that is there.
    Challenge(Arc<ServerConfig>),
    Refuse(Handshake, &'static [u8]),
}

fn choose(
    worker: &Worker,
    view: &View,
    (sni, local): (Option<&Host>, Option<IpAddr>),
    challenge_asked: bool,
) -> Choice {
    let generation = view.policy.generation;
    let found = match (sni, local) {
        (Some(name), _) if worker.strangers(|s| s.knows_as_unknown(name, generation)) => None,
        (Some(name), _) => view.policy.find(name),
        (None, Some(local)) => view.policy.find_by_address(local),
        (None, None) => None,
    };
    let Some(at) = found else {
        if let Some(name) = sni {
            worker.strangers(|s| s.note_unknown(name, generation));
        }
        return Choice::Refuse(Handshake::UnknownName, &ALERT_UNRECOGNIZED_NAME);
    };
    if challenge_asked {
        let proof = sni.and_then(|name| worker.shared.challenges.tls(name));
        return match proof.and_then(|key| challenge::config(key).ok()) {
            Some(config) => Choice::Challenge(config),
            None => Choice::Refuse(Handshake::ChallengeUnknown, &ALERT_NO_APPLICATION_PROTOCOL),
        };
    }
    match view.policy.tls(at) {
        Some(config) => Choice::Site { at, config: Arc::clone(config) },
        None => Choice::Refuse(Handshake::NoCertificate, &ALERT_INTERNAL_ERROR),
    }
}

/// Shakes hands; `None` when that failed, which is counted.
async fn accept(
    worker: &Worker,
    deadline: &Deadline,
    config: Arc<ServerConfig>,
    tcp: Prefixed,
) -> Option<TlsStream<Prefixed>> {
    let bounded = |session: &mut rustls::ServerConnection| {
        session.set_buffer_limit(Some(SEALED_MAX));
    };
    match before(deadline, TlsAcceptor::from(config).accept_with(tcp, bounded)).await {
        Some(Ok(stream)) => Some(stream),
        Some(Err(_)) => {
            worker.shard.handshake(Handshake::Failed);
            None
        }
        None => {
            worker.shard.handshake(Handshake::Timeout);
            None
        }
    }
}

/// The hello and every byte read with it, or what to say before closing.
async fn read_hello(tcp: &mut TcpStream) -> Result<(Hello, Vec<u8>), Option<&'static [u8]>> {
    use tokio::io::AsyncReadExt;
    let mut bytes = Vec::with_capacity(2048);
    loop {
        match hello::parse(&bytes) {
            Parsed::Hello(hello) => return Ok((hello, bytes)),
            Parsed::PlainHttp => return Err(Some(PLAIN_HTTP_ANSWER)),
            Parsed::Invalid => return Err(Some(&ALERT_DECODE_ERROR)),
            Parsed::Partial => {}
        }
        let room = HELLO_MAX.saturating_sub(bytes.len()).clamp(1, 2048);
        bytes.reserve(room);
        match (&mut *tcp).take(room as u64).read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Err(None),
            Ok(_) => {}
        }
    }
}

/// `None` when the deadline passes first.
pub(super) async fn before<F: Future>(deadline: &Deadline, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if deadline.expired(cx) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    })
    .await
}
