//! Looking at the log: pages of records, a verification of all of them, a checkpoint now.
//!
//! Bounds: [`RECORDS_MAX`] records and about [`BYTES_MAX`] in an answer, [`SCAN_MAX`] records looked at for it; short
//! read transactions of at most [`PAGE`] records.

use super::chain::{Broken, Verifier, Whole};
use super::record::{Record, decode};
use super::{Audit, copier, held, line, words};
use crate::base::audit::{Actor, Intent};
use crate::ops::api::Problem;
use crate::ops::api::audit::{
    AuditBroken, AuditMark, AuditPage, AuditQuery, AuditRecord, AuditVerdict, RECORDS_MAX,
};
use crate::store::audit::{Afresh, AuditLog, Chained, Hash, Head, Outline};
use crate::store::{OpenError, StoreError};

const PAGE: usize = 1000;
/// Fewest records that are read at once on the way back.
const STRIDE_MIN: usize = 100;
const SCAN_MAX: usize = 50_000;
const BYTES_MAX: usize = 512 * 1024;
const UNREAD: &str = "The audit log cannot be read";

impl Audit {
    /// Records that a query asks for. What was reported as done is among them.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn page(&self, query: &AuditQuery) -> Result<AuditPage, Problem> {
        let turn = held(&self.turn);
        let _ = copier::copy(&self.files); // if that fails, what is there is shown
        drop(turn);
        self.read_page(query).map_err(|error| unread(&error))
    }

    fn read_page(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let log = &self.files.log;
        let (head, stub) = (log.head()?, log.stub()?);
        let start = stub.as_ref().map_or_else(Head::default, |m| Head { seq: m.seq, hash: m.hash });
        let mut at = if query.after <= start.seq {
            start
        } else {
            Head { seq: query.after, hash: hash_of(log, query.after)? }
        };
        let mut gathered = Gathered::new(query);
        let next = match query.before {
            Some(before) => newest_first(log, at, before.min(head.seq + 1), &mut gathered)?,
            None => oldest_first(log, &mut at, head, &mut gathered)?,
        };
        let stub = stub.as_ref().map(line::mark);
        Ok(AuditPage { records: gathered.records, next, last: head.seq, stub })
    }

    /// Follows the whole log as the file has it now. Changes made meanwhile wait in the outbox.
    ///
    /// # Errors
    /// The log or its key cannot be read.
    pub fn verify(&self) -> Result<AuditVerdict, Problem> {
        let _turn = held(&self.turn);
        let _ = copier::copy(&self.files);
        let key = self.signer().map_err(|why| unsigned(&why))?.key();
        let store = &self.files.store;
        // The highest numbers are those that wait.
        let (next, waiting) = store.outbox().map_err(|error| unread(&error))?;
        let outline = self.files.log.outline().map_err(|error| unread(&error))?;
        let stub = outline.stub.clone();
        let last = outline.head.seq;
        let known = next.saturating_sub(waiting + 1);
        let first = stub.as_ref().map_or(1, |stub| stub.seq + 1);
        let seen = self.files.log.afresh(move |file| follow_file(file, key, &outline, known));
        let outcome = match seen.map_err(|error| unread(&error))? {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(Broken { seq: first, why: words(error) }),
            Err(error @ (OpenError::Io { .. } | OpenError::Denied { .. })) => {
                return Err(Problem::new(503, UNREAD, error.to_string()));
            }
            Err(error) => {
                let why = error.to_string(); // the lines behind the first are for a start
                Err(Broken { seq: first, why: why.lines().next().unwrap_or_default().to_owned() })
            }
        };
        let (broken, whole) = match outcome {
            Ok(whole) => {
                *held(&self.broken) = None;
                (None, Some(whole))
            }
            Err(broken) => {
                self.found_broken(broken.clone());
                (Some(AuditBroken { seq: broken.seq, why: broken.why }), None)
            }
        };
        Ok(AuditVerdict {
            broken,
            first,
            last,
            records: whole.as_ref().map_or(0, |whole| whole.records),
            checkpoints: whole.as_ref().map_or(0, |whole| whole.checkpoints),
            signed: whole.and_then(|whole| whole.signed).as_ref().map(line::mark),
            key: line::digits(&key),
        })
    }

    /// Signs the end of the log now.
    ///
    /// # Errors
    /// There is nothing to sign yet, or it cannot be.
    pub fn checkpoint(&self) -> Result<AuditMark, Problem> {
        let mut turn = held(&self.turn);
        copier::copy(&self.files).map_err(|error| unsigned(&error.to_string()))?;
        let head = self.files.log.head().map_err(|error| unread(&error))?;
        if head.seq == 0 {
            return Err(Problem::new(409, "Nothing to sign", "the audit log is empty"));
        }
        let mark = match turn.as_ref().filter(|mark| (mark.seq, mark.hash) == (head.seq, head.hash))
        {
            Some(mark) => mark.clone(),
            None => self.sign(head, &mut turn).map_err(|why| unsigned(&why))?,
        };
        Ok(line::mark(&mark))
    }
}

/// What a query has found so far.
struct Gathered<'a> {
    query: &'a AuditQuery,
    limit: usize,
    records: Vec<AuditRecord>,
    bytes: usize,
    looked: usize,
}

impl<'a> Gathered<'a> {
    fn new(query: &'a AuditQuery) -> Self {
        let limit = query.limit.unwrap_or(RECORDS_MAX).min(RECORDS_MAX);
        Self { query, limit, records: Vec::new(), bytes: 0, looked: 0 }
    }

    fn is_full(&self) -> bool {
        self.records.len() >= self.limit || self.bytes >= BYTES_MAX || self.looked >= SCAN_MAX
    }

    /// `prev` is the hash of the record before.
    fn look_at(&mut self, seq: u64, prev: &Hash, chained: &Chained) {
        self.looked += 1;
        let record = decode(&chained.record).ok();
        if let Some(record) = record.filter(|record| is_wanted(self.query, &record.intent)) {
            self.bytes += chained.record.len();
            let record = Record { seq, ..record };
            self.records.push(line::shown(record, prev, &chained.hash));
        }
    }
}

/// Records behind `at`, to the end or until that is enough. Answers the `after` of the next page.
fn oldest_first(
    log: &AuditLog,
    at: &mut Head,
    head: Head,
    gathered: &mut Gathered<'_>,
) -> Result<Option<u64>, StoreError> {
    while at.seq < head.seq {
        let page = log.records(at.seq, PAGE)?;
        if page.is_empty() {
            break;
        }
        for (seq, chained) in page {
            if gathered.is_full() {
                return Ok(Some(at.seq));
            }
            gathered.look_at(seq, &at.hash, &chained);
            *at = Head { seq, hash: chained.hash };
        }
    }
    Ok(None)
}

/// Records before `before`, down to the one behind `floor` or until that is enough. Answers the `before` of the next
/// page.
fn newest_first(
    log: &AuditLog,
    floor: Head,
    mut before: u64,
    gathered: &mut Gathered<'_>,
) -> Result<Option<u64>, StoreError> {
    // No more than what is asked for, where nothing is filtered: the newest page is asked for again and again.
    let stride = gathered.limit.clamp(STRIDE_MIN, PAGE);
    while before > floor.seq + 1 {
        if gathered.is_full() {
            return Ok(Some(before));
        }
        let after = before.saturating_sub(1 + stride as u64).max(floor.seq);
        let mut prev = if after == floor.seq { floor.hash } else { hash_of(log, after)? };
        let mut page = Vec::with_capacity(stride);
        for (seq, chained) in log.records(after, stride)? {
            // Where records are missing, which a verification tells, later ones come in their place.
            if seq < before {
                let hash = chained.hash;
                page.push((seq, prev, chained));
                prev = hash;
            }
        }
        for (seq, prev, chained) in page.into_iter().rev() {
            if gathered.is_full() {
                return Ok(Some(seq + 1));
            }
            gathered.look_at(seq, &prev, &chained);
        }
        before = after + 1;
    }
    Ok(None)
}

/// Zeros where there is no such record.
fn hash_of(log: &AuditLog, seq: u64) -> Result<Hash, StoreError> {
    Ok(log.record(seq)?.map(|chained| chained.hash).unwrap_or_default())
}

/// Follows what the file says, which has to end as the running log does.
fn follow_file(
    file: &Afresh<'_>,
    key: [u8; 32],
    running: &Outline,
    known: u64,
) -> Result<Result<Whole, Broken>, StoreError> {
    let outline = file.outline()?;
    let same = outline == *running;
    Ok(follow(file, key, outline, known)?.and_then(|whole| match same {
        true => Ok(whole),
        false => {
            let why = "the file does not end with what was written into it last".into();
            Err(Broken { seq: whole.end.seq, why })
        }
    }))
}

/// Follows what is there, page by page. `known` is the last number that must be there.
///
/// # Errors
/// The log cannot be read; that it is broken is an outcome.
pub fn follow(
    log: &Afresh<'_>,
    key: [u8; 32],
    outline: Outline,
    known: u64,
) -> Result<Result<Whole, Broken>, StoreError> {
    let Outline { head, stub, checkpoints } = outline;
    let mut verifier = match Verifier::new(key, stub.as_ref(), checkpoints) {
        Ok(verifier) => verifier,
        Err(broken) => return Ok(Err(broken)),
    };
    // From the very first row: one before the stub does not belong there.
    let mut after = 0;
    loop {
        let page = match log.records(after, PAGE) {
            Err(StoreError::Record { row, why, .. }) => {
                let seq = row.parse().unwrap_or(verifier.next());
                return Ok(Err(Broken { seq, why }));
            }
            page => page?,
        };
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (seq, chained) in page {
            if let Err(broken) = verifier.record(seq, &chained.hash, &chained.record) {
                return Ok(Err(broken));
            }
        }
    }
    let outcome = verifier.finish(known.max(head.seq));
    Ok(outcome.and_then(|whole| match whole.end == head {
        true => Ok(whole),
        false => {
            Err(Broken { seq: whole.end.seq, why: "the log says that it ends elsewhere".into() })
        }
    }))
}

fn is_wanted(query: &AuditQuery, intent: &Intent) -> bool {
    let within = query.since_ms.is_none_or(|since| intent.at_ms >= since)
        && query.until_ms.is_none_or(|until| intent.at_ms <= until);
    let action = query.action.as_deref().is_none_or(|wanted| {
        let rest = intent.action.strip_prefix(wanted);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    let actor = query.actor.as_deref().is_none_or(|wanted| match &intent.by.actor {
        Actor::System => wanted == "system",
        Actor::Uid { uid, user } | Actor::App { uid, user } => {
            uid.to_string() == wanted || user.as_deref() == Some(wanted)
        }
        Actor::Token { id, name } => id == wanted || name == wanted,
        Actor::Client { ip, user } => ip == wanted || user.as_deref() == Some(wanted),
    });
    let subject = query.subject.as_deref();
    let subject = subject.is_none_or(|wanted| intent.subject.as_deref() == Some(wanted));
    within && action && actor && subject && query.text.as_deref().is_none_or(|t| says(intent, t))
}

/// Whether a text stands anywhere in it.
fn says(intent: &Intent, text: &str) -> bool {
    let all = serde_json::to_string(intent).unwrap_or_default();
    all.to_lowercase().contains(&text.to_lowercase())
}

fn unread(error: &StoreError) -> Problem {
    Problem::new(503, UNREAD, words(error.clone()))
}

fn unsigned(why: &str) -> Problem {
    Problem::new(503, "The audit log cannot be signed or verified now", why)
}
