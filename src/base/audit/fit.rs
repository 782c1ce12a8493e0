//! Records that fit into a line: how long one gets in an export is bounded when it is written down.
//!
//! Promises: whatever somebody reports, its line can be read back, and with it the whole log. Bounds: [`JSON_BYTES_MAX`];
//! the longest facts are cut first and say so, what fits is left as it is.

use std::borrow::Cow;

use serde::Serialize;

use super::{Fact, Facts, Intent};
use crate::base::{cut, escape_json};

/// Longest form of a change as JSON, as an export has it: there a byte may take six.
pub const JSON_BYTES_MAX: usize = 240 << 10;
/// How a fact that is too long is cut, the mild way first: lines that stay, and bytes of each text.
const WAYS: [(usize, usize); 2] = [(16, 256), (4, 64)];
/// Stands for facts that are too many.
const LEFT_OUT: &str = "left_out";

impl Intent {
    /// What it takes in an export.
    #[must_use]
    pub fn json_bytes(&self) -> usize {
        length(self)
    }

    /// The same in at most [`JSON_BYTES_MAX`], if it was longer with its longest facts cut.
    #[must_use]
    pub fn fitting(&self) -> Cow<'_, Self> {
        let Some(mut excess) = length(self).checked_sub(JSON_BYTES_MAX).filter(|more| *more > 0)
        else {
            return Cow::Borrowed(self);
        };
        let mut short = self.clone();
        for (lines, bytes) in WAYS {
            let facts = short.before.values_mut().chain(short.after.values_mut());
            let mut facts: Vec<(usize, &mut Fact)> = facts.map(|f| (length(f), f)).collect();
            facts.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
            for (before, fact) in facts {
                shorten(fact, lines, bytes);
                excess = excess.saturating_sub(before.saturating_sub(length(fact)));
                if excess == 0 {
                    return Cow::Owned(short);
                }
            }
        }
        let count = short.before.len() + short.after.len();
        short.before = Facts::new();
        short.after = Facts::new();
        Cow::Owned(short.after(LEFT_OUT, i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

/// In an export.
fn length(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(0, |json| escape_json(&json).len())
}

fn shorten(fact: &mut Fact, lines_max: usize, bytes_max: usize) {
    match fact {
        Fact::Number(_) => {}
        Fact::Text(text) => *text = cut(text, bytes_max),
        Fact::Lines(lines) => {
            let more = lines.len().saturating_sub(lines_max);
            lines.truncate(lines_max);
            lines.iter_mut().for_each(|line| *line = cut(line, bytes_max));
            if more > 0 {
                lines.push(format!("… and {more} more"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{By, Source, TEXT_BYTES_MAX};
    use super::*;

    fn change() -> Intent {
        Intent::new(1, By::system(Source::App), "app.x").on("s").after("cents", 7)
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let lines = vec!["x".repeat(TEXT_BYTES_MAX); 100];
        let intent = change().after("list", &lines[..]);
        assert!(matches!(intent.fitting(), Cow::Borrowed(_)));
    }

    #[test]
    fn the_longest_facts_are_cut_and_say_so_and_the_others_stay() {
        let lines = vec!["\u{7f}".repeat(TEXT_BYTES_MAX); 100];
        let intent = change().after("list", &lines[..]).after("text", "short");
        let short = intent.fitting().into_owned();
        assert!(length(&short) <= JSON_BYTES_MAX);
        let Fact::Lines(kept) = &short.after["list"] else { panic!("{short:?}") };
        assert_eq!((kept.len(), kept[16].as_str()), (17, "… and 84 more"));
        assert!(kept[0].ends_with("\u{7f}…"), "{kept:?}");
        let others = (&short.after["cents"], &short.after["text"]);
        assert_eq!(others, (&Fact::Number(7), &Fact::from("short")));
        assert_eq!(*short.fitting(), short, "once is enough");
    }

    #[test]
    fn however_many_facts_there_are_it_fits() {
        for count in [1, 64, 300] {
            let lines = vec!["\u{1}".repeat(TEXT_BYTES_MAX); 6];
            let facts: Facts =
                (0..count).map(|n| (format!("{n:064}"), Fact::Lines(lines.clone()))).collect();
            let text = "\u{7f}".repeat(2 * TEXT_BYTES_MAX);
            let intent = change().on(&text).refused(&text);
            let short = Intent { before: facts, ..intent }.fitting().into_owned();
            assert!(length(&short) <= JSON_BYTES_MAX, "{count} facts");
            assert_eq!(short.after.contains_key(LEFT_OUT), count >= 300, "{count} facts");
        }
    }
}
