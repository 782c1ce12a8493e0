//! Where TLS records end in what was read (RFC 8446 §5.1): the library tells of a whole record, and not that half of one
//! has come.

use super::heard::Ear;

/// Follows the records of one direction of one connection.
#[derive(Debug, Default)]
pub struct Records {
    head: [u8; 5],
    /// How much of `head` is there; the length is its last two bytes.
    have: usize,
    /// Bytes of this record that are still to come.
    left: usize,
}

impl Ear for Records {
    fn hear(&mut self, mut bytes: &[u8]) {
        loop {
            let taken = self.left.min(bytes.len());
            self.left -= taken;
            bytes = bytes.get(taken..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else { return };
            if let Some(byte) = self.head.get_mut(self.have) {
                *byte = *first;
            }
            self.have += 1;
            bytes = rest;
            if self.have == self.head.len() {
                let [.., high, low] = self.head;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.have = 0;
            }
        }
    }
}

impl Records {
    /// Nothing of a record has come whose rest has not.
    pub const fn are_whole(&self) -> bool {
        self.have == 0 && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_are_whole_at_their_ends_and_nowhere_else(
            lengths in prop::collection::vec(0_usize..600, 1..8),
            cuts in prop::collection::vec(1_usize..700, 1..64),
        ) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for length in lengths {
                bytes.extend([23, 3, 3]);
                bytes.extend(u16::try_from(length).expect("short").to_be_bytes());
                bytes.resize(bytes.len() + length, 23);
                ends.push(bytes.len());
            }
            let mut records = Records::default();
            let mut at = 0;
            for cut in cuts {
                let next = (at + cut).min(bytes.len());
                records.hear(&bytes[at..next]);
                at = next;
                prop_assert_eq!(records.are_whole(), ends.contains(&at), "at {}", at);
            }
        }
    }
}
