//! Checks and pings against scripted apps on loopback.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::core::Counter;
use super::task::Entry;
use super::*;
use crate::config::settings::{Protocol, UpstreamAddr};
use crate::ports::fake::FakeEntropy;
use crate::ports::health::Health;
use crate::ports::system::{SystemClock, SystemDial};

/// Long enough for anything but a hang.
const DEADLINE: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(5);

/// Hands on what it is told.
struct Ear {
    tell: UnboundedSender<Health>,
    answered: AtomicU64,
}

impl Checked for Ear {
    fn settle(&self, health: Health) {
        let _ = self.tell.send(health);
    }

    fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }
}

/// An app that gives the next answer of a script to each connection, the last one for ever, and reports what it is asked.
struct App {
    address: SocketAddr,
    asked: UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

const HANG: &str = "";

impl App {
    async fn start(script: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (tell, asked) = unbounded_channel();
        let mut script: VecDeque<&'static str> = script.iter().copied().collect();
        #[expect(clippy::disallowed_methods, reason = "the test ends it")]
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let _ = tell.send(String::from_utf8_lossy(&head).into_owned());
                let answer =
                    if script.len() > 1 { script.pop_front() } else { script.front().copied() };
                match answer {
                    Some(HANG) | None => held.push(stream),
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                }
            }
        });
        Self { address, asked, task }
    }

    async fn asked(&mut self) -> String {
        let asked = tokio::time::timeout(DEADLINE, self.asked.recv()).await;
        asked.expect("it is asked in time").expect("the app is there")
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// Checks that run.
pub(super) struct Bench {
    pub(super) checks: Arc<Checks>,
    sink: Arc<Ear>,
    told: UnboundedReceiver<Health>,
    log: (Log, PathBuf),
    stop: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (log, _writer) = Log::open(Some(&path), Arc::clone(&clock)).expect("a log");
        let checks = Checks::new(Parts {
            events: Hub::new(1, Arc::clone(&clock)),
            clock,
            entropy: Arc::new(FakeEntropy::default()),
            dial: Arc::new(SystemDial),
            log: log.clone(),
        });
        let (stop, stopped) = watch::channel(false);
        #[expect(clippy::disallowed_methods, reason = "it ends with its runtime")]
        tokio::spawn(Arc::clone(&checks).run(stopped));
        let (tell, told) = unbounded_channel();
        Self {
            checks,
            sink: Arc::new(Ear { tell, answered: AtomicU64::new(0) }),
            told,
            log: (log, path),
            stop,
            _dir: dir,
        }
    }

    pub(super) fn target(&self, addr: UpstreamAddr) -> Target {
        Target {
            endpoint: Endpoint { addr, protocol: Protocol::Http1, tls: None },
            site: "app.example".into(),
            name: None,
            tls: None,
            upstream: Arc::clone(&self.sink) as Arc<dyn Checked>,
        }
    }

    fn check(&self, addr: SocketAddr, check: HealthCheck) {
        let addr = UpstreamAddr::Tcp { host: addr.ip().to_string(), port: addr.port() };
        self.checks.configure(vec![Wanted::check(self.target(addr), check)]);
    }

    /// The next state that differs from the one before.
    pub(super) async fn told(&mut self, awaited: Health) {
        loop {
            let told = tokio::time::timeout(DEADLINE, self.told.recv()).await;
            match told.expect("told in time").expect("the sink is there") {
                health if health == awaited => return,
                Health::Unknown => {}
                health => panic!("{awaited:?} awaited, {health:?} told"),
            }
        }
    }

    pub(super) fn logged(&self) -> String {
        self.log.0.flush();
        std::fs::read_to_string(&self.log.1).expect("a log")
    }
}

pub(super) fn check() -> HealthCheck {
    HealthCheck {
        path: "/healthz?deep=1".into(),
        host: None,
        every: EVERY,
        timeout: Duration::from_secs(5),
        status: (200, 299),
        rise: 2,
        fall: 3,
    }
}

#[tokio::test]
async fn an_app_goes_down_and_comes_back_as_its_answers_say() {
    let mut app = App::start(&[OK, BUSY, BUSY, OK, BUSY, BUSY, BUSY, OK, BUSY, OK]).await;
    let mut bench = Bench::start();
    bench.check(app.address, check());
    let head = app.asked().await;
    assert!(head.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{head}");
    let agent = concat!("user-agent: palisade-health/", env!("CARGO_PKG_VERSION"));
    assert!(head.contains("host: app.example\r\n") && head.contains(agent), "{head}");
    bench.told(Health::Up).await;
    bench.told(Health::Down).await;
    bench.told(Health::Up).await;
    let asked = std::iter::from_fn(|| app.asked.try_recv().ok()).count() + 1;
    assert!(asked >= 11, "two answers in a row were needed, and three to fall: {asked}");
    let log = bench.logged();
    assert_eq!(log.matches("\"event\":\"upstream_down\"").count(), 1, "{log}");
    assert_eq!(log.matches("\"event\":\"upstream_up\"").count(), 2, "{log}");
    assert!(log.contains("\"why\":\"answered 503\"") && log.contains("\"failures\":3"), "{log}");
}

#[tokio::test]
async fn the_reason_is_told_in_words() {
    let hangs = App::start(&[HANG]).await;
    let talks = App::start(&["SSH-2.0-OpenSSH_9.2\r\n"]).await;
    let gone = App::start(&[OK]).await.address;
    let short = HealthCheck { timeout: Duration::from_millis(50), ..check() };
    for (address, check, why) in [
        (hangs.address, short, "no answer within 50ms"),
        (talks.address, check(), "what it answered is no HTTP"),
        (gone, check(), "connection refused"),
    ] {
        let mut bench = Bench::start();
        bench.check(address, check);
        bench.told(Health::Down).await;
        let log = bench.logged();
        assert!(log.contains(why), "{why}: {log}");
    }
}

#[tokio::test]
async fn an_app_on_a_socket_is_asked_with_the_host_of_its_check() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let mut bench = Bench::start();
    let check = HealthCheck { host: Some("inner.example".into()), ..check() };
    let target = bench.target(UpstreamAddr::Unix(path));
    bench.checks.configure(vec![Wanted::check(target, check)]);
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut head = vec![0; 4096];
    let count = stream.read(&mut head).await.expect("a request");
    assert!(String::from_utf8_lossy(&head[..count]).contains("host: inner.example\r\n"));
    stream.write_all(OK.as_bytes()).await.expect("sent");
    bench.told(Health::Up).await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_left_after_some_kilobytes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut bench = Bench::start();
    bench.check(listener.local_addr().expect("bound"), check());
    let (mut stream, _) = listener.accept().await.expect("a connection");
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("sent");
    // Ends because the other side closes; there is no other end to it.
    while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    bench.told(Health::Up).await;
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_and_asks_anew_what_has_changed() {
    let mut app = App::start(&[BUSY]).await;
    let mut bench = Bench::start();
    let rare = HealthCheck { every: Duration::from_secs(1000), ..check() };
    // The first question comes within a second at most.
    bench.check(app.address, rare.clone());
    app.asked().await;
    bench.told(Health::Down).await;
    bench.check(app.address, rare.clone());
    bench.told(Health::Down).await;
    assert!(app.asked.try_recv().is_err(), "an unchanged check is not asked anew");
    // 503 is what is wanted now: the first answer settles it.
    bench.check(app.address, HealthCheck { status: (503, 503), rise: 9, ..rare });
    app.asked().await;
    bench.told(Health::Down).await;
    bench.told(Health::Up).await;
    bench.checks.configure(Vec::new());
    let told = tokio::time::timeout(DEADLINE, bench.told.recv()).await.expect("in time");
    assert_eq!(told, Some(Health::Unknown), "nobody asks any more");
}

#[tokio::test]
async fn of_two_checks_of_one_upstream_the_first_counts() {
    let mut app = App::start(&[OK]).await;
    let mut bench = Bench::start();
    let addr = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: app.address.port() };
    let second = HealthCheck { path: "/second".into(), ..check() };
    bench.checks.configure(vec![
        Wanted::check(bench.target(addr.clone()), check()),
        Wanted::check(bench.target(addr), second),
    ]);
    bench.told(Health::Up).await;
    for _ in 0..3 {
        assert!(app.asked().await.starts_with("GET /healthz"));
    }
}

#[tokio::test]
async fn an_app_is_kept_awake_without_being_judged() {
    let mut app = App::start(&[BUSY, OK]).await;
    let mut bench = Bench::start();
    let addr = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: app.address.port() };
    let awake = KeepAwake { path: "/wake".into(), host: None, every: EVERY };
    let wanted = Wanted::awake(bench.target(addr), awake, DEADLINE);
    bench.checks.configure(vec![wanted]);
    for _ in 0..4 {
        assert!(app.asked().await.starts_with("GET /wake HTTP/1.1\r\n"));
    }
    let log = bench.logged();
    assert_eq!(log.matches("\"event\":\"keep_awake_failed\"").count(), 1, "{log}");
    assert_eq!(log.matches("\"event\":\"keep_awake_works\"").count(), 1, "{log}");
    let told: Vec<Health> = std::iter::from_fn(|| bench.told.try_recv().ok()).collect();
    assert!(told.iter().all(|health| *health == Health::Unknown), "{told:?}");
    assert!(
        bench.checks.counts().iter().any(|(name, count)| *name == "ping_passed" && *count >= 2)
    );
    bench.stop.send(true).expect("it still runs");
}

#[test]
fn an_app_that_answers_visitors_is_not_pinged_before_it_has_been_quiet_for_the_whole_pause() {
    let every = Duration::from_secs(100);
    let (tell, _told) = unbounded_channel();
    let ear = Arc::new(Ear { tell, answered: AtomicU64::new(0) });
    let path = UpstreamAddr::Unix("app.sock".into());
    let target = Target {
        endpoint: Endpoint { addr: path, protocol: Protocol::Http1, tls: None },
        site: "app.example".into(),
        name: None,
        tls: None,
        upstream: Arc::clone(&ear) as Arc<dyn Checked>,
    };
    let awake = KeepAwake { path: "/".into(), host: None, every };
    let Wanted { target, task } = Wanted::awake(target, awake, DEADLINE);
    let began = Instant::now();
    let mut entry = Entry {
        target,
        task,
        counter: Counter::new(Health::Up),
        failures: 0,
        answered: (0, Some(began)),
        due: Some(began),
        number: 0,
    };
    let mut pinged_s = Vec::new();
    for second in 0..400 {
        // Visitors come for the first 150 seconds.
        if second < 150 {
            ear.answered.fetch_add(1, Ordering::SeqCst);
        }
        let now = began + Duration::from_secs(second);
        entry.put_off(now);
        if entry.due.is_some_and(|due| due <= now) {
            pinged_s.push(second);
            entry.answered = (entry.target.upstream.answered(), Some(now));
        }
    }
    assert_eq!(pinged_s, [240, 340], "at most 100 s after the last visitor, or the last ping");
}
