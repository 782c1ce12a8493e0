//! The only way to the terminal.
//!
//! Promises: no C0, C1 or ESC byte from data ever reaches a terminal (promise 56), nothing that turns text around or
//! hides in it, and a sign stands where one was; colour only on a terminal that wants it, and never as the only sign; a closed pipe ends nothing but the output.

use std::io::{BufRead, IsTerminal, Read, Write};

use serde::Serialize;

use crate::base::{escape_json, sign};
use crate::sys;

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Strong,
    Good,
    Warn,
    Bad,
}

impl Tone {
    /// SGR parameter (ECMA-48 §8.3.117), from the terminal's own 16 colours.
    const fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Strong => "1",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        }
    }
}

/// Lines of text for people; data in it is cleaned when it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Line {
    spans: Vec<(Tone, String)>,
    /// How far the rest is indented where the line has to be broken; a line without it is never broken.
    hang: Option<usize>,
}

impl Page {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A line as it is; trailing blanks go.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.spans([(Tone::Plain, text.as_ref().trim_end().to_owned())]);
    }

    pub fn blank(&mut self) {
        self.line("");
    }

    /// A line of several tones.
    pub fn spans<const N: usize>(&mut self, spans: [(Tone, String); N]) {
        self.lines.push(Line { spans: spans.into(), hang: None });
    }

    /// A line whose last span may be broken on a terminal, the rest indented by `hang`.
    pub fn broken<const N: usize>(&mut self, hang: usize, spans: [(Tone, String); N]) {
        self.lines.push(Line { spans: spans.into(), hang: Some(hang) });
    }

    /// Without tones: what goes into a pipe.
    #[must_use]
    pub fn plain(&self) -> String {
        self.text(false, None)
    }

    fn text(&self, colour: bool, width: Option<usize>) -> String {
        let mut text = String::new();
        for Line { spans, hang } in &self.lines {
            let mut used = 0;
            for (at, (tone, span)) in spans.iter().enumerate() {
                let span = one_line(span);
                let span = match (width, hang) {
                    (Some(width), Some(hang)) if at + 1 == spans.len() => {
                        wrapped(&span, used, width, *hang)
                    }
                    _ => span,
                };
                used += span.chars().count();
                if colour && *tone != Tone::Plain && !span.is_empty() {
                    text.push_str(&format!("\x1b[{}m{span}\x1b[0m", tone.sgr()));
                } else {
                    text.push_str(&span);
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Breaks `text` at blanks so that it ends before column `width`; `used` columns of its first line are taken. A word
/// that is longer than a line stays whole, so that it can be copied.
fn wrapped(text: &str, used: usize, width: usize, hang: usize) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut column = used;
    for (at, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        let blank = usize::from(at > 0);
        if blank == 1 && !word.is_empty() && column > hang && column + 1 + length > width {
            lines.truncate(lines.trim_end().len());
            lines.push('\n');
            lines.push_str(&" ".repeat(hang));
            column = hang + length;
        } else {
            lines.push_str(&" ".repeat(blank));
            column += blank + length;
        }
        lines.push_str(word);
    }
    lines
}

/// Standard output and standard error of one command.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    colour: bool,
    /// A line on standard error can be written over.
    rewrite: bool,
}

/// Characters of a progress line: one that wrapped could not be taken back.
const PROGRESS_WIDTH: usize = 72;
/// Longest line that is read as an answer.
const ANSWER_BYTES_MAX: u64 = 1024;
/// Back to the first column, and clear the line (ECMA-48 §8.3.41, EL).
const OVERWRITE: &str = "\r\x1b[K";

impl Output {
    /// Colour on a terminal, unless `NO_COLOR` (no-color.org) or `TERM=dumb` say otherwise.
    #[must_use]
    pub fn new(no_color: Option<&str>, term: Option<&str>) -> Self {
        let wanted = no_color.is_none_or(str::is_empty) && term != Some("dumb");
        let rewrite = term != Some("dumb") && std::io::stderr().is_terminal();
        Self { colour: wanted && std::io::stdout().is_terminal(), rewrite }
    }

    /// The same from the environment of a command.
    #[must_use]
    pub fn of(environment: &crate::config::Environment) -> Self {
        Self::new(environment.get("NO_COLOR"), environment.get("TERM"))
    }

    /// A page to standard output.
    pub fn page(&self, page: &Page) {
        let width = sys::terminal::columns(std::io::stdout());
        write(std::io::stdout().lock(), &page.text(self.colour, width));
    }

    /// A page to standard error.
    pub fn complain_page(&self, page: &Page) {
        let width = sys::terminal::columns(std::io::stderr());
        write(std::io::stderr().lock(), &page.text(false, width));
    }

    /// Lines to standard output.
    pub fn say(&self, text: impl AsRef<str>) {
        write(std::io::stdout().lock(), &ended(&clean(text.as_ref())));
    }

    /// Lines to standard error.
    pub fn complain(&self, text: impl AsRef<str>) {
        write(std::io::stderr().lock(), &ended(&clean(text.as_ref())));
    }

    /// Lines of something that goes on; false when nobody reads them any more.
    #[must_use]
    pub fn stream(&self, page: &Page) -> bool {
        write(std::io::stdout().lock(), &page.text(self.colour, None))
    }

    /// One line of JSON of something that goes on; false when nobody reads it any more.
    #[must_use]
    pub fn json_line<T: Serialize>(&self, value: &T) -> bool {
        let text = serde_json::to_string(value).unwrap_or_else(|_| "null".into());
        write(std::io::stdout().lock(), &ended(&escape_json(&text)))
    }

    /// What a long call is doing and for how long: on a terminal one line that is written over, elsewhere a plain
    /// line whenever the words have changed. To standard error.
    pub fn progress(&self, doing: &str, elapsed_s: u64, said: &mut String) {
        if self.rewrite {
            let line: String = one_line(doing).chars().take(PROGRESS_WIDTH).collect();
            write(std::io::stderr().lock(), &format!("{OVERWRITE}{line} {elapsed_s} s"));
        } else if said != doing {
            self.complain(one_line(doing));
        }
        doing.clone_into(said);
    }

    /// Takes the progress line back.
    pub fn progress_end(&self) {
        if self.rewrite {
            write(std::io::stderr().lock(), OVERWRITE);
        }
    }

    /// The stable form for scripts.
    pub fn json<T: Serialize>(&self, value: &T) {
        let text = serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".into());
        write(std::io::stdout().lock(), &ended(&escape_json(&text)));
    }

    /// What palisade itself wrote for another program: a completion script, a manual page. Never data.
    pub fn verbatim(&self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    /// A question on standard error; the answer is yes only for `y` or `yes`.
    #[must_use]
    pub fn confirm(&self, question: &str) -> bool {
        let answer = self.ask(&format!("{question} [y/N]")).unwrap_or_default();
        matches!(answer.to_lowercase().as_str(), "y" | "yes")
    }

    /// A question on standard error; `None` where nothing was answered.
    #[must_use]
    pub fn ask(&self, question: &str) -> Option<String> {
        write(std::io::stderr().lock(), &format!("{} ", clean(question)));
        Self::answer()
    }

    /// A line of standard input, of at most [`ANSWER_BYTES_MAX`]; `None` where there is none or nothing in it.
    #[must_use]
    pub fn answer() -> Option<String> {
        let mut answer = String::new();
        std::io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer).ok()?;
        Some(answer.trim().to_owned()).filter(|answer| !answer.is_empty())
    }
}

/// False when the reader has gone (`palisade status | head -1`); that is its right.
fn write(mut to: impl Write, text: &str) -> bool {
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).is_ok()
}

fn ended(text: &str) -> String {
    format!("{}\n", text.trim_end_matches('\n'))
}

/// A sign for everything that a terminal obeys or hides, as the dashboard has it, but the line break; a tab becomes a
/// blank. Covers C0, DEL and C1 (ECMA-48), and what turns text around.
#[must_use]
pub fn clean(text: &str) -> String {
    let visible = |c: char| match c {
        '\n' => '\n',
        '\t' => ' ',
        c => sign(c).unwrap_or(c),
    };
    text.chars().map(visible).collect()
}

/// For data inside a line: it cannot start another one either.
#[must_use]
pub fn one_line(text: &str) -> String {
    clean(text).replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_from_data_reaches_the_terminal() {
        let hostile = "a\x1b[31mb\x07c\u{9b}2Jd\u{7f}e\r\x08f\tg\nh\u{9d}0;x\u{9c}";
        let shown = "a␛[31mb␇c\u{fffd}2Jd␡e␍␈f g\nh\u{fffd}0;x\u{fffd}";
        assert_eq!(clean(hostile), shown);
        assert_eq!(
            clean("user\u{202e}nimda \u{200b}\u{2066}x"),
            "user\u{fffd}nimda \u{fffd}\u{fffd}x"
        );
        assert_eq!(one_line("a\nFAIL b"), "a FAIL b");
        let mut page = Page::new();
        page.spans([(Tone::Bad, "FAIL".into()), (Tone::Plain, hostile.into())]);
        let shown = shown.replace('\n', " ");
        assert_eq!(page.text(true, None), format!("\x1b[31mFAIL\x1b[0m{shown}\n"));
        assert_eq!(page.plain(), format!("FAIL{shown}\n"));
    }

    #[test]
    fn a_long_line_is_broken_on_a_terminal_with_its_rest_indented_and_nowhere_else() {
        let mut page = Page::new();
        let text = "one two three four https://a.example.com/longer-than-a-line five".to_owned();
        page.broken(4, [(Tone::Warn, "  WARN".into()), (Tone::Plain, format!("  {text}"))]);
        page.line("this line stays as it is, however long it may be");
        assert_eq!(page.plain().lines().count(), 2);
        assert_eq!(
            page.text(false, Some(20)),
            "  WARN  one two\n    three four\n    https://a.example.com/longer-than-a-line\n    five\n\
             this line stays as it is, however long it may be\n"
        );
        assert!(page.text(true, Some(20)).starts_with("\x1b[33m  WARN\x1b[0m  one two\n"));
    }

    #[test]
    fn json_stays_json_without_what_a_terminal_obeys_or_hides() {
        let hostile = "a\x1b\u{9b}\u{7f}\nb\u{202e}c\u{e0041}";
        let text = serde_json::to_string_pretty(&[hostile]).expect("JSON");
        let escaped = escape_json(&text);
        assert!(!escaped.chars().any(|c| sign(c).is_some() && c != '\n'), "{escaped:?}");
        let back: Vec<String> = serde_json::from_str(&escaped).expect("still JSON");
        assert_eq!(back, [hostile]);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_data_only_line_breaks_are_left_of_control_characters(text in "\\PC*|(\\p{Cc}|\\p{Cf}|.)*") {
            proptest::prop_assert!(!clean(&text).chars().any(|c| sign(c).is_some() && c != '\n'));
            proptest::prop_assert!(!one_line(&text).chars().any(|c| sign(c).is_some()));
            proptest::prop_assert_eq!(clean(&text).chars().count(), text.chars().count());
        }
    }

    #[test]
    fn unicode_stays() {
        assert_eq!(clean("größe 尺寸 …"), "größe 尺寸 …");
    }
}
