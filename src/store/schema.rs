//! What tells one file of the state from another: its name, whose it says it is, its tables, and how its trouble is told.
//!
//! Everything else (opening with every check, one writer, commits, recovery) is the same for all of them.

use super::{audit, certs, local_ca, outbox, sealed, switches, tokens, totp};

/// Who wrote the file, in which format, and the row that proves that it can be written.
pub(super) const META: &str = "meta";

/// One kind of file.
#[derive(Debug)]
pub(super) struct Schema {
    /// Name of the file inside the state directory.
    pub file: &'static str,
    /// Stands in the file; another one's file is foreign.
    pub owner: &'static str,
    /// Grows when a version writes what an older one must not touch.
    pub format: u32,
    /// Made with the file, beside [`META`].
    pub tables: &'static [&'static [&'static str]],
    /// Name of the thread that writes it.
    pub thread: &'static str,
    /// What helps when the file itself is the trouble.
    pub restore: &'static str,
    /// Log events: it cannot be written (and what to do), it can again.
    pub unwritable: (&'static str, &'static str),
    pub writable: &'static str,
}

impl Schema {
    pub fn tables(&self) -> impl Iterator<Item = &'static str> {
        let rest = self.tables.iter().flat_map(|tables| tables.iter().copied());
        std::iter::once(META).chain(rest)
    }
}

pub(super) static CORE: Schema = Schema {
    file: "core.redb",
    owner: "palisade core",
    format: 1,
    tables: &[
        &sealed::ALL,
        &certs::ALL,
        &local_ca::ALL,
        &outbox::ALL,
        &switches::ALL,
        &tokens::ALL,
        &totp::ALL,
    ],
    thread: "state",
    restore: "stop palisade, move the file away and put a backup in its place; without a backup move \
        local-ca.pem away too and start without both: a new local CA is made and certificates are ordered again",
    unwritable: (
        "state_unwritable",
        "see to the disk; palisade goes on serving, and writes again by itself once it can",
    ),
    writable: "state_writable",
};

pub(super) static AUDIT: Schema = Schema {
    file: "audit.redb",
    owner: "palisade audit",
    format: 1,
    tables: &[&audit::ALL],
    thread: "audit",
    restore: "stop palisade, move the file away and put a backup in its place; without a backup start without the file: \
        the log goes on, and `palisade audit verify` says from then on what is missing",
    unwritable: (
        "audit_not_written",
        "see to the disk; changes are kept in the state meanwhile, and written to the audit log once it can be",
    ),
    writable: "audit_written",
};
