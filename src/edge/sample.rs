//! A real worker behind an acceptor on free ports of loopback, for tests of what only shows there.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::net::{TcpStream as TokioStream, UnixStream};
use tokio::sync::{mpsc, watch};

use super::accept::{Acceptor, Listener, Role};
use super::upstream::{Peers, Trusts};
use super::worker::{self, ARRIVALS_MAX, Inbox};
use super::{Caps, Drain, Policy, Shared, tls};
use crate::base::IpKey;
use crate::config::{self, Environment};
use crate::ports::actions::{Actions, NoPlace, Place};
use crate::ports::system::{SystemClock, SystemDial, SystemEntropy};
use crate::ports::{Clock, Dial, Pending};
use crate::telemetry::{Log, Metrics};

/// Opens connections, but has a defect: see [`DEFECT`].
struct Defect;

/// An address that nothing must be connected to (RFC 5737).
pub(super) const DEFECT: &str = "192.0.2.1:9";

impl Dial for Defect {
    fn tcp(&self, addr: SocketAddr) -> Pending<'_, std::io::Result<TokioStream>> {
        assert_ne!(addr.to_string(), DEFECT, "told to");
        Box::pin(async move { SystemDial.tcp(addr).await })
    }

    fn unix<'a>(&'a self, path: &'a Path) -> Pending<'a, std::io::Result<UnixStream>> {
        Box::pin(async move { SystemDial.unix(path).await })
    }
}

/// Records nothing.
pub(super) struct NoActions;

impl Actions for NoActions {
    fn reserve(&self, _: IpKey) -> Result<Box<dyn Place>, NoPlace> {
        Err(NoPlace::Now("told to"))
    }
}

/// What serves; only its first site has a certificate.
pub(super) struct Edge {
    pub https: SocketAddr,
    pub http: SocketAddr,
    pub shared: Arc<Shared>,
    /// Trusts the certificate of the first site.
    pub roots: RootCertStore,
    stop: Box<dyn FnOnce()>,
}

/// A certificate that signs itself, with the root that trusts it.
pub(super) fn certificate(name: &str) -> (Arc<CertifiedKey>, RootCertStore) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let key =
        rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
    (Arc::new(CertifiedKey::new(vec![cert.der().clone()], key)), roots)
}

impl Edge {
    /// Serves these sites; `name` is that of the first.
    pub fn start(dir: &Path, name: &str, sites: &str) -> Self {
        Self::start_with(dir, (name, sites), Arc::new(SystemClock), Arc::new(NoActions))
    }

    /// The same, with a clock and with somebody who takes the records.
    pub fn start_with(
        dir: &Path,
        (name, sites): (&str, &str),
        clock: Arc<dyn Clock>,
        actions: Arc<dyn Actions>,
    ) -> Self {
        let file = dir.join("palisade.toml");
        std::fs::write(&file, sites).expect("a file");
        let settings = match config::load_file(&file, &Environment::default()) {
            Ok(loaded) => loaded.settings,
            Err(report) => panic!("{report}"),
        };
        let (key, roots) = certificate(name);
        let server = tls::TlsFactory::new().and_then(|factory| factory.config(key)).expect("TLS");
        let mut servers = vec![None; settings.sites.len()];
        servers[0] = Some(server);
        let (log, _writer) = Log::open(Some(&dir.join("log")), clock.clone()).expect("a log");
        let events = crate::telemetry::events::Hub::new(1, clock.clone());
        let originals = crate::telemetry::originals::Originals::new(clock.clone());
        let peers = Peers::of(&settings, None, &Trusts::default());
        let shared = Arc::new(Shared {
            caps: Caps::new(settings.connections.clone()),
            policy: ArcSwap::from_pointee(Policy::new(1, settings, servers, 443, peers)),
            epoch: clock.now(),
            clock,
            entropy: Arc::new(SystemEntropy),
            dial: Arc::new(Defect),
            metrics: Metrics::new(1),
            log,
            events,
            originals,
            actions,
            challenges: Arc::default(),
            cut: AtomicUsize::new(0),
            collect_memory: || {},
        });
        let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
        let load = Arc::<super::crowd::Load>::default();
        let inbox = Inbox { arrivals, load: Arc::clone(&load) };
        let (tell, told) = watch::channel(Drain::No);
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || worker::run(theirs, 0, receiver, load, told));
        let listeners = [Role::Https, Role::Http].map(|role| {
            let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
            Listener { role, addr: socket.local_addr().expect("bound"), socket }
        });
        let [https, http] = [&listeners[0], &listeners[1]].map(|listener| listener.addr);
        let acceptor = Acceptor::start(listeners.into(), Arc::clone(&shared), vec![inbox]);
        let acceptor = acceptor.expect("an acceptor");
        let stop = Box::new(move || {
            acceptor.stop();
            let now = tokio::time::Instant::now();
            tell.send(Drain::Until(now)).expect("the worker still listens");
            thread.join().expect("the worker has not panicked").expect("nor failed");
        });
        Self { https, http, shared, roots, stop }
    }

    /// Ends the worker and hands out its log.
    pub fn stop(self, dir: &Path) -> String {
        (self.stop)();
        self.shared.log.flush();
        std::fs::read_to_string(dir.join("log")).expect("the log")
    }

    /// The count of a metric, as a scrape has it.
    pub fn count(&self, metric: &str) -> String {
        let text = self.shared.metrics.render(Default::default());
        let line = text.lines().find_map(|line| line.strip_prefix(metric));
        line.map(|count| count.trim().to_owned()).unwrap_or_default()
    }
}

/// A connection on which a test waits for an answer, but not for ever.
#[expect(clippy::disallowed_methods, reason = "the test is the client")]
pub(super) fn connect(addr: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(addr).expect("a connection");
    tcp.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    tcp
}

pub(super) type Client = StreamOwned<ClientConnection, TcpStream>;

/// A TLS client; the handshake happens with the first byte.
pub(super) fn client(addr: SocketAddr, roots: &RootCertStore, name: &str, alpn: &[&str]) -> Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = name.to_owned().try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a connection");
    StreamOwned::new(tls, connect(addr))
}

/// An app that answers every request of every connection with `ok`.
pub(super) fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer), Ok(read) if read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    std::io::Write::write_all(&mut stream, answer).expect("sent");
                }
            });
        }
    });
    addr
}
