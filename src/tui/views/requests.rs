//! 2: what is being asked, newest first, and the way of one request through the proxy.

mod original;

use std::any::Any;

use crate::base::timestamp::{rfc3339, time_of_day};
use crate::base::words::{micros, size};
use crate::ops::api::live::{RequestSeen, Step};

use super::super::data::{Data, Document};
use super::super::glyphs;
use super::super::page::Page;
use super::super::table::{Cell, Column, Fact, Narrow, Row, Table, Width};
use super::super::theme::{Look, Tone};
use super::{About, FetchPart, View, Want};

pub struct Requests;

const NAME: &str = "requests";

const COLUMNS: [Column; 9] = [
    Column::new("TIME", Width::Cells(8), 0),
    Column::number("CODE", 4, 0),
    Column::new("METHOD", Width::Cells(7), 2),
    Column::new("SITE", Width::Cells(16), 3),
    Column::new("PATH", Width::Share(14), 0),
    Column::new("CLIENT", Width::Cells(15), 1),
    Column::number("TOOK", 7, 0),
    Column::new("REFUSED", Width::Cells(15), 5),
    Column::number("SIZE", 8, 4),
];

impl View for Requests {
    fn about(&self) -> About {
        About {
            number: Some(2),
            name: NAME,
            title: "Requests",
            help: "Requests as they end, newest first; times are UTC. Enter shows what a request met on its way, step by step, and what the app said where hide_errors kept it.",
        }
    }

    fn fetch_part(&self) -> Option<FetchPart> {
        Some(|client, want| Box::pin(original::fetch(client, want)))
    }

    fn want(&self, data: &Data, cursor: Option<&str>, _sifted: bool) -> Want {
        original::want(data, NAME, cursor)
    }

    fn keep(&self, known: Option<&(dyn Any + Send + Sync)>, new: Document) -> Document {
        original::keep(known, &new)
    }

    fn table(&self, data: &Data, _look: Look) -> Table {
        let empty = match &data.tail_fault {
            Some(why) => format!("no live tail: {why}"),
            None if data.tailing => {
                "waiting for requests ... (shown from now on: none is kept while nobody watches)"
                    .into()
            }
            None => "waiting for the daemon".into(),
        };
        Table { columns: &COLUMNS, rows: data.requests.iter().map(|r| row(r)).collect(), empty }
    }

    fn page(&self, data: &Data, id: &str, width: u16, look: Look) -> Option<Page> {
        let request = data.requests.iter().find(|request| request.id == id)?;
        let title = format!("{} {}", request.method, request.path);
        let mut page = Page::new(title, id, width, look);
        page.facts = facts(request);
        answer(&mut page, request);
        way(&mut page, &request.steps);
        original::show(&mut page, data, NAME, id);
        Some(page)
    }
}

/// What other views have in common with a request.
#[must_use]
pub fn facts(request: &RequestSeen) -> Vec<Narrow> {
    let mut facts = vec![
        (Fact::Ip, request.client_ip.clone()),
        (Fact::Status, request.status.to_string()),
        (Fact::Path, request.path.clone()),
    ];
    if let Some(site) = &request.site {
        facts.insert(2, (Fact::Site, site.clone()));
    }
    facts
}

/// The tone of a status: the number beside it says the same.
#[must_use]
pub fn tone(status: u16) -> Tone {
    match status {
        500.. => Tone::Bad,
        400.. => Tone::Warn,
        _ => Tone::Plain,
    }
}

fn row(request: &RequestSeen) -> Row {
    let at = u64::try_from(request.at_ms).unwrap_or(0);
    let code = Cell {
        tone: tone(request.status),
        ..Cell::value(request.status.into(), request.status.to_string())
    };
    let cells = vec![
        Cell { tone: Tone::Quiet, ..Cell::value(at, time_of_day(request.at_ms.div_euclid(1_000))) },
        code,
        Cell::new(&request.method),
        Cell::new(request.site.as_deref().unwrap_or("-")),
        Cell::new(&request.path),
        Cell::new(&request.client_ip),
        Cell::value(request.duration_us, micros(request.duration_us)),
        Cell::toned(
            Tone::Warn,
            request.denied.as_deref().or(request.aborted.as_deref()).unwrap_or(""),
        ),
        Cell::value(request.response_bytes, size(request.response_bytes)),
    ];
    Row { id: request.id.clone(), cells, facts: facts(request) }
}

fn answer(page: &mut Page, request: &RequestSeen) {
    let words = match request.status {
        499 => "499, the client left first".into(),
        status => status.to_string(),
    };
    let took =
        format!("{words} after {}, {}", micros(request.duration_us), size(request.response_bytes));
    page.field("answer", tone(request.status), &took);
    if let Some(denied) = &request.denied {
        let why = request.why.as_deref().map_or(String::new(), |why| format!(": {why}"));
        page.field("refused", Tone::Warn, &format!("{denied}{why}"));
    } else if let Some(why) = &request.why {
        page.field("why", Tone::Plain, why);
    }
    if let Some(aborted) = &request.aborted {
        page.field("broke off", Tone::Warn, aborted);
    }
    page.field("site", Tone::Plain, request.site.as_deref().unwrap_or("none"));
    page.field("route", Tone::Plain, request.route.as_deref().unwrap_or("none"));
    page.field("client", Tone::Plain, &format!("{}, {}", request.client_ip, request.protocol));
    if let Some(upstream) = &request.upstream {
        page.field("app", Tone::Plain, upstream);
    }
    if let Some(us) = request.upstream_us {
        let bar = glyphs::gauge(us, request.duration_us.max(1), 24, page.look().charset);
        page.field(
            "app's part",
            Tone::Plain,
            &format!("{bar} {} of {}", micros(us), micros(request.duration_us)),
        );
    }
    page.field("arrived", Tone::Plain, &rfc3339(request.at_ms.div_euclid(1_000)));
    page.field("id", Tone::Plain, &request.id);
}

fn way(page: &mut Page, steps: &[Step]) {
    page.blank();
    page.heading("What it met, in order");
    if steps.is_empty() {
        page.text(Tone::Quiet, "The daemon did not record its steps.");
    }
    for (number, step) in (1..).zip(steps) {
        let (tone, word) = match step.outcome.as_str() {
            "refused" => (Tone::Bad, "REFUSED"),
            "answered" => (Tone::Good, "answered"),
            "skipped" => (Tone::Quiet, "skipped"),
            other => (Tone::Plain, other),
        };
        page.spans(vec![
            (Tone::Quiet, format!("{number:>2} ")),
            (Tone::Plain, format!("{:<11}", step.name)),
            (tone, format!("{word:<9}")),
            (Tone::Plain, step.note.clone()),
        ]);
    }
}
