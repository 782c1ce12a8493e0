//! Walks the written tree: typed values by key, unknown keys with the nearest known one.
//!
//! Promises: reading never stops at an error; a value that cannot be read counts as its default, so that every other
//! error is found too. The keys that are asked for are the keys that exist: there is no second list.

use std::collections::BTreeSet;

use super::later;
use super::placed::CaFiles;
use super::report::{Diagnostic, Report, Severity};
use super::source::Place;
use super::upstreams::Named;
use super::wire::{Entry, Node, Table, Value};

/// What is gathered on the way.
#[derive(Debug, Default)]
pub(super) struct Cx {
    pub report: Report,
    /// Environment variables that hold secrets.
    pub secret_env: Vec<String>,
    /// Every key that was asked for, as `section.key` with `*` for names.
    pub known: BTreeSet<String>,
    /// Endpoints of upstreams in the order of reading, to be compared when all are known.
    pub named: Vec<Named>,
    /// Files that upstreams are verified with, which are read later.
    pub ca_files: CaFiles,
    /// A file has syntax errors: what seems to be missing may only be unreadable.
    pub broken: bool,
    /// Settings come from flags, so that hints name flags.
    pub flags: bool,
}

/// Why a value is refused: what it is, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub message: String,
    pub label: String,
}

impl Fault {
    pub fn new(message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { message: message.into(), label: label.into() }
    }
}

impl Cx {
    pub fn error(&mut self, place: &Place, message: impl Into<String>, label: impl Into<String>) {
        self.report.push(Diagnostic::new(Severity::Error, message).spot(place, label));
    }

    pub fn warn(&mut self, place: &Place, message: impl Into<String>, label: impl Into<String>) {
        self.report.push(Diagnostic::new(Severity::Warning, message).spot(place, label));
    }

    /// An error that two places make together.
    pub fn clash(&mut self, message: impl Into<String>, second: (&Place, &str), first: &Place) {
        self.report.push(
            Diagnostic::new(Severity::Error, message)
                .spot(second.0, second.1)
                .spot(first, "first here"),
        );
    }

    /// Something is missing. Kept back while a syntax error may be the reason.
    pub fn missing(&mut self, place: &Place, message: impl Into<String>, label: impl Into<String>) {
        if !self.broken {
            self.error(place, message, label);
        }
    }

    fn fault(&mut self, place: &Place, fault: Fault) {
        self.error(place, fault.message, fault.label);
    }
}

/// One table of the tree while it is read. Absent tables read as empty ones.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// With `*` for names: `site.*.route.*`.
    path: &'static str,
    entries: &'a [Entry],
    asked: Vec<&'static str>,
    /// It stands there, but not as a table.
    unreadable: bool,
}

impl<'a> Section<'a> {
    pub fn new(path: &'static str, table: &'a Table) -> Self {
        Self { path, entries: &table.0, asked: Vec::new(), unreadable: false }
    }

    /// Nothing is written here, not even something unreadable.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.unreadable
    }

    /// Every entry, for tables whose keys are names.
    pub const fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    pub fn entry(&mut self, cx: &mut Cx, key: &'static str) -> Option<&'a Entry> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        cx.known.insert(if self.path.is_empty() {
            key.into()
        } else {
            format!("{}.{key}", self.path)
        });
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// A table inside this one.
    pub fn section(&mut self, cx: &mut Cx, key: &'static str, path: &'static str) -> Self {
        let entry = self.entry(cx, key);
        let table = entry.and_then(|entry| table(cx, entry));
        let entries = table.map_or(&[] as &[Entry], |table| &table.0);
        Section { path, entries, asked: Vec::new(), unreadable: entry.is_some() && table.is_none() }
    }

    /// One value; the default if it is absent or refused.
    pub fn value<T>(
        &mut self,
        cx: &mut Cx,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&Node) -> Result<T, Fault>,
    ) -> T {
        self.optional(cx, key, parse).unwrap_or(default)
    }

    /// One value that has no default.
    pub fn optional<T>(
        &mut self,
        cx: &mut Cx,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, Fault>,
    ) -> Option<T> {
        let entry = self.entry(cx, key)?;
        match parse(&entry.node) {
            Ok(value) => Some(value),
            Err(fault) => {
                cx.fault(&entry.node.place, fault);
                None
            }
        }
    }

    /// A list, or one value that stands for a list of one. `None` if the key is absent.
    pub fn list<T>(
        &mut self,
        cx: &mut Cx,
        key: &'static str,
        parse: impl Fn(&Node) -> Result<T, Fault>,
    ) -> Option<Vec<(T, Place)>> {
        let entry = self.entry(cx, key)?;
        let nodes = match &entry.node.value {
            Value::List(nodes) => nodes.as_slice(),
            _ => std::slice::from_ref(&entry.node),
        };
        let mut list = Vec::with_capacity(nodes.len());
        for node in nodes {
            match parse(node) {
                Ok(value) => list.push((value, node.place.clone())),
                Err(fault) => cx.fault(&node.place, fault),
            }
        }
        Some(list)
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, cx: &mut Cx) {
        for entry in self.entries {
            if !self.asked.contains(&entry.key.as_str()) {
                unknown_key(cx, self.path, entry, &self.asked);
            }
        }
    }
}

fn unknown_key(cx: &mut Cx, path: &str, entry: &Entry, asked: &[&'static str]) {
    let (key, place) = (entry.key.as_str(), &entry.key_place);
    if let Some(what) = later::what(path, key) {
        let message = format!("`{key}` is not available in this version");
        cx.error(place, message, format!("remove it; {what}"));
        return;
    }
    if let Some((message, label)) = later::never(path, key) {
        cx.error(place, message, label);
        return;
    }
    if let Some(label) = later::elsewhere(path, key) {
        cx.error(place, format!("unknown key `{key}`"), label);
        return;
    }
    let label = match nearest(key, asked.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None if asked.is_empty() => "nothing stands here".to_owned(),
        None if asked.len() <= 15 => format!("known here: {}", asked.join(", ")),
        None => "`palisade init` writes a file with every key".to_owned(),
    };
    cx.error(place, format!("unknown key `{key}`"), label);
}

/// The known word that was probably meant.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    let word = plain(word);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).clamp(1, 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The entry as a table.
pub(super) fn table<'a>(cx: &mut Cx, entry: &'a Entry) -> Option<&'a Table> {
    match &entry.node.value {
        Value::Table(table) => Some(table),
        _ => {
            let message =
                format!("expected a table for `{}`, found {}", entry.key, entry.node.kind());
            cx.error(
                &entry.node.place,
                message,
                format!("write a line [{}] and its keys below", entry.key),
            );
            None
        }
    }
}
