//! The head of the file, read before redb does: whether it is a database, and which of its commits is the last.
//!
//! A redb file has two commit slots, each with a checksum, and one bit that says which of them counts (redb,
//! docs/design.md). No checksum covers that bit: flipped, it takes the last commit away without a word. So the newer
//! slot is tried first. If every checksum under it holds, it is a whole commit; otherwise the one that the bit names is.

use std::io;

use redb::StorageBackend;

use super::OpenError;
use super::disk::Disk;
use super::place::Place;

/// The first nine bytes of every redb file.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Flags, layout, and the two slots.
pub(super) const BYTES: usize = 320;

const FLAGS_AT: usize = 9;
/// Of the flags: the second slot counts.
const SECOND: u8 = 1;
/// Transaction number of each slot.
const NUMBER_AT: [usize; 2] = [64 + 104, 192 + 104];

/// What can be told before redb looks.
pub(super) fn look(disk: &Disk, place: &dyn Place) -> Result<(), OpenError> {
    let (path, next) = (place.path(), place.schema().restore);
    let damaged = |why: &str| OpenError::Damaged { path: path.to_owned(), why: why.into(), next };
    let found = disk.header();
    if found.is_empty() {
        // Never of our making: a new file gets its name when it is complete.
        return Err(damaged("it is empty"));
    }
    let begins = found.iter().zip(MAGIC).all(|(found, wanted)| found == wanted);
    if !begins {
        let why = "it does not begin like a database".to_owned();
        return Err(OpenError::Foreign { path: path.to_owned(), why });
    }
    if found.len() < BYTES { Err(damaged("it is cut short")) } else { Ok(()) }
}

/// Makes the newer slot count, in what is held back; returns whether that was another than the file says.
pub(super) fn prefer_newest(disk: &Disk) -> io::Result<bool> {
    let header = disk.header();
    let flags = header.get(FLAGS_AT).copied().unwrap_or(0);
    let [first, second] = NUMBER_AT.map(|at| {
        header.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    });
    let newest = if second > first { SECOND } else { 0 };
    if flags & SECOND == newest {
        return Ok(false);
    }
    disk.write(FLAGS_AT as u64, &[flags ^ SECOND])?;
    Ok(true)
}
