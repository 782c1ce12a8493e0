//! A vault in memory that can be cut off, and keyrings over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::base::Secret;
use crate::base::audit::Intent;
use crate::ports::fake::FakeClock;
use crate::store::StoreError;
use crate::store::sealed::{Row, TABLES};

/// Bytes that never repeat within a process, different for each seed: a nonce must not come twice.
pub struct Counting(AtomicU64);

impl Counting {
    pub fn from(seed: u64) -> Self {
        Self(AtomicU64::new(seed << 32))
    }
}

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
            chunk.copy_from_slice(&next[..chunk.len()]);
        }
        Ok(())
    }
}

/// What happens to a write once the vault is cut off: a killed process does not know whether it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Before,
    After,
}

#[derive(Default)]
pub struct Disk {
    pub keys: BTreeMap<KeyId, WrappedKey>,
    pub rows: BTreeMap<(&'static str, String), Sealed>,
    /// Operations that still succeed, and what becomes of the first that does not.
    pub left: Option<(usize, Cut)>,
    /// Done with the next page that is asked for.
    pub meanwhile: Option<((&'static str, String), Sealed)>,
    pub writes: usize,
    pub intents: Vec<Intent>,
}

/// Clones share the disk, as a process and the one after it do.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Disk>>);

impl Memory {
    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        held(&self.0)
    }

    /// What a new process finds: the disk, and nothing that is cut off.
    pub fn reopened(&self) -> Self {
        self.disk().left = None;
        self.clone()
    }

    fn operation<T>(&self, work: impl FnOnce(&mut Disk) -> T) -> Result<T, StoreError> {
        let mut disk = self.disk();
        let cut = match &mut disk.left {
            Some((0, cut)) => Some(std::mem::replace(cut, Cut::Before)),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        match cut {
            Some(Cut::Before) => Err(StoreError::Closed),
            Some(Cut::After) => {
                work(&mut disk);
                Err(StoreError::Closed)
            }
            None => Ok(work(&mut disk)),
        }
    }
}

impl Vault for Memory {
    fn keys(&self) -> Result<Vec<WrappedKey>, StoreError> {
        self.operation(|disk| disk.keys.values().cloned().collect())
    }

    fn put_keys(&self, keys: Vec<WrappedKey>, intent: Option<Intent>) -> Result<(), StoreError> {
        self.operation(|disk| {
            disk.intents.extend(intent);
            disk.writes += 1;
            disk.keys.extend(keys.into_iter().map(|key| (key.id, key)));
        })
    }

    fn rows_to_reseal(
        &self,
        table: &'static str,
        after: Option<&str>,
        current: KeyId,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.operation(|disk| {
            let found = disk.rows.iter().filter(|((t, row), sealed)| {
                *t == table
                    && after.is_none_or(|after| row.as_str() > after)
                    && sealed.key != current
            });
            let rows = found
                .take(limit)
                .map(|((table, row), sealed)| Row {
                    table,
                    row: row.clone(),
                    sealed: sealed.clone(),
                })
                .collect();
            disk.rows.extend(disk.meanwhile.take());
            rows
        })
    }

    fn reseal(&self, rows: Vec<(Row, Sealed)>) -> Result<usize, StoreError> {
        self.operation(|disk| {
            let mut replaced = 0;
            for (old, new) in rows {
                if let Some(sealed) = disk.rows.get_mut(&(old.table, old.row))
                    && *sealed == old.sealed
                {
                    *sealed = new;
                    replaced += 1;
                }
            }
            replaced
        })
    }
}

/// A master key of one repeated digit.
pub fn master(digit: char) -> MasterKey {
    let text = digit.to_string().repeat(64).into_bytes();
    let secret = Secret { bytes: Zeroizing::new(text), place: format!("the test's key {digit}") };
    MasterKey::parse(&secret).expect("64 digits")
}

pub fn open(
    memory: &Memory,
    with: char,
    previous: Option<char>,
    seed: u64,
) -> Result<Keyring, KeyringError> {
    let clock = Arc::new(FakeClock::at(Duration::from_secs(1_795_292_266)));
    let entropy = Arc::new(Counting::from(seed));
    let previous = previous.map(master);
    Keyring::over(Box::new(memory.clone()), &master(with), previous.as_ref(), clock, entropy)
}

/// Seals `count` rows in each table and puts them on the disk.
pub fn fill(keyring: &Keyring, memory: &Memory, count: usize) {
    for table in TABLES {
        for number in 0..count {
            let row = format!("site-{number:04}.example.com");
            let sealed = keyring.seal(table, &row, text(table, &row).as_bytes()).expect("sealed");
            memory.disk().rows.insert((table, row), sealed);
        }
    }
}

/// What `fill` seals.
pub fn text(table: &str, row: &str) -> String {
    format!("the secret of {row} in {table}")
}

/// Every row opens to what was sealed; returns how many there are.
pub fn all_readable(keyring: &Keyring, memory: &Memory) -> usize {
    let rows = memory.disk().rows.clone();
    for ((table, row), sealed) in &rows {
        let opened = keyring.unseal(table, row, sealed).expect("readable");
        assert_eq!(opened.as_slice(), text(table, row).as_bytes());
    }
    rows.len()
}

/// Whoever rotates in a test.
pub const BY: crate::base::audit::By =
    crate::base::audit::By::system(crate::base::audit::Source::Control);
