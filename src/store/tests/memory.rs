//! A disk in memory that writes down what is done to it, loses power at any moment, and fails when told to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::super::OpenError;
use super::super::place::Place;
use super::super::schema::{CORE, Schema};

const SECTOR: usize = 512;

/// Random numbers that repeat (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).expect("below a usize")
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// What was done to the disk, in order.
#[derive(Debug, Clone)]
pub enum Event {
    Write(u64, Arc<[u8]>),
    SetLen(u64),
    Sync,
    /// This many operations have been acknowledged.
    Acknowledged(usize),
}

fn apply(image: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let at = usize::try_from(*offset).expect("small");
            let end = (at + data.len()).min(image.len());
            if at < end {
                image[at..end].copy_from_slice(&data[..end - at]);
            }
        }
        Event::SetLen(len) => image.resize(usize::try_from(*len).expect("small"), 0),
        Event::Sync | Event::Acknowledged(_) => {}
    }
}

/// What may be on the platter when the power goes: `stable`, and of the changes since then any part, in any order,
/// some torn between sectors.
pub fn power_cut(stable: &[u8], since: &[Event], dice: &mut Dice) -> Vec<u8> {
    let mut image = stable.to_vec();
    let all = dice.one_in(8);
    let mut kept: Vec<&Event> = since.iter().filter(|_| all || dice.one_in(2)).collect();
    if !all && dice.one_in(2) {
        dice.shuffle(&mut kept);
    }
    for event in kept {
        match event {
            Event::Write(offset, data) if !all && dice.one_in(2) => {
                for (number, sector) in data.chunks(SECTOR).enumerate() {
                    if dice.one_in(2) {
                        let at = offset + (number * SECTOR) as u64;
                        apply(&mut image, &Event::Write(at, sector.into()));
                    }
                }
            }
            event => apply(&mut image, event),
        }
    }
    image
}

/// The images at moments of a history: what is synced, and the changes after it.
pub struct Replay<'h> {
    history: &'h [Event],
    stable: Vec<u8>,
    now: Vec<u8>,
    synced_at: usize,
    at: usize,
    pub acknowledged: usize,
    /// The disk says that it has synced, and has not.
    pub lies: bool,
}

impl<'h> Replay<'h> {
    pub fn new(start: Vec<u8>, history: &'h [Event]) -> Self {
        let now = start.clone();
        Self { history, stable: start, now, synced_at: 0, at: 0, acknowledged: 0, lies: false }
    }

    /// One event further; the event, or nothing at the end.
    pub fn step(&mut self) -> Option<&'h Event> {
        let event = self.history.get(self.at)?;
        self.at += 1;
        apply(&mut self.now, event);
        match event {
            Event::Sync if !self.lies => {
                self.stable.clone_from(&self.now);
                self.synced_at = self.at;
            }
            Event::Acknowledged(count) => self.acknowledged = *count,
            _ => {}
        }
        Some(event)
    }

    pub fn power_cut(&self, dice: &mut Dice) -> Vec<u8> {
        power_cut(&self.stable, &self.history[self.synced_at..self.at], dice)
    }
}

/// What the disk refuses to do.
#[derive(Debug, Default, Clone, Copy)]
pub struct Faults {
    pub read: Option<io::ErrorKind>,
    pub write: Option<io::ErrorKind>,
    pub set_len: Option<io::ErrorKind>,
    pub sync: Option<io::ErrorKind>,
}

#[derive(Debug, Default)]
struct Inner {
    now: Vec<u8>,
    /// As of the last sync; only what came after it can be lost.
    stable: Vec<u8>,
    history: Vec<Event>,
    synced_at: usize,
    faults: Faults,
    /// A sync has failed: the system has dropped what it could not write.
    lost_some: bool,
    seed: u64,
}

/// Clones are the same disk.
#[derive(Debug, Clone)]
pub struct MemDisk(Arc<Mutex<Inner>>);

impl MemDisk {
    pub fn new(image: Vec<u8>) -> Self {
        let inner = Inner { stable: image.clone(), now: image, ..Inner::default() };
        Self(Arc::new(Mutex::new(inner)))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panicked while holding it")
    }

    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    pub fn set_seed(&self, seed: u64) {
        self.lock().seed = seed;
    }

    pub fn acknowledge(&self, count: usize) {
        self.lock().history.push(Event::Acknowledged(count));
    }

    pub fn history(&self) -> Vec<Event> {
        self.lock().history.clone()
    }

    pub fn image(&self) -> Vec<u8> {
        self.lock().now.clone()
    }

    /// What the system does with pages that it could not write: some got there, the others are forgotten.
    fn forget_unwritten(&self) {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.lost_some) {
            let mut dice = Dice(inner.seed);
            let image = power_cut(&inner.stable, &inner.history[inner.synced_at..], &mut dice);
            inner.now.clone_from(&image);
            inner.stable = image;
            inner.synced_at = inner.history.len();
            inner.seed = dice.next();
        }
    }

    fn change(
        &self,
        event: Event,
        fault: impl Fn(&Faults) -> Option<io::ErrorKind>,
    ) -> io::Result<()> {
        let mut inner = self.lock();
        if let Some(kind) = fault(&inner.faults) {
            inner.lost_some |= matches!(event, Event::Sync);
            return Err(kind.into());
        }
        apply(&mut inner.now, &event);
        inner.history.push(event);
        if let Some(Event::Sync) = inner.history.last() {
            inner.synced_at = inner.history.len();
            inner.stable = inner.now.clone();
        }
        Ok(())
    }
}

impl StorageBackend for MemDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.lock();
        if let Some(kind) = inner.faults.read {
            return Err(kind.into());
        }
        let at = usize::try_from(offset).expect("small");
        let bytes = inner.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Event::SetLen(len), |faults| faults.set_len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Event::Sync, |faults| faults.sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Event::Write(offset, data.into()), |faults| faults.write)
    }
}

/// A [`MemDisk`] under the name of a file.
pub struct MemPlace {
    pub disk: MemDisk,
    pub path: PathBuf,
}

impl MemPlace {
    pub fn new(disk: &MemDisk) -> Self {
        Self { disk: disk.clone(), path: "/state/core.redb".into() }
    }
}

impl Place for MemPlace {
    fn path(&self) -> &Path {
        &self.path
    }

    fn schema(&self) -> &'static Schema {
        &CORE
    }

    fn device(&self, again: bool) -> Result<Box<dyn StorageBackend>, OpenError> {
        if again {
            self.disk.forget_unwritten();
        }
        Ok(Box::new(self.disk.clone()))
    }

    fn view(&self) -> Result<Box<dyn StorageBackend>, OpenError> {
        self.device(true)
    }

    fn in_place(&self) -> Result<(), OpenError> {
        Ok(())
    }
}
