//! Bars and charts made of characters. Pure.
//!
//! Charts of several lines are braille, of one line blocks; without Unicode both are ASCII. A value above zero always
//! shows, however small it is beside the largest.

use super::text::Charset;

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const ASCII: [char; 5] = [' ', '.', ':', '+', '#'];
/// Dots of the left and right column of a braille cell, from the bottom (Unicode 16, U+2800).
const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];

/// `rows` lines of `width` cells, the newest value at the right. `end` counts the values since the begin of time: where
/// several share a cell, it keeps them together, so that a chart moves by whole cells and rarely.
#[must_use]
pub fn chart(values: &[u64], end: u64, width: u16, rows: u16, charset: Charset) -> Vec<String> {
    let (width, rows) = (usize::from(width), usize::from(rows));
    let braille = charset == Charset::Utf8 && rows > 1;
    let (across, steps) = match charset {
        Charset::Utf8 if braille => (2, 4),
        Charset::Utf8 => (1, BLOCKS.len() - 1),
        Charset::Ascii => (1, ASCII.len() - 1),
    };
    let slots = width * across;
    let shown = resample(values, end, slots);
    let top = shown.iter().copied().max().unwrap_or(0);
    let heights: Vec<usize> = shown.iter().map(|value| height(*value, top, rows * steps)).collect();
    let height_at = |slot: usize| {
        let missing = slots - heights.len();
        slot.checked_sub(missing).and_then(|at| heights.get(at)).copied().unwrap_or(0)
    };
    (0..rows)
        .rev()
        .map(|row| {
            let step = |slot: usize| height_at(slot).saturating_sub(row * steps).min(steps);
            (0..width)
                .map(|x| match charset {
                    Charset::Utf8 if braille => dots(step(2 * x), step(2 * x + 1)),
                    Charset::Utf8 => BLOCKS.get(step(x)).copied().unwrap_or('█'),
                    Charset::Ascii => ASCII.get(step(x)).copied().unwrap_or('#'),
                })
                .collect()
        })
        .collect()
}

/// `part` of `whole` as a bar of `width` cells; blank beyond it.
#[must_use]
pub fn bar(part: u64, whole: u64, width: u16, charset: Charset) -> String {
    let width = usize::from(width);
    let steps = if charset == Charset::Utf8 { 8 } else { 1 };
    let filled = height(part, whole, width * steps);
    (0..width)
        .map(|x| match (filled.saturating_sub(x * steps).min(steps), charset) {
            (0, _) => ' ',
            (_, Charset::Ascii) => '#',
            (full, _) => EIGHTHS.get(full).copied().unwrap_or('█'),
        })
        .collect()
}

/// The same with its unfilled part visible: for what runs out.
#[must_use]
pub fn gauge(part: u64, whole: u64, width: u16, charset: Charset) -> String {
    let (full, empty) = if charset == Charset::Utf8 { ('█', '░') } else { ('#', '-') };
    let filled = height(part, whole, usize::from(width));
    (0..usize::from(width)).map(|x| if x < filled { full } else { empty }).collect()
}

/// A line across.
#[must_use]
pub const fn rule(charset: Charset) -> &'static str {
    match charset {
        Charset::Utf8 => "─",
        Charset::Ascii => "-",
    }
}

fn dots(left: usize, right: usize) -> char {
    let bits = LEFT.get(left).unwrap_or(&0) | RIGHT.get(right).unwrap_or(&0);
    if bits == 0 { ' ' } else { char::from_u32(0x2800 + bits).unwrap_or(' ') }
}

fn height(value: u64, top: u64, steps: usize) -> usize {
    if value == 0 || top == 0 {
        return 0;
    }
    let scaled = u128::from(value) * steps as u128 / u128::from(top);
    usize::try_from(scaled).unwrap_or(steps).clamp(1, steps.max(1))
}

/// At most `slots` values: each the largest of those it stands for, so that a peak is never lost.
fn resample(values: &[u64], end: u64, slots: usize) -> Vec<u64> {
    if slots == 0 {
        return Vec::new();
    }
    let each = values.len().div_ceil(slots).max(1);
    let newest = usize::try_from(end % each as u64).unwrap_or(0).min(values.len());
    let (whole, begun) = values.split_at(values.len() - newest);
    let (rest, whole) = whole.split_at(whole.len() % each);
    let groups = [rest].into_iter().chain(whole.chunks(each)).chain([begun]);
    let largest = groups.filter_map(|group| group.iter().copied().max());
    let mut shown: Vec<u64> = largest.collect();
    shown.drain(..shown.len().saturating_sub(slots));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_blocks_keeps_peaks_and_small_values() {
        assert_eq!(chart(&[0, 1, 50, 100], 0, 4, 1, Charset::Utf8), [" ▁▄█"]);
        assert_eq!(chart(&[0, 1, 50, 100], 0, 4, 1, Charset::Ascii), [" .:#"]);
        assert_eq!(chart(&[9, 0, 0, 9, 0, 0], 0, 3, 1, Charset::Utf8), ["██ "]);
        assert_eq!(chart(&[9, 0, 0, 9, 0, 0], 1, 3, 1, Charset::Utf8), [" █ "]);
        assert_eq!(chart(&[5], 0, 3, 1, Charset::Utf8), ["  █"]);
        assert_eq!(chart(&[], 0, 3, 1, Charset::Utf8), ["   "]);
        assert_eq!(chart(&[1], 0, 0, 1, Charset::Utf8), [""]);
    }

    #[test]
    fn several_lines_are_braille() {
        assert_eq!(chart(&[1, 8, 4, 8], 0, 2, 2, Charset::Utf8), ["⢸⢸", "⣸⣿"]);
        assert_eq!(chart(&[4, 8], 0, 2, 2, Charset::Ascii), [" #", "##"]);
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1, 2, 4, Charset::Utf8), "██  ");
        assert_eq!(bar(1, 16, 4, Charset::Utf8), "▎   ");
        assert_eq!(bar(9, 0, 2, Charset::Utf8), "  ");
        assert_eq!(bar(1, 2, 4, Charset::Ascii), "##  ");
        assert_eq!(gauge(3, 4, 4, Charset::Utf8), "███░");
        assert_eq!(gauge(9, 4, 4, Charset::Ascii), "####");
    }
}
