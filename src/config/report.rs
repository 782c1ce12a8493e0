//! What is wrong with a configuration, in the words and at the place that let it be put right.
//!
//! Promises: every message has a next step or a place; text and JSON say the same; no control character of a file
//! reaches the terminal.

use std::collections::BTreeMap;
use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value, json};

use super::source::{Kind, Place};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is not used.
    Error,
    /// It is used, and probably not what was meant.
    Warning,
}

/// Where a message points.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Spot {
    Text {
        place: Place,
        label: String,
    },
    /// `file:line:column` of something whose text is gone.
    Named {
        file: String,
        line: Option<usize>,
        column: Option<usize>,
    },
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    message: String,
    /// The first is where it is wrong, the others explain why.
    spots: Vec<Spot>,
    help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self { severity, message: message.into(), spots: Vec::new(), help: None }
    }

    /// Points at a place; the first call gives the main one.
    #[must_use]
    pub(super) fn spot(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.spots.push(Spot::Text { place: place.clone(), label: label.into() });
        self
    }

    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        let help = help.into();
        self.help = (!help.is_empty()).then_some(help);
        self
    }

    /// The main place, if its text is known.
    pub(super) fn place(&self) -> Option<&Place> {
        match self.spots.first() {
            Some(Spot::Text { place, .. }) => Some(place),
            _ => None,
        }
    }

    fn flag(&self) -> Option<&str> {
        self.place().filter(|p| p.source.kind == Kind::Flag).map(|p| p.source.name.as_str())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = match self.flag() {
            Some(flag) => format!("{flag}: {}", self.message),
            None => self.message.clone(),
        };
        let mut group = level.primary_title(title).elements(Vec::<Origin<'_>>::new());
        let mut main = AnnotationKind::Primary;
        for spot in &self.spots {
            group = with_spot(group, spot, main);
            main = AnnotationKind::Context;
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    fn to_json(&self) -> Value {
        let places: Vec<Value> = self.spots.iter().map(Spot::to_json).collect();
        json!({
            "severity": match self.severity { Severity::Error => "error", Severity::Warning => "warning" },
            "message": printable(&self.message),
            "places": places,
            "help": self.help.as_deref().map(printable),
        })
    }
}

/// Only the line in question is handed to the renderer, so that its cost does not grow with the file.
fn with_spot<'a>(group: Group<'a>, spot: &'a Spot, kind: AnnotationKind) -> Group<'a> {
    match spot {
        Spot::Named { file, line, column } => {
            let mut origin = Origin::path(file.as_str());
            if let Some(line) = line {
                origin = origin.line(*line);
            }
            if let Some(column) = column {
                origin = origin.char_column(*column);
            }
            group.element(origin)
        }
        Spot::Text { place, label } if place.source.kind == Kind::Flag => match label.as_str() {
            "" => group,
            label => group.element(Level::HELP.message(label)),
        },
        Spot::Text { place, label } => {
            let position = place.position();
            let mut annotation = kind.span(position.from..position.to);
            if !label.is_empty() {
                annotation = annotation.label(label.as_str());
            }
            group.element(
                Snippet::source(position.text)
                    .line_start(position.line)
                    .path(place.source.name.as_str())
                    .annotation(annotation),
            )
        }
    }
}

impl Spot {
    fn to_json(&self) -> Value {
        match self {
            Self::Named { file, line, column } => {
                json!({ "file": printable(file), "line": line, "column": column, "label": "" })
            }
            Self::Text { place, label } if place.source.kind == Kind::Flag => {
                json!({ "flag": place.source.name, "label": printable(label) })
            }
            Self::Text { place, label } => {
                let position = place.position();
                let length = position.text.get(position.from..position.to).unwrap_or_default();
                json!({
                    "file": printable(&place.source.name),
                    "line": position.line,
                    "column": position.column,
                    "length": length.chars().count(),
                    "label": printable(label),
                })
            }
        }
    }
}

/// Everything that was found, in the order of the files. `Display` is the full text for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    outcome: Option<&'static str>,
}

impl Report {
    /// An error without a place. `help` is the next step; it may be empty.
    #[must_use]
    pub fn error(message: impl Into<String>, help: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Error, message).help(help).into()
    }

    /// A warning without a place.
    #[must_use]
    pub fn warning(message: impl Into<String>, help: impl Into<String>) -> Self {
        Diagnostic::new(Severity::Warning, message).help(help).into()
    }

    /// An error about something declared at `file:line:column` (as in `Site::declared_at`) or by a flag.
    #[must_use]
    pub fn at(declared_at: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let mut message = message.into();
        let mut spots = Vec::new();
        if declared_at.starts_with("--") {
            message = format!("{declared_at}: {message}");
        } else {
            spots.push(named(declared_at));
        }
        let mut diagnostic = Diagnostic::new(Severity::Error, message).help(help);
        diagnostic.spots = spots;
        diagnostic.into()
    }

    /// Adds what another report found.
    pub fn extend(&mut self, other: Self) {
        self.diagnostics.extend(other.diagnostics);
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.diagnostics.retain(keep);
    }

    /// What the closing line says became of it, such as "the running configuration is unchanged".
    #[must_use]
    pub const fn with_outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = Some(outcome);
        self
    }

    #[must_use]
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    #[must_use]
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }

    /// Files in the order of their first message, and places in the order of their lines.
    pub(super) fn sort(&mut self) {
        let mut files: BTreeMap<String, usize> = BTreeMap::new();
        for place in self.diagnostics.iter().filter_map(Diagnostic::place) {
            let next = files.len();
            files.entry(place.source.name.clone()).or_insert(next);
        }
        self.diagnostics.sort_by_key(|diagnostic| {
            diagnostic.place().map_or((usize::MAX, 0), |place| {
                (files.get(&place.source.name).copied().unwrap_or(0), place.span.start)
            })
        });
    }

    /// The stable form for scripts.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "ok": self.errors() == 0,
            "errors": self.errors(),
            "warnings": self.warnings(),
            "diagnostics": self.diagnostics.iter().map(Diagnostic::to_json).collect::<Vec<_>>(),
        })
    }

    /// `2 errors, 1 warning; nothing was changed.`
    fn closing(&self) -> String {
        let count = |n: usize, word: &str| match n {
            0 => None,
            1 => Some(format!("1 {word}")),
            n => Some(format!("{n} {word}s")),
        };
        let counts = [count(self.errors(), "error"), count(self.warnings(), "warning")];
        let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let outcome =
            if self.errors() > 0 { "nothing was changed" } else { "the configuration can be used" };
        format!("{counts}; {}.", self.outcome.unwrap_or(outcome))
    }
}

/// C0 characters are made visible by the renderer; this catches C1, which some terminals obey.
fn printable(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

fn named(declared_at: &str) -> Spot {
    let number = |text: &str| text.parse::<usize>().ok();
    let mut parts = declared_at.rsplitn(3, ':');
    let (column, line, file) = (parts.next(), parts.next(), parts.next());
    match (file, line.and_then(number), column.and_then(number)) {
        (Some(file), Some(line), Some(column)) => {
            Spot::Named { file: file.to_owned(), line: Some(line), column: Some(column) }
        }
        _ => Spot::Named { file: declared_at.to_owned(), line: None, column: None },
    }
}

impl From<Diagnostic> for Report {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic], outcome: None }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return Ok(());
        }
        let renderer = Renderer::plain();
        for diagnostic in &self.diagnostics {
            let text = diagnostic.render(&renderer);
            for line in text.lines() {
                writeln!(f, "{}", printable(line.trim_end()))?;
            }
            writeln!(f)?;
        }
        writeln!(f, "{}", self.closing())
    }
}

impl std::error::Error for Report {}
