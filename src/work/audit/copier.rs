//! From the outbox to the log: each intent exactly once, whatever stops it (promise 50).
//!
//! The log says how far it has come, and an intent goes from the outbox only once the log has it. So after a crash in
//! between the intent is found in both places, told by its number, and only forgotten.

use super::books::Books;
use super::chain;
use super::record::decode;
use crate::base::audit::Intent;
use crate::store::StoreError;

/// Intents that are moved at once.
const PAGE: usize = 256;

/// Moves everything that waits; returns how many records were written. One at a time.
pub(super) fn copy(books: &dyn Books) -> Result<u64, StoreError> {
    let mut copied = 0;
    loop {
        let intents = books.intents(PAGE)?;
        if intents.is_empty() {
            return Ok(copied);
        }
        copied += copy_page(books, intents)?;
    }
}

fn copy_page(books: &dyn Books, intents: Vec<(u64, Intent)>) -> Result<u64, StoreError> {
    let head = books.head()?;
    let (old, new): (Vec<_>, Vec<_>) = intents.into_iter().partition(|(seq, _)| *seq <= head.seq);
    let mut done = Vec::new();
    let mut foreign = Vec::new();
    for (seq, intent) in old {
        if is_there(books, seq, &intent)? { done.push(seq) } else { foreign.push(seq) }
    }
    if !foreign.is_empty() {
        // The state is older than the log, from a backup: these have happened since, and come again with new numbers.
        books.renumber(foreign)?;
    }
    let numbers = new.iter().map(|(seq, _)| *seq);
    done.extend(numbers);
    let count = new.len() as u64;
    if !books.append(head, chain::append(head, new))? {
        let why = "the audit log has grown by another hand".to_owned();
        return Err(StoreError::Failed { why });
    }
    books.forget(done)?;
    Ok(count)
}

/// Whether the log has this intent under its number, or is past the place where it would stand.
fn is_there(books: &dyn Books, seq: u64, intent: &Intent) -> Result<bool, StoreError> {
    match books.record(seq)? {
        Some(chained) => Ok(decode(&chained.record).is_ok_and(|record| record.intent == *intent)),
        None => Ok(books.stub()?.is_some_and(|stub| seq <= stub.seq)),
    }
}

#[cfg(test)]
#[path = "copier_tests.rs"]
mod tests;
