//! Second factors over a real state: what a code is good for, how often, and what is left of it.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::core::sample::code;
use super::core::{STEP_S, sample};
use super::*;
use crate::base::Secret;
use crate::base::audit::{Actor, Source};
use crate::keyring::MasterKey;
use crate::ports::fake::{FakeClock, FakeEntropy};

const NOW_S: u64 = 1_795_292_280;

/// A state that survives the process over it.
struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<FakeClock>,
}

/// A device, which has the clock that it has.
struct Device(Vec<u8>);

impl Device {
    fn at(&self, unix_s: u64) -> String {
        sample::code(&self.0, unix_s)
    }
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir, clock: Arc::new(FakeClock::at(Duration::from_secs(NOW_S))) }
    }

    fn open(&self) -> Factors {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (log, _) = Log::open(Some(&self.dir.path().join("log")), clock.clone()).expect("a log");
        let state = self.dir.path().join("state");
        let store = Store::open(&state, clock.clone(), log.clone()).expect("a state");
        let bytes = "07".repeat(32).into_bytes().into();
        let master = MasterKey::parse(&Secret { place: "the test".into(), bytes }).expect("a key");
        let entropy: Arc<dyn Entropy> = Arc::new(FakeEntropy::default());
        let keyring = Keyring::open(store.clone(), master, None, clock.clone(), entropy.clone());
        let keyring = Arc::new(keyring.expect("keys"));
        Factors::new(Parts { store, keyring, clock, entropy, log })
    }

    fn now_s(&self) -> u64 {
        self.clock.unix().as_secs()
    }

    /// Time passes until no code of before counts.
    fn pass(&self) {
        self.clock.advance(Duration::from_secs(3 * STEP_S));
    }

    /// Enrolls a device and activates it by its code of now.
    fn device(&self, factors: &Factors, by: &By, name: &str) -> Device {
        let told = factors.enroll(by, name, "web1").expect("begun");
        let secret = totp_rs::Secret::try_from_base32(&told.secret).expect("base32");
        let device = Device(secret.as_bytes().to_vec());
        factors.activate(by, "anna", name, &device.at(self.now_s())).expect("active");
        device
    }
}

fn anna() -> By {
    let actor = Actor::Uid { uid: 1000, user: Some("anna".into()) };
    By { actor, source: Source::Control, request_id: None, confirmed: None }
}

fn confirmed() -> By {
    By { confirmed: Some("phone".into()), ..anna() }
}

fn confirm(factors: &Factors, code: &str) -> Result<String, Refused> {
    factors.confirm(&anna(), code, |_| None)
}

fn intents(factors: &Factors) -> Vec<(String, Option<String>, Option<String>)> {
    let all = factors.parts.store.intents(100).expect("read").into_iter();
    all.map(|(_, intent)| (intent.action, intent.subject, intent.by.confirmed)).collect()
}

#[test]
fn a_factor_counts_once_a_code_of_it_was_given() {
    let bench = Bench::new();
    let factors = bench.open();
    assert!(!factors.wanted());
    let told = factors.enroll(&anna(), "phone", "web1").expect("begun");
    assert!(told.uri.contains(&told.secret) && told.uri.contains("palisade:phone@web1?"));
    assert!(!factors.wanted() && factors.list().is_empty());
    let secret = totp_rs::Secret::try_from_base32(&told.secret).expect("base32");
    let device = Device(secret.as_bytes().to_vec());
    let wrong = device.at(bench.now_s() + 3_600);
    assert_eq!(factors.activate(&anna(), "anna", "phone", &wrong), Err(Refused::Wrong));
    let nobody = factors.activate(&anna(), "anna", "tablet", &wrong);
    assert!(matches!(nobody, Err(Refused::NotBegun { .. })));
    let shown = device.at(bench.now_s());
    let info = factors.activate(&anna(), "anna", "phone", &shown).expect("active");
    assert_eq!((info.name.as_str(), info.created_by.as_str()), ("phone", "anna"));
    assert!(factors.wanted());
    assert_eq!(confirm(&factors, &shown), Err(Refused::UsedBefore), "the code is used up");
    bench.pass();
    assert_eq!(confirm(&factors, &device.at(bench.now_s())), Ok("phone".into()));
    assert_eq!(intents(&factors), [("totp.enroll".into(), Some("phone".into()), None)]);
}

#[test]
fn a_code_works_once_also_across_a_restart_and_a_clock_that_is_set_back() {
    let bench = Bench::new();
    let factors = bench.open();
    let device = bench.device(&factors, &anna(), "phone");
    bench.pass();
    let (at, shown) = (bench.now_s(), device.at(bench.now_s()));
    assert_eq!(confirm(&factors, &shown), Ok("phone".into()));
    assert_eq!(confirm(&factors, &shown), Err(Refused::UsedBefore));
    drop(factors);
    let factors = bench.open();
    assert_eq!(confirm(&factors, &shown), Err(Refused::UsedBefore));
    bench.clock.set(Duration::from_secs(at - STEP_S));
    assert_eq!(confirm(&factors, &shown), Err(Refused::UsedBefore));
    assert_eq!(
        confirm(&factors, &device.at(at - STEP_S)),
        Err(Refused::UsedBefore),
        "an older one"
    );
    bench.clock.set(Duration::from_secs(at + STEP_S));
    assert_eq!(confirm(&factors, &device.at(at + STEP_S)), Ok("phone".into()));
}

#[test]
fn of_calls_at_once_with_one_code_exactly_one_passes() {
    let bench = Bench::new();
    let factors = bench.open();
    let device = bench.device(&factors, &anna(), "phone");
    bench.pass();
    let shown = device.at(bench.now_s());
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..5).map(|_| scope.spawn(|| confirm(&factors, &shown))).collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
}

#[test]
fn after_five_wrong_codes_even_a_right_one_waits_and_then_it_works() {
    let bench = Bench::new();
    let factors = bench.open();
    let device = bench.device(&factors, &anna(), "phone");
    bench.pass();
    let elevated = factors.elevate(&anna(), &device.at(bench.now_s())).expect("elevated");
    bench.pass();
    let wrong = device.at(bench.now_s() + 3_600);
    for _ in 0..5 {
        assert_eq!(confirm(&factors, &wrong), Err(Refused::Wrong));
    }
    let right = device.at(bench.now_s());
    assert_eq!(confirm(&factors, &right), Err(Refused::TooMany { wait_s: 301 }));
    assert!(matches!(factors.elevate(&anna(), &right), Err(Refused::TooMany { .. })));
    let pending = factors.enroll(&confirmed(), "tablet", "web1").expect("begun");
    let activated = factors.activate(&anna(), "anna", &pending.name, "000000");
    assert!(matches!(activated, Err(Refused::TooMany { .. })));
    assert_eq!(factors.elevated(&anna(), &elevated.elevation), Ok("phone".into()));
    let token = By { actor: Actor::Token { id: "1".into(), name: "ci".into() }, ..anna() };
    assert_eq!(factors.confirm(&token, &right, |_| None), Ok("phone".into()), "it guessed nothing");
    bench.clock.advance(Duration::from_secs(300));
    assert_eq!(confirm(&factors, &device.at(bench.now_s())), Ok("phone".into()));
}

#[test]
fn an_elevation_uses_a_code_up_and_ends_with_its_time_its_factor_or_the_process() {
    let bench = Bench::new();
    let factors = bench.open();
    assert_eq!(factors.elevate(&anna(), "000000").err(), Some(Refused::NoFactor));
    let phone = bench.device(&factors, &anna(), "phone");
    let tablet = bench.device(&factors, &confirmed(), "tablet");
    bench.pass();
    let shown = phone.at(bench.now_s());
    let elevated = factors.elevate(&anna(), &shown).expect("elevated");
    assert_eq!((elevated.confirmed.as_str(), elevated.expires_in_s), ("phone", 600));
    assert_eq!(confirm(&factors, &shown), Err(Refused::UsedBefore));
    let other = By { source: Source::Ops, ..anna() };
    assert_eq!(factors.elevated(&other, &elevated.elevation), Err(Refused::NotElevated));
    let last = intents(&factors).pop();
    assert_eq!(last, Some(("totp.elevate".into(), Some("phone".into()), Some("phone".into()))));
    let kept = factors.elevate(&anna(), &tablet.at(bench.now_s())).expect("elevated");
    factors.remove(&confirmed(), "phone").expect("removed");
    assert_eq!(factors.elevated(&anna(), &elevated.elevation), Err(Refused::NotElevated));
    assert_eq!(factors.elevated(&anna(), &kept.elevation), Ok("tablet".into()));
    bench.clock.advance(Duration::from_secs(599));
    assert!(factors.elevated(&anna(), &kept.elevation).is_ok());
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(factors.elevated(&anna(), &kept.elevation), Err(Refused::NotElevated));
    let kept = factors.elevate(&anna(), &tablet.at(bench.now_s())).expect("elevated");
    drop(factors);
    assert_eq!(bench.open().elevated(&anna(), &kept.elevation), Err(Refused::NotElevated));
}

#[test]
fn what_was_begun_without_a_code_is_void_once_there_is_a_factor() {
    let bench = Bench::new();
    let factors = bench.open();
    let sly = factors.enroll(&anna(), "sly", "web1").expect("begun");
    let sly = totp_rs::Secret::try_from_base32(&sly.secret).expect("base32");
    bench.device(&factors, &anna(), "phone");
    let activated = factors.activate(&anna(), "anna", "sly", &code(sly.as_bytes(), bench.now_s()));
    assert!(matches!(activated, Err(Refused::NotBegun { .. })), "{activated:?}");
    assert_eq!(factors.list().len(), 1);
    // The state refuses it too, should two of them be activated at once.
    let sealed = factors.parts.keyring.seal(TOTP_KEYS, "sly", sly.as_bytes()).expect("sealed");
    let factor = Factor {
        name: "sly".into(),
        created_at_s: 0,
        created_by: "anna".into(),
        last_step: 1,
        last_used_at_s: 0,
    };
    let intent = factors.intent(anna(), action::TOTP_ENROLL);
    let added = factors.parts.store.add_factor(factor, sealed, true, intent).wait();
    assert_eq!(added.expect("answered"), Added::NotFirst);
}

#[test]
fn an_enrolment_ends_with_the_factor_that_confirmed_it() {
    let bench = Bench::new();
    let factors = bench.open();
    bench.device(&factors, &anna(), "phone");
    bench.device(&factors, &confirmed(), "tablet");
    let begin = |factor: &str, name: &str| {
        let by = By { confirmed: Some(factor.into()), ..anna() };
        let secret = factors.enroll(&by, name, "web1").expect("begun").secret;
        totp_rs::Secret::try_from_base32(&secret).expect("base32").as_bytes().to_vec()
    };
    let activate = |name: &str, secret: &[u8]| {
        factors.activate(&anna(), "anna", name, &code(secret, bench.now_s()))
    };
    let sly = begin("phone", "sly");
    let kept = begin("tablet", "kept");
    factors.remove(&confirmed(), "phone").expect("removed");
    assert!(matches!(activate("sly", &sly), Err(Refused::NotBegun { .. })));
    assert_eq!(factors.enroll(&confirmed(), "late", "web1").err(), Some(Refused::Void));
    assert!(activate("kept", &kept).is_ok(), "another one had confirmed it");
    let last = begin("tablet", "last");
    factors.remove(&confirmed(), "kept").expect("removed");
    factors.remove(&confirmed(), "tablet").expect("removed");
    assert!(matches!(activate("last", &last), Err(Refused::NotBegun { .. })));
}

#[test]
fn names_are_taken_once_and_twenty_are_enough() {
    let bench = Bench::new();
    let factors = bench.open();
    assert_eq!(factors.enroll(&anna(), "a b", "web1").err(), Some(Refused::Name));
    let by_first = By { confirmed: Some("d00".into()), ..anna() };
    for number in 0..20 {
        let by = if number == 0 { anna() } else { by_first.clone() };
        bench.device(&factors, &by, &format!("d{number:02}"));
    }
    assert_eq!(factors.enroll(&by_first, "d07", "web1").err(), Some(Refused::Taken));
    let told = factors.enroll(&by_first, "one-more", "web1").expect("begun");
    let secret = totp_rs::Secret::try_from_base32(&told.secret).expect("base32");
    let shown = code(secret.as_bytes(), bench.now_s());
    assert_eq!(factors.activate(&anna(), "anna", "one-more", &shown).err(), Some(Refused::Full));
    let unknown = factors.remove(&anna(), "one-more");
    assert!(matches!(unknown, Err(Refused::Unknown { .. })));
    for number in 0..20 {
        assert!(factors.wanted());
        factors.remove(&confirmed(), &format!("d{number:02}")).expect("removed");
    }
    assert!(!factors.wanted());
}

#[test]
fn a_rotation_of_keys_seals_secrets_anew_and_they_still_work() {
    let bench = Bench::new();
    let factors = bench.open();
    let device = bench.device(&factors, &anna(), "phone");
    let key = |factors: &Factors| {
        factors.parts.store.sealed(TOTP_KEYS, "phone").expect("read").expect("there").key
    };
    assert_eq!(key(&factors), 1);
    factors.parts.keyring.rotate(&anna()).expect("rotated");
    assert_eq!(key(&factors), 2);
    bench.pass();
    assert_eq!(confirm(&factors, &device.at(bench.now_s())), Ok("phone".into()));
}

#[test]
fn with_the_daemon_stopped_a_factor_is_removed_without_a_code_and_the_audit_log_is_told() {
    let bench = Bench::new();
    let (clock, state): (Arc<dyn Clock>, _) = (bench.clock.clone(), bench.dir.path().join("state"));
    let none = Offline::open(&state, clock.clone()).err().expect("refused");
    assert!(none.contains("there is no state") && !state.exists(), "{none}");
    let factors = bench.open();
    bench.device(&factors, &anna(), "phone");
    let in_use = Offline::open(&state, clock.clone()).err().expect("refused");
    assert!(in_use.contains("in use"), "{in_use}");
    drop(factors);
    let offline = Offline::open(&state, clock).expect("opened");
    assert_eq!(offline.names(), Ok(vec!["phone".into()]));
    assert!(offline.remove("tablet", 0, None).is_err());
    assert_eq!(offline.remove("phone", 0, Some("root".into())), Ok(0));
    drop(offline);
    let factors = bench.open();
    assert!(!factors.wanted());
    let (_, last) = factors.parts.store.intents(100).expect("read").pop().expect("an intent");
    assert_eq!((last.action.as_str(), last.subject.as_deref()), ("totp.remove", Some("phone")));
    assert_eq!(last.by.source, Source::Process);
    assert_eq!(last.by.actor, Actor::Uid { uid: 0, user: Some("root".into()) });
}

/// What may happen to a daemon with one factor.
#[derive(Debug, Clone)]
enum Happens {
    /// A device whose clock is so many seconds away shows a code to a call.
    Code {
        away_s: i64,
    },
    /// The code before once more.
    Again,
    Passes {
        seconds: u64,
    },
    /// Somebody sets the clock.
    Jumps {
        by_s: i64,
    },
    Restart,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (-60_i64..=60).prop_map(|away_s| Happens::Code { away_s }),
        2 => Just(Happens::Again),
        2 => (0_u64..90).prop_map(|seconds| Happens::Passes { seconds }),
        1 => (-200_i64..200).prop_map(|by_s| Happens::Jumps { by_s }),
        1 => Just(Happens::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_step_is_accepted_twice_whatever_happens(all in proptest::collection::vec(happens(), 1..40)) {
        let bench = Bench::new();
        let mut factors = bench.open();
        let device = bench.device(&factors, &anna(), "phone");
        let (mut accepted, mut last) = (BTreeSet::from([NOW_S / STEP_S]), NOW_S);
        for what in all {
            match what {
                Happens::Passes { seconds } => bench.clock.advance(Duration::from_secs(seconds)),
                Happens::Jumps { by_s } => {
                    let to = bench.now_s().saturating_add_signed(by_s);
                    bench.clock.set(Duration::from_secs(to));
                }
                Happens::Restart => {
                    drop(factors);
                    factors = bench.open();
                }
                Happens::Code { .. } | Happens::Again => {
                    if let Happens::Code { away_s } = what {
                        last = bench.now_s().saturating_add_signed(away_s);
                    }
                    let step = last / STEP_S;
                    let near = step.abs_diff(bench.now_s() / STEP_S) <= 1;
                    let newer = accepted.last().is_none_or(|latest| step > *latest);
                    match confirm(&factors, &device.at(last)) {
                        Ok(_) => prop_assert!(near && newer && accepted.insert(step)),
                        Err(Refused::TooMany { .. }) => {}
                        Err(_) => prop_assert!(!(near && newer)),
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_no_code_is_told_so_and_costs_no_guess() {
    let bench = Bench::new();
    let factors = bench.open();
    let device = bench.device(&factors, &anna(), "phone");
    for text in ["12", "abc", "1234567", "12345x", ""].into_iter().cycle().take(20) {
        assert_eq!(confirm(&factors, text), Err(Refused::NoCode), "{text:?}");
    }
    bench.pass();
    assert_eq!(confirm(&factors, &device.at(bench.now_s())), Ok("phone".into()));
}

#[test]
fn a_state_that_may_not_be_entered_is_not_said_to_be_missing() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let closed = bench.dir.path().join("closed");
    std::fs::create_dir(&closed).expect("made");
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).expect("closed");
    let why = Offline::open(&closed.join("state"), bench.clock.clone()).err().expect("refused");
    // Root may enter everything, and finds nothing there.
    let expected = if rustix::process::geteuid().is_root() {
        "there is no state"
    } else {
        "permission denied\n  run the command as root"
    };
    assert!(why.contains(expected), "{why}");
}
