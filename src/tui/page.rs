//! One thing in full: what Enter shows. Lines are wrapped when they are made, so that scrolling counts them.

use super::canvas::{Canvas, Span};
use super::table::Narrow;
use super::text;
use super::theme::{Look, Tone};

/// Where values stand, behind their labels.
pub const LABEL_CELLS: u16 = 11;

#[derive(Debug, Clone)]
pub struct Page {
    pub title: String,
    /// What is copied.
    pub id: String,
    pub facts: Vec<Narrow>,
    lines: Vec<Vec<Span>>,
    width: u16,
    look: Look,
}

impl Page {
    #[must_use]
    pub fn new(title: impl Into<String>, id: impl Into<String>, width: u16, look: Look) -> Self {
        let (title, id) = (title.into(), id.into());
        Self {
            title,
            id,
            facts: Vec::new(),
            lines: Vec::new(),
            width: width.saturating_sub(2),
            look,
        }
    }

    #[must_use]
    pub fn look(&self) -> Look {
        self.look
    }

    pub fn blank(&mut self) {
        self.lines.push(Vec::new());
    }

    pub fn heading(&mut self, text: impl Into<String>) {
        self.lines.push(vec![(Tone::Strong, text.into())]);
    }

    /// A line as it is; cut at the edge.
    pub fn spans(&mut self, spans: Vec<Span>) {
        self.lines.push(spans);
    }

    pub fn text(&mut self, tone: Tone, text: &str) {
        for line in text::wrap(text, self.width, self.look.charset) {
            self.lines.push(vec![(tone, line)]);
        }
    }

    /// A label and what belongs to it; nothing of it where there is no value.
    pub fn field(&mut self, label: &str, tone: Tone, value: &str) {
        let room = self.width.saturating_sub(LABEL_CELLS);
        for (at, line) in text::wrap(value, room, self.look.charset).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            let label = format!("{label:<0$}", usize::from(LABEL_CELLS));
            self.lines.push(vec![(Tone::Quiet, label), (tone, line)]);
        }
    }

    #[must_use]
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    #[cfg(test)]
    pub fn plain(&self) -> String {
        let line = |spans: &Vec<Span>| spans.iter().map(|(_, text)| text.as_str()).collect();
        self.lines.iter().map(line).collect::<Vec<String>>().join("\n")
    }

    pub fn draw(&self, canvas: &mut Canvas<'_>, scroll: usize) {
        let more = self.lines.len() > scroll + usize::from(canvas.height().saturating_sub(1));
        canvas.rule(0, &self.title, if more { "more below" } else { "" });
        for (y, spans) in (1..canvas.height()).zip(self.lines.iter().skip(scroll)) {
            canvas.spans(1, y, spans);
        }
    }
}
