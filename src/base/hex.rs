//! Lower-case hexadecimal into a buffer that is there already.

/// The digit of a value below 16.
#[must_use]
pub const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Writes two digits per byte, as many as fit.
pub fn write(out: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            *high = digit(byte >> 4);
            *low = digit(byte & 0xf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_two_digits_each() {
        let mut out = [b'-'; 9];
        write(&mut out, &[0x00, 0x9a, 0xff, 0x10]);
        assert_eq!(&out, b"009aff10-");
    }
}
