//! Promise 45: after any crash the store opens, everything acknowledged is there, and nothing is half there.
//!
//! A random run of operations is written down by the disk; then the power is cut at every sync and between, each time
//! keeping what was synced and any part of the rest; then once more during the repair of that. The last two tests show
//! that this would find a writer that does not wait for the disk, and a disk that does not sync.

use std::collections::BTreeMap;

use redb::Durability;

use super::super::sealed::TABLES;
use super::super::writer::{Options, Retry};
use super::memory::{Dice, Event, MemDisk, MemPlace, Replay};
use super::*;

type Rows = BTreeMap<(&'static str, String), Vec<u8>>;

/// One operation: rows to write, or to remove; all of them or none.
type Change = Vec<(&'static str, String, Option<Vec<u8>>)>;

fn change(dice: &mut Dice) -> Change {
    let one = |dice: &mut Dice| {
        let value = (!dice.one_in(4)).then(|| {
            let len = if dice.one_in(6) { dice.below(9000) } else { dice.below(200) };
            (0..len).map(|_| dice.next().to_le_bytes()[0]).collect()
        });
        (TABLES[dice.below(TABLES.len())], format!("row-{}", dice.below(40)), value)
    };
    (0..1 + dice.below(5)).map(|_| one(dice)).collect()
}

fn submit(store: &Store, change: &Change) -> Receipt<()> {
    let change = change.clone();
    store.write(move |writing| {
        for (table, row, value) in &change {
            match value {
                Some(value) => writing.put(table, row, value)?,
                None => writing.remove(table, row)?,
            }
        }
        Ok(())
    })
}

fn enact(rows: &mut Rows, change: &Change) {
    for (table, row, value) in change {
        match value {
            Some(value) => rows.insert((table, row.clone()), value.clone()),
            None => rows.remove(&(*table, row.clone())),
        };
    }
}

fn rows(core: &StateFile) -> Result<Rows, Fault> {
    core.read(|reading| {
        let mut rows = Rows::new();
        for table in TABLES {
            reading.scan(table, None, |row, value: Vec<u8>| {
                rows.insert((table, row.to_owned()), value);
                true
            })?;
        }
        Ok(rows)
    })
}

/// What went wrong after a power cut.
#[derive(Debug, PartialEq, Eq)]
enum Violation {
    DoesNotOpen(String),
    /// The rows are those after this many operations, and more had been acknowledged.
    Lost {
        there: usize,
        acknowledged: usize,
    },
    /// The rows are not those after any number of operations.
    HalfThere,
}

/// A run: the disk at its start, what was done to it, and the rows after each operation.
struct Run {
    start: Vec<u8>,
    history: Vec<Event>,
    states: Vec<Rows>,
}

fn run(seed: u64, operations: usize, durability: Durability) -> Run {
    let mut dice = Dice(seed);
    let start = StateFile::image(&CORE).expect("an empty file");
    let disk = MemDisk::new(start.clone());
    let dir = folder();
    let options = Options { durability, retry: Retry::WhenAsked };
    let mut states = vec![Rows::new()];
    while states.len() <= operations {
        // Also across restarts: the end of one is an orderly end.
        let place = Box::new(MemPlace::new(&disk));
        let store = Store::start(place, options, clock(), log(dir.path())).expect("opened");
        for _ in 0..1 + dice.below(operations) {
            let changes: Vec<Change> = (0..1 + dice.below(4)).map(|_| change(&mut dice)).collect();
            let receipts: Vec<Receipt<()>> = changes.iter().map(|c| submit(&store, c)).collect();
            for change in &changes {
                let mut next = states.last().expect("one").clone();
                enact(&mut next, change);
                states.push(next);
            }
            for receipt in receipts {
                receipt.wait().expect("the disk is well");
            }
            disk.acknowledge(states.len() - 1);
        }
    }
    Run { start, history: disk.history(), states }
}

impl Run {
    /// Opens what a power cut left, and judges it. The disk afterwards tells what the repair did to it.
    fn judge(&self, image: Vec<u8>, acknowledged: usize) -> Result<MemDisk, Violation> {
        let disk = MemDisk::new(image);
        let does_not_open = |why: String| Violation::DoesNotOpen(why);
        let core = StateFile::open(&MemPlace::new(&disk), false);
        let core = core.map_err(|error| does_not_open(error.to_string()))?;
        core.accept().map_err(|fault| does_not_open(format!("{fault:?}")))?;
        let rows = rows(&core).map_err(|fault| does_not_open(format!("{fault:?}")))?;
        core.disk().shut(); // the orderly end would only take time
        let there = self.states.iter().rposition(|state| *state == rows);
        match there.ok_or(Violation::HalfThere)? {
            there if there < acknowledged => Err(Violation::Lost { there, acknowledged }),
            _ => Ok(disk),
        }
    }

    /// Cuts the power at every sync and at one in `between` of the other moments.
    fn cut_everywhere(&self, seed: u64, between: usize, lies: bool) -> Result<usize, Violation> {
        let mut dice = Dice(seed ^ 0xC0FF_EE00);
        let mut replay = Replay::new(self.start.clone(), &self.history);
        replay.lies = lies;
        let mut cuts = 0;
        while let Some(event) = replay.step() {
            let boundary = matches!(event, Event::Sync | Event::Acknowledged(_));
            if !boundary && !dice.one_in(between) {
                continue;
            }
            let image = replay.power_cut(&mut dice);
            let disk = self.judge(image.clone(), replay.acknowledged)?;
            cuts += 1;
            if dice.one_in(4) {
                cuts += self.cut_during_repair(&image, &disk, replay.acknowledged, &mut dice)?;
            }
        }
        Ok(cuts)
    }

    fn cut_during_repair(
        &self,
        image: &[u8],
        disk: &MemDisk,
        acknowledged: usize,
        dice: &mut Dice,
    ) -> Result<usize, Violation> {
        let history = disk.history();
        let mut replay = Replay::new(image.to_vec(), &history);
        let mut cuts = 0;
        while replay.step().is_some() {
            if dice.one_in(2) {
                self.judge(replay.power_cut(dice), acknowledged)?;
                cuts += 1;
            }
        }
        Ok(cuts)
    }
}

#[test]
fn after_a_power_cut_at_any_moment_everything_acknowledged_is_there_and_nothing_is_half_there() {
    let soak = std::env::var_os("PALISADE_SOAK").is_some();
    let (seeds, operations, between) = if soak { (20, 40, 1) } else { (2, 16, 4) };
    let fresh = if soak { std::process::id().into() } else { 0 };
    for seed in (fresh..).take(seeds) {
        let run = run(seed, operations, Durability::Immediate);
        match run.cut_everywhere(seed, between, false) {
            Ok(cuts) => assert!(cuts > 20, "only {cuts} power cuts"),
            Err(violation) => panic!("seed {seed}: {violation:?}"),
        }
    }
}

#[test]
fn a_writer_that_does_not_wait_for_the_disk_would_be_found_out() {
    let found = run(1, 12, Durability::None).cut_everywhere(1, 4, false);
    assert!(matches!(found, Err(Violation::Lost { .. })), "{found:?}");
}

#[test]
fn a_disk_that_does_not_sync_would_be_found_out() {
    let found = run(1, 12, Durability::Immediate).cut_everywhere(1, 4, true);
    assert!(found.is_err(), "{found:?}");
}
