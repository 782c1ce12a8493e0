//! How fast the state takes writes, next to the disk below it: `cargo bench --bench store [-- DIR]`.
//!
//! Rounds take turns: a bare loop of one 4 KiB write and `fdatasync`, then 1, 16 and 64 threads that each write a
//! record and wait for its receipt. Medians go to `docs/performance/store.json` and `docs/PERFORMANCE.md`.
//! Bounds: three rounds of four loads, two seconds each.
#![expect(clippy::print_stdout, reason = "shows its figures to whoever runs it")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails stops")]

mod page;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use palisade::ports::Clock;
use palisade::ports::system::SystemClock;
use palisade::store::Store;
use palisade::store::certs::History;
use palisade::telemetry::Log;

const ROUNDS: usize = 3;
const LOAD: Duration = Duration::from_secs(2);
const WRITERS: [usize; 3] = [1, 16, 64];
/// Of the bare loop: as much as one page of the state.
const PAGE: usize = 4096;
const PAGES: u64 = 4096;

/// What one load did.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Rows that shared a commit, on average.
    pub per_commit: f64,
}

fn main() {
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let dir = chosen.map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let dir = dir.join(format!("palisade-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory to write in");
    let mut rounds: Vec<Vec<Figures>> = Vec::new();
    let mut openings_ms = Vec::new();
    for round in 0..ROUNDS {
        let mut loads = vec![bare(&dir.join("bare"))];
        let state = dir.join(format!("state-{round}"));
        let (log, _) = Log::open(Some(&dir.join("log")), Arc::new(SystemClock)).expect("a log");
        let open = || Store::open(&state, Arc::new(SystemClock), log.clone()).expect("a state");
        let store = open();
        loads.extend(WRITERS.map(|writers| grouped(&store, writers)));
        let bytes = store.figures().file_bytes;
        drop(store);
        let start = SystemClock.now();
        drop(open());
        openings_ms.push((start.elapsed().as_secs_f64() * 1e3, bytes));
        rounds.push(loads);
    }
    std::fs::remove_dir_all(&dir).expect("removed");
    let medians: Vec<Figures> = (0..=WRITERS.len()).map(|load| median(&rounds, load)).collect();
    openings_ms.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let opening = openings_ms.get(ROUNDS / 2).copied().unwrap_or_default();
    println!("{}\n\n{}", page::table(&medians, &WRITERS), page::opening(opening));
    page::write(Path::new(env!("CARGO_MANIFEST_DIR")), &medians, &rounds, &WRITERS, opening);
}

/// One write and one sync at a time, in a file that is already as long as it gets.
fn bare(path: &Path) -> Figures {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
    let page = [7_u8; PAGE];
    for at in 0..PAGES {
        file.write_all_at(&page, at * PAGE as u64).unwrap();
    }
    file.sync_all().unwrap();
    let mut taken = Vec::new();
    let end = SystemClock.now() + LOAD;
    while SystemClock.now() < end {
        let start = SystemClock.now();
        file.write_all_at(&page, taken.len() as u64 % PAGES * PAGE as u64).unwrap();
        file.sync_data().unwrap();
        taken.push(start.elapsed());
    }
    figures(taken, 1.0)
}

/// Threads that each wait for the receipt of one write before they ask for the next.
fn grouped(store: &Store, writers: usize) -> Figures {
    let before = store.figures();
    let end = SystemClock.now() + LOAD;
    let threads: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut taken = Vec::new();
                while SystemClock.now() < end {
                    let site = format!("site-{}.example", (writer * 7919 + taken.len()) % 10_000);
                    let start = SystemClock.now();
                    let history = History { site, failures: 3, ..History::default() };
                    store.conclude(None, false, history).wait().expect("written");
                    taken.push(start.elapsed());
                }
                taken
            })
        })
        .collect();
    let taken = threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
    let after = store.figures();
    let rows = (after.rows - before.rows) as f64;
    figures(taken, rows / (after.commits - before.commits).max(1) as f64)
}

fn figures(mut taken: Vec<Duration>, per_commit: f64) -> Figures {
    taken.sort_unstable();
    let at = |share: f64| {
        let index = (taken.len() as f64 * share) as usize;
        taken.get(index.min(taken.len() - 1)).map_or(0.0, |d| d.as_secs_f64() * 1e3)
    };
    let per_second = taken.len() as f64 / LOAD.as_secs_f64();
    Figures { per_second, p50_ms: at(0.5), p99_ms: at(0.99), per_commit }
}

fn median(rounds: &[Vec<Figures>], load: usize) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = rounds.iter().filter_map(|r| r.get(load)).map(figure).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    Figures {
        per_second: of(|f| f.per_second),
        p50_ms: of(|f| f.p50_ms),
        p99_ms: of(|f| f.p99_ms),
        per_commit: of(|f| f.per_commit),
    }
}
