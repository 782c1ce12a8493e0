//! What redb writes through: it can hold every write back in memory, and it remembers what failed.
//!
//! Promises: while writes are held, the file below is not touched, yet reads see what was written; when they are let
//! through, they reach the file in their order, each sync in its place; after `shut` nothing is written any more.
//! Bounds: what is held is what redb writes while it opens a file (its header, and a repaired allocator state).

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use redb::{BackendError, StorageBackend};

const BLOCK: usize = 4096;
const BLOCK_U64: u64 = BLOCK as u64;

/// A device with a gate in front. Clones share both.
#[derive(Debug, Clone)]
pub(super) struct Disk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    device: Box<dyn StorageBackend>,
    /// Length and header of the file as it was found.
    found: (u64, Vec<u8>),
    gate: RwLock<Gate>,
    failure: Mutex<Option<Failure>>,
    bytes: AtomicU64,
}

#[derive(Debug)]
enum Gate {
    Held(Held),
    Open,
    Shut,
}

/// What the device said, kept because redb's own errors only repeat it once.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub doing: &'static str,
    pub kind: io::ErrorKind,
    pub text: String,
}

impl Disk {
    /// Holds writes back until [`Disk::let_through`].
    pub fn held(device: Box<dyn StorageBackend>) -> io::Result<Self> {
        let found = found(&*device)?;
        let bytes = found.0;
        let held =
            Held { visible: bytes, len: bytes, blocks: BTreeMap::new(), journal: Vec::new() };
        let gate = RwLock::new(Gate::Held(held));
        Ok(Self(Arc::new(Inner {
            device,
            found,
            gate,
            failure: Mutex::new(None),
            bytes: AtomicU64::new(bytes),
        })))
    }

    /// Writes what was held to the device, in order, and lets later writes pass. Nothing is left to do once they do.
    pub fn let_through(&self) -> io::Result<()> {
        let mut gate = self.gate();
        if let Gate::Open = &*gate {
            return Ok(());
        }
        let Gate::Held(held) = std::mem::replace(&mut *gate, Gate::Shut) else {
            return Err(io::Error::other("no writes are held"));
        };
        for step in held.journal {
            match step {
                Step::Write(offset, data) => self.did("write", self.0.device.write(offset, &data)),
                Step::SetLen(len) => self.did("resize", self.0.device.set_len(len)),
                Step::Sync => self.did("sync", self.0.device.sync_data()),
            }?;
        }
        *gate = Gate::Open;
        Ok(())
    }

    /// Nothing is written from now on, not even what redb writes when it closes.
    pub fn shut(&self) {
        *self.gate() = Gate::Shut;
    }

    /// What failed last since [`Disk::forget_failure`].
    pub fn failure(&self) -> Option<Failure> {
        self.note().clone()
    }

    pub fn forget_failure(&self) {
        *self.note() = None;
    }

    /// Length as redb sees it.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The header as it was found; shorter if the file is.
    pub fn header(&self) -> &[u8] {
        &self.0.found.1
    }

    /// Whether the file below still is as it was found: no commit of another process came in between.
    pub fn is_as_found(&self) -> io::Result<bool> {
        Ok(found(self.device())? == self.0.found)
    }

    fn device(&self) -> &dyn StorageBackend {
        &*self.0.device
    }

    fn gate(&self) -> RwLockWriteGuard<'_, Gate> {
        self.0.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self) -> MutexGuard<'_, Option<Failure>> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn did<T>(&self, doing: &'static str, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            *self.note() = Some(Failure { doing, kind: error.kind(), text: error.to_string() });
        }
        result
    }

    /// A change goes to the device, or to what is held, or nowhere.
    fn change(
        &self,
        doing: &'static str,
        through: impl FnOnce(&dyn StorageBackend) -> io::Result<()>,
        hold: impl FnOnce(&mut Held, &dyn StorageBackend) -> io::Result<()>,
    ) -> io::Result<()> {
        let device = self.device();
        {
            let gate = self.0.gate.read().unwrap_or_else(PoisonError::into_inner);
            if let Gate::Open = &*gate {
                return self.did(doing, through(device));
            }
        }
        match &mut *self.gate() {
            Gate::Held(held) => hold(held, device),
            Gate::Open | Gate::Shut => Err(io::Error::other("the file is being closed")),
        }
    }
}

fn found(device: &dyn StorageBackend) -> io::Result<(u64, Vec<u8>)> {
    let len = device.len()?;
    let mut header = vec![0; super::header::BYTES.min(usize::try_from(len).unwrap_or(usize::MAX))];
    device.read(0, &mut header)?;
    Ok((len, header))
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        match &*self.0.gate.read().unwrap_or_else(PoisonError::into_inner) {
            Gate::Held(held) => Ok(held.len),
            Gate::Open | Gate::Shut => self.did("measure", self.0.device.len()),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let gate = self.0.gate.read().unwrap_or_else(PoisonError::into_inner);
        let result = match &*gate {
            Gate::Held(held) => held.read(self.device(), offset, out),
            Gate::Open | Gate::Shut => self.device().read(offset, out),
        };
        self.did("read", result)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(
            "write",
            |device| device.write(offset, data),
            |held, device| held.write(device, offset, data),
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(
            "resize",
            |device| device.set_len(len),
            |held, device| held.set_len(device, len),
        )?;
        self.0.bytes.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change("sync", StorageBackend::sync_data, |held, _| {
            held.journal.push(Step::Sync);
            Ok(())
        })
    }

    fn close(&self) -> io::Result<()> {
        self.device().close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.device().try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.device().try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.device().lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.device().lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.device().unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.device().query_lock_range(start, end)
    }
}

/// Writes that have not reached the device: their order, and what reads see of them.
#[derive(Debug)]
struct Held {
    len: u64,
    /// Of the device, what was never cut off by a shorter length.
    visible: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
    journal: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Write(u64, Box<[u8]>),
    SetLen(u64),
    Sync,
}

/// A run of bytes inside one block: the block's number, where it starts there, where in the caller's bytes, how long.
type Piece = (u64, usize, usize, usize);

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let at = offset + done as u64;
        let inside = usize::try_from(at % BLOCK_U64).unwrap_or(0);
        let run = (BLOCK - inside).min(len - done);
        let piece = (at / BLOCK_U64, inside, done, run);
        done += run;
        Some(piece)
    })
}

impl Held {
    fn read(&self, device: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, inside, done, run) in pieces(offset, out.len()) {
            let Some(target) = out.get_mut(done..done + run) else { continue };
            match self.blocks.get(&number).and_then(|block| block.get(inside..inside + run)) {
                Some(bytes) => target.copy_from_slice(bytes),
                None => self.below(device, number * BLOCK_U64 + inside as u64, target)?,
            }
        }
        Ok(())
    }

    /// What the device holds, and zeros where it ends.
    fn below(&self, device: &dyn StorageBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(self.visible.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (real, rest) = out.split_at_mut(there.min(out.len()));
        rest.fill(0);
        if real.is_empty() { Ok(()) } else { device.read(offset, real) }
    }

    fn write(&mut self, device: &dyn StorageBackend, offset: u64, data: &[u8]) -> io::Result<()> {
        for (number, inside, done, run) in pieces(offset, data.len()) {
            self.load(device, number)?;
            let block = self.blocks.get_mut(&number).and_then(|b| b.get_mut(inside..inside + run));
            if let (Some(target), Some(bytes)) = (block, data.get(done..done + run)) {
                target.copy_from_slice(bytes);
            }
        }
        self.len = self.len.max(offset + data.len() as u64);
        self.journal.push(Step::Write(offset, data.into()));
        Ok(())
    }

    fn load(&mut self, device: &dyn StorageBackend, number: u64) -> io::Result<()> {
        if !self.blocks.contains_key(&number) {
            let mut block = vec![0; BLOCK].into_boxed_slice();
            self.below(device, number * BLOCK_U64, &mut block)?;
            self.blocks.insert(number, block);
        }
        Ok(())
    }

    fn set_len(&mut self, device: &dyn StorageBackend, len: u64) -> io::Result<()> {
        if len < self.len {
            let tail = usize::try_from(len % BLOCK_U64).unwrap_or(0);
            if tail != 0 {
                self.load(device, len / BLOCK_U64)?;
                let block = self.blocks.get_mut(&(len / BLOCK_U64));
                if let Some(cut) = block.and_then(|block| block.get_mut(tail..)) {
                    cut.fill(0);
                }
            }
            self.blocks.split_off(&len.div_ceil(BLOCK_U64));
            self.visible = self.visible.min(len);
        }
        self.len = len;
        self.journal.push(Step::SetLen(len));
        Ok(())
    }
}
