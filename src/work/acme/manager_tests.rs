//! The loop's own look at the clock: timers do not fire because somebody sets it.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::base::Secret;
use crate::keyring::{Keyring, MasterKey};
use crate::ports::fake::{FakeClock, FakeEntropy};
use crate::ports::system::SystemResolver;
use crate::store::Store;
use crate::telemetry::Log;
use crate::work::acme::WantedSite;
use crate::work::acme::settings::{Acme, ChallengeKind, Directory};

const NOW: Duration = Duration::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn manager(dir: &Path, clock: Arc<FakeClock>, site: &Host) -> Arc<Manager> {
    let (log, _) = Log::open(Some(&dir.join("log")), clock.clone()).expect("a log");
    let store = Store::open(&dir.join("state"), clock.clone(), log.clone()).expect("a store");
    let master = Secret { place: "the test".into(), bytes: "07".repeat(32).into_bytes().into() };
    let master = MasterKey::parse(&master).expect("a master key");
    let entropy = Arc::new(FakeEntropy::default());
    let keyring = Keyring::open(store.clone(), master, None, clock.clone(), entropy.clone());
    let parts = Parts {
        store,
        keyring: Arc::new(keyring.expect("keys")),
        clock,
        entropy,
        resolver: Arc::new(SystemResolver::default()),
        log,
        challenges: Arc::default(),
        changed: Box::new(|_| {}),
    };
    let url = "https://127.0.0.1:1/dir".to_owned();
    let acme = Acme {
        directory: Directory { name: url.clone(), url },
        staging: None,
        contact: None,
        ca_file: None,
        challenges: vec![ChallengeKind::Http01],
        eab: None,
        profile: None,
    };
    let sites = vec![WantedSite { names: vec![site.clone()], order: true }];
    Manager::open(parts, Wanted { acme, eab_hmac: None, sites }).expect("a manager")
}

#[test]
fn the_clock_is_looked_at_every_minute_whatever_the_plan_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(FakeClock::at(NOW));
    let site: Host = "app.example.com".parse().expect("a host");
    let manager = manager(dir.path(), Arc::clone(&clock), &site);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([site.to_string()]).expect("parameters");
    params.not_before = date_time_ymd(2027, 1, 1);
    params.not_after = date_time_ymd(2027, 4, 1);
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(rcgen::DnType::CommonName, "a CA of the tests");
    let issuer = rcgen::Issuer::new(ca, KeyPair::generate().expect("a key"));
    let pem = params.signed_by(&key, &issuer).expect("signed").pem();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let key = key.serialize_pem();
    let by = By::system(crate::base::audit::Source::Control);
    let imported = runtime.block_on(manager.import(&site, pem.as_bytes(), key.as_bytes(), by));
    imported.expect("imported");
    let _inside = runtime.enter();

    let (mut tasks, mut starts_s) = (JoinSet::new(), VecDeque::new());
    assert_eq!(manager.start_what_is_due(&mut tasks, &mut starts_s), LOOK);
    assert!(tasks.is_empty());
    assert!(LOOK <= Duration::from_secs(60));
    clock.advance(366 * DAY);
    manager.start_what_is_due(&mut tasks, &mut starts_s);
    assert_eq!(tasks.len(), 1, "it has expired by now");
}
