//! The audit log over real files: what is written down, found, signed, removed, and what a verification sees.

use std::path::Path;

use super::sample::intent;
use super::*;
use crate::base::Secret;
use crate::base::audit::{Source, action};
use crate::keyring::MasterKey;
use crate::ops::api::audit::{AuditQuery, AuditRecord, AuditVerdict};
use crate::ports::fake::{FakeClock, FakeEntropy};

const NOW: Duration = Duration::from_secs(1_795_292_266);
const DAY: Duration = Duration::from_secs(86_400);

struct Bench {
    dir: tempfile::TempDir,
    clock: Arc<FakeClock>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { dir, clock: Arc::new(FakeClock::at(NOW)) }
    }

    fn open(&self) -> Arc<Audit> {
        let state = self.dir.path().join("state");
        let clock: Arc<dyn Clock> = self.clock.clone();
        let log = |path: &Path| Log::open(Some(&path.join("log")), clock.clone()).expect("a log").0;
        let events = log(self.dir.path());
        let store = Store::open(&state, clock.clone(), events.clone()).expect("a state");
        let audit = AuditLog::open(&state, clock.clone(), events.clone()).expect("a log");
        let bytes = "07".repeat(32).into_bytes().into();
        let master = MasterKey::parse(&Secret { place: "the test".into(), bytes }).expect("a key");
        let entropy: Arc<dyn Entropy> = Arc::new(FakeEntropy::default());
        let keyring = Keyring::open(store.clone(), master, None, clock.clone(), entropy.clone());
        let keyring = Arc::new(keyring.expect("keys"));
        let keep = 400 * DAY;
        let parts = Parts { store, log: audit, keyring, clock, entropy, events, keep };
        Audit::open(parts).expect("opened")
    }
}

fn fill(audit: &Audit, count: i64) {
    for _ in 0..count {
        let by = By::system(Source::Signal);
        audit.record(audit.intent(&by, action::CONFIG_RELOAD).on("/etc/palisade/palisade.toml"));
    }
}

fn verdict(audit: &Audit) -> AuditVerdict {
    audit.verify().expect("a verdict")
}

fn broken(audit: &Audit) -> Option<u64> {
    verdict(audit).broken.map(|broken| broken.seq)
}

#[test]
fn what_was_recorded_is_found_and_stays_after_a_restart() {
    let bench = Bench::new();
    let audit = bench.open();
    audit.record(intent(1));
    fill(&audit, 2);
    assert_eq!(audit.figures(), Figures { records: 0, outbox: 3 });
    let find = |audit: &Audit, query: AuditQuery| -> Vec<u64> {
        let page = audit.page(&query).expect("a page");
        assert_eq!(page.next, None);
        page.records.iter().map(|record| record.seq).collect()
    };
    let text = |text: &str| Some(text.to_owned());
    let all = AuditQuery::default;
    assert_eq!(find(&audit, all()), [1, 2, 3]);
    assert_eq!(find(&audit, AuditQuery { actor: text("deploy"), ..all() }), [1]);
    assert_eq!(find(&audit, AuditQuery { actor: text("1000"), ..all() }), [1]);
    assert_eq!(find(&audit, AuditQuery { actor: text("system"), after: 2, ..all() }), [3]);
    assert_eq!(find(&audit, AuditQuery { action: text("config"), ..all() }), [1, 2, 3]);
    assert_eq!(find(&audit, AuditQuery { action: text("conf"), ..all() }), [0; 0]);
    assert_eq!(find(&audit, AuditQuery { text: text("HEAD: 1S"), ..all() }), [1]);
    assert_eq!(find(&audit, AuditQuery { since_ms: Some(1_795_292_266_001), ..all() }), [1]);
    assert_eq!(find(&audit, AuditQuery { until_ms: Some(1_795_292_266_000), ..all() }), [2, 3]);
    assert_eq!(find(&audit, AuditQuery { subject: text("x"), ..all() }), [0; 0]);
    let page = audit.page(&AuditQuery { limit: Some(2), ..all() }).expect("a page");
    assert_eq!((page.records.len(), page.next, page.last), (2, Some(2), 3));
    let key = verdict(&audit).key;
    drop(audit);
    let audit = bench.open();
    fill(&audit, 1);
    let whole = verdict(&audit);
    assert_eq!((whole.broken, whole.records, whole.last), (None, 4, 4));
    assert_eq!((whole.key, audit.figures().outbox), (key, 0));
}

/// Every record that a query finds, page by page, and how many pages that were.
fn walk(audit: &Audit, mut query: AuditQuery) -> (Vec<AuditRecord>, usize) {
    let (mut all, mut pages) = (Vec::new(), 0);
    loop {
        let page = audit.page(&query).expect("a page");
        pages += 1;
        all.extend(page.records);
        match (page.next, query.before) {
            (None, _) => return (all, pages),
            (next, Some(_)) => query.before = next,
            (Some(next), None) => query.after = next,
        }
    }
}

#[test]
fn the_log_reads_backwards_as_it_reads_forwards() {
    let bench = Bench::new();
    let audit = bench.open();
    let newest = |limit| AuditQuery::newest(u64::MAX, limit);
    assert_eq!(walk(&audit, newest(7)), (Vec::new(), 1), "an empty log has no end to begin at");
    for number in 0..130 {
        audit.record(intent(number));
        fill(&audit, 1);
    }
    let (mut forwards, _) = walk(&audit, AuditQuery::default());
    forwards.reverse();
    for limit in [1, 7, 100, 259, 260, 1000] {
        let (backwards, pages) = walk(&audit, newest(limit));
        assert!(backwards == forwards, "limit {limit}");
        assert_eq!(pages, 260_usize.div_ceil(limit), "limit {limit}");
    }
    let (found, _) = walk(&audit, AuditQuery { actor: Some("deploy".into()), ..newest(9) });
    let wanted: Vec<_> = forwards.iter().filter(|record| record.seq % 2 == 1).cloned().collect();
    assert!(found == wanted, "filters hold on the way back, too");
    let between = AuditQuery { after: 100, ..AuditQuery::newest(104, 1000) };
    let (between, _) = walk(&audit, between);
    assert_eq!(between.iter().map(|record| record.seq).collect::<Vec<_>>(), [103, 102, 101]);
    let page = audit.page(&AuditQuery::newest(1, 5)).expect("a page");
    assert_eq!((page.records.len(), page.next, page.last), (0, None, 260));
}

#[test]
fn what_was_cut_off_ends_the_way_back() {
    let bench = Bench::new();
    let audit = bench.open();
    fill(&audit, 3);
    audit.tend();
    bench.clock.advance(500 * DAY);
    fill(&audit, 3);
    audit.tend();
    let (backwards, _) = walk(&audit, AuditQuery::newest(u64::MAX, 2));
    let (mut forwards, _) = walk(&audit, AuditQuery::default());
    forwards.reverse();
    assert!(backwards == forwards && forwards.len() < 6, "{forwards:?}");
}

#[test]
fn an_effect_and_its_record_commit_together() {
    let bench = Bench::new();
    let audit = bench.open();
    let by = By::system(Source::Control);
    audit.keyring.rotate(&by).expect("rotated");
    let page = audit.page(&AuditQuery::default()).expect("a page");
    let record = page.records.first().expect("written down");
    assert_eq!(record.action, action::CRYPTO_ROTATE);
    assert_eq!(
        serde_json::to_string(&(&record.before, &record.after)).expect("JSON"),
        r#"[{"key":1},{"key":2}]"#
    );
}

#[test]
fn a_checkpoint_comes_with_time_with_records_and_when_asked_for() {
    let bench = Bench::new();
    let audit = bench.open();
    assert_eq!(audit.checkpoint().expect_err("nothing yet").status, 409);
    fill(&audit, 2);
    audit.tend();
    let signed = |audit: &Audit| verdict(audit).signed.map(|mark| mark.seq);
    assert_eq!(signed(&audit), Some(2), "the first");
    fill(&audit, 1);
    audit.tend();
    assert_eq!(signed(&audit), Some(2), "too early");
    bench.clock.advance(Duration::from_secs(3600));
    audit.tend();
    assert_eq!(signed(&audit), Some(3));
    fill(&audit, 1);
    let asked = audit.checkpoint().expect("signed");
    assert_eq!((asked.seq, audit.checkpoint().expect("the same")), (4, asked.clone()));
    assert_eq!((signed(&audit), verdict(&audit).checkpoints), (Some(4), 3));
}

#[test]
fn whatever_is_done_to_the_file_is_named_by_a_verification() {
    let bench = Bench::new();
    let audit = bench.open();
    fill(&audit, 6);
    audit.checkpoint().expect("signed");
    assert_eq!(broken(&audit), None);
    let log = audit.files.log.clone();
    log.tamper(3, |mut chained| {
        chained.record[20] ^= 1;
        Some(chained)
    });
    assert_eq!(broken(&audit), Some(3));
    assert!(audit.attention().iter().any(|(bad, text)| *bad && text.contains("record 3")));
    log.tamper(3, |mut chained| {
        chained.record[20] ^= 1;
        Some(chained)
    });
    assert_eq!(broken(&audit), None, "put right");
    assert!(audit.attention().is_empty());
    log.tamper(6, |_| None);
    assert_eq!(broken(&audit), Some(6), "the end was cut off");
    log.tamper(2, |_| None);
    assert_eq!(broken(&audit), Some(2));
}

#[test]
fn what_is_too_old_goes_and_the_rest_still_verifies_from_there() {
    let bench = Bench::new();
    let audit = bench.open();
    fill(&audit, 3);
    audit.checkpoint().expect("signed");
    bench.clock.advance(300 * DAY);
    fill(&audit, 2);
    audit.tend();
    assert_eq!(verdict(&audit).first, 1);
    bench.clock.advance(150 * DAY);
    audit.tend();
    let whole = verdict(&audit);
    assert_eq!((whole.broken, whole.first, whole.records), (None, 4, 2));
    let page = audit.page(&AuditQuery::default()).expect("a page");
    assert_eq!(page.stub.as_ref().map(|stub| stub.seq), Some(3));
    assert_eq!(page.records[0].prev, page.stub.expect("there").hash);
    bench.clock.advance(500 * DAY);
    audit.tend();
    assert_eq!(verdict(&audit).first, 5, "the newest stays");
    drop(audit);
    let audit = bench.open();
    fill(&audit, 1);
    assert_eq!(verdict(&audit).broken, None);
    audit.configure(DAY);
    bench.clock.advance(2 * DAY);
    audit.tend();
    assert_eq!((broken(&audit), verdict(&audit).first), (None, 6));
}

#[test]
fn a_break_is_not_signed_away() {
    let bench = Bench::new();
    let audit = bench.open();
    fill(&audit, 4);
    audit.tend();
    audit.files.log.tamper(2, |mut chained| {
        chained.record[16] ^= 1;
        Some(chained)
    });
    bench.clock.advance(500 * DAY);
    fill(&audit, 1);
    audit.tend();
    assert_eq!((broken(&audit), verdict(&audit).first), (Some(2), 1));
}

/// The attention that a break wants, if one was found.
fn verified(audit: &Audit) -> Option<String> {
    let why = verdict(audit).broken.map(|broken| broken.why);
    let bad = audit.attention().into_iter().any(|(bad, _)| bad);
    assert_eq!(bad, why.is_some());
    why
}

#[test]
fn what_is_done_to_the_file_underneath_is_seen_by_a_verification_while_it_runs() {
    let bench = Bench::new();
    let audit = bench.open();
    fill(&audit, 6);
    assert_eq!(verified(&audit), None);
    let file = bench.dir.path().join("state/audit.redb");
    let away = bench.dir.path().join("away");
    let good = std::fs::read(&file).expect("read");
    let needle = b"config.reload";
    let at = good.windows(needle.len()).rposition(|bytes| bytes == needle).expect("a record");
    let mut flipped = good.clone();
    flipped[at] ^= 1;
    std::fs::write(&file, &flipped).expect("written");
    assert!(verified(&audit).is_some(), "a bit was flipped");
    std::fs::write(&file, &good).expect("written");
    assert_eq!(verified(&audit), None, "put right");
    std::fs::write(&file, &good[..good.len() / 2]).expect("written");
    assert!(verified(&audit).is_some(), "it was cut short");
    std::fs::write(&file, &good).expect("written");
    std::fs::rename(&file, &away).expect("moved");
    assert!(verified(&audit).is_some(), "it is gone");
    std::fs::write(&file, &good).expect("written");
    assert!(verified(&audit).is_some(), "it is another file");
    std::fs::rename(&away, &file).expect("moved back");
    assert_eq!(verified(&audit), None);
    fill(&audit, 1);
    assert_eq!((verified(&audit), verdict(&audit).records), (None, 7));
    std::fs::write(&file, &good).expect("written");
    assert!(verified(&audit).is_some(), "it is an older copy");
}

#[test]
fn a_log_that_was_lost_is_missed() {
    let bench = Bench::new();
    let audit = bench.open();
    fill(&audit, 3);
    audit.tend();
    drop(audit);
    std::fs::remove_file(bench.dir.path().join("state/audit.redb")).expect("removed");
    let audit = bench.open();
    assert_eq!(broken(&audit), Some(1));
    fill(&audit, 1);
    assert_eq!(broken(&audit), Some(1));
    let page = audit.page(&AuditQuery::default()).expect("a page");
    assert_eq!(page.records[0].seq, 4, "no number comes twice");
}
