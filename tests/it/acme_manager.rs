//! The manager of certificates against CAs, without a daemon around it: what it asks, stores, serves and says.

mod hostile;
mod superseded;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use palisade::base::{Host, SecretRef};
use palisade::keyring::{Keyring, MasterKey};
use palisade::ports::system::{SystemClock, SystemEntropy};
use palisade::ports::{Pending, Resolved, Resolver, Unresolved};
use palisade::store::Store;
use palisade::telemetry::Log;
use palisade::work::acme::settings::{Acme, ChallengeKind, Directory, Eab};
use palisade::work::acme::{Challenges, Manager, Parts, Wanted, WantedSite};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::support::ca::{Endpoint, Fault, Moment, Profile, ScriptedCa, Validation, Window};
use crate::support::{Doors, Pebble, pebble};

const NAME: &str = "app.example.com";

/// Whoever asks for it panics.
const STUMBLE: &str = "stumble.example";

/// Every name is this machine.
struct Loopback;

impl Resolver for Loopback {
    fn resolve<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Resolved, Unresolved>> {
        assert!(host != STUMBLE, "made to stumble");
        let ip = host.parse().unwrap_or(Ipv4Addr::LOCALHOST.into());
        let valid_for = Duration::from_secs(1);
        Box::pin(async move { Ok(Resolved { addresses: vec![ip], valid_for }) })
    }
}

/// A state directory and the doors that CAs knock at; managers come and go.
struct Bench {
    state: tempfile::TempDir,
    doors: Doors,
    challenges: Arc<Challenges>,
    changed: Arc<AtomicUsize>,
}

/// One life of a manager.
struct Life {
    manager: Arc<Manager>,
    store: Store,
    log: Log,
    runtime: Runtime,
    _stop: watch::Sender<bool>,
}

impl Life {
    /// What the log says, all that was said so far included.
    fn logged(&self, bench: &Bench) -> String {
        self.log.flush();
        std::fs::read_to_string(bench.log()).expect("a log")
    }
}

impl Bench {
    fn new() -> Self {
        Self {
            state: tempfile::tempdir().expect("a directory"),
            doors: Doors::reserve(),
            challenges: Arc::default(),
            changed: Arc::default(),
        }
    }

    fn log(&self) -> PathBuf {
        self.state.path().join("log")
    }

    fn start(&self, wanted: Wanted) -> Life {
        let clock = Arc::new(SystemClock);
        let entropy = Arc::new(SystemEntropy);
        let (log, _) = Log::open(Some(&self.log()), clock.clone()).expect("a log");
        let state = self.state.path().join("state");
        let store = Store::open(&state, clock.clone(), log.clone()).expect("a store");
        let master = MasterKey::parse(&palisade::base::Secret {
            place: "the test".into(),
            bytes: "07".repeat(32).into_bytes().into(),
        })
        .expect("a master key");
        let keyring = Keyring::open(store.clone(), master, None, clock.clone(), entropy.clone())
            .expect("keys");
        let changed = Arc::clone(&self.changed);
        let parts = Parts {
            store: store.clone(),
            keyring: Arc::new(keyring),
            clock,
            entropy,
            resolver: Arc::new(Loopback),
            log: log.clone(),
            challenges: Arc::clone(&self.challenges),
            changed: Box::new(move |_| {
                changed.fetch_add(1, Ordering::SeqCst);
            }),
        };
        let manager = Manager::open(parts, wanted).expect("a manager");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (stop, stopped) = watch::channel(false);
        drop(runtime.spawn(Arc::clone(&manager).run(stopped)));
        Life { manager, store, log, runtime, _stop: stop }
    }

    /// Answers HTTP-01 and TLS-ALPN-01 as the edge does.
    fn open_doors(&self) {
        let challenges = Arc::clone(&self.challenges);
        let http = TcpListener::bind(self.doors.http()).expect("the door");
        std::thread::spawn(move || {
            for mut stream in http.incoming().flatten() {
                let head = crate::support::wire::head(&mut stream);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let host = head
                    .lines()
                    .find_map(|l| l.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
                let host = Host::from_authority(host.unwrap_or_default().trim()).expect("a host");
                let token = path.rsplit('/').next().unwrap_or_default();
                let body = challenges.http(&host, token);
                let (status, body) =
                    body.as_deref().map_or(("404 Not Found", ""), |b| ("200 OK", b));
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Edge(Arc::clone(&self.challenges))));
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let (https, config) =
            (TcpListener::bind(self.doors.https()).expect("the door"), Arc::new(config));
        std::thread::spawn(move || {
            for mut stream in https.incoming().flatten() {
                let mut tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
            }
        });
    }
}

struct Edge(Arc<Challenges>);

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edge")
    }
}

impl ResolvesServerCert for Edge {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.tls(&hello.server_name()?.parse().ok()?)
    }
}

impl Life {
    fn until<T>(&self, what: &str, look: impl Fn(&Manager) -> Option<T>) -> T {
        let ends = crate::support::deadline();
        loop {
            if let Some(found) = look(&self.manager) {
                return found;
            }
            let outlook = self.manager.outlook(&site());
            assert!(!crate::support::left(ends).is_zero(), "never {what}: {outlook:#?}");
            // Between two looks at what tells nobody when it changes.
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
    }

    fn until_issued(&self) -> palisade::work::certs::Certificate {
        self.until("issued", |manager| manager.certificate(&site()))
    }

    fn until_failed(&self) -> palisade::ops::api::CertificateFailure {
        self.until("failed", |manager| manager.outlook(&site()).failure)
    }

    /// As `kill -9`: nothing is finished.
    fn kill(self) {
        self.runtime.shutdown_timeout(crate::support::DEADLINE);
    }
}

/// Whoever asks in these tests.
fn by() -> palisade::base::audit::By {
    palisade::base::audit::By::system(palisade::base::audit::Source::Control)
}

fn site() -> Host {
    NAME.parse().expect("a host")
}

fn wanted(directory: &str, ca_file: &Path) -> Wanted {
    Wanted {
        acme: Acme {
            directory: Directory { name: "test".into(), url: directory.into() },
            staging: None,
            contact: None,
            ca_file: Some(ca_file.to_owned()),
            challenges: vec![ChallengeKind::TlsAlpn01, ChallengeKind::Http01],
            eab: None,
            profile: None,
        },
        eab_hmac: None,
        sites: vec![WantedSite { names: vec![site()], order: true }],
    }
}

fn of(ca: &ScriptedCa) -> Wanted {
    wanted(&ca.directory(), &ca.ca_file())
}

#[test]
fn a_certificate_is_issued_and_served_after_a_restart_without_the_ca() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    let life = bench.start(of(&ca));
    let first = life.until_issued();
    assert_eq!(first.facts.names, [NAME]);
    life.until("planned", |manager| {
        manager.outlook(&site()).renewal.filter(|r| r.why.contains("suggests"))
    });
    assert_eq!(life.manager.totals().issued, 1);
    assert_eq!(bench.changed.load(Ordering::SeqCst), 1);
    assert_eq!(ca.seen().validations[0].1, "tls-alpn-01");
    life.kill();
    ca.set(|knobs| knobs.down = true);
    let life = bench.start(of(&ca));
    let again = life.manager.certificate(&site()).expect("served at once");
    assert_eq!(again.facts, first.facts);
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn pebble_issues_though_it_rejects_half_of_all_nonces() {
    let bench = Bench::new();
    let options = pebble::Options { reject_nonces_percent: 50, ..Default::default() };
    let ca = Pebble::start(&bench.doors, &options);
    bench.open_doors();
    let mut wanted = wanted(ca.directory(), &ca.ca_file());
    wanted.acme.challenges = vec![ChallengeKind::Http01];
    wanted.acme.contact = Some("ops@example.com".into());
    wanted.sites[0].names.push("www.example.com".parse().expect("a host"));
    let life = bench.start(wanted);
    let certificate = life.until_issued();
    assert!(certificate.facts.covers(&"www.example.com".parse().expect("a host")));
    assert_eq!((ca.accounts(), ca.orders()), (1, 1));
    let asked = life.runtime.block_on(life.manager.renew(&site(), by()));
    asked.expect("renewed");
    assert_eq!(ca.certificates(), 2);
}

#[test]
fn the_second_challenge_is_tried_at_once_and_remembered() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.fault(Endpoint::Validation, Fault::problem(400, "tls", "no TLS here"));
    bench.open_doors();
    let life = bench.start(of(&ca));
    life.until_issued();
    assert_eq!(ca.seen().orders.len(), 2);
    let history = &life.store.histories().expect("read")[0];
    assert_eq!(history.challenge.as_deref(), Some("http-01"));
    assert_eq!(history.failures, 0);
    assert!(life.store.orders().expect("read").is_empty());
}

#[test]
fn a_failure_keeps_the_cas_words_and_says_what_to_do() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    let words = "127.0.0.1: Fetching http://app.example.com/: Timeout";
    ca.fault_always(Endpoint::Validation, Fault::problem(400, "connection", words));
    let life = bench.start(of(&ca));
    let failure = life.until_failed();
    assert_eq!(failure.kind.as_deref(), Some("urn:ietf:params:acme:error:connection"));
    assert!(failure.detail.contains(words), "{failure:?}");
    assert!(failure.likely.contains("ports 80 and 443 are closed"), "{failure:?}");
    assert!((40..=72).contains(&failure.retry_in_s.expect("a wait")), "{failure:?}");
    assert_eq!(failure.attempts, 1);
    // Both challenges were tried, no more.
    assert_eq!(ca.seen().orders.len(), 2);
    ca.heal();
    bench.open_doors();
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("issued when asked for");
    assert_eq!(life.manager.outlook(&site()).failure, None);
    let log = life.logged(&bench);
    assert!(log.contains("\"event\":\"certificate_failed\""), "{log}");
}

#[test]
fn who_asks_while_an_attempt_is_on_its_way_is_told_its_outcome() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    let hold = ca.hold(Endpoint::NewOrder, Moment::Before);
    let life = bench.start(of(&ca));
    hold.wait();
    let (manager, site) = (&life.manager, site());
    let (one, another, ()) = life.runtime.block_on(async {
        tokio::join!(manager.renew(&site, by()), manager.renew(&site, by()), async {
            hold.release()
        })
    });
    assert_eq!((one, another), (Ok(()), Ok(())));
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn a_kill_after_the_order_was_placed_places_no_second_one() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    let hold = ca.hold(Endpoint::Authorization, Moment::Before);
    let life = bench.start(of(&ca));
    hold.wait();
    life.kill();
    hold.release();
    let life = bench.start(of(&ca));
    life.until_issued();
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len()), (1, 1));
    let log = life.logged(&bench);
    assert!(log.contains("\"event\":\"certificate_order_resumed\""), "{log}");
}

#[test]
fn a_kill_while_the_ca_makes_the_account_makes_no_second_one() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    let hold = ca.hold(Endpoint::NewAccount, Moment::After);
    let life = bench.start(of(&ca));
    hold.wait();
    life.kill();
    hold.release();
    let life = bench.start(of(&ca));
    life.until_issued();
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len()), (1, 1));
}

#[test]
fn an_account_that_the_ca_has_forgotten_is_made_anew() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    let life = bench.start(of(&ca));
    life.until_issued();
    ca.forget_accounts();
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("renewed");
    let seen = ca.seen();
    assert_eq!(seen.accounts, 2);
    assert!(seen.orders[1]["replaces"].is_string(), "{:?}", seen.orders);
}

#[test]
fn an_external_account_a_profile_and_their_absence_are_told_apart() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    let key = vec![9; 32];
    ca.set(|knobs| {
        knobs.external_account = Some(("kid-1".into(), key));
        knobs.profiles = vec![Profile { name: "shortlived".into(), lifetime_s: 6 * 86_400 }];
    });
    let life = bench.start(of(&ca));
    let failure = life.until_failed();
    assert!(failure.next.contains("acme.eab"), "{failure:?}");
    let mut with = of(&ca);
    with.acme.eab = Some(Eab { kid: "kid-1".into(), hmac: SecretRef::Env("UNUSED".into()) });
    with.eab_hmac = Some(b"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk\n".to_vec());
    with.acme.profile = Some("forever".into());
    life.manager.configure(with.clone());
    let failure = life.until("refused the profile", |manager| {
        manager.outlook(&site()).failure.filter(|failure| failure.next.contains("acme.profile"))
    });
    assert!(failure.likely.contains("shortlived"), "{failure:?}");
    with.acme.profile = Some("shortlived".into());
    life.manager.configure(with);
    let certificate = life.until_issued();
    assert_eq!(certificate.facts.not_after_s - certificate.facts.not_before_s, 6 * 86_400);
    assert_eq!(ca.seen().accounts, 1);
}

#[test]
fn a_rehearsal_at_the_staging_ca_comes_before_the_second_attempt() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    let staging = ScriptedCa::start(&bench.doors);
    // One root for both endpoints.
    let roots = bench.state.path().join("roots.pem");
    let both = [ca.ca_file(), staging.ca_file()].map(|path| std::fs::read(path).expect("a root"));
    std::fs::write(&roots, both.concat()).expect("written");
    let mut wanted = wanted(&ca.directory(), &roots);
    wanted.acme.staging = Some(Directory { name: "staging".into(), url: staging.directory() });
    wanted.acme.challenges = vec![ChallengeKind::Http01];
    let life = bench.start(wanted);
    life.until_failed(); // nobody answers at the doors
    let refused =
        life.runtime.block_on(life.manager.renew(&site(), by())).expect_err("still closed");
    assert!(
        refused.detail.as_deref().is_some_and(|d| d.contains("rehearsal at staging")),
        "{refused:?}"
    );
    assert_eq!((ca.seen().orders.len(), staging.seen().orders.len()), (1, 1));
    bench.open_doors();
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("issued");
    assert_eq!((ca.seen().orders.len(), staging.seen().orders.len()), (2, 2));
    assert_eq!(staging.seen().certificates.len(), 1);
}

#[test]
fn reused_authorizations_need_no_answer() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.set(|knobs| {
        knobs.reuse_authorizations = true;
        knobs.validation = Validation::Believe;
    });
    let life = bench.start(of(&ca));
    life.until_issued();
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("renewed");
    assert_eq!(ca.seen().validations.len(), 1);
}

#[test]
fn a_certificate_that_is_due_when_it_is_issued_starts_no_loop() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.set(|knobs| {
        knobs.validation = Validation::Believe;
        knobs.age_s = knobs.lifetime_s - 3_600;
    });
    let life = bench.start(of(&ca));
    let failure = life.until_failed();
    assert!(failure.likely.contains("clock"), "{failure:?}");
    assert!(failure.retry_in_s.is_some_and(|wait| wait > 30), "{failure:?}");
    // It is better than none.
    assert!(life.manager.certificate(&site()).is_some());
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn an_imported_certificate_is_served_and_never_ordered() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    let mut wanted = of(&ca);
    wanted.sites[0].order = false;
    let life = bench.start(wanted.clone());
    let (cert, key) = crate::support::Authority::new().write(bench.state.path(), "own", &[NAME]);
    let (cert, key) = (std::fs::read(cert).expect("a file"), std::fs::read(key).expect("a file"));
    let import = |cert: &[u8], key: &[u8]| {
        life.runtime.block_on(life.manager.import(&site(), cert, key, by()))
    };
    let swapped = import(&key, &cert).expect_err("the wrong way round");
    assert_eq!(swapped.status, 422);
    let taken = import(&cert, &key).expect("taken");
    let refused =
        life.runtime.block_on(life.manager.renew(&site(), by())).expect_err("not ordered");
    assert_eq!(refused.status, 409);
    life.kill();
    let life = bench.start(wanted);
    assert_eq!(life.manager.certificate(&site()).expect("kept").facts, taken.facts);
    assert!(ca.seen().requests.is_empty(), "{}", ca.seen());
}

#[test]
fn a_wrong_directory_and_a_ca_without_trust_are_explained() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    let mut other = of(&ca);
    other.acme.directory.url = ca.directory().replace("/dir", "/nothing");
    let life = bench.start(other);
    let failure = life.until_failed();
    assert!(failure.likely.contains("not the URL of an ACME directory"), "{failure:?}");
    let mut untrusted = of(&ca);
    untrusted.acme.ca_file = None;
    life.manager.configure(untrusted);
    life.until("untrusted", |manager| {
        manager.outlook(&site()).failure.filter(|f| f.next.contains("set acme.ca_file"))
    });
    ca.set(|knobs| knobs.validation = Validation::Believe);
    life.manager.configure(of(&ca));
    life.until_issued();
}

#[test]
fn a_kill_at_any_step_costs_at_most_one_order_and_no_account() {
    let steps = [
        (Endpoint::NewAccount, Moment::Before),
        (Endpoint::NewOrder, Moment::Before),
        (Endpoint::NewOrder, Moment::After),
        (Endpoint::Challenge, Moment::After),
        (Endpoint::Validation, Moment::After),
        (Endpoint::Finalize, Moment::Before),
        (Endpoint::Finalize, Moment::After),
        (Endpoint::Certificate, Moment::Before),
        (Endpoint::Certificate, Moment::After),
    ];
    for (endpoint, moment) in steps {
        let bench = Bench::new();
        let ca = ScriptedCa::start(&bench.doors);
        bench.open_doors();
        let hold = ca.hold(endpoint, moment);
        let life = bench.start(of(&ca));
        hold.wait();
        life.kill();
        hold.release();
        let life = bench.start(of(&ca));
        life.until_issued();
        let seen = ca.seen();
        // Placed again only if its URL never arrived, or if the CA came to validate while nobody was there.
        let again = [Endpoint::NewOrder, Endpoint::Challenge, Endpoint::Validation];
        let orders = if again.contains(&endpoint) { 1..=2 } else { 1..=1 };
        assert_eq!(seen.accounts, 1, "{endpoint:?} {moment:?}");
        assert!(orders.contains(&seen.orders.len()), "{endpoint:?} {moment:?}: {:?}", seen.orders);
        assert!(life.store.orders().expect("read").is_empty());
    }
}

#[test]
fn an_order_that_the_ca_has_forgotten_is_placed_again() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    let hold = ca.hold(Endpoint::Finalize, Moment::Before);
    let life = bench.start(of(&ca));
    hold.wait();
    life.kill();
    ca.forget_orders();
    hold.cut();
    let life = bench.start(of(&ca));
    life.until_issued();
    assert_eq!(ca.seen().orders.len(), 2);
}

#[test]
fn a_rate_limit_is_waited_out_through_a_restart() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    bench.open_doors();
    ca.fault(Endpoint::NewOrder, Fault::rate_limited("too many certificates", "7200"));
    let life = bench.start(of(&ca));
    let failure = life.until_failed();
    assert!(failure.likely.contains("not before"), "{failure:?}");
    assert!(failure.retry_in_s.is_some_and(|wait| wait > 7100), "{failure:?}");
    assert_eq!(life.manager.totals().failed[3], ("rate_limited", 1));
    life.kill();
    let asked = ca.seen().requests.len();
    let life = bench.start(of(&ca));
    assert!(life.until_failed().retry_in_s.is_some_and(|wait| wait > 7000));
    assert_eq!(ca.seen().requests.len(), asked);
    // Whoever asks for it gets an attempt.
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("issued");
}

#[test]
fn a_window_in_the_past_renews_at_once_and_only_once() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.set(|knobs| {
        knobs.validation = Validation::Believe;
        knobs.window = Some(Window { start_in_s: -2_000, end_in_s: -1_000, explanation: None });
    });
    let life = bench.start(of(&ca));
    ca.wait_for_certificate(2);
    // The second one is told the same, and waits.
    let renewal = life.until("planned", |manager| {
        let renewal = manager.outlook(&site()).renewal?;
        (renewal.in_s > 30 && renewal.why.contains("the last attempt failed")).then_some(renewal)
    });
    assert!(renewal.in_s <= 72, "{renewal:?}");
    let seen = ca.seen();
    assert_eq!(seen.orders.len(), 2);
    assert!(seen.orders[1]["replaces"].is_string(), "{:?}", seen.orders);
}

#[test]
fn a_new_name_is_ordered_at_once_and_a_ca_that_is_down_is_explained() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.set(|knobs| knobs.validation = Validation::Believe);
    let life = bench.start(of(&ca));
    life.until_issued();
    ca.set(|knobs| knobs.down = true);
    let mut more = of(&ca);
    let www: Host = "www.example.com".parse().expect("a host");
    more.sites[0].names.push(www.clone());
    life.manager.configure(more);
    let failure = life.until_failed();
    assert!(failure.likely.contains("down or overloaded"), "{failure:?}");
    ca.set(|knobs| knobs.down = false);
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("issued");
    assert!(life.until_issued().facts.covers(&www));
}

#[test]
fn a_record_that_cannot_be_read_holds_back_its_own_site_only() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.set(|knobs| knobs.validation = Validation::Believe);
    let mut wanted = of(&ca);
    let other: Host = "other.example.com".parse().expect("a host");
    wanted.sites.push(WantedSite { names: vec![other.clone()], order: true });
    let life = bench.start(wanted.clone());
    let kept = life.until("issued", |manager| manager.certificate(&other));
    life.until_issued();
    // A key that no longer opens, as after a flipped bit.
    let record = life.store.certificates().expect("read").into_iter().find(|c| c.site == NAME);
    let sealed =
        palisade::store::sealed::Sealed { key: 1, nonce: [0; 12], ciphertext: vec![0; 64] };
    let history = palisade::store::certs::History { site: NAME.into(), ..Default::default() };
    life.store
        .put_certificate(record.expect("stored"), sealed, history, None)
        .wait()
        .expect("written");
    life.kill();
    let life = bench.start(wanted);
    assert_eq!(life.manager.certificate(&other).expect("served").facts, kept.facts);
    assert!(life.manager.certificate(&site()).is_none());
    let failure = life.until_failed();
    assert!(failure.detail.contains("does not open"), "{failure:?}");
    assert!(failure.next.contains("cert renew"), "{failure:?}");
    assert_eq!(ca.seen().orders.len(), 2);
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("the operator decides");
    assert!(life.manager.certificate(&site()).is_some());
    assert_eq!(life.manager.outlook(&site()).failure, None);
}
