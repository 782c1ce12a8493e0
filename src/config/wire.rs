//! Configuration as written: a tree of values, each with its place, merged from all files.
//!
//! Promises: all syntax errors of all files are reported; entries keep the order of the files.
//! Refuses: the same key twice, in one file or in two.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

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

/// Most broken lines of one file that are reported; below them the file is not read.
const BROKEN_LINES_MAX: usize = 50;

/// Parses one text; what could be read comes back even if there are errors, with the parts that could not.
///
/// The parser gives up on the rest of a text after some errors, so broken lines are blanked and it is asked again.
pub(super) fn parse(source: &Arc<Source>, report: &mut Report) -> (Table, Vec<Place>) {
    let mut text = source.text.clone();
    let mut unread = Vec::new();
    for _ in 0..BROKEN_LINES_MAX {
        let (root, mut errors) = DeTable::parse_recoverable(&text);
        let table = table_of(source, root.get_ref());
        errors.sort_by_key(|error| error.span().map_or(usize::MAX, |span| span.start));
        let mut broken: Vec<Range<usize>> = Vec::new();
        for error in errors.iter().filter(|error| error.message() != DUPLICATE) {
            let span = error.span().unwrap_or(text.len()..text.len());
            let line = line_around(&text, span.start);
            if broken.contains(&line) {
                continue;
            }
            let place = Place::new(source, span);
            report.push(syntax_error(source, error.message(), &place));
            if swallows_the_rest(&text, &line, error.message()) {
                unread.push(Place::new(source, line.start..text.len()));
                return (table, unread);
            }
            let header =
                text.get(line.clone()).is_some_and(|line| line.trim_start().starts_with('['));
            let end = if header { next_header(&text, line.end) } else { line.end };
            unread.push(Place::new(source, line.start..end));
            broken.push(line);
        }
        if broken.is_empty() {
            duplicate_keys(source, &table, &errors, report);
            return (table, unread);
        }
        for line in broken {
            text.replace_range(line.clone(), &" ".repeat(line.len()));
        }
    }
    unread.push(Place::whole(source));
    (Table::default(), unread)
}

/// The parser's words for a key that is defined already.
const DUPLICATE: &str = "duplicate key";

fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |end| at + end);
    start..end
}

/// Whether a list or a text that does not end takes everything below with it.
fn swallows_the_rest(text: &str, line: &Range<usize>, message: &str) -> bool {
    let blank = text.get(line.clone()).is_none_or(|line| line.trim().is_empty());
    blank || message.starts_with("missing comma between array")
}

/// Keys below a header that stands twice are not wrong themselves.
fn duplicate_keys(source: &Arc<Source>, table: &Table, errors: &[Error], report: &mut Report) {
    let mut quiet = 0..0;
    for span in errors.iter().filter_map(Error::span) {
        let place = Place::new(source, span);
        if quiet.contains(&place.span.start) {
            continue;
        }
        if place.position().text.trim_start().starts_with('[') {
            quiet = place.span.start..next_header(&source.text, place.span.end);
        }
        report.push(duplicate_key(source, table, &place));
    }
}

fn next_header(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    rest.find("\n[").map_or(text.len(), |at| from + at)
}

fn duplicate_key(source: &Arc<Source>, table: &Table, place: &Place) -> Diagnostic {
    let name = source.text.get(place.span.clone()).unwrap_or_default();
    let diagnostic = Diagnostic::new(Severity::Error, format!("`{name}` stands here twice"))
        .spot(place, "remove or rename one");
    let key = name.trim_matches(['"', '\'']);
    let header = place.position().text.trim();
    let first = if header.starts_with('[') {
        let at = source.text.get(..place.span.start).and_then(|before| before.find(header));
        at.map(|at| Place::new(source, at..at + header.len()))
    } else {
        last_before(table, key, place.span.start).cloned()
    };
    match first.filter(|first| first.position().line != place.position().line) {
        Some(first) => diagnostic.spot(&first, "first here"),
        None => diagnostic,
    }
}

/// What cannot be read, with what people most often meant.
fn syntax_error(source: &Arc<Source>, message: &str, place: &Place) -> Diagnostic {
    let position = place.position();
    if let Some((key, value)) = position.text.split_once('=') {
        let value = value.split('#').next().unwrap_or_default().trim();
        let bare = value.starts_with(|c: char| c.is_alphanumeric() || c == '/');
        if bare && !value.contains(['"', '\'', '\\']) {
            let before = position.text.find('=').map_or(0, |at| at + 1);
            let offset = position.text.get(before..).and_then(|rest| rest.find(value)).unwrap_or(0);
            let from = (place.span.start + before + offset).saturating_sub(position.from);
            let place = Place::new(source, from..from + value.len());
            return Diagnostic::new(Severity::Error, format!("`{value}` is no TOML value"))
                .spot(&place, format!("write {} = \"{value}\"", key.trim()));
        }
    }
    if let Some(list) = bare_list(position.text) {
        let message = "several values stand in brackets";
        return Diagnostic::new(Severity::Error, message).spot(place, format!("write {list}"));
    }
    let label = match (message, position.text.split_once(':')) {
        (text, _) if text.starts_with("missing comma between array") => {
            "before this, a `,` or the `]` that ends the list is missing"
        }
        (_, Some((key, _))) if !key.contains(['=', '"', '[']) => "TOML writes: key = \"value\"",
        _ => "",
    };
    Diagnostic::new(Severity::Error, message).spot(place, label)
}

/// `key = "a", "b"` as it is written.
fn bare_list(line: &str) -> Option<String> {
    let (key, values) = line.split_once('=')?;
    let values = values.trim();
    let text = |value: &str| {
        let value = value.trim();
        let quoted = |quote| value.len() > 1 && value.starts_with(quote) && value.ends_with(quote);
        let mark = value.chars().next().unwrap_or_default();
        (quoted('"') || quoted('\'')) && value.matches(mark).count() == 2
    };
    let list = values.contains(',') && values.trim_end_matches(',').split(',').all(text);
    list.then(|| format!("{} = [{}]", key.trim(), values.trim_end_matches(',')))
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
