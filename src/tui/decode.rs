//! Bytes of a terminal to keys (ECMA-48 sequences, xterm's SGR mouse reports and bracketed paste). Pure.
//!
//! Promises: whatever the bytes, none is taken for a key that nobody pressed: an unknown sequence is dropped whole.
//! Bounds: a sequence of 64 bytes, a paste of 4 KiB.

use super::event::{Event, Key};
use super::input::Input;

const SEQUENCE_MAX: usize = 64;
const PASTE_MAX: usize = 4 * 1024;
const ESC: u8 = 0x1b;

/// What has come and is no whole key yet.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    paste: Option<Vec<u8>>,
}

/// What the begin of the bytes is.
enum Found {
    /// So many bytes, and what they mean, if anything.
    Whole(usize, Option<Event>),
    PasteBegins(usize),
    PasteEnds(usize),
    More,
}

impl Decoder {
    /// Takes bytes in whatever pieces they come.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Input> {
        self.pending.extend_from_slice(bytes);
        let mut inputs = Vec::new();
        while !self.pending.is_empty() {
            let used = match (first(&self.pending), &mut self.paste) {
                (Found::More, _) if self.pending.len() < SEQUENCE_MAX => break,
                (Found::More, _) => self.pending.len(),
                (Found::PasteBegins(used), _) => {
                    self.paste = Some(Vec::new());
                    used
                }
                (Found::PasteEnds(used), paste) => {
                    let text = paste.take().unwrap_or_default();
                    inputs.push(Input::Paste(String::from_utf8_lossy(&text).into_owned()));
                    used
                }
                (Found::Whole(used, _), Some(paste)) => {
                    if paste.len() < PASTE_MAX {
                        paste.extend(self.pending.iter().take(used));
                    }
                    used
                }
                (Found::Whole(used, event), None) => {
                    inputs.extend(event.map(Input::Event));
                    used
                }
            };
            self.pending.drain(..used.clamp(1, self.pending.len()));
        }
        inputs
    }

    /// Whether a byte may follow that changes what the last ones mean.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// None has followed: a lone escape is the key, the begin of anything else is nothing.
    pub fn settle(&mut self) -> Option<Input> {
        let alone = self.pending == [ESC];
        self.pending.clear();
        alone.then_some(Input::Event(Event::Key(Key::Esc)))
    }
}

fn first(bytes: &[u8]) -> Found {
    let key = |key: Key| Found::Whole(1, Some(Event::Key(key)));
    match bytes {
        [] | [ESC] => Found::More,
        [ESC, b'[', rest @ ..] => sequence(rest),
        [ESC, b'O'] => Found::More,
        [ESC, b'O', letter, ..] => Found::Whole(3, named(*letter).map(Event::Key)),
        // Two keys that came at once, or the second one with Alt: they are the same bytes.
        [ESC, ..] => key(Key::Esc),
        [b'\r' | b'\n', ..] => key(Key::Enter),
        [b'\t', ..] => key(Key::Tab),
        [0x08 | 0x7f, ..] => key(Key::Backspace),
        [control @ 1..=0x1a, ..] => key(Key::Ctrl(char::from(control + b'a' - 1))),
        [0..=0x1f, ..] => Found::Whole(1, None),
        [lead, ..] => character(bytes, *lead),
    }
}

fn character(bytes: &[u8], lead: u8) -> Found {
    let length = match lead {
        ..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Found::Whole(1, None),
    };
    let Some(whole) = bytes.get(..length) else { return Found::More };
    let text = std::str::from_utf8(whole).ok();
    match text.and_then(|text| text.chars().next()) {
        Some(c) => Found::Whole(length, Some(Event::Key(Key::Char(c)))),
        None => Found::Whole(1, None),
    }
}

/// What follows `ESC [`: parameters, then one final byte (ECMA-48 §5.4).
fn sequence(rest: &[u8]) -> Found {
    let Some(at) = rest.iter().position(|byte| !(0x20..0x40).contains(byte)) else {
        return Found::More;
    };
    let (parameters, last) = (rest.get(..at).unwrap_or_default(), rest.get(at).copied());
    let used = at + 3;
    let text = std::str::from_utf8(parameters).unwrap_or_default();
    let number = text.split(';').next().unwrap_or_default();
    let key = match (last, number) {
        (Some(b'~'), "200") => return Found::PasteBegins(used),
        (Some(b'~'), "201") => return Found::PasteEnds(used),
        (Some(b'M'), _) if text.starts_with('<') => return Found::Whole(used, mouse(text)),
        (Some(b'~'), "1" | "7") => Some(Key::Home),
        (Some(b'~'), "4" | "8") => Some(Key::End),
        (Some(b'~'), "5") => Some(Key::PageUp),
        (Some(b'~'), "6") => Some(Key::PageDown),
        (Some(letter), _) => named(letter),
        (None, _) => None,
    };
    Found::Whole(used, key.map(Event::Key))
}

const fn named(letter: u8) -> Option<Key> {
    Some(match letter {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'Z' => Key::BackTab,
        b'M' => Key::Enter, // the keypad's
        _ => return None,
    })
}

/// `<button;column;row`, counted from 1.
fn mouse(text: &str) -> Option<Event> {
    let mut numbers = text.strip_prefix('<')?.split(';').map(str::parse::<u16>);
    let mut next = || numbers.next()?.ok();
    let (button, x, y) = (next()?, next()?.checked_sub(1)?, next()?.checked_sub(1)?);
    match button {
        0 => Some(Event::Click { x, y }),
        64 => Some(Event::Wheel(-3)),
        65 => Some(Event::Wheel(3)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that the bytes are, when nothing follows them.
    fn keys(bytes: &[u8]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut inputs = decoder.take(bytes);
        inputs.extend(decoder.settle());
        inputs.into_iter().map(|input| format!("{input:?}")).collect()
    }

    fn key(key: Key) -> String {
        format!("{:?}", Input::Event(Event::Key(key)))
    }

    #[test]
    fn keys_are_told_apart() {
        assert_eq!(keys(b"aG\r"), [key(Key::Char('a')), key(Key::Char('G')), key(Key::Enter)]);
        assert_eq!(keys("ß尺".as_bytes()), [key(Key::Char('ß')), key(Key::Char('尺'))]);
        assert_eq!(
            keys(b"\x03\x15\t\x7f"),
            [Key::Ctrl('c'), Key::Ctrl('u'), Key::Tab, Key::Backspace].map(key)
        );
        assert_eq!(
            keys(b"\x1b[A\x1bOB\x1b[5~\x1b[Z"),
            [Key::Up, Key::Down, Key::PageUp, Key::BackTab].map(key)
        );
        assert_eq!(keys(b"\x1b[1;5C\x1b[H\x1b[4~"), [Key::Right, Key::Home, Key::End].map(key));
        assert_eq!(keys(b"\x1b"), [key(Key::Esc)]);
        assert_eq!(keys(b"\x1bj\x1b\x1b"), [Key::Esc, Key::Char('j'), Key::Esc, Key::Esc].map(key));
        assert_eq!(keys(b"\x1b[15~\x1b[I\x1b[?62c"), [""; 0], "unknown ones are nothing");
    }

    #[test]
    fn a_key_may_come_in_pieces() {
        let mut decoder = Decoder::default();
        for piece in [&b"\x1b"[..], b"[", b"5"] {
            assert!(decoder.take(piece).is_empty() && decoder.waits());
        }
        assert_eq!(format!("{:?}", decoder.take(b"~")), format!("[{}]", key(Key::PageUp)));
        assert!(!decoder.waits());
    }

    #[test]
    fn a_paste_is_no_keys() {
        let paste = |text: &str| format!("{:?}", Input::Paste(text.into()));
        assert_eq!(keys(b"\x1b[200~q\ny\x1b[201~q"), [paste("q\ny"), key(Key::Char('q'))]);
        let long = [b"\x1b[200~", "x".repeat(9_000).as_bytes(), b"\x1b[201~"].concat();
        assert_eq!(keys(&long), [paste(&"x".repeat(PASTE_MAX))]);
    }

    #[test]
    fn wheel_and_click_are_read() {
        let told = |event| format!("{:?}", Input::Event(event));
        assert_eq!(
            keys(b"\x1b[<64;3;4M\x1b[<0;10;5M\x1b[<0;10;5m\x1b[<35;1;1M"),
            [told(Event::Wheel(-3)), told(Event::Click { x: 9, y: 4 })]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end_and_bound_what_waits(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            let mut decoder = Decoder::default();
            for piece in bytes.chunks(7) {
                decoder.take(piece);
                proptest::prop_assert!(decoder.pending.len() <= SEQUENCE_MAX + 7);
            }
            decoder.settle();
            proptest::prop_assert!(!decoder.waits());
        }
    }
}
