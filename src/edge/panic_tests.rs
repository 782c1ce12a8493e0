//! A defect in one request ends that connection and no other: a real worker, a real client, a resolver that panics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::sync::{mpsc, watch};

use super::accept::{Acceptor, Listener, Role};
use super::worker::{self, ARRIVALS_MAX, Inbox};
use super::{Caps, Drain, Policy, Shared, tls};
use crate::config::{self, Environment};
use crate::ports::system::{SystemClock, SystemDial, SystemEntropy};
use crate::ports::{Pending, Resolver};
use crate::telemetry::{Log, Metrics};

struct Defect;

impl Resolver for Defect {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Pending<'a, std::io::Result<Vec<SocketAddr>>> {
        panic!("told to")
    }
}

/// A worker behind an acceptor on a free port of loopback, with a certificate for `app.localhost`.
struct Edge {
    addr: SocketAddr,
    roots: RootCertStore,
    log: Log,
    stop: Box<dyn FnOnce()>,
}

fn edge(dir: &Path, app: SocketAddr) -> Edge {
    let file = dir.join("palisade.toml");
    let text = format!(
        "[site.\"app.localhost\"]\nupstream = \"{app}\"\n\
         [site.\"app.localhost\".route.\"/defect\"]\nupstream = \"a-name.example:80\"\n"
    );
    std::fs::write(&file, text).expect("a file");
    let settings = match config::load_file(&file, &Environment::default()) {
        Ok(loaded) => loaded.settings,
        Err(report) => panic!("{report}"),
    };
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["app.localhost".to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let key =
        rustls_pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("a key");
    let key = Arc::new(CertifiedKey::new(vec![cert.der().clone()], key));
    let server = tls::TlsFactory::new().and_then(|factory| factory.config(key)).expect("TLS");
    let clock = Arc::new(SystemClock);
    let (log, _writer) = Log::open(Some(&dir.join("log")), clock.clone()).expect("a log");
    let caps = Caps::new(settings.connections.clone());
    let events = crate::telemetry::events::Hub::new(1, clock.clone());
    let shared = Arc::new(Shared {
        policy: ArcSwap::from_pointee(Policy::new(1, settings, vec![server], 443)),
        caps,
        clock,
        entropy: Arc::new(SystemEntropy),
        resolver: Arc::new(Defect),
        dial: Arc::new(SystemDial),
        metrics: Metrics::new(1),
        log: log.clone(),
        events,
        cut: AtomicUsize::new(0),
        collect_memory: || {},
    });
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = socket.local_addr().expect("bound");
    let (arrivals, receiver) = mpsc::channel(ARRIVALS_MAX);
    let open = Arc::<AtomicUsize>::default();
    let inbox = Inbox { arrivals, open: Arc::clone(&open) };
    let (tell, told) = watch::channel(Drain::No);
    let theirs = Arc::clone(&shared);
    let thread = std::thread::spawn(move || worker::run(theirs, 0, receiver, open, told));
    let listener = Listener { role: Role::Https, addr, socket };
    let acceptor = Acceptor::start(vec![listener], shared, vec![inbox]).expect("an acceptor");
    let stop = Box::new(move || {
        acceptor.stop();
        let now = tokio::time::Instant::now();
        tell.send(Drain::Until(now)).expect("the worker still listens");
        thread.join().expect("the worker has not panicked").expect("nor failed");
    });
    Edge { addr, roots, log, stop }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

#[expect(clippy::disallowed_methods, reason = "the test is the client")]
fn client(edge: &Edge, alpn: &str) -> Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(edge.roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let name = "app.localhost".try_into().expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let tcp = TcpStream::connect(edge.addr).expect("a connection");
    tcp.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    StreamOwned::new(tls, tcp)
}

fn get(client: &mut Client, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
    client.write_all(request.as_bytes()).expect("sent");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\nok") && matches!(client.read(&mut byte), Ok(1)) {
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// HEADERS of `GET /defect`, every field a literal.
fn h2_defect() -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "app.localhost"),
        (":path", "/defect"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let length = u8::try_from(block.len()).expect("short");
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let head: &[u8] = &[0, 0, length, 1, 5, 0, 0, 0, 1];
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings, head, &block].concat()
}

/// An app that answers every request of every connection.
fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer), Ok(read) if read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    stream.write_all(answer).expect("sent");
                }
            });
        }
    });
    addr
}

#[test]
fn a_panic_ends_its_own_connection_and_is_logged() {
    let dir = tempfile::tempdir().expect("a directory");
    let edge = edge(dir.path(), app());
    let mut bystander = client(&edge, "http/1.1");
    assert!(get(&mut bystander, "/").ends_with("ok"));
    for _ in 0..2 {
        let mut victim = client(&edge, "http/1.1");
        assert_eq!(get(&mut victim, "/defect"), "", "its connection ends");
        let mut victim = client(&edge, "h2");
        victim.write_all(&h2_defect()).expect("sent");
        let mut seen = Vec::new();
        // Whatever was said before; what matters is that the connection ends.
        let end = victim.read_to_end(&mut seen);
        let timed_out =
            |kind| matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        assert!(!end.is_err_and(|error| timed_out(error.kind())));
        assert!(get(&mut bystander, "/").ends_with("ok"), "on the same worker");
    }
    drop(bystander);
    (edge.stop)();
    edge.log.flush();
    let log = std::fs::read_to_string(dir.path().join("log")).expect("the log");
    assert_eq!(log.matches("\"status_code\":500").count(), 4, "{log}");
    assert_eq!(log.matches("\"aborted\":\"panic\"").count(), 4, "{log}");
}
