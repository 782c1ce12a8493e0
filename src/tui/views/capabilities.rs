//! Capabilities: which groups of guards are enforced, what decides, and switching them while the daemon runs.

use crate::base::Mode;
use crate::base::words::soon;
use crate::ops::api::CapabilityStatus;

use super::super::data::Data;
use super::super::event::Mutation;
use super::super::page::Page;
use super::super::table::{Cell, Column, Row, Table, Width};
use super::super::theme::{Look, Tone};
use super::{About, Act, View};

pub struct Capabilities;

const COLUMNS: [Column; 5] = [
    Column::new("CAPABILITY", Width::Share(10), 0),
    Column::new("IN FORCE", Width::Cells(8), 0),
    Column::new("FILE SAYS", Width::Cells(9), 1),
    Column::new("LEFT", Width::Cells(9), 2),
    Column::new("DECIDED BY", Width::Share(20), 0),
];

const ACTS: [Act; 4] = [
    Act {
        key: 'o',
        word: "off",
        more: "switch this capability off until it is taken back",
        mutation: |name| set(name, Some(Mode::Off)),
        unfit: held,
    },
    Act {
        key: 'b',
        word: "observe",
        more: "only count what this capability finds, until it is taken back",
        mutation: |name| set(name, Some(Mode::Observe)),
        unfit: held,
    },
    Act {
        key: 'E',
        word: "enforce",
        more: "enforce this capability, whatever the file says",
        mutation: |name| set(name, Some(Mode::Enforce)),
        unfit: held,
    },
    Act {
        key: 'c',
        word: "as configured",
        more: "take the switch back: the file counts again",
        mutation: |name| set(name, None),
        unfit: not_set,
    },
];

fn set(name: &str, mode: Option<Mode>) -> Mutation {
    Mutation::SetCapability { name: name.to_owned(), mode }
}

fn found<'a>(data: &'a Data, id: &str) -> Option<&'a CapabilityStatus> {
    let mut all = data.status.iter().flat_map(|status| &status.capabilities);
    all.find(|found| found.name.key() == id)
}

/// The daemon sets nothing that would have no effect.
fn held(data: &Data, id: &str) -> Option<String> {
    let found = found(data, id)?;
    if !found.available {
        return Some(format!("not set: nothing in this version obeys {id}"));
    }
    let flag = found.flag_value == Some(false);
    flag.then(|| format!("not set: {}=false holds it off until a restart", found.flag))
}

fn not_set(data: &Data, id: &str) -> Option<String> {
    let unset = found(data, id)?.runtime.is_none();
    unset.then(|| format!("nothing to take back: {id} is as configured"))
}

impl View for Capabilities {
    fn about(&self) -> About {
        About {
            number: None,
            name: "capabilities",
            title: "Capabilities",
            help: "Every group of guards with the mode in force and what decides over it. For a switch that ends by itself use `palisade capability set NAME MODE --for 30m`.",
        }
    }

    fn table(&self, data: &Data, _look: Look) -> Table {
        let all = data.status.iter().flat_map(|status| &status.capabilities);
        let empty = match &data.status {
            Some(_) => "this daemon has no capabilities".into(),
            None => "waiting for the daemon".into(),
        };
        Table { columns: &COLUMNS, rows: all.map(row).collect(), empty }
    }

    fn page(&self, data: &Data, id: &str, width: u16, look: Look) -> Option<Page> {
        let found = found(data, id)?;
        let mut page = Page::new(id, id, width, look);
        page.field("guards", Tone::Plain, found.name.guards());
        page.field("in force", tone(found), found.mode.word());
        page.field("decided", Tone::Plain, &found.decided_by());
        page.field("file", Tone::Plain, &format!("capability.{id} = {}", found.configured.word()));
        let value = match found.flag_value {
            None => "is not set".to_owned(),
            Some(true) => "is true, which changes nothing".to_owned(),
            Some(false) => "is false, which counts more than anything set here".to_owned(),
        };
        page.field("flag", Tone::Plain, &format!("{} {value}", found.flag));
        let Some(set) = &found.runtime else { return Some(page) };
        page.blank();
        page.heading("Set while running");
        page.field("mode", Tone::Plain, set.mode.word());
        page.field("by", Tone::Plain, &set.set_by);
        page.field("at", Tone::Plain, &set.set_at);
        let until = match (&set.until, set.left_s) {
            (Some(until), Some(left_s)) => format!("{until}, in {}", soon(left_s)),
            (Some(until), None) => until.clone(),
            (None, _) => "it is taken back".to_owned(),
        };
        page.field("until", Tone::Plain, &until);
        Some(page)
    }

    fn acts(&self) -> &'static [Act] {
        &ACTS
    }
}

fn tone(status: &CapabilityStatus) -> Tone {
    match status.mode {
        _ if !status.available => Tone::Quiet,
        Mode::Enforce => Tone::Good,
        Mode::Off | Mode::Observe => Tone::Warn,
    }
}

/// As short as a column is; until when is the column before it.
fn decider(status: &CapabilityStatus) -> String {
    match &status.runtime {
        _ if status.flag_value == Some(false) => format!("{}=false", status.flag),
        _ if !status.available => "nothing obeys it yet".to_owned(),
        Some(set) => format!("set by {}", set.set_by),
        None => "the configuration".to_owned(),
    }
}

fn row(status: &CapabilityStatus) -> Row {
    let left = status.runtime.as_ref().and_then(|set| set.left_s);
    let left = match left.filter(|_| status.flag_value != Some(false)) {
        Some(left_s) => Cell { order: Some(left_s), ..Cell::new(soon(left_s)) },
        None => Cell::toned(Tone::Quiet, "-"),
    };
    let cells = vec![
        Cell::new(status.name.key()),
        Cell::toned(tone(status), status.mode.word()),
        Cell::new(status.configured.word()),
        left,
        Cell::new(decider(status)),
    ];
    Row { id: status.name.key().to_owned(), cells, facts: Vec::new() }
}
