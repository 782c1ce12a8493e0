//! Actions over a real worker: when their answers leave, and what is handed over to be written.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;

use super::action::PATIENCE;
use super::sample::{self, Client, Edge, app};
use crate::base::IpKey;
use crate::base::audit::{Actor, Fact, Intent, Outcome, Source};
use crate::ports::actions::{Actions, NoPlace, Place, Recorded};
use crate::ports::fake::FakeClock;

/// Takes records, and says that they are on disk when it is told to.
#[derive(Default)]
struct Ledger {
    taken: Mutex<Vec<(Intent, oneshot::Sender<()>)>>,
    more: Condvar,
    full: AtomicBool,
    greedy: AtomicBool,
}

struct Line(Arc<Ledger>);

struct Book(Arc<Ledger>);

impl Actions for Book {
    fn reserve(&self, client: IpKey) -> Result<Box<dyn Place>, NoPlace> {
        assert_eq!(client, IpKey::of(std::net::Ipv4Addr::LOCALHOST.into()));
        match self.0.full.load(Ordering::Relaxed) {
            _ if self.0.greedy.load(Ordering::Relaxed) => Err(NoPlace::Client),
            true => Err(NoPlace::Now("told to")),
            false => Ok(Box::new(Line(Arc::clone(&self.0)))),
        }
    }
}

impl Place for Line {
    fn record(self: Box<Self>, intent: Intent) -> Recorded {
        let (written, recorded) = oneshot::channel();
        self.0.taken.lock().expect("no panic").push((intent, written));
        self.0.more.notify_all();
        recorded
    }
}

impl Ledger {
    /// The next record, once there is one.
    fn next(&self) -> (Intent, oneshot::Sender<()>) {
        let taken = self.taken.lock().expect("no panic");
        let limit = Duration::from_secs(20);
        let waited = self.more.wait_timeout_while(taken, limit, |taken| taken.is_empty());
        let (mut taken, _) = waited.expect("no panic");
        assert!(!taken.is_empty(), "no record came");
        taken.remove(0)
    }
}

struct Bench {
    dir: tempfile::TempDir,
    ledger: Arc<Ledger>,
    clock: Arc<FakeClock>,
    edge: Edge,
}

fn bench(upstream: SocketAddr) -> Bench {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = Arc::<Ledger>::default();
    let clock = Arc::new(FakeClock::at(Duration::from_secs(1_795_292_266)));
    let sites = format!(
        "[site.\"app.localhost\"]\nupstream = \"{upstream}\"\n\
         [site.\"app.localhost\".route.refund]\nmatch = {{ path = \"/refund\" }}\naudit = \"order.refund\"\n"
    );
    let book = Arc::new(Book(Arc::clone(&ledger)));
    let edge = Edge::start_with(dir.path(), ("app.localhost", &sites), clock.clone(), book);
    Bench { dir, ledger, clock, edge }
}

impl Bench {
    /// A connection with a request on it.
    fn ask(&self, path: &str) -> Client {
        let (at, roots) = (self.edge.https, &self.edge.roots);
        let mut client = sample::client(at, roots, "app.localhost", &["http/1.1"]);
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: app.localhost\r\nCookie: S3cret\r\n\r\n");
        client.write_all(request.as_bytes()).expect("sent");
        client
    }
}

/// The head of the answer.
fn head(mut client: Client) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).to_lowercase()
}

fn text(intent: &Intent, fact: &str) -> String {
    match &intent.after[fact] {
        Fact::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_leaves_once_its_record_is_on_disk_and_not_before() {
    let bench = bench(app());
    let mut client = bench.ask("/refund/7?token=S3cret");
    let (intent, written) = bench.ledger.next();
    client.sock.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let early = client.read(&mut [0]).expect_err("nothing has left");
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    client.sock.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    written.send(()).expect("the answer waits for it");
    let head = head(client);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let id = intent.by.request_id.clone().expect("an id");
    assert!(head.contains(&format!("x-request-id: {id}")), "{head}");
    assert_eq!(intent.by.actor, Actor::Client { ip: "127.0.0.1".into(), user: None });
    assert_eq!((intent.by.source, intent.at_ms), (Source::Edge, 1_795_292_266_000));
    assert_eq!((intent.action.as_str(), intent.outcome), ("route.order.refund", Outcome::Done));
    assert_eq!(intent.subject.as_deref(), Some("/refund/7"));
    let facts: Vec<&str> = intent.after.keys().map(String::as_str).collect();
    assert_eq!(facts, ["latency_ms", "method", "route", "site", "status"]);
    assert_eq!(
        (text(&intent, "method").as_str(), &intent.after["status"]),
        ("POST", &Fact::Number(200))
    );
    assert!(!format!("{intent:?}").contains("S3cret"), "{intent:?}");
}

#[test]
fn an_answer_does_not_wait_for_its_record_for_ever() {
    let bench = bench(app());
    let client = bench.ask("/refund");
    let (intent, written) = bench.ledger.next();
    bench.clock.advance(PATIENCE);
    assert!(head(client).starts_with("http/1.1 200"));
    assert!(written.send(()).is_err(), "nobody waits any more");
    let log = bench.edge.stop(bench.dir.path());
    let line = log.lines().find(|line| line.contains("\"action_recorded_late\"")).expect("a line");
    assert!(line.contains(&intent.by.request_id.expect("an id")), "{line}");
}

#[test]
fn an_action_without_a_place_for_its_record_does_not_begin_and_other_requests_do() {
    let bench = bench(app());
    bench.ledger.full.store(true, Ordering::Relaxed);
    let refused = head(bench.ask("/refund"));
    assert!(refused.starts_with("http/1.1 503") && refused.contains("retry-after: 5"), "{refused}");
    assert!(head(bench.ask("/other")).starts_with("http/1.1 200"));
    bench.ledger.full.store(false, Ordering::Relaxed);
    let client = bench.ask("/refund");
    bench.ledger.next().1.send(()).expect("the answer waits for it");
    assert!(head(client).starts_with("http/1.1 200"));
    assert_eq!(bench.edge.count("palisade_denials_total{reason=\"not_recordable\"}"), "1");
    let log = bench.edge.stop(bench.dir.path());
    let line = log.lines().find(|line| line.contains("not_recordable")).expect("a line");
    assert!(line.contains("told to") && !line.contains("\"upstream\""), "{line}");
    assert!(bench.ledger.taken.lock().expect("no panic").is_empty(), "it was no action");
}

#[test]
fn a_client_with_too_many_actions_is_told_so_and_no_app_is_asked() {
    let bench = bench(app());
    bench.ledger.greedy.store(true, Ordering::Relaxed);
    let refused = head(bench.ask("/refund"));
    assert!(refused.starts_with("http/1.1 429") && refused.contains("retry-after: 5"), "{refused}");
    assert!(head(bench.ask("/other")).starts_with("http/1.1 200"));
    assert_eq!(bench.edge.count("palisade_denials_total{reason=\"too_many_actions\"}"), "1");
    let log = bench.edge.stop(bench.dir.path());
    let line = log.lines().find(|line| line.contains("too_many_actions")).expect("a line");
    assert!(!line.contains("\"upstream\""), "{line}");
}

#[test]
fn an_action_that_finds_no_app_is_recorded_as_refused_and_nobody_waits() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr());
    let bench = bench(closed.expect("a port"));
    assert!(head(bench.ask("/refund")).starts_with("http/1.1 502"));
    let (intent, _) = bench.ledger.next();
    assert_eq!((intent.outcome, &intent.after["status"]), (Outcome::Refused, &Fact::Number(502)));
    assert!(intent.why.expect("a reason").contains("is the app running"));
}

#[test]
fn an_action_whose_client_has_left_is_recorded() {
    let app = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let bench = bench(app.local_addr().expect("bound"));
    let client = bench.ask("/refund");
    let (mut asked, _) = app.accept().expect("asked");
    asked.read_exact(&mut [0]).expect("it has begun");
    drop(client);
    let (intent, _) = bench.ledger.next();
    assert_eq!((intent.outcome, &intent.after["status"]), (Outcome::Done, &Fact::Number(499)));
    assert_eq!(text(&intent, "aborted"), "client_left");
}
