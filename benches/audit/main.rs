//! How long a verification takes: `cargo bench --bench audit [-- DIR]`.
//!
//! Writes a log of a million records, then opens it and follows it as `palisade audit verify` does.
//! Bounds: one round; about 600 MB in the directory, removed at the end.
#![expect(clippy::print_stdout, reason = "shows its figures to whoever runs it")]
#![expect(clippy::expect_used, reason = "a measurement that fails stops")]

use std::path::PathBuf;
use std::sync::Arc;

use palisade::base::audit::{Actor, By, Intent, Source, action};
use palisade::ports::Clock;
use palisade::ports::system::SystemClock;
use palisade::store::audit::{AuditLog, Head};
use palisade::telemetry::Log;
use palisade::work::audit::chain::append;
use palisade::work::audit::look::follow;

const RECORDS: u64 = 1_000_000;
const PER_COMMIT: u64 = 10_000;

fn main() {
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let dir = chosen.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let dir = dir.join(format!("palisade-audit-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory to write in");
    let (log, _) = Log::open(Some(&dir.join("log")), Arc::new(SystemClock)).expect("a log");
    let open =
        || AuditLog::open(&dir.join("state"), Arc::new(SystemClock), log.clone()).expect("a log");
    let audit = open();
    let start = SystemClock.now();
    let mut head = Head::default();
    while head.seq < RECORDS {
        let intents = (head.seq + 1..=head.seq + PER_COMMIT).map(|seq| (seq, intent(seq)));
        let chained = append(head, intents.collect());
        let last = chained.last().map(|(seq, last)| Head { seq: *seq, hash: last.hash });
        assert!(audit.append(head, chained).wait().expect("written"), "nobody else writes");
        head = last.expect("some");
    }
    let written_s = start.elapsed().as_secs_f64();
    let bytes = audit.figures().file_bytes;
    drop(audit);
    let start = SystemClock.now();
    let audit = open();
    let opened_s = start.elapsed().as_secs_f64();
    let start = SystemClock.now();
    let outline = audit.outline().expect("read");
    let followed = audit.afresh(move |file| follow(file, [0; 32], outline, RECORDS));
    let whole = followed.expect("shown").expect("sound").expect("read").expect("whole");
    let followed_s = start.elapsed().as_secs_f64();
    drop(audit);
    std::fs::remove_dir_all(&dir).expect("removed");
    println!(
        "{} records, {} MB: written in {written_s:.1} s, opened in {opened_s:.1} s, verified in {followed_s:.2} s",
        whole.records,
        bytes / 1_000_000
    );
}

fn intent(seq: u64) -> Intent {
    let actor = Actor::Uid { uid: 1000, user: Some("deploy".into()) };
    let request_id = Some("019ab9c2-5a17-7c1e-8f11-0d6a5b1e2f33".to_owned());
    let by = By { actor, source: Source::Control, request_id, confirmed: None };
    let number = i64::try_from(seq).unwrap_or(0);
    Intent::new(1_795_292_266_000 + number, by, action::CONFIG_RELOAD)
        .on("/etc/palisade/palisade.toml")
        .before("generation", number)
        .after("generation", number + 1)
        .after("changes", &["timeout.head: 10s -> 20s".to_owned()][..])
}
