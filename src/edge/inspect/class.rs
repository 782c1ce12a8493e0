//! What each byte of a head may be, and how far a run of such bytes goes.

/// A character of a token: methods, field names (RFC 9110 §5.6.2).
pub(super) const TOKEN: u8 = 1;
/// Visible ASCII: what a target may be made of before it is looked at more closely.
pub(super) const VISIBLE: u8 = 2;
/// A character of a host and port as they are used: names, addresses, brackets.
pub(super) const HOST: u8 = 4;
/// A character of a chunk extension.
pub(super) const EXTENSION: u8 = 8;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let byte = at as u8;
        let name = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let token = name
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|' | b'~'
            );
        let visible = matches!(byte, 0x21..=0x7e);
        let host = name || matches!(byte, b':' | b'[' | b']');
        let extension = visible || byte == b' ' || byte == b'\t';
        let classes = ((token as u8) * TOKEN)
            | ((visible as u8) * VISIBLE)
            | ((host as u8) * HOST)
            | ((extension as u8) * EXTENSION);
        #[expect(clippy::indexing_slicing, reason = "below 256")]
        {
            table[at] = classes;
        }
        at += 1;
    }
    table
}

pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASS.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// Position of the first byte from `from` that is not of the class; the length if there is none.
pub(super) fn run(bytes: &[u8], from: usize, class: u8) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    match rest.iter().position(|byte| !is(*byte, class)) {
        Some(stop) => from + stop,
        None => bytes.len(),
    }
}

/// Position of the first control character from `from`, HTAB among them; the length if there is none.
///
/// Eight bytes at a time: most of a head are values.
pub(super) fn text(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    let mut at = from;
    for word in words {
        let controls = controls(u64::from_le_bytes(*word));
        if controls != 0 {
            return at + controls.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    match tail.iter().position(u8::is_ascii_control) {
        Some(stop) => at + stop,
        None => bytes.len(),
    }
}

/// The high bit of each byte below 0x20 or equal to 0x7f. Only the lowest such bit is exact, since a borrow may set
/// others above it; nobody looks at those.
const fn controls(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES * 0x80;
    let below = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    let delete = word ^ (ONES * 0x7f);
    let delete = delete.wrapping_sub(ONES) & !delete & HIGH;
    below | delete
}

/// Without spaces and tabs at both ends.
pub(super) fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    let expected = if byte.is_ascii_control() { at } else { length };
                    assert_eq!(text(&bytes, 0), expected, "{byte} at {at} of {length}");
                }
            }
        }
        assert_eq!(text(&[0xff, 0x80, 0x7e, 0x20, 0x9f, 0xa0, 0x7f, 0x00], 0), 6);
        assert_eq!(text(b"a\tb\rc", 2), 3);
    }

    #[test]
    fn a_run_ends_at_the_first_byte_of_another_kind() {
        assert_eq!(run(b"content-type: x", 0, TOKEN), 12);
        assert_eq!(run(b"/a?b c", 0, VISIBLE), 4);
        assert_eq!(run(b"ab", 0, TOKEN), 2);
        assert_eq!(run(b"ab", 7, TOKEN), 2);
    }
}
