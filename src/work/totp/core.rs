//! Codes of RFC 6238 as authenticator apps make them: SHA-1, 6 digits, 30 seconds, one step of tolerance each way.
//!
//! Pure: a secret, a code and a time come in, a step goes out. How long a comparison takes tells nothing.

use totp_rs::{Algorithm, Builder, Secret, Totp};

/// Digits of a code.
pub const DIGITS: u8 = 6;
/// Length of a step (RFC 6238 §5.2).
pub const STEP_S: u64 = 30;
/// Steps before and after the present one whose codes are taken (RFC 6238 §5.2 recommends one).
const SKEW_STEPS: u64 = 1;
/// RFC 4226 §4 recommends 160 bits.
pub const SECRET_BYTES: usize = 20;
/// Longest name of a factor.
pub const NAME_BYTES_MAX: usize = 64;

/// The step that a code belongs to, of those that count at this time. The latest, where several have the same code: a
/// code that was used must not be good once more a step later.
#[must_use]
pub fn step_of(secret: &[u8], code: &str, unix_s: u64) -> Option<u64> {
    let totp = totp(secret, DIGITS)?;
    let now = unix_s / STEP_S;
    let steps = now.saturating_sub(SKEW_STEPS)..=now.saturating_add(SKEW_STEPS);
    // All of them are tried, so that the time it takes does not tell which one it was.
    steps.filter(|step| totp.check(code, step.saturating_mul(STEP_S)).is_some()).max()
}

/// Whether a text could be a code; what could not is no guess.
#[must_use]
pub fn is_code(text: &str) -> bool {
    text.len() == usize::from(DIGITS) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without tolerance: [`step_of`] asks for each step by itself.
fn totp(secret: &[u8], digits: u8) -> Option<Totp> {
    let builder = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(digits);
    let builder = builder.with_step_duration(STEP_S).with_skew(0);
    builder.with_secret(Secret::new(secret.into())).build().ok()
}

/// A secret for typing, without padding (RFC 4648 §6).
#[must_use]
pub fn base32(secret: &[u8]) -> String {
    Secret::new(secret.into()).to_base32()
}

/// What authenticator apps read from a QR code (the "Key URI Format" of Google Authenticator).
#[must_use]
pub fn uri(name: &str, host: &str, base32: &str) -> String {
    // A colon would begin another part of the label, everything else that is special another part of the address.
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let host: String = host.chars().filter(plain).collect();
    format!(
        "otpauth://totp/palisade:{name}@{host}?secret={base32}&issuer=palisade&algorithm=SHA1&digits={DIGITS}&period={STEP_S}"
    )
}

/// Whether a factor may be called so.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
pub mod sample {
    use super::*;

    /// The code that a device shows at this time.
    pub fn code(secret: &[u8], unix_s: u64) -> String {
        totp(secret, DIGITS).expect("a secret").generate(unix_s).to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::sample::code;
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238, appendix B, the rows of SHA-1.
        let rows = [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ];
        for (unix_s, eight) in rows {
            let made = totp(SECRET, 8).expect("a secret").generate(unix_s).to_string();
            assert_eq!(made, eight);
            // Of the same number, fewer digits are its last ones (RFC 4226 §5.3).
            let (_, six) = eight.split_at(2);
            assert_eq!(code(SECRET, unix_s), six);
            assert_eq!(step_of(SECRET, six, unix_s), Some(unix_s / STEP_S));
        }
    }

    #[test]
    fn a_code_is_good_for_its_step_and_the_ones_beside_it() {
        let (at, step) = (1_795_292_280, 1_795_292_280 / STEP_S);
        let shown = code(SECRET, at);
        for (away, found) in [(-31, false), (-30, true), (0, true), (59, true), (60, false)] {
            let now = at.saturating_add_signed(away);
            assert_eq!(step_of(SECRET, &shown, now).is_some(), found, "{away}");
            assert!(step_of(SECRET, &shown, now).is_none_or(|found| found == step));
        }
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let at = 59;
        for text in
            ["", "28708", "2870820", "+87082", " 87082", "28708\u{662}", "abcdef", "287 082"]
        {
            assert_eq!(step_of(SECRET, text, at), None, "{text:?}");
            assert!(!is_code(text), "{text:?}");
        }
        assert_eq!(step_of(b"short", "287082", at), None);
        assert_eq!(step_of(SECRET, "287082", u64::MAX), None);
    }

    #[test]
    fn the_address_for_a_qr_code_has_its_parts_in_their_places() {
        assert_eq!(base32(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(
            uri("anna-phone", "web:1/x.example\n", "GEZD"),
            "otpauth://totp/palisade:anna-phone@web1x.example?secret=GEZD&issuer=palisade&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn names_are_those_of_tokens() {
        for good in ["a", "anna.phone_2-x", &"n".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\n", &"n".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged(secret: Vec<u8>, code in ".{0,12}", unix_s: u64) {
            let _ = step_of(&secret, &code, unix_s);
        }

        #[test]
        fn a_device_whose_clock_is_near_is_understood(
            secret in proptest::array::uniform20(any::<u8>()), unix_s in 60_u64..4_000_000_000, behind in -30_i64..=30,
        ) {
            let shown = code(&secret, unix_s.saturating_add_signed(behind));
            let found = step_of(&secret, &shown, unix_s).expect("taken");
            prop_assert_eq!(&code(&secret, found * STEP_S), &shown);
            prop_assert!(found.abs_diff(unix_s / STEP_S) <= 1);
        }
    }
}
