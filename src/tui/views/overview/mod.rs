//! 1: what needs attention, in words, then how much, how fast, how well.
//!
//! Rates and percentiles are of all requests, from the daemon's history; the lists at the bottom are of the tail, and
//! only they follow a narrowing.

mod lists;
mod traffic;

use crate::ops::api::Level;

use super::super::canvas::Canvas;
use super::super::data::Data;
use super::super::page::Page;
use super::super::table::{self, Cell, Column, Row, Table, Width};
use super::super::theme::{Look, Tone};
use super::{About, Scene, View};

pub struct Overview;

const COLUMNS: [Column; 2] =
    [Column::new("", Width::Cells(5), 0), Column::new("", Width::Share(20), 0)];

impl View for Overview {
    fn about(&self) -> About {
        About {
            number: Some(1),
            name: "overview",
            title: "Overview",
            help: "What needs attention first, then how much, how fast and how well. Rates and percentiles are of all requests; the lists at the bottom are of the last requests in the tail. Narrowing (n) narrows these lists, and never the charts.",
        }
    }

    fn charts(&self) -> bool {
        true
    }

    fn table(&self, data: &Data, _look: Look) -> Table {
        let row = |(level, message): (Level, String)| {
            let (tone, word) = match level {
                Level::Fail => (Tone::Bad, "FAIL"),
                Level::Warn => (Tone::Warn, "WARN"),
            };
            let first = message.lines().next().unwrap_or_default().trim_end_matches(':');
            let cells = vec![Cell::toned(tone, word), Cell::new(first)];
            Row { cells, facts: Vec::new(), id: message }
        };
        let rows = data.attention().into_iter().map(row).collect();
        Table { columns: &COLUMNS, rows, empty: String::new() }
    }

    fn list_rows(&self, data: &Data, height: u16) -> (u16, u16) {
        let found = u16::try_from(data.attention().len()).unwrap_or(u16::MAX);
        (1, found.clamp(1, (height / 4).max(2)))
    }

    fn draw(&self, scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
        let (_, height) = self.list_rows(scene.data, canvas.height());
        attention(scene, canvas, height);
        let mut y = height + 1;
        y += traffic::draw(scene, canvas, y);
        y += lists::sites(scene, canvas, y);
        let rest = canvas.height().saturating_sub(y);
        let followed = scene.data.tailing || scene.data.tail_fault.is_some();
        let rest = rest.saturating_sub(lists::changes(scene, canvas, y, rest));
        if rest >= 2 && followed {
            let half = canvas.width() / 2;
            let width = canvas.width() - half;
            lists::refused(scene, &mut canvas.part(0, y, half, rest));
            lists::slowest(scene, &mut canvas.part(half, y, width, rest));
        }
    }

    fn page(&self, data: &Data, id: &str, width: u16, look: Look) -> Option<Page> {
        let (level, message) = data.attention().into_iter().find(|(_, message)| message == id)?;
        let title = if level == Level::Fail { "FAIL" } else { "WARN" };
        let mut page = Page::new(title, id, width, look);
        page.text(Tone::Plain, &message);
        Some(page)
    }
}

fn attention(scene: &Scene<'_>, canvas: &mut Canvas<'_>, height: u16) {
    let list = scene.list;
    let hidden = list.rows.len().saturating_sub(usize::from(height));
    let note = if hidden > 0 { format!("{hidden} more") } else { String::new() };
    canvas.rule(0, "Attention", &note);
    if list.rows.is_empty() {
        match (&scene.data.status, list.table.rows.len()) {
            (None, _) => {
                canvas.line(1, 1, Tone::Quiet, "waiting for the daemon");
            }
            (Some(_), 0) => {
                canvas.spans(
                    1,
                    1,
                    &[
                        (Tone::Good, "OK   ".into()),
                        (Tone::Plain, " Nothing needs attention.".into()),
                    ],
                );
            }
            (Some(_), hidden) => {
                let text = format!("none of {hidden} passes the filter");
                canvas.line(1, 1, Tone::Quiet, &text);
            }
        }
    }
    let first = table::page(height, list.cursor);
    for (y, row) in (1..=height).zip(list.rows.iter().skip(first)) {
        if let [word, message] = row.cells.as_slice() {
            canvas.put(1, y, 5, word.tone, &word.text);
            canvas.line(7, y, message.tone, &message.text);
        }
        if list.cursor == Some(first + usize::from(y) - 1) {
            canvas.choose(y);
        }
    }
}
