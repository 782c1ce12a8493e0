//! Promises 46 and 47: a disk that fails costs no acknowledged row, and no restart.

use std::io::ErrorKind;
use std::sync::mpsc::sync_channel;

use super::super::database::StateFile;
use super::super::sealed::ACCOUNT_KEYS;
use super::super::writer::{BATCH_MAX, Message, Options, PAUSE_MAX, PAUSE_MIN, Retry};
use super::memory::{Dice, Faults, MemDisk, MemPlace};
use super::*;

/// A store on a disk that fails on demand, and tries to recover only when asked.
struct Bench {
    store: Store,
    disk: MemDisk,
    clock: Arc<FakeClock>,
    dir: tempfile::TempDir,
    log: Log,
}

fn bench() -> Bench {
    on(MemDisk::new(StateFile::image(&CORE).expect("an empty file")), Retry::WhenAsked)
}

fn on(disk: MemDisk, retry: Retry) -> Bench {
    let dir = folder();
    let log = log(dir.path());
    let options = Options { retry, ..Options::default() };
    let place = Box::new(MemPlace::new(&disk));
    let clock = clock();
    let store = Store::start(place, options, clock.clone(), log.clone()).expect("opened");
    Bench { store, disk, clock, dir, log }
}

impl Bench {
    fn put(&self, row: &str, value: u8) -> Result<(), StoreError> {
        self.receipt(row, value).wait()
    }

    fn receipt(&self, row: &str, value: u8) -> Receipt<()> {
        let row = row.to_owned();
        self.store.write(move |writing| writing.put(ACCOUNT_KEYS, &row, &value))
    }

    fn get(&self, row: &str) -> Result<Option<u8>, StoreError> {
        self.store.read(|reading| reading.get(ACCOUNT_KEYS, row))
    }

    /// Has the writer try now; the pause before its next attempt, or nothing when it is well.
    fn try_again(&self) -> Option<Duration> {
        let (answer, wait) = sync_channel(1);
        let queue = self.store.0.queue();
        queue.send(Message::TryAgain(answer)).expect("the writer lives");
        wait.recv().expect("the writer answers")
    }

    fn why(&self) -> String {
        match self.store.health() {
            Health::Refusing { since_s, why } => {
                assert_eq!(u64::try_from(since_s), Ok(NOW_S));
                why
            }
            Health::Writable => panic!("it takes writes"),
        }
    }

    fn logged(&self, event: &str) -> usize {
        self.log.flush();
        let text = std::fs::read_to_string(self.dir.path().join("test.log")).expect("the log");
        text.matches(&format!("\"event\":\"{event}\"")).count()
    }

    /// Makes the writer wait until the returned sender is dropped or used.
    fn hold_writer(&self) -> std::sync::mpsc::SyncSender<()> {
        let (release, held) = sync_channel::<()>(1);
        let (started, running) = sync_channel(1);
        drop(self.store.write(move |_| {
            let _ = started.send(());
            let _ = held.recv();
            Ok(())
        }));
        running.recv().expect("the writer has begun");
        release
    }
}

#[test]
fn after_an_io_error_writes_are_refused_reads_go_on_and_it_recovers_without_a_restart() {
    let failures = [
        Faults { sync: Some(ErrorKind::Other), ..Faults::default() },
        Faults { write: Some(ErrorKind::StorageFull), ..Faults::default() },
    ];
    for faults in failures {
        let bench = bench();
        bench.put("a", 1).expect("written");
        bench.disk.set_faults(faults);
        let refused = bench.put("b", 2).expect_err("the disk fails");
        assert!(matches!(refused, StoreError::Unwritable { .. }), "{refused}");
        assert_eq!(refused.to_string(), format!("the state cannot be written: {}", bench.why()));
        assert_eq!(bench.get("a").expect("reads go on"), Some(1));
        assert!(matches!(bench.get("b").expect("reads go on"), None | Some(2)));

        // Each attempt that fails doubles the pause, up to a bound; it is said only once.
        let mut expected = PAUSE_MIN * 2;
        for _ in 0..7 {
            assert_eq!(bench.try_again(), Some(expected));
            expected = (expected * 2).min(PAUSE_MAX);
            assert_eq!(bench.get("a").expect("reads go on"), Some(1));
        }
        assert!(matches!(bench.put("c", 3), Err(StoreError::Unwritable { .. })));
        assert_eq!((bench.logged("state_unwritable"), bench.logged("state_writable")), (1, 0));

        bench.disk.set_faults(Faults::default());
        assert_eq!(bench.try_again(), None);
        assert_eq!(bench.store.health(), Health::Writable);
        bench.put("c", 4).expect("written again");
        assert_eq!(bench.get("a").expect("read"), Some(1));
        assert_eq!(bench.get("c").expect("read"), Some(4));
        assert_eq!((bench.logged("state_unwritable"), bench.logged("state_writable")), (1, 1));
        assert_eq!(bench.store.figures().failures, 8);
    }
}

#[test]
fn it_tries_by_itself_once_the_pause_is_over() {
    let bench =
        on(MemDisk::new(StateFile::image(&CORE).expect("an empty file")), Retry::AfterPause);
    bench.disk.set_faults(Faults { sync: Some(ErrorKind::Other), ..Faults::default() });
    assert!(bench.put("a", 1).is_err());
    bench.disk.set_faults(Faults::default());
    bench.clock.advance(PAUSE_MIN);
    // What the handle refuses at once is put into the queue here, so that the writer looks at its clock.
    let queue = bench.store.0.queue();
    let written = (0..10_000).any(|_| {
        let (answer, receipt) = Receipt::pair();
        let change = |writing: &Writing| writing.put(ACCOUNT_KEYS, "a", &2_u8);
        let task = Box::new(super::super::writer::Operation { change, value: None, answer });
        queue.send(Message::Do(task)).expect("the writer lives");
        receipt.wait().is_ok()
    });
    assert!(written);
    assert_eq!(bench.store.health(), Health::Writable);
}

#[test]
fn a_full_disk_is_named_with_what_helps() {
    let bench = bench();
    bench.disk.set_faults(Faults { set_len: Some(ErrorKind::StorageFull), ..Faults::default() });
    let mut row = 0_u8;
    let refused = loop {
        let name = format!("{row}");
        let big = vec![row; 500_000];
        let write = bench.store.write(move |writing| writing.put(ACCOUNT_KEYS, &name, &big));
        match write.wait() {
            Ok(()) => row += 1,
            Err(error) => break error,
        }
        assert!(row < 100, "the file has to grow");
    };
    let why = "no space left on device: free some on the file system of /state/core.redb";
    assert_eq!(bench.why(), why);
    assert_eq!(refused.to_string(), format!("the state cannot be written: {why}"));
    // Small rows still fit into the file, which proves nothing: it counts as writable when it can grow again.
    for _ in 0..3 {
        assert!(bench.try_again().is_some());
        assert_eq!(bench.why(), why);
    }
    assert_eq!((bench.logged("state_unwritable"), bench.logged("state_writable")), (1, 0));
    bench.disk.set_faults(Faults::default());
    assert_eq!(bench.try_again(), None);
    let names = |store: &Store| {
        store.read(|reading| {
            let mut names = Vec::new();
            reading.scan(ACCOUNT_KEYS, None, |row, _: Vec<u8>| {
                names.push(row.to_owned());
                true
            })?;
            Ok(names.len())
        })
    };
    let there = names(&bench.store).expect("read");
    assert!(there >= usize::from(row), "{there} of {row} acknowledged rows");
}

/// What Linux does when a sync fails: the pages are forgotten, and taken for clean.
#[test]
fn rows_are_there_after_failed_syncs_that_lost_pages() {
    let soak = std::env::var_os("PALISADE_SOAK").is_some();
    for seed in 0..if soak { 2000 } else { 30 } {
        let bench = bench();
        let mut dice = Dice(seed);
        bench.disk.set_seed(seed);
        let mut acknowledged = std::collections::BTreeMap::new();
        let mut tried = acknowledged.clone();
        for value in 0..20 {
            let row = format!("{}", dice.below(10));
            if dice.one_in(4) {
                bench.disk.set_faults(Faults { sync: Some(ErrorKind::Other), ..Faults::default() });
            }
            tried.insert(row.clone(), value);
            if bench.put(&row, value).is_ok() {
                acknowledged.insert(row, value);
            } else {
                if dice.one_in(2) {
                    assert!(bench.try_again().is_some(), "the disk still fails");
                }
                bench.disk.set_faults(Faults::default());
                assert_eq!(bench.try_again(), None, "seed {seed}");
                // Not acknowledged, yet it may have been written: from here on it counts as it is.
                if bench.get(&row).expect("read") == Some(value) {
                    acknowledged.insert(row, value);
                }
            }
            for (row, value) in &acknowledged {
                assert_eq!(bench.get(row).expect("read"), Some(*value), "seed {seed} row {row}");
            }
        }
        // What counts is what the platter has.
        let Bench { store, disk, .. } = bench;
        drop(store);
        let core =
            StateFile::open(&MemPlace::new(&MemDisk::new(disk.image())), false).expect("opened");
        for (row, value) in &acknowledged {
            let there = core.read(|reading| reading.get::<u8>(ACCOUNT_KEYS, row));
            assert_eq!(there.expect("read"), Some(*value), "seed {seed} row {row}");
        }
    }
}

#[test]
fn a_disk_that_cannot_be_read_is_opened_again_once_it_can() {
    let filled = bench();
    filled.put("a", 1).expect("written");
    let Bench { store, disk, .. } = filled;
    drop(store);
    let bench = on(disk, Retry::WhenAsked); // nothing of the tables is in its cache
    bench.disk.set_faults(Faults { read: Some(ErrorKind::Other), ..Faults::default() });
    let failed = bench.get("a").expect_err("a read of the disk");
    assert!(matches!(failed, StoreError::Unreadable { .. }), "{failed}");
    assert!(bench.put("z", 1).is_err(), "the next write finds out at the latest");
    assert!(bench.try_again().is_some());
    bench.disk.set_faults(Faults::default());
    assert_eq!(bench.try_again(), None);
    assert_eq!(bench.get("a").expect("read"), Some(1));
    bench.put("z", 1).expect("written");
}

#[test]
fn an_operation_that_fails_or_panics_takes_no_other_one_with_it() {
    let bench = bench();
    bench.put("bad", 1).expect("written");
    let release = bench.hold_writer();
    let before = bench.receipt("a", 1);
    let unreadable = bench.store.write(|writing| {
        writing.put(ACCOUNT_KEYS, "half", &1_u8)?;
        writing.get::<String>(ACCOUNT_KEYS, "bad")
    });
    let between = bench.receipt("b", 2);
    let panicking = bench.store.write(|writing| -> Result<(), Fault> {
        writing.put(ACCOUNT_KEYS, "half", &1_u8)?;
        panic!("a bug")
    });
    let after = bench.receipt("c", 3);
    drop(release);
    assert!(matches!(unreadable.wait(), Err(StoreError::Record { table: ACCOUNT_KEYS, .. })));
    let failed = panicking.wait().expect_err("it panicked");
    let words = "the write failed inside palisade, please report this: a bug";
    assert_eq!(failed.to_string(), words);
    for receipt in [before, between, after] {
        receipt.wait().expect("written");
    }
    assert_eq!(bench.get("half").expect("read"), None);
    assert_eq!(bench.get("c").expect("read"), Some(3));
    assert_eq!(bench.store.health(), Health::Writable);
}

#[test]
fn what_waits_is_committed_together_in_bounded_batches() {
    let bench = bench();
    let release = bench.hold_writer();
    let receipts: Vec<Receipt<()>> = (0..2 * BATCH_MAX).map(|_| bench.receipt("a", 1)).collect();
    drop(release);
    receipts.into_iter().for_each(|receipt| receipt.wait().expect("written"));
    assert_eq!(bench.store.figures().commits, 3, "the one that held the writer, and two batches");
}

#[test]
fn a_full_queue_is_told_at_once_and_what_was_queued_is_written_before_the_end() {
    let Bench { store, disk, .. } = {
        let bench = bench();
        let release = bench.hold_writer();
        let mut receipts = Vec::new();
        let busy = loop {
            let receipt = bench.receipt(&format!("{:04}", receipts.len()), 1);
            if receipts.len() < QUEUE_MAX {
                receipts.push(receipt);
            } else {
                break receipt;
            }
        };
        assert!(matches!(busy.wait(), Err(StoreError::Busy)));
        drop((receipts, release));
        bench
    };
    drop(store);
    let core = StateFile::open(&MemPlace::new(&disk), false).expect("opened");
    let rows = core.read(|reading| reading.all::<u8>(ACCOUNT_KEYS)).expect("read");
    assert_eq!(rows.len(), QUEUE_MAX);
}
