//! The audit log in words: a record in a line, a verdict in a few. Pure.

use std::str::FromStr;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::output::{Page, Tone};
use super::words::{column, count};
use crate::base::audit::{Fact, Facts, Outcome};
use crate::base::timestamp::{Stamp, rfc3339};
use crate::base::units::HumanDuration;
use crate::ops::api::audit::{AuditRecord, AuditVerdict};
use crate::ports::Clock;
use crate::ports::system::SystemClock;
use crate::work::audit::chain::Whole;

/// A moment as typed: `2026-11-21`, `2026-11-21T20:17:46Z`, or `3h` for so long ago. In Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub i64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(HumanDuration(ago)) = text.parse() {
            return Ok(Self(millis(SystemClock.unix().saturating_sub(ago))));
        }
        let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
        let time = OffsetDateTime::parse(&whole, &Rfc3339).map_err(|_| {
            "write 2026-11-21, 2026-11-21T20:17:46Z, or 3h for so long ago".to_owned()
        })?;
        i64::try_from(time.unix_timestamp_nanos() / 1_000_000).map(Self).map_err(|e| e.to_string())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A record in one line.
pub(super) fn record_line(record: &AuditRecord) -> Page {
    let actor = record.actor.words();
    let (tone, word) = match record.outcome {
        Outcome::Done => (Tone::Good, "done"),
        Outcome::Refused => (Tone::Bad, "refused"),
    };
    let mut rest = record.subject.as_ref().map(|s| format!("  {}", quoted(s))).unwrap_or_default();
    for name in all_names(&record.before, &record.after) {
        let fact = |facts: &Facts| facts.get(name).map(shown);
        rest.push_str(&match (fact(&record.before), fact(&record.after)) {
            (Some(before), Some(after)) => format!("  {name}={before} -> {after}"),
            (Some(only), None) | (None, Some(only)) => format!("  {name}={only}"),
            (None, None) => String::new(),
        });
    }
    if let Some(why) = &record.why {
        rest.push_str(&format!("  why={why}"));
    }
    let at = Duration::from_millis(u64::try_from(record.at_ms).unwrap_or(0));
    let mut page = Page::new();
    page.spans([
        (Tone::Plain, format!("{:>6}  {}  ", record.seq, Stamp::default().millis(at))),
        (tone, column(word, 8)),
        (Tone::Plain, format!("{}  {}{rest}", column(&actor, 16), column(&record.action, 21))),
    ]);
    page
}

/// A subject that could be taken for facts, as a JSON string.
fn quoted(subject: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '=' | '"' | '\'');
    if !subject.is_empty() && subject.chars().all(is_plain) {
        return subject.to_owned();
    }
    serde_json::Value::from(subject).to_string()
}

fn all_names<'a>(before: &'a Facts, after: &'a Facts) -> Vec<&'a str> {
    let only_before = before.keys().filter(|name| !after.contains_key(*name));
    after.keys().chain(only_before).map(String::as_str).collect()
}

fn shown(fact: &Fact) -> String {
    match fact {
        Fact::Number(number) => number.to_string(),
        Fact::Text(text) => text.clone(),
        Fact::Lines(lines) if lines.is_empty() => "none".into(),
        Fact::Lines(lines) => format!("[{}]", lines.join("; ")),
    }
}

/// What the daemon has found.
pub(super) fn verdict_page(verdict: &AuditVerdict) -> Page {
    let mut page = Page::new();
    match &verdict.broken {
        None => {
            page.spans([
                (Tone::Good, "whole".into()),
                (
                    Tone::Plain,
                    format!(
                        ": {} records, {} to {}",
                        count(verdict.records),
                        verdict.first,
                        verdict.last
                    ),
                ),
            ]);
            if verdict.first > 1 {
                page.line("  those before are kept no longer; a signed mark stands for them");
            }
        }
        Some(broken) => {
            page.spans([
                (Tone::Bad, "BROKEN".into()),
                (Tone::Plain, format!(" at record {}: {}", broken.seq, broken.why)),
            ]);
            page.line(
                "  keep a copy of the state directory, and compare with an export from elsewhere",
            );
        }
    }
    if let Some(signed) = &verdict.signed {
        let at = rfc3339(signed.at_ms / 1000);
        page.line(format!("  last checkpoint: record {}, signed {at}", signed.seq));
    }
    page.line(format!("  public key: {}", verdict.key));
    page
}

/// What an export comes to.
pub(super) fn told(whole: &Whole) -> Page {
    let mut page = Page::new();
    let range =
        format!(": {} records, {} to {}", count(whole.records), whole.start.seq + 1, whole.end.seq);
    page.spans([(Tone::Good, "whole".into()), (Tone::Plain, range)]);
    if whole.start.seq > 0 {
        page.line("  what was before the first one is not in this file");
    }
    page
}

/// The same for scripts.
pub(super) fn checked(whole: &Whole) -> serde_json::Value {
    json!({
        "whole": true,
        "first": whole.start.seq + 1,
        "last": whole.end.seq,
        "records": whole.records,
        "checkpoints": whole.checkpoints,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::audit::{Actor, Source};
    use crate::ops::api::audit::AuditBroken;

    fn record() -> AuditRecord {
        let lines = ["timeout.head: 10s -> 20s".to_owned()];
        AuditRecord {
            seq: 7,
            at_ms: 1_795_292_266_359,
            actor: Actor::Uid { uid: 0, user: Some("root".into()) },
            source: Source::Control,
            action: "config.reload".into(),
            subject: Some("/etc/palisade/palisade.toml".into()),
            before: [("generation".to_owned(), Fact::Number(1))].into(),
            after: [
                ("generation".to_owned(), Fact::Number(2)),
                ("changes".to_owned(), Fact::from(&lines[..])),
            ]
            .into(),
            outcome: Outcome::Done,
            why: None,
            request_id: None,
            confirmed: None,
            prev: String::new(),
            hash: String::new(),
        }
    }

    #[test]
    fn a_record_is_one_line_and_no_escape() {
        assert_eq!(
            record_line(&record()).plain(),
            "     7  2026-11-21T20:17:46.359Z  done    root (0)          config.reload          \
             /etc/palisade/palisade.toml  changes=[timeout.head: 10s -> 20s]  generation=1 -> 2\n"
        );
        let why = Some("a\x1b[2J\nWARN forged\u{9b}".to_owned());
        let hostile = AuditRecord { outcome: Outcome::Refused, why, ..record() };
        let text = record_line(&hostile).plain();
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.trim_end().chars().any(char::is_control) && text.contains("refused"));
    }

    #[test]
    fn a_subject_cannot_be_taken_for_facts() {
        let of = |subject: &str| {
            let record = AuditRecord {
                subject: Some(subject.into()),
                before: Facts::new(),
                after: [("user".to_owned(), Fact::from("eve"))].into(),
                ..record()
            };
            let line = record_line(&record).plain();
            line.split_once("config.reload").map(|(_, rest)| rest.trim().to_owned())
        };
        assert_eq!(of("/refund/7").as_deref(), Some("/refund/7  user=eve"));
        let forged = of("order 7  user=ada  confirmed=\"x\"");
        let shown = r#""order 7  user=ada  confirmed=\"x\""  user=eve"#;
        assert_eq!(forged.as_deref(), Some(shown));
        assert_eq!(of("user=ada").as_deref(), Some(r#""user=ada"  user=eve"#));
        assert_eq!(of("").as_deref(), Some("\"\"  user=eve"));
    }

    #[test]
    fn a_verdict_names_the_first_wrong_record() {
        let whole = AuditVerdict {
            broken: None,
            first: 4,
            last: 1203,
            records: 1200,
            checkpoints: 3,
            signed: None,
            key: "ab".into(),
        };
        let text = verdict_page(&whole).plain();
        assert!(text.starts_with("whole: 1,200 records, 4 to 1203\n"), "{text}");
        let broken = Some(AuditBroken { seq: 9, why: "it is missing".into() });
        let text = verdict_page(&AuditVerdict { broken, ..whole }).plain();
        assert!(text.starts_with("BROKEN at record 9: it is missing\n"), "{text}");
    }

    #[test]
    fn a_moment_is_a_day_a_time_or_so_long_ago() {
        let moment = |text: &str| text.parse::<Moment>().map(|moment| moment.0);
        assert_eq!(moment("1970-01-02"), Ok(86_400_000));
        assert_eq!(moment("1970-01-01T00:00:01.5+00:00"), Ok(1500));
        assert!(moment("2h").expect("long ago") > 1_700_000_000_000);
        assert!(moment("yesterday").is_err());
    }
}
