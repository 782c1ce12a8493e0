//! Configuration as written: a tree of values, each with its place, merged from all files.
//!
//! Promises: all syntax errors of all files are reported; entries keep the order of the files.
//! Refuses: the same key twice, in one file or in two.

use std::borrow::Cow;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{Diagnostic, Report, Severity};
use super::source::{Place, Source};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// `None`: beyond 64 bits.
    Integer(Option<i64>),
    Bool(bool),
    Float,
    Datetime,
    List(Vec<Node>),
    Table(Table),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub value: Value,
    pub place: Place,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub node: Node,
}

/// In the order of the files.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Table(pub Vec<Entry>);

impl Node {
    pub fn text(place: Place, text: impl Into<String>) -> Self {
        Self { value: Value::Text(text.into()), place }
    }

    pub fn is_empty_list(&self) -> bool {
        matches!(&self.value, Value::List(nodes) if nodes.is_empty())
    }

    /// With its article, for "expected …, found …".
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "a string",
            Value::Integer(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Float => "a fraction",
            Value::Datetime => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Parses one text; what could be read comes back even if there are errors.
pub(super) fn parse(source: &Arc<Source>, report: &mut Report) -> Table {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    let table = table_of(source, root.get_ref());
    for error in errors {
        let span = error.span().unwrap_or(source.text.len()..source.text.len());
        let place = Place::new(source, span);
        let message = error.message();
        if message == "duplicate key" {
            let name = source.text.get(place.span.clone()).unwrap_or_default();
            let mut diagnostic =
                Diagnostic::new(Severity::Error, format!("`{name}` stands here twice"))
                    .spot(&place, "remove or rename one");
            let key = name.trim_matches(['"', '\'']);
            if let Some(first) = last_before(&table, key, place.span.start) {
                diagnostic = diagnostic.spot(first, "first here");
            }
            report.push(diagnostic);
        } else {
            let label = hint(source, &place);
            report.push(Diagnostic::new(Severity::Error, message).spot(&place, label));
        }
    }
    table
}

/// What people most often meant where TOML cannot be read.
fn hint(source: &Arc<Source>, place: &Place) -> &'static str {
    let line = place.position().text.trim();
    let value = line.split_once('=').map(|(_, value)| value.trim());
    match value {
        None if line.contains(':') => "TOML writes: key = \"value\"",
        Some(value)
            if value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
                && source.text.get(place.span.clone()).is_some_and(|text| !text.contains('"')) =>
        {
            "text and values with a unit stand in quotes: key = \"value\""
        }
        _ => "",
    }
}

/// The nearest entry above that has this key.
fn last_before<'a>(table: &'a Table, key: &str, at: usize) -> Option<&'a Place> {
    let here = table.0.iter().filter(|e| e.key == key && e.key_place.span.start < at);
    let below = table.0.iter().filter_map(|entry| match &entry.node.value {
        Value::Table(table) => last_before(table, key, at),
        _ => None,
    });
    here.map(|entry| &entry.key_place).chain(below).max_by_key(|place| place.span.start)
}

fn table_of(source: &Arc<Source>, table: &DeTable<'_>) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value): (&Spanned<Cow<'_, str>>, _)| Entry {
            key: key.get_ref().to_string(),
            key_place: Place::new(source, key.span()),
            node: node_of(source, value),
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_place.span.start);
    Table(entries)
}

fn node_of(source: &Arc<Source>, value: &Spanned<DeValue<'_>>) -> Node {
    let place = Place::new(source, value.span());
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
        }
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(word) => Value::Bool(*word),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(list) => Value::List(list.iter().map(|v| node_of(source, v)).collect()),
        DeValue::Table(table) => Value::Table(table_of(source, table)),
    };
    Node { value, place }
}

/// Adds the entries of a further file. Sections are joined, anything else may stand only once.
pub(super) fn merge(into: &mut Table, from: Table, path: &[&str], report: &mut Report) {
    for entry in from.0 {
        let Some(known) = into.0.iter_mut().find(|known| known.key == entry.key) else {
            into.0.push(entry);
            continue;
        };
        let place = entry.key_place;
        match (&mut known.node.value, entry.node.value) {
            (Value::Table(into), Value::Table(from)) if path.first() != Some(&"site") => {
                merge(into, from, &[path, &[entry.key.as_str()]].concat(), report);
            }
            _ => {
                let what = match path {
                    ["site"] => format!("site \"{}\"", entry.key),
                    _ => format!("`{}`", [path, &[entry.key.as_str()]].concat().join(".")),
                };
                report.push(
                    Diagnostic::new(Severity::Error, format!("{what} stands in two files"))
                        .spot(&place, "remove or rename one")
                        .spot(&known.key_place, "first here"),
                );
            }
        }
    }
}
