//! Hexadecimal into and out of buffers that are there already.

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

/// Reads exactly as many digits as `out` takes, upper or lower case; false if `digits` are anything else.
///
/// No branch and no index depends on the value of a digit that is one, since what is read may be a key.
#[must_use]
pub fn read(out: &mut [u8], digits: &[u8]) -> bool {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != out.len() {
        return false;
    }
    let mut wrong = 0;
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        let (high, low) = (value(*high), value(*low));
        wrong |= (high | low) >> 4;
        *byte = (high << 4) | (low & 0xf);
    }
    wrong == 0
}

/// The value of a digit; 255 for anything else.
const fn value(digit: u8) -> u8 {
    let decimal = digit.wrapping_sub(b'0');
    let letter = (digit | 0x20).wrapping_sub(b'a');
    // All ones where the condition holds: what is below a bound borrows when the bound is taken from it.
    let is_decimal = (((decimal as u16).wrapping_sub(10)) >> 8) as u8;
    let is_letter = (((letter as u16).wrapping_sub(6)) >> 8) as u8;
    (is_decimal & decimal) | (is_letter & letter.wrapping_add(10)) | !(is_decimal | is_letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_is_a_digit_or_not_as_the_standard_library_says() {
        for byte in 0..=u8::MAX {
            let expected = char::from(byte).to_digit(16).map_or(255, |value| value as u8);
            assert_eq!(value(byte), expected, "{byte}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(bytes in any::<[u8; 32]>(), upper: bool) {
            let mut text = [0; 64];
            write(&mut text, &bytes);
            if upper {
                text.make_ascii_uppercase();
            }
            let mut back = [0; 32];
            prop_assert!(read(&mut back, &text));
            prop_assert_eq!(back, bytes);
        }

        #[test]
        fn only_exactly_as_many_digits_as_fit_are_read(text in "[0-9a-fA-F]{60,68}|[ -~]{64}|\\PC{60,66}") {
            let good = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            prop_assert_eq!(read(&mut [0; 32], text.as_bytes()), good);
        }
    }

    #[test]
    fn bytes_are_two_digits_each() {
        let mut out = [b'-'; 9];
        write(&mut out, &[0x00, 0x9a, 0xff, 0x10]);
        assert_eq!(&out, b"009aff10-");
    }
}
