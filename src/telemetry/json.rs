//! Writes one JSON object into a byte buffer, field by field, without building a value first.
//!
//! Only printable ASCII leaves unescaped: no control or escape byte from data can reach a terminal that shows the
//! log (promise 56).

use crate::base::hex;

/// An object being written; `finish` closes it.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    /// Starts an object with its first field, `timestamp`.
    pub fn begin(out: &'a mut Vec<u8>, timestamp: &str) -> Self {
        out.extend_from_slice(b"{\"timestamp\":\"");
        out.extend_from_slice(timestamp.as_bytes());
        out.push(b'"');
        Self { out }
    }

    fn key(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A string.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.key(name);
        self.out.push(b'"');
        escape(self.out, value);
        self.out.push(b'"');
        self
    }

    /// A string that is known to need no escaping.
    pub fn plain(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.key(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value);
        self.out.push(b'"');
        self
    }

    /// A list of strings.
    pub fn list<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) -> &mut Self {
        self.key(name);
        self.out.push(b'[');
        for (at, value) in values.enumerate() {
            self.out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            escape(self.out, value);
            self.out.push(b'"');
        }
        self.out.push(b']');
        self
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.key(name);
        push_number(self.out, value);
        self
    }

    /// Milliseconds with three decimals, from microseconds.
    pub fn millis(&mut self, name: &str, micros: u64) -> &mut Self {
        self.key(name);
        push_millis(self.out, micros);
        self
    }

    /// `null`, for fields that are always there.
    pub fn null(&mut self, name: &str) -> &mut Self {
        self.key(name);
        self.out.extend_from_slice(b"null");
        self
    }

    /// Closes the object and the line.
    pub fn finish(&mut self) {
        self.out.extend_from_slice(b"}\n");
    }
}

/// Decimal digits of `value`.
pub fn push_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut len = 0;
    for slot in &mut digits {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        len += 1;
        if value == 0 {
            break;
        }
    }
    out.extend(digits.iter().take(len).rev());
}

/// `412` microseconds are `0.412`.
pub fn push_millis(out: &mut Vec<u8>, micros: u64) {
    push_number(out, micros / 1000);
    let rest = micros % 1000;
    out.push(b'.');
    for digit in [rest / 100, rest / 10 % 10, rest % 10] {
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

fn escape(out: &mut Vec<u8>, value: &str) {
    if value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
        out.extend_from_slice(value.as_bytes());
        return;
    }
    for character in value.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            ' '..='~' => out.push(u8::try_from(character).unwrap_or(b'?')),
            _ => {
                let mut units = [0_u16; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        out.push(hex::digit(u8::try_from(*unit >> shift & 0xf).unwrap_or(0)));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn object(fill: impl FnOnce(&mut Object<'_>)) -> String {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out, "t");
        fill(&mut object);
        object.finish();
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn numbers_and_milliseconds_are_written_in_full() {
        let line = object(|o| {
            o.list("l", ["x", "y\""].into_iter()).list("m", std::iter::empty());
            o.number("a", 0).number("b", u64::MAX).millis("c", 412).millis("d", 61_007);
        });
        assert_eq!(
            line,
            "{\"timestamp\":\"t\",\"l\":[\"x\",\"y\\\"\"],\"m\":[],\"a\":0,\"b\":18446744073709551615,\"c\":0.412,\"d\":61.007}\n"
        );
    }

    proptest! {
        #[test]
        fn any_text_survives_and_only_printable_ascii_is_written(text in any::<String>()) {
            let line = object(|o| { o.text("v", &text); });
            prop_assert!(line.trim_end().bytes().all(|b| (b' '..=b'~').contains(&b)));
            let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            prop_assert_eq!(value["v"].as_str(), Some(text.as_str()));
        }
    }
}
