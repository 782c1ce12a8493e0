//! What words and numbers look like: the terminal's own 16 colours, on its own background.
//!
//! Promises: nothing is told by colour alone; without colour, weight and reverse are left.

use ratatui::style::{Color, Modifier, Style};

use super::text::Charset;

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    /// Titles, units, what may be overlooked.
    Quiet,
    /// What the eye should find.
    Strong,
    Good,
    Warn,
    Bad,
    /// Charts and bars.
    Chart,
    /// The selection, and the cursor of a prompt.
    Chosen,
}

/// How the terminal is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub colour: bool,
    pub charset: Charset,
}

impl Look {
    /// From what the environment says of the terminal: `NO_COLOR` (no-color.org), `TERM`, and the locale, which is the
    /// first of `LC_ALL`, `LC_CTYPE` and `LANG` that is not empty (POSIX.1, 8.2).
    #[must_use]
    pub fn of(get: impl Fn(&'static str) -> Option<String>, ascii: bool) -> Self {
        let get = |name| get(name).filter(|value| !value.is_empty());
        let term = get("TERM").unwrap_or_default();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(get).unwrap_or_default();
        let locale = locale.to_ascii_lowercase().replace('-', "");
        let plain = ascii || matches!(term.as_str(), "linux" | "dumb") || !locale.contains("utf8");
        Self {
            colour: get("NO_COLOR").is_none() && term != "dumb",
            charset: if plain { Charset::Ascii } else { Charset::Utf8 },
        }
    }

    #[must_use]
    pub fn style(&self, tone: Tone) -> Style {
        let plain = Style::new();
        let painted = |colour: Color| if self.colour { plain.fg(colour) } else { plain };
        match tone {
            Tone::Plain => plain,
            Tone::Quiet => plain.add_modifier(Modifier::DIM),
            Tone::Strong => plain.add_modifier(Modifier::BOLD),
            Tone::Good => painted(Color::Green),
            Tone::Warn => painted(Color::Yellow).add_modifier(Modifier::BOLD),
            Tone::Bad => painted(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Chart => painted(Color::Cyan),
            Tone::Chosen => plain.add_modifier(Modifier::REVERSED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(variables: &[(&str, &str)], ascii: bool) -> (bool, bool) {
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let look = Look::of(get, ascii);
        (look.colour, look.charset == Charset::Ascii)
    }

    #[test]
    fn the_terminal_is_taken_for_what_it_says_it_is() {
        let good = [("TERM", "xterm-256color"), ("LANG", "en_US.UTF-8")];
        assert_eq!(look(&good, false), (true, false));
        assert_eq!(look(&good, true), (true, true));
        assert_eq!(look(&[("TERM", "linux"), ("LANG", "C.utf8")], false), (true, true));
        assert_eq!(look(&[("TERM", "dumb"), ("LANG", "C.UTF-8")], false), (false, true));
        assert_eq!(
            look(&[("TERM", "xterm"), ("LC_ALL", "C"), ("LANG", "C.UTF-8")], false),
            (true, true)
        );
        assert_eq!(look(&[("NO_COLOR", "1"), ("LC_CTYPE", "de_DE.utf8")], false), (false, false));
        assert_eq!(
            look(&[("NO_COLOR", ""), ("LC_ALL", ""), ("LANG", "C.UTF-8")], false),
            (true, false)
        );
    }
}
