//! Kills between an effect and its record: nothing is lost and nothing comes twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;

use super::*;
use crate::store::audit::{Chained, Head, Mark};
use crate::work::audit::chain::Verifier;
use crate::work::audit::sample::intent;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Before,
    After,
}

#[derive(Default)]
struct Disk {
    outbox: BTreeMap<u64, Intent>,
    next: u64,
    log: BTreeMap<u64, Chained>,
    head: Head,
    /// Operations that still succeed, and what becomes of the first that does not.
    left: Option<(usize, Cut)>,
}

/// Clones share the disk, as a process and the one after it do.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Disk>>);

impl Memory {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no test panicked while holding it")
    }

    fn effect(&self, number: i64) {
        let mut disk = self.disk();
        disk.next += 1;
        let seq = disk.next;
        disk.outbox.insert(seq, intent(number));
    }

    fn operation<T>(&self, work: impl FnOnce(&mut Disk) -> T) -> Result<T, StoreError> {
        let mut disk = self.disk();
        match &mut disk.left {
            Some((0, cut)) => {
                let cut = std::mem::replace(cut, Cut::Before);
                if cut == Cut::After {
                    work(&mut disk);
                }
                return Err(StoreError::Closed);
            }
            Some((left, _)) => *left -= 1,
            None => {}
        }
        Ok(work(&mut disk))
    }

    /// The changes that the log tells of, in order, after its chain was followed.
    fn told(&self) -> Vec<i64> {
        let disk = self.disk();
        let mut verifier = Verifier::behind([0; 32], Head::default());
        let mut told = Vec::new();
        for (seq, chained) in &disk.log {
            verifier.record(*seq, &chained.hash, &chained.record).expect("it follows");
            let record = decode(&chained.record).expect("a record");
            told.push(record.intent.at_ms - 1_795_292_266_000);
        }
        assert_eq!(verifier.end(), disk.head);
        told
    }
}

impl Books for Memory {
    fn intents(&self, limit: usize) -> Result<Vec<(u64, Intent)>, StoreError> {
        self.operation(|disk| disk.outbox.clone().into_iter().take(limit).collect())
    }
    fn forget(&self, seqs: Vec<u64>) -> Result<(), StoreError> {
        self.operation(|disk| disk.outbox.retain(|seq, _| !seqs.contains(seq)))
    }
    fn renumber(&self, seqs: Vec<u64>) -> Result<(), StoreError> {
        self.operation(|disk| {
            for intent in seqs.iter().filter_map(|seq| disk.outbox.remove(seq)).collect::<Vec<_>>()
            {
                disk.next += 1;
                let seq = disk.next;
                disk.outbox.insert(seq, intent);
            }
        })
    }
    fn head(&self) -> Result<Head, StoreError> {
        self.operation(|disk| disk.head)
    }
    fn stub(&self) -> Result<Option<Mark>, StoreError> {
        self.operation(|_| None)
    }
    fn record(&self, seq: u64) -> Result<Option<Chained>, StoreError> {
        self.operation(|disk| disk.log.get(&seq).cloned())
    }
    fn append(&self, after: Head, records: Vec<(u64, Chained)>) -> Result<bool, StoreError> {
        self.operation(|disk| {
            if disk.head != after {
                return false;
            }
            if let Some((seq, chained)) = records.last() {
                disk.head = Head { seq: *seq, hash: chained.hash };
            }
            disk.log.extend(records);
            true
        })
    }
}

proptest! {
    #[test]
    fn a_kill_at_any_step_loses_nothing_and_doubles_nothing(
        lives in proptest::collection::vec((0_i64..400, 0_usize..12, any::<bool>()), 1..6),
    ) {
        let memory = Memory::default();
        let mut happened = Vec::new();
        for (effects, cut_after, before) in lives {
            for _ in 0..effects {
                let number = happened.len() as i64;
                memory.effect(number);
                happened.push(number);
            }
            let cut = if before { Cut::Before } else { Cut::After };
            memory.disk().left = Some((cut_after, cut));
            let _ = copy(&memory);
            let told = memory.told();
            prop_assert_eq!(&told, &happened[..told.len()]);
        }
        memory.disk().left = None;
        copy(&memory).expect("nothing cuts it off");
        prop_assert_eq!(memory.told(), happened);
        prop_assert!(memory.disk().outbox.is_empty());
    }
}

#[test]
fn changes_after_the_state_was_restored_from_a_backup_are_not_taken_for_old_ones() {
    let memory = Memory::default();
    (0..4).for_each(|number| memory.effect(number));
    copy(&memory).expect("copied");
    // The backup knew of two changes, one of them on its way; two others have happened since.
    {
        let mut disk = memory.disk();
        disk.next = 4;
        disk.outbox = [(2, intent(1)), (3, intent(10)), (4, intent(11))].into();
    }
    copy(&memory).expect("copied");
    assert_eq!(memory.told(), [0, 1, 2, 3, 10, 11]);
}
