//! The one place that knows redb: opening with every check, transactions over named tables of encoded rows.
//!
//! Promises: a file that is refused is left byte for byte as it was, because redb's writes are held in memory until
//! every check has passed; each row that can be reached is checked against its checksum at every opening.
//! Refuses: damaged, foreign and newer files. Bounds: 16 MiB of cache.
#![expect(clippy::disallowed_types, reason = "the owner of the database")]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, ReadableTableMetadata, StorageBackend, StorageError, TableDefinition,
    TableError, TableHandle, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::place::Place;
use super::schema::{META, Schema};
use super::{OpenError, StoreError, codec, header};

const CACHE_BYTES: usize = 16 << 20;
const PAGE_BYTES: usize = 4096;
const FORMAT_ROW: &str = "format";
const PROBE_ROW: &str = "probe";
/// Takes as much room as is to be proven, and goes with the next commit.
const BALLAST_ROW: &str = "ballast";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Format {
    owner: String,
    format: u32,
}

fn definition(table: &str) -> TableDefinition<'_, &'static str, &'static [u8]> {
    TableDefinition::new(table)
}

/// The open file.
pub(super) struct StateFile {
    schema: &'static Schema,
    database: Database,
    disk: Disk,
}

/// Why an operation of a transaction did not go through.
#[derive(Debug)]
pub(super) enum Fault {
    /// The operation's own affair; the file is well.
    Refused(StoreError),
    /// The file cannot be used any more before it is opened again.
    Broken(String),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

macro_rules! broken_by {
    ($($error:ty),*) => {$(
        impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Broken(error.to_string())
            }
        }
    )*};
}
broken_by!(
    TableError,
    StorageError,
    redb::TransactionError,
    redb::CommitError,
    redb::SetDurabilityError
);

impl StateFile {
    /// Opens and checks the file at `place`, holding back every write. Nothing reaches the file before
    /// [`StateFile::accept`]. `again` is true when it has failed before.
    pub fn open(place: &dyn Place, again: bool) -> Result<Self, OpenError> {
        Self::open_with(place, || place.device(again))
    }

    /// The file as it is now, with every check, beside the one that is open and may not be written meanwhile.
    pub fn view(place: &dyn Place) -> Result<Self, OpenError> {
        place.in_place()?;
        Self::open_with(place, || place.view())
    }

    fn open_with(
        place: &dyn Place,
        device: impl Fn() -> Result<Box<dyn StorageBackend>, OpenError>,
    ) -> Result<Self, OpenError> {
        let (path, schema) = (place.path(), place.schema());
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        let disk = Disk::held(device()?).map_err(failed)?;
        header::look(&disk, place)?;
        let rolled_forward = header::prefer_newest(&disk).map_err(failed)?;
        match Self::open_disk(disk, path, schema) {
            // The commit was cut off; the one before it is whole.
            Err(OpenError::Damaged { .. }) if rolled_forward => {
                Self::open_disk(Disk::held(device()?).map_err(failed)?, path, schema)
            }
            outcome => outcome,
        }
    }

    fn open_disk(disk: Disk, path: &Path, schema: &'static Schema) -> Result<Self, OpenError> {
        let outcome = Self::open_checked(disk.clone(), path, schema);
        // What was read before the lock was taken may be another process's past.
        match disk.is_as_found() {
            Ok(true) => outcome,
            Ok(false) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(source) => Err(OpenError::Io { path: path.to_owned(), source }),
        }
    }

    fn open_checked(disk: Disk, path: &Path, schema: &'static Schema) -> Result<Self, OpenError> {
        let next = schema.restore;
        let damaged = |why: String| OpenError::Damaged { path: path.to_owned(), why, next };
        let file = match quietly(|| builder().create_with_backend(disk.clone())) {
            Ok(Ok(database)) => Self { schema, database, disk },
            Ok(Err(error)) => return Err(refusal(error, path, schema)),
            Err(panic) => return Err(damaged(panic)),
        };
        match quietly(|| file.format()) {
            Ok(Ok(())) => Ok(file),
            Ok(Err(refused)) => Err(refused.at(path, schema)),
            Err(panic) => Err(damaged(panic)),
        }
    }

    /// A new, empty file, as bytes.
    pub fn image(schema: &'static Schema) -> Result<Vec<u8>, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let disk = Disk::held(Box::new(redb::backends::InMemoryBackend::new()));
        let disk = disk.map_err(|e| text(&e))?;
        let database = builder().create_with_backend(disk.clone()).map_err(|e| text(&e))?;
        let file = Self { schema, database, disk: disk.clone() };
        file.write(Durability::Immediate, |writing| {
            for table in schema.tables() {
                writing.transaction.open_table(definition(table))?;
            }
            writing.put(
                META,
                FORMAT_ROW,
                &Format { owner: schema.owner.into(), format: schema.format },
            )
        })
        .map_err(|fault| format!("{fault:?}"))?;
        drop(file);
        let len = disk.len().map_err(|e| text(&e))?;
        let mut bytes = vec![0; usize::try_from(len).map_err(|e| text(&e))?];
        disk.read(0, &mut bytes).map_err(|e| text(&e))?;
        Ok(bytes)
    }

    /// Lets writes reach the file.
    pub fn accept(&self) -> Result<(), Fault> {
        self.disk.let_through().map_err(|error| Fault::Broken(error.to_string()))
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Runs `look` on the last commit.
    pub fn read<T>(&self, look: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, Fault> {
        let run = || look(&Reading { transaction: self.database.begin_read()? });
        quietly(run).unwrap_or_else(|panic| Err(Fault::Broken(panic)))
    }

    /// Runs `change` in one transaction and commits it; returns how many rows it wrote. On an error nothing changes.
    pub fn write<E: From<Fault>>(
        &self,
        durability: Durability,
        change: impl FnOnce(&Writing) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut transaction = self.database.begin_write().map_err(Fault::from)?;
        transaction.set_durability(durability).map_err(Fault::from)?;
        transaction.set_quick_repair(matches!(durability, Durability::Immediate));
        let writing = Writing { transaction, rows: Cell::new(0), bytes: Cell::new(0) };
        let outcome = change(&writing);
        let Writing { transaction, rows, .. } = writing;
        match outcome {
            Ok(()) => {
                transaction.commit().map_err(Fault::from)?;
                self.disk.forget_failure();
                Ok(rows.get())
            }
            Err(error) => {
                transaction.abort().map_err(Fault::from)?;
                Err(error)
            }
        }
    }

    #[cfg(test)]
    pub fn set_format(&self, format: u32) -> Result<u64, Fault> {
        self.write(Durability::Immediate, |writing| {
            writing.put(META, FORMAT_ROW, &Format { owner: self.schema.owner.into(), format })
        })
    }

    fn format(&self) -> Result<(), Mismatch> {
        let transaction = self.database.begin_read().map_err(Mismatch::damaged)?;
        let mut names = transaction.list_tables().map_err(Mismatch::damaged)?;
        if !names.any(|table| table.name() == META) {
            return Err(Mismatch::Foreign("it is a database of another program".into()));
        }
        let table = match transaction.open_table(definition(META)) {
            Ok(table) => table,
            Err(TableError::Storage(error)) => return Err(Mismatch::damaged(error)),
            Err(error) => return Err(Mismatch::Foreign(error.to_string())),
        };
        let Some(row) = table.get(FORMAT_ROW).map_err(Mismatch::damaged)? else {
            return Err(Mismatch::Foreign("it does not say who wrote it".into()));
        };
        let format: Format = codec::decode(META, FORMAT_ROW, row.value())
            .map_err(|error| Mismatch::Foreign(error.to_string()))?;
        if format.owner != self.schema.owner {
            return Err(Mismatch::Foreign(format!("it belongs to `{}`", format.owner)));
        }
        if format.format > self.schema.format {
            return Err(Mismatch::Newer(format.format));
        }
        Ok(())
    }
}

/// What [`StateFile::format`] finds.
enum Mismatch {
    Foreign(String),
    Newer(u32),
    Damaged(String),
}

impl Mismatch {
    fn damaged(error: impl std::fmt::Display) -> Self {
        Self::Damaged(error.to_string())
    }

    fn at(self, path: &Path, schema: &Schema) -> OpenError {
        let (path, known, next) = (path.to_owned(), schema.format, schema.restore);
        match self {
            Self::Foreign(why) => OpenError::Foreign { path, why },
            Self::Newer(found) => OpenError::Newer { path, found, known },
            Self::Damaged(why) => OpenError::Damaged { path, why, next },
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // The check reads the whole file; a plain opening trusts it and may panic on a flipped bit.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn refusal(error: DatabaseError, path: &Path, schema: &Schema) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { path }
        }
        DatabaseError::UpgradeRequired(version) => {
            OpenError::Foreign { path, why: format!("it has redb's old file format {version}") }
        }
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            OpenError::Io { path, source }
        }
        other => OpenError::Damaged { path, why: other.to_string(), next: schema.restore },
    }
}

/// A panic of redb as words.
fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panic_text(&*panic))
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
}

/// A look at the last commit. Keep it short: it pins the pages it sees.
pub(super) struct Reading {
    transaction: ReadTransaction,
}

type Rows = ReadOnlyTable<&'static str, &'static [u8]>;

impl Reading {
    /// `None` for a table that no commit has made yet.
    fn table(&self, table: &'static str) -> Result<Option<Rows>, Fault> {
        match self.transaction.open_table(definition(table)) {
            Ok(rows) => Ok(Some(rows)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn get<T: DeserializeOwned>(
        &self,
        table: &'static str,
        row: &str,
    ) -> Result<Option<T>, Fault> {
        let Some(rows) = self.table(table)? else { return Ok(None) };
        let Some(bytes) = rows.get(row)? else { return Ok(None) };
        Ok(Some(codec::decode(table, row, bytes.value())?))
    }

    /// Shows rows after `after` in order, until `each` says that it has enough.
    pub fn scan<T: DeserializeOwned>(
        &self,
        table: &'static str,
        after: Option<&str>,
        mut each: impl FnMut(&str, T) -> bool,
    ) -> Result<(), Fault> {
        use std::ops::Bound::{Excluded, Unbounded};
        let Some(rows) = self.table(table)? else { return Ok(()) };
        let start = after.map_or(Unbounded, Excluded);
        for entry in rows.range::<&str>((start, Unbounded))? {
            let (row, bytes) = entry?;
            let value = codec::decode(table, row.value(), bytes.value())?;
            if !each(row.value(), value) {
                break;
            }
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn count(&self, table: &'static str) -> Result<u64, Fault> {
        self.table(table)?.map_or(Ok(0), |rows| Ok(rows.len()?))
    }

    pub fn all<T: DeserializeOwned>(&self, table: &'static str) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        self.scan(table, None, |_, value| {
            all.push(value);
            true
        })?;
        Ok(all)
    }

    /// As [`Reading::all`], with the refusals of records that cannot be read beside those that can.
    pub fn readable<T: DeserializeOwned>(
        &self,
        table: &'static str,
    ) -> Result<(Vec<T>, Vec<StoreError>), Fault> {
        let (mut readable, mut refused) = (Vec::new(), Vec::new());
        let Some(rows) = self.table(table)? else { return Ok((readable, refused)) };
        for entry in rows.range::<&str>(..)? {
            let (row, bytes) = entry?;
            match codec::decode(table, row.value(), bytes.value()) {
                Ok(value) => readable.push(value),
                Err(error) => refused.push(error),
            }
        }
        Ok((readable, refused))
    }
}

/// A transaction in the making; sees what was written in it before.
pub(super) struct Writing {
    transaction: WriteTransaction,
    rows: Cell<u64>,
    bytes: Cell<usize>,
}

impl Writing {
    pub fn get<T: DeserializeOwned>(
        &self,
        table: &'static str,
        row: &str,
    ) -> Result<Option<T>, Fault> {
        let rows = self.transaction.open_table(definition(table))?;
        let Some(bytes) = rows.get(row)? else { return Ok(None) };
        Ok(Some(codec::decode(table, row, bytes.value())?))
    }

    /// How many rows there are.
    pub fn count(&self, table: &'static str) -> Result<u64, Fault> {
        Ok(self.transaction.open_table(definition(table))?.len()?)
    }

    pub fn put<T: Serialize>(
        &self,
        table: &'static str,
        row: &str,
        value: &T,
    ) -> Result<(), Fault> {
        let bytes = codec::encode(table, row, value)?;
        // Before it is written: what does not fit counts.
        self.bytes.set(self.bytes.get() + bytes.len() + PAGE_BYTES);
        self.transaction.open_table(definition(table))?.insert(row, bytes.as_slice())?;
        self.rows.set(self.rows.get() + 1);
        Ok(())
    }

    pub fn remove(&self, table: &'static str, row: &str) -> Result<(), Fault> {
        if self.transaction.open_table(definition(table))?.remove(row)?.is_some() {
            self.rows.set(self.rows.get() + 1);
        }
        Ok(())
    }

    /// Room that the rows written so far may take: their bytes, and for each a page of its own.
    pub fn weight(&self) -> usize {
        self.bytes.get()
    }

    /// A row that is there only to be committed.
    pub fn probe(&self, at_s: i64) -> Result<(), Fault> {
        self.put(META, PROBE_ROW, &at_s)
    }

    /// Takes room for about `bytes`: a small row fits into a file that may not grow, and proves nothing.
    pub fn load(&self, bytes: usize) -> Result<(), Fault> {
        self.put(META, BALLAST_ROW, &vec![0_u8; bytes])
    }

    /// Gives the room back to later commits.
    pub fn unload(&self) -> Result<(), Fault> {
        self.remove(META, BALLAST_ROW)
    }
}
