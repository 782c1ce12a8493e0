//! The only way from text to cells of the terminal.
//!
//! Promises: whatever the text, no control byte, no bidirectional override and nothing invisible is left of it
//! (promise 56); what takes no cell of its own is bounded; a width is counted as the terminal counts it.
//! On a terminal that is not UTF-8 only printable ASCII is left: the bytes of other characters hold C1 there.

use unicode_width::UnicodeWidthChar;

use crate::base::sign;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    Ascii,
}

/// Marks that may stand on one base character; more of them paint over neighbouring lines.
const MARKS_MAX: usize = 2;

/// Stands for what is not shown.
const REPLACEMENT: char = '\u{fffd}';
const REPLACEMENT_ASCII: char = '?';

/// What one character becomes.
enum Shown {
    /// A character with the cells it takes.
    Base(char, u16),
    /// A combining mark, on the character before it.
    Mark(char),
}

/// One column of the terminal, or two of a wide character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glyph {
    pub symbol: String,
    pub cells: u16,
}

/// The glyphs of a text, cleaned.
pub fn glyphs(text: &str, charset: Charset) -> Vec<Glyph> {
    let mut glyphs: Vec<Glyph> = Vec::with_capacity(text.len());
    let mut marks = 0;
    for c in text.chars() {
        match shown(c, charset) {
            Shown::Base(c, cells) => {
                marks = 0;
                glyphs.push(Glyph { symbol: c.into(), cells });
            }
            Shown::Mark(c) => match glyphs.last_mut() {
                Some(base) if base.symbol != " " => {
                    marks += 1;
                    if marks <= MARKS_MAX {
                        base.symbol.push(c);
                    }
                }
                _ => glyphs.push(Glyph { symbol: REPLACEMENT.into(), cells: 1 }),
            },
        }
    }
    glyphs
}

/// Cells that the text takes once it is cleaned.
#[must_use]
pub fn width(text: &str, charset: Charset) -> usize {
    glyphs(text, charset).iter().map(|glyph| usize::from(glyph.cells)).sum()
}

/// The glyphs that fit into `cells`; where something is cut, the last one says so.
pub fn fit(text: &str, cells: u16, charset: Charset) -> Vec<Glyph> {
    let mut all = glyphs(text, charset);
    let whole: usize = all.iter().map(|glyph| usize::from(glyph.cells)).sum();
    if whole <= usize::from(cells) {
        return all;
    }
    let room = cells.saturating_sub(1);
    let mut taken = 0;
    let keep = all
        .iter()
        .take_while(|glyph| {
            taken += glyph.cells;
            taken <= room
        })
        .count();
    all.truncate(keep);
    if cells > 0 {
        let symbol = if charset == Charset::Ascii { "~" } else { "…" };
        all.push(Glyph { symbol: symbol.into(), cells: 1 });
    }
    all
}

/// The text cleaned and cut to `cells`, for lines that are no cells of a screen.
#[must_use]
pub fn cut(text: &str, cells: u16, charset: Charset) -> String {
    fit(text, cells, charset).into_iter().map(|glyph| glyph.symbol).collect()
}

/// Lines of at most `cells`, broken at blanks where there are any. A line break of the text breaks here too.
#[must_use]
pub fn wrap(text: &str, cells: u16, charset: Charset) -> Vec<String> {
    let cells = usize::from(cells.max(1));
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let (mut line, mut taken) = (String::new(), 0);
        for word in paragraph.split(' ') {
            let wide = width(word, charset);
            if taken > 0 && taken + 1 + wide > cells {
                lines.push(std::mem::take(&mut line));
                taken = 0;
            } else if taken > 0 {
                line.push(' ');
                taken += 1;
            }
            for glyph in glyphs(word, charset) {
                let wide = usize::from(glyph.cells);
                if taken + wide > cells && taken > 0 {
                    lines.push(std::mem::take(&mut line));
                    taken = 0;
                }
                line.push_str(&glyph.symbol);
                taken += wide;
            }
        }
        lines.push(line);
    }
    lines
}

fn shown(c: char, charset: Charset) -> Shown {
    match (c, charset) {
        ('\t', _) => Shown::Base(' ', 1),
        (' '..='~', _) => Shown::Base(c, 1),
        (_, Charset::Ascii) => Shown::Base(own_in_ascii(c), 1),
        (c, Charset::Utf8) => match (sign(c), c.width()) {
            (Some(sign), _) => Shown::Base(sign, 1),
            (None, Some(0)) => Shown::Mark(c),
            (None, Some(cells)) => Shown::Base(c, u16::try_from(cells).unwrap_or(1)),
            (None, None) => Shown::Base(REPLACEMENT, 1),
        },
    }
}

/// The few characters of our own words that have an ASCII form.
const fn own_in_ascii(c: char) -> char {
    match c {
        'µ' => 'u',
        '…' => '~',
        '·' => '.',
        '–' | '—' => '-',
        '‘' | '’' => '\'',
        '“' | '”' => '"',
        _ => REPLACEMENT_ASCII,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf8(text: &str) -> String {
        cut(text, u16::MAX, Charset::Utf8)
    }

    #[test]
    fn control_characters_show_as_what_they_are() {
        assert_eq!(utf8("a\x1b]0;x\x07b\x7f\r\n\tc"), "a␛]0;x␇b␡␍␊ c");
        assert_eq!(utf8("\u{9b}2J\u{9d}0;\u{9c}"), "\u{fffd}2J\u{fffd}0;\u{fffd}");
    }

    #[test]
    fn what_turns_text_around_or_hides_in_it_shows() {
        assert_eq!(utf8("user\u{202e}nimda"), "user\u{fffd}nimda");
        assert_eq!(utf8("a\u{200b}b\u{feff}c\u{2066}d\u{ad}e"), "a�b�c�d�e");
        assert_eq!(utf8("\u{1f44d}\u{1f3fd}\u{fe0f}"), "\u{1f44d}��");
    }

    #[test]
    fn marks_stay_few_and_never_stand_alone() {
        let zalgo = format!("e{}x", "\u{301}".repeat(50));
        assert_eq!(utf8(&zalgo), "e\u{301}\u{301}x");
        assert_eq!(width(&zalgo, Charset::Utf8), 2);
        assert_eq!(utf8("\u{301}a \u{301}"), "�a �");
    }

    #[test]
    fn a_cut_is_by_cells_and_says_so() {
        assert_eq!(cut("abcdef", 4, Charset::Utf8), "abc…");
        assert_eq!(cut("尺寸尺寸", 5, Charset::Utf8), "尺寸…");
        assert_eq!(cut("尺寸尺寸", 4, Charset::Utf8), "尺…");
        assert_eq!(cut("ab", 0, Charset::Utf8), "");
        assert_eq!(cut("größe 3 µs", 9, Charset::Ascii), "gr??e 3 ~");
    }

    #[test]
    fn long_text_wraps_at_blanks_and_long_words_anywhere() {
        assert_eq!(wrap("port 80 is closed", 8, Charset::Utf8), ["port 80", "is", "closed"]);
        assert_eq!(wrap("abcdefgh ij", 5, Charset::Utf8), ["abcde", "fgh", "ij"]);
        assert_eq!(wrap("a\nb", 5, Charset::Utf8), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn whatever_the_text_nothing_but_cells_is_left(text in "(\\p{Cc}|\\p{Cf}|\\p{M}|.){0,60}", cells in 0_u16..40) {
            for charset in [Charset::Utf8, Charset::Ascii] {
                let glyphs = fit(&text, cells, charset);
                let taken: u16 = glyphs.iter().map(|glyph| glyph.cells).sum();
                prop_assert!(taken <= cells);
                for c in glyphs.iter().flat_map(|glyph| glyph.symbol.chars()) {
                    prop_assert!(sign(c).is_none(), "{:?}", c);
                    prop_assert!(charset == Charset::Utf8 || c.is_ascii());
                }
                for line in wrap(&text, cells, charset) {
                    prop_assert!(width(&line, charset) <= usize::from(cells.max(2)));
                }
            }
        }
    }
}
