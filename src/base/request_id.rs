//! Request ids: UUID version 7 (RFC 9562 §5.7), so that they sort by time.

use std::fmt;

use super::hex;

/// 128 bits: 48 of Unix milliseconds, 74 random, 6 fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u128);

/// Length of the text form.
pub const TEXT_LEN: usize = 36;

impl RequestId {
    /// Makes an id from the time and at least 74 random bits.
    #[must_use]
    pub const fn new(unix_ms: u64, random: u128) -> Self {
        let time = ((unix_ms & 0xffff_ffff_ffff) as u128) << 80;
        let version = 0x7_u128 << 76;
        let variant = 0b10_u128 << 62;
        let random_a = random & (0xfff << 64);
        let random_b = random & 0x3fff_ffff_ffff_ffff;
        Self(time | version | random_a | variant | random_b)
    }

    /// What `text` writes, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hyphens = [8, 13, 18, 23];
        let digits: String = text.split('-').collect();
        let shaped = text.len() == TEXT_LEN
            && text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == hyphens.contains(&at));
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(&digits, 16).ok().filter(|_| shaped && hex).map(Self)
    }

    /// The 16 bytes, most significant first.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Lower-case hexadecimal with hyphens.
    #[must_use]
    pub fn text(self) -> [u8; TEXT_LEN] {
        let mut text = [b'-'; TEXT_LEN];
        let bytes = self.0.to_be_bytes();
        let mut rest = &bytes[..];
        for (at, length) in [(0, 4), (9, 2), (14, 2), (19, 2), (24, 6)] {
            let (part, after) = rest.split_at(length);
            if let Some(out) = text.get_mut(at..at + 2 * length) {
                hex::write(out, part);
            }
            rest = after;
        }
        text
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.text() {
            write!(f, "{}", char::from(byte))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_version_7_uuid() {
        let id = RequestId::new(0x0190_1234_5678, u128::MAX).to_string();
        assert_eq!(id, "01901234-5678-7fff-bfff-ffffffffffff");
        let id = RequestId::new(0x0190_1234_5678, 0).to_string();
        assert_eq!(id, "01901234-5678-7000-8000-000000000000");
    }

    #[test]
    fn an_id_is_read_from_its_text_and_from_nothing_else() {
        let id = RequestId::new(0x0190_1234_5678, u128::MAX);
        assert_eq!(RequestId::parse(&id.to_string()), Some(id));
        assert_eq!(RequestId::parse(&id.to_string().to_uppercase()), Some(id));
        for text in
            ["", "-", "01901234-5678-7fff-bfff-fffffffffff", "0190123-45678-7fff-bfff-ffffffffffff"]
        {
            assert_eq!(RequestId::parse(text), None, "{text}");
        }
        assert_eq!(RequestId::parse("+1901234-5678-7fff-bfff-ffffffffffff"), None);
        assert_eq!(RequestId::parse("0190123456787fffbfffffffffffffffffff"), None);
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        assert!(RequestId::new(1, u128::MAX).to_string() < RequestId::new(2, 0).to_string());
    }
}
