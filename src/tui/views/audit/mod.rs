//! 7: who changed what, newest first, and one record in full.
//!
//! The newest page is asked for again and again while the newest is shown; the rest of the log page by page, as the
//! cursor comes near the end of what is held. Bounds: those of [`window`].

mod sample;
mod window;

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::audit::{Actor, Fact as Known, Facts, Outcome};
use crate::base::timestamp::rfc3339;
use crate::base::words::count;
use crate::ops::api::Level;
use crate::ops::api::audit::AuditRecord;

use super::super::canvas::{Canvas, Span};
use super::super::data::{Data, Document};
use super::super::page::{LABEL_CELLS, Page};
use super::super::table::{self, Cell, Column, Fact, Narrow, Row, Table, Width};
use super::super::theme::{Look, Tone};
use super::{About, FetchPart, Scene, View, Want};

pub use sample::answer as sample;
pub use window::{Answer, Window};

pub struct Audit;

const NAME: &str = "audit";

const COLUMNS: [Column; 5] = [
    Column::new("TIME", Width::Cells(19), 0),
    Column::new("ACTOR", Width::Share(12), 0),
    Column::new("ACTION", Width::Cells(21), 0),
    Column::new("SUBJECT", Width::Share(12), 2),
    Column::new("OUTCOME", Width::Cells(7), 1),
];

impl View for Audit {
    fn about(&self) -> About {
        About {
            number: Some(7),
            name: NAME,
            title: "Audit log",
            help: "Every change and who made it, newest first; times are UTC. Enter shows a record in full. More is fetched as you move; a filter looks at what is held here, at most 1,000 records, `palisade audit search` at all of them.",
        }
    }

    fn fetch_part(&self) -> Option<FetchPart> {
        Some(|client, want| {
            Box::pin(async move {
                let page = client.audit(&window::query(want)).await?;
                Ok(Arc::new(Answer { want, page }) as Document)
            })
        })
    }

    fn want(&self, data: &Data, cursor: Option<&str>, sifted: bool) -> Want {
        let cursor = cursor.and_then(|id| id.parse().ok());
        held(data).map_or(Want::Newest, |window| window.want(cursor, sifted))
    }

    fn keep(&self, known: Option<&(dyn Any + Send + Sync)>, new: Document) -> Document {
        let Some(answer) = new.downcast_ref::<Answer>() else { return new };
        let known = known.and_then(|known| known.downcast_ref::<Window>());
        Arc::new(known.unwrap_or(&Window::default()).with(answer))
    }

    fn begins(&self, data: &Data) -> bool {
        held(data).is_none_or(Window::has_newest)
    }

    fn table(&self, data: &Data, _look: Look) -> Table {
        let sites: BTreeSet<&str> =
            data.status.iter().flat_map(|s| &s.sites).map(|site| site.name.as_str()).collect();
        let (rows, empty) = match held(data) {
            Some(window) => {
                (window.newest_first().map(|record| row(record, &sites)).collect(), "no record yet")
            }
            None => (Vec::new(), "waiting for the daemon"),
        };
        Table { columns: &COLUMNS, rows, empty: empty.into() }
    }

    fn list_rows(&self, _data: &Data, height: u16) -> (u16, u16) {
        (2, height.saturating_sub(2))
    }

    fn draw(&self, scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
        canvas.spans(1, 0, &head(scene.data));
        let (width, height) = (canvas.width(), canvas.height().saturating_sub(1));
        table::draw(&mut canvas.part(0, 1, width, height), scene.list, scene.sort);
    }

    fn page(&self, data: &Data, id: &str, width: u16, look: Look) -> Option<Page> {
        let record = held(data)?.record(id.parse().ok()?)?;
        let sites = data.status.iter().flat_map(|status| &status.sites);
        let sites = sites.map(|site| site.name.as_str()).collect();
        let mut page = Page::new(format!("{} {}", record.seq, record.action), id, width, look);
        page.facts = facts(record, &sites);
        said(&mut page, record);
        changed(&mut page, &record.before, &record.after);
        Some(page)
    }
}

fn held(data: &Data) -> Option<&Window> {
    data.document(NAME)
}

/// How the log itself is, as the daemon tells it among what needs attention.
fn head(data: &Data) -> Vec<Span> {
    let trouble = data.attention().into_iter().find(|(_, text)| text.contains("audit log"));
    if let Some((level, text)) = trouble {
        let (tone, word) = match level {
            Level::Fail => (Tone::Bad, "FAIL"),
            Level::Warn => (Tone::Warn, "WARN"),
        };
        return vec![(tone, format!("{word}  {text}"))];
    }
    let Some(window) = held(data) else { return Vec::new() };
    let Some((from, to)) = window.ends() else { return Vec::new() };
    let held = format!("records {}-{} of {}", count(from), count(to), count(window.last()));
    vec![
        (Tone::Plain, held),
        (Tone::Quiet, "   no fault known (palisade audit verify looks)".into()),
    ]
}

fn row(record: &AuditRecord, sites: &BTreeSet<&str>) -> Row {
    let at = record.at_ms.div_euclid(1_000);
    let time = rfc3339(at).replace('T', " ");
    let actor = match record.actor {
        Actor::System => Tone::Quiet,
        _ => Tone::Plain,
    };
    let cells = vec![
        Cell { tone: Tone::Quiet, text: time.trim_end_matches('Z').into(), order: Some(at) },
        Cell::toned(actor, record.actor.words()),
        Cell::new(&record.action),
        Cell::new(record.subject.as_deref().unwrap_or("-")),
        Cell::toned(tone(record.outcome), record.outcome.word()),
    ];
    Row { id: record.seq.to_string(), cells, facts: facts(record, sites) }
}

const fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Done => Tone::Plain,
        Outcome::Refused => Tone::Warn,
    }
}

/// A subject is a site where the action says so, or where there is a site of that name.
fn facts(record: &AuditRecord, sites: &BTreeSet<&str>) -> Vec<Narrow> {
    let mut facts = Vec::new();
    if let Actor::Client { ip, .. } = &record.actor {
        facts.push((Fact::Ip, ip.clone()));
    }
    if let Some(subject) = &record.subject
        && (record.action.starts_with("certificate.") || sites.contains(subject.as_str()))
    {
        facts.push((Fact::Site, subject.clone()));
    }
    facts.push((Fact::Actor, record.actor.words()));
    facts.push((Fact::Action, record.action.clone()));
    facts
}

fn said(page: &mut Page, record: &AuditRecord) {
    let seconds = record.at_ms.div_euclid(1_000);
    page.field("outcome", tone(record.outcome), &outcome(record));
    if let Some(why) = &record.why {
        page.field("why", Tone::Warn, why);
    }
    page.field("subject", Tone::Plain, record.subject.as_deref().unwrap_or("none"));
    page.field("actor", Tone::Plain, &record.actor.words());
    page.field("through", Tone::Plain, record.source.word());
    let confirmed = record.confirmed.as_deref().unwrap_or("no second factor");
    page.field("confirmed", Tone::Plain, confirmed);
    page.field("request", Tone::Plain, record.request_id.as_deref().unwrap_or("none"));
    page.field("time", Tone::Plain, &rfc3339(seconds));
    page.field("hash", Tone::Quiet, &record.hash);
    page.field("follows", Tone::Quiet, &record.prev);
}

/// What palisade knows of it: of its own changes all, of what an app has done only what the app says or answers.
fn outcome(record: &AuditRecord) -> String {
    let is_done = record.outcome == Outcome::Done;
    if record.action.starts_with("app.") {
        return format!("{}, by the app's word", record.outcome.word());
    }
    if record.action.starts_with("route.") {
        let status = record.after.get("status").map_or("nothing that is known".into(), words);
        return match record.after.get("aborted").map(words) {
            Some(why) => format!("answered {status}, and broke off: {why}"),
            None if is_done => format!("the app answered {status}"),
            None => format!("palisade answered {status}; what the app has done is not known"),
        };
    }
    let own = if is_done { "done" } else { "REFUSED, nothing was changed" };
    own.to_owned()
}

fn changed(page: &mut Page, before: &Facts, after: &Facts) {
    page.blank();
    page.heading("Before and after");
    if before.is_empty() && after.is_empty() {
        page.text(Tone::Quiet, "Nothing more is known.");
    }
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let mut label = name.as_str();
        if label.chars().count() >= usize::from(LABEL_CELLS) {
            page.text(Tone::Quiet, label);
            label = "";
        }
        match (before.get(name), after.get(name)) {
            (Some(Known::Lines(old)), Some(Known::Lines(new))) => lines(page, label, old, new),
            (Some(Known::Lines(old)), None) => lines(page, label, old, &[]),
            (None, Some(Known::Lines(new))) => lines(page, label, &[], new),
            (Some(old), Some(new)) if old == new => {
                page.field(label, Tone::Plain, &format!("{}, as before", words(old)));
            }
            (old, new) => {
                let old = old.map_or("none".into(), words);
                let new = new.map_or("none".into(), words);
                page.field(label, Tone::Plain, &format!("{old} -> {new}"));
            }
        }
    }
}

/// One line each; a sign where it went or came.
fn lines(page: &mut Page, label: &str, old: &[String], new: &[String]) {
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| ("-", line));
    let here = new.iter().map(|line| if old.contains(line) { ("=", line) } else { ("+", line) });
    let all: Vec<_> = gone.chain(here).collect();
    if all.is_empty() {
        page.field(label, Tone::Plain, "none");
    }
    for (at, (sign, line)) in all.into_iter().enumerate() {
        page.field(if at == 0 { label } else { "" }, Tone::Plain, &format!("{sign} {line}"));
    }
}

fn words(fact: &Known) -> String {
    match fact {
        Known::Number(number) => number.to_string(),
        Known::Text(text) => text.clone(),
        Known::Lines(lines) => lines.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_an_app_has_done_only_its_word_or_its_answer_is_told() {
        let answer = sample(&str::to_owned);
        let mut record = answer.page.records.first().cloned().expect("a record");
        let mut told = |action: &str, outcome_is: Outcome, facts: &[(&str, Known)]| {
            record.action = action.to_owned();
            record.outcome = outcome_is;
            record.after =
                facts.iter().map(|(name, fact)| ((*name).to_owned(), fact.clone())).collect();
            outcome(&record)
        };
        let status = |number| ("status", Known::Number(number));
        let broke = ("aborted", Known::Text("client_left".into()));
        for (action, is, facts, words) in [
            ("config.reload", Outcome::Done, vec![], "done"),
            ("config.reload", Outcome::Refused, vec![], "REFUSED, nothing was changed"),
            ("app.order.refund", Outcome::Done, vec![], "done, by the app's word"),
            ("app.order.refund", Outcome::Refused, vec![], "refused, by the app's word"),
            ("route.order.refund", Outcome::Done, vec![status(402)], "the app answered 402"),
            (
                "route.order.refund",
                Outcome::Refused,
                vec![status(504)],
                "palisade answered 504; what the app has done is not known",
            ),
            (
                "route.order.refund",
                Outcome::Done,
                vec![status(200), broke],
                "answered 200, and broke off: client_left",
            ),
        ] {
            assert_eq!(told(action, is, &facts), words, "{action} {is:?}");
        }
    }
}
