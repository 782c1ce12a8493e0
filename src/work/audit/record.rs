//! The bytes of a record that are hashed: one encoding for each record, with the length in front of whatever varies.
//!
//! Promises: what was encoded is decoded to the same record; any bytes are judged without a panic; bytes that are left
//! over, and another version, are refused. The names of actions and sources stand as texts, so that an older version
//! verifies what a newer one has written.

use crate::base::audit::{Actor, By, Fact, Facts, Intent, Outcome, Source};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// A change in its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub seq: u64,
    pub intent: Intent,
}

/// The bytes of a record.
#[must_use]
pub fn encode(record: &Record) -> Vec<u8> {
    let Record { seq, intent } = record;
    let mut out = vec![VERSION];
    out.extend(seq.to_be_bytes());
    out.extend(intent.at_ms.to_be_bytes());
    match &intent.by.actor {
        Actor::System => out.push(0),
        Actor::Uid { uid, user } => {
            out.push(1);
            out.extend(uid.to_be_bytes());
            optional(&mut out, user.as_deref());
        }
        Actor::Token { id, name } => {
            out.push(2);
            text(&mut out, id);
            text(&mut out, name);
        }
        Actor::App { uid, user } => {
            out.push(3);
            out.extend(uid.to_be_bytes());
            optional(&mut out, user.as_deref());
        }
        Actor::Client { ip, user } => {
            out.push(4);
            text(&mut out, ip);
            optional(&mut out, user.as_deref());
        }
    }
    text(&mut out, intent.by.source.word());
    optional(&mut out, intent.by.request_id.as_deref());
    optional(&mut out, intent.by.confirmed.as_deref());
    text(&mut out, &intent.action);
    optional(&mut out, intent.subject.as_deref());
    facts(&mut out, &intent.before);
    facts(&mut out, &intent.after);
    text(&mut out, intent.outcome.word());
    optional(&mut out, intent.why.as_deref());
    out
}

/// The record of some bytes; the reason if they are none.
///
/// # Errors
/// Another version, or anything that [`encode`] does not write.
pub fn decode(bytes: &[u8]) -> Result<Record, &'static str> {
    let mut rest = Rest(bytes);
    if rest.byte()? != VERSION {
        return Err("another version of palisade wrote it");
    }
    let seq = u64::from_be_bytes(rest.array()?);
    let at_ms = i64::from_be_bytes(rest.array()?);
    let actor = match rest.byte()? {
        0 => Actor::System,
        1 => Actor::Uid { uid: u32::from_be_bytes(rest.array()?), user: rest.optional()? },
        2 => Actor::Token { id: rest.text()?, name: rest.text()? },
        3 => Actor::App { uid: u32::from_be_bytes(rest.array()?), user: rest.optional()? },
        4 => Actor::Client { ip: rest.text()?, user: rest.optional()? },
        _ => return Err("another version of palisade knows who that was"),
    };
    let source = rest.text()?;
    let source = Source::ALL.into_iter().find(|known| known.word() == source);
    let source = source.ok_or("another version of palisade knows where that came from")?;
    let by = By { actor, source, request_id: rest.optional()?, confirmed: rest.optional()? };
    let (action, subject) = (rest.text()?, rest.optional()?);
    let (before, after) = (rest.facts()?, rest.facts()?);
    let outcome = rest.text()?;
    let outcome = Outcome::ALL.into_iter().find(|known| known.word() == outcome);
    let outcome = outcome.ok_or("another version of palisade knows what came of it")?;
    let why = rest.optional()?;
    if !rest.0.is_empty() {
        return Err("bytes follow its end");
    }
    let intent = Intent { at_ms, by, action, subject, before, after, outcome, why };
    Ok(Record { seq, intent })
}

/// The number that the bytes of a record carry, whatever else they say.
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    let mut rest = Rest(bytes);
    rest.byte().ok()?;
    rest.array().ok().map(u64::from_be_bytes)
}

fn length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    length(out, text.len());
    out.extend(text.as_bytes());
}

fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        text(out, value);
    }
}

fn facts(out: &mut Vec<u8>, facts: &Facts) {
    length(out, facts.len());
    for (name, fact) in facts {
        text(out, name);
        match fact {
            Fact::Number(number) => {
                out.push(0);
                out.extend(number.to_be_bytes());
            }
            Fact::Text(value) => {
                out.push(1);
                text(out, value);
            }
            Fact::Lines(lines) => {
                out.push(2);
                length(out, lines.len());
                lines.iter().for_each(|line| text(out, line));
            }
        }
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

const SHORT: &str = "it is cut short";

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| SHORT)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        let length = u32::from_be_bytes(self.array()?);
        // Everything takes a byte at least, so that a wrong length reserves nothing.
        usize::try_from(length).ok().filter(|length| *length <= self.0.len()).ok_or(SHORT)
    }

    fn text(&mut self) -> Result<String, &'static str> {
        let length = self.length()?;
        let bytes = self.take(length)?.to_vec();
        String::from_utf8(bytes).map_err(|_| "a text is not UTF-8")
    }

    fn optional(&mut self) -> Result<Option<String>, &'static str> {
        match self.byte()? {
            0 => Ok(None),
            1 => self.text().map(Some),
            _ => Err("neither a value nor none"),
        }
    }

    fn facts(&mut self) -> Result<Facts, &'static str> {
        let mut facts = Facts::new();
        for _ in 0..self.length()? {
            let name = self.text()?;
            let fact = match self.byte()? {
                0 => Fact::Number(i64::from_be_bytes(self.array()?)),
                1 => Fact::Text(self.text()?),
                2 => {
                    let count = self.length()?;
                    Fact::Lines((0..count).map(|_| self.text()).collect::<Result<_, _>>()?)
                }
                _ => return Err("a fact of an unknown kind"),
            };
            facts.insert(name, fact);
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::work::audit::sample::any_intent;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(seq: u64, intent in any_intent()) {
            let record = Record { seq, intent };
            let bytes = encode(&record);
            prop_assert_eq!(decode(&bytes).expect("decoded"), record);
            prop_assert_eq!(number(&bytes), Some(seq));
        }

        #[test]
        fn no_two_records_look_alike(one in any_intent(), two in any_intent()) {
            let bytes = |intent: &Intent| encode(&Record { seq: 1, intent: intent.clone() });
            prop_assert_eq!(one == two, bytes(&one) == bytes(&two));
        }

        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, intent in any_intent(), at: prop::sample::Index, with: u8) {
            let _ = decode(&bytes);
            let mut damaged = encode(&Record { seq: 1, intent });
            let at = at.index(damaged.len());
            damaged[at] = with;
            let _ = decode(&damaged);
            let _ = decode(&damaged[..at]);
        }
    }
}
