//! A part of the screen that can be written on; the only writer of its cells.
//!
//! Promises: every text goes through `text`; nothing is written outside the part.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::glyphs;
use super::text::{self, Charset};
use super::theme::{Look, Tone};

/// Text of one tone.
pub type Span = (Tone, String);

pub struct Canvas<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    look: Look,
}

impl<'a> Canvas<'a> {
    pub fn new(buffer: &'a mut Buffer, look: Look) -> Self {
        let area = buffer.area;
        Self { buffer, area, look }
    }

    /// A part of this part, by its own corner.
    pub fn part(&mut self, x: u16, y: u16, width: u16, height: u16) -> Canvas<'_> {
        let wanted = Rect {
            x: self.area.x.saturating_add(x),
            y: self.area.y.saturating_add(y),
            width,
            height,
        };
        let area = wanted.intersection(self.area);
        Canvas { buffer: self.buffer, area, look: self.look }
    }

    #[must_use]
    pub fn width(&self) -> u16 {
        self.area.width
    }

    #[must_use]
    pub fn height(&self) -> u16 {
        self.area.height
    }

    #[must_use]
    pub fn charset(&self) -> Charset {
        self.look.charset
    }

    /// Writes at most `cells` and returns how many it took.
    pub fn put(&mut self, x: u16, y: u16, cells: u16, tone: Tone, text: &str) -> u16 {
        if x >= self.area.width || y >= self.area.height {
            return 0;
        }
        let cells = cells.min(self.area.width - x);
        let style = self.look.style(tone);
        let (left, row) = (self.area.x + x, self.area.y + y);
        let mut taken = 0;
        for glyph in text::fit(text, cells, self.look.charset) {
            if let Some(cell) = self.buffer.cell_mut((left + taken, row)) {
                cell.set_symbol(&glyph.symbol).set_style(style);
            }
            for covered in 1..glyph.cells {
                if let Some(cell) = self.buffer.cell_mut((left + taken + covered, row)) {
                    cell.reset();
                }
            }
            taken += glyph.cells;
        }
        taken
    }

    /// Writes up to the right edge.
    pub fn line(&mut self, x: u16, y: u16, tone: Tone, text: &str) -> u16 {
        self.put(x, y, u16::MAX, tone, text)
    }

    /// Pieces one after another; returns where the next one would begin.
    pub fn spans(&mut self, x: u16, y: u16, spans: &[Span]) -> u16 {
        spans.iter().fold(x, |x, (tone, text)| x + self.line(x, y, *tone, text))
    }

    /// Writes so that the last cell is `x`; returns the first cell it took.
    pub fn right(&mut self, x: u16, y: u16, tone: Tone, text: &str) -> u16 {
        let wide = u16::try_from(text::width(text, self.look.charset)).unwrap_or(u16::MAX);
        let from = (x + 1).saturating_sub(wide);
        self.put(from, y, x + 1 - from, tone, text);
        from
    }

    /// A rule with a title in it, and a note at its right.
    pub fn rule(&mut self, y: u16, title: &str, note: &str) {
        let line = glyphs::rule(self.look.charset).repeat(usize::from(self.area.width));
        self.line(0, y, Tone::Quiet, &line);
        if !title.is_empty() {
            self.put(1, y, self.area.width.saturating_sub(4), Tone::Strong, &format!(" {title} "));
        }
        if !note.is_empty() {
            let edge = self.area.width.saturating_sub(3);
            self.right(edge, y, Tone::Quiet, &format!(" {note} "));
        }
    }

    /// The whole row as the selection shows.
    pub fn choose(&mut self, y: u16) {
        if y < self.area.height {
            let row = Rect { y: self.area.y + y, height: 1, ..self.area };
            self.buffer.set_style(row, self.look.style(Tone::Chosen));
        }
    }

    /// Blank from here to the right edge.
    pub fn clear_from(&mut self, x: u16, y: u16) {
        self.part(x, y, u16::MAX, 1).clear();
    }

    /// Blank, whatever was there.
    pub fn clear(&mut self) {
        for y in self.area.top()..self.area.bottom() {
            for x in self.area.left()..self.area.right() {
                if let Some(cell) = self.buffer.cell_mut((x, y)) {
                    cell.reset();
                }
            }
        }
    }

    /// A frame around the part, with a title.
    pub fn frame(&mut self, title: &str) {
        let [line, side, corners] = match self.look.charset {
            Charset::Utf8 => ["─", "│", "┌┐└┘"],
            Charset::Ascii => ["-", "|", "++++"],
        };
        let mut corners = corners.chars().map(String::from);
        let (right, bottom) =
            (self.area.width.saturating_sub(1), self.area.height.saturating_sub(1));
        let across = line.repeat(usize::from(self.area.width));
        for y in [0, bottom] {
            self.line(0, y, Tone::Quiet, &across);
        }
        for y in 1..bottom {
            self.line(0, y, Tone::Quiet, side);
            self.line(right, y, Tone::Quiet, side);
        }
        for (x, y) in [(0, 0), (right, 0), (0, bottom), (right, bottom)] {
            let corner = corners.next().unwrap_or_default();
            self.line(x, y, Tone::Quiet, &corner);
        }
        self.put(2, 0, self.area.width.saturating_sub(4), Tone::Strong, &format!(" {title} "));
    }
}
