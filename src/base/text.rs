//! Texts made fit for where they go: of bounded length, without control characters and without what hides.

/// At most `bytes_max` bytes of a text, which then ends in `…`.
#[must_use]
pub fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// Stands for what shows nothing by itself.
const REPLACEMENT: char = '\u{fffd}';

/// What is shown in place of a character that a terminal would obey, or would not show; `None` for all others. A control
/// character has a picture (U+2400 and on), so that one sees what was sent.
#[must_use]
pub fn sign(c: char) -> Option<char> {
    match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)),
        '\x7f' => Some('\u{2421}'),
        c if is_invisible(c) => Some(REPLACEMENT),
        _ => None,
    }
}

/// Characters that show nothing, change the order of others, or join them into something else (Unicode 16:
/// `Default_Ignorable_Code_Point`, `Bidi_Control`, C1, line and paragraph separators, private use, noncharacters, the
/// emoji modifiers, whose width depends on what stands before them).
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(u32::from(c),
        0x80..=0x9f | 0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
        | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff
        | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
        | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0x1f3fb..=0x1f3ff | 0xe0000..=0xe0fff
        | 0xf0000..=0x10_ffff)
        || u32::from(c) & 0xfffe == 0xfffe
}

/// serde_json escapes C0 inside strings; DEL, C1 and what is invisible are legal JSON and still reach the terminal.
#[must_use]
pub fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && sign(c).is_some() {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}
