//! The records that the dashboard holds: one stretch of the log without a gap, around where one looks.
//!
//! Promises: an answer that touches the stretch makes it longer at that end and shorter at the other; one that does not
//! takes its place. Bounds: [`HELD_MAX`] records and about [`BYTES_MAX`], however long the log is.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::audit::{Fact, Facts};
use crate::ops::api::audit::{AuditPage, AuditQuery, AuditRecord};

use super::super::Want;

/// Records in an answer.
const PAGE: usize = 200;
const HELD_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// So close to an end of the stretch more is asked for; in a short one, a quarter of it.
const NEAR: usize = 50;

/// What the daemon answered, and to what.
#[derive(Debug)]
pub struct Answer {
    pub want: Want,
    pub page: AuditPage,
}

/// `from` is the number of the first record that is held, `to` the one behind the last.
#[derive(Debug, Clone, Default)]
pub struct Window {
    records: BTreeMap<u64, (usize, Arc<AuditRecord>)>,
    bytes: usize,
    from: u64,
    to: u64,
    /// Number of the last record of the log.
    last: u64,
    /// Number of the first one that is kept, once it was seen.
    first: Option<u64>,
}

/// What to ask the daemon for.
#[must_use]
pub fn query(want: Want) -> AuditQuery {
    match want {
        Want::Before(before) => AuditQuery::newest(before, PAGE),
        Want::After(after) => AuditQuery { after, limit: Some(PAGE), ..AuditQuery::default() },
        Want::Newest | Want::One(_) | Want::Nothing => AuditQuery::newest(u64::MAX, PAGE),
    }
}

impl Window {
    pub fn newest_first(&self) -> impl Iterator<Item = &AuditRecord> {
        self.records.values().rev().map(|(_, record)| record.as_ref())
    }

    #[must_use]
    pub fn record(&self, seq: u64) -> Option<&AuditRecord> {
        self.records.get(&seq).map(|(_, record)| record.as_ref())
    }

    /// Numbers of the oldest and the newest record that are held.
    #[must_use]
    pub fn ends(&self) -> Option<(u64, u64)> {
        Some((*self.records.keys().next()?, *self.records.keys().next_back()?))
    }

    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Whether the newest record of the log is held.
    #[must_use]
    pub const fn has_newest(&self) -> bool {
        self.to > self.last
    }

    /// What is missing for somebody who looks at `cursor`; nobody in particular follows the newest. Where rows are
    /// `sifted`, many records make few of them: the stretch is filled.
    #[must_use]
    pub fn want(&self, cursor: Option<u64>, sifted: bool) -> Want {
        let (older, near) =
            (self.first != Some(self.from), NEAR.min(self.records.len() / 4) as u64);
        let has_room = self.records.len() < HELD_MAX && self.bytes < BYTES_MAX;
        match cursor {
            _ if self.records.is_empty() => Want::Newest,
            Some(seq) if older && seq < self.from + near => Want::Before(self.from),
            Some(seq) if !self.has_newest() && seq + near >= self.to => Want::After(self.to - 1),
            None if !self.has_newest() => Want::Newest,
            _ if sifted && older && has_room => Want::Before(self.from),
            _ if self.has_newest() => Want::Newest,
            _ => Want::Nothing,
        }
    }

    /// The stretch with what was answered.
    #[must_use]
    pub fn with(&self, answer: &Answer) -> Self {
        let (from, to) = covered(answer);
        let touches = !self.records.is_empty() && from <= self.to && to >= self.from;
        let mut window = if touches { self.clone() } else { Self { from, to, ..Self::default() } };
        for record in &answer.page.records {
            if !window.records.contains_key(&record.seq) {
                let bytes = weight(record);
                window.bytes += bytes;
                window.records.insert(record.seq, (bytes, Arc::new(record.clone())));
            }
        }
        let is_older = from < window.from;
        (window.from, window.to) = (window.from.min(from), window.to.max(to));
        window.last = answer.page.last;
        window.first = match oldest(answer) {
            Some(first) => Some(first),
            None => self.first,
        };
        while window.records.len() > HELD_MAX || window.bytes > BYTES_MAX {
            let gone = if is_older {
                let gone = window.records.pop_last();
                window.to = gone.as_ref().map_or(window.to, |(seq, _)| *seq);
                gone
            } else {
                let gone = window.records.pop_first();
                window.from = gone.as_ref().map_or(window.from, |(seq, _)| seq + 1);
                gone
            };
            let Some((_, (bytes, _))) = gone else { break };
            window.bytes -= bytes;
        }
        window
    }
}

/// The numbers that an answer has looked at: from, and the one behind the last. More than its records where the log has
/// gaps.
fn covered(answer: &Answer) -> (u64, u64) {
    let (page, end) = (&answer.page, answer.page.last + 1);
    match answer.want {
        Want::After(after) => (after + 1, page.next.map_or(end, |next| next + 1)),
        Want::Before(before) => (page.next.unwrap_or_else(|| begin(page)), before.min(end)),
        Want::Newest | Want::One(_) | Want::Nothing => {
            (page.next.unwrap_or_else(|| begin(page)), end)
        }
    }
}

/// The first number that is kept.
fn begin(page: &AuditPage) -> u64 {
    page.stub.as_ref().map_or(1, |stub| stub.seq + 1)
}

/// The same, if the answer came to it.
fn oldest(answer: &Answer) -> Option<u64> {
    let backwards = !matches!(answer.want, Want::After(_));
    (backwards && answer.page.next.is_none()).then(|| begin(&answer.page))
}

/// About the bytes that a record takes.
fn weight(record: &AuditRecord) -> usize {
    let fact = |fact: &Fact| match fact {
        Fact::Number(_) => 8,
        Fact::Text(text) => text.len(),
        Fact::Lines(lines) => lines.iter().map(|line| line.len() + 24).sum(),
    };
    let facts = |facts: &Facts| -> usize {
        facts.iter().map(|(name, value)| name.len() + fact(value) + 64).sum()
    };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let texts = text(&record.subject) + text(&record.why) + text(&record.request_id);
    500 + record.action.len() + texts + facts(&record.before) + facts(&record.after)
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
