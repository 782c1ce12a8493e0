//! Sizes and durations as people write them: `"64KiB"`, `"30s"`, `"1m 30s"`.
//!
//! Promises: what is displayed parses back to the same value; every refusal says which part is wrong.
//! Refuses: fractions, signs, and numbers beyond 64 bits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// As a length in memory; sizes beyond the address space saturate.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A duration that parses from and displays as `"1m 30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

/// Why a text is no size or no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("it is empty")]
    Empty,
    #[error("it must begin with a whole number, not with `{0}`")]
    NoNumber(char),
    #[error("fractions are not read; use a smaller unit")]
    Fraction,
    #[error("`{number}` has no unit; {expected}")]
    NoUnit { number: u64, expected: &'static str },
    #[error("`{unit}` is no unit here; {expected}")]
    UnknownUnit { unit: String, expected: &'static str },
    #[error("units go from large to small, each once, as in \"1m 30s\"")]
    Order,
    #[error("the number is too large")]
    TooLarge,
}

const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
];
const SIZE_EXPECTED: &str = "sizes end in B, KB, KiB, MB, MiB, GB or GiB";

/// Largest first; the number is milliseconds.
const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const TIME_EXPECTED: &str = "durations end in ms, s, m, h or d";

/// Splits the leading whole number from what follows it.
fn number(text: &str) -> Result<(u64, &str), UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err(rest.chars().next().map_or(UnitError::Empty, UnitError::NoNumber));
    }
    if rest.starts_with(['.', ',']) {
        return Err(UnitError::Fraction);
    }
    Ok((digits.parse().map_err(|_| UnitError::TooLarge)?, rest.trim_start()))
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (count, unit) = number(text.trim())?;
        if unit.is_empty() || unit.eq_ignore_ascii_case("b") {
            return Ok(Self(count));
        }
        let (_, size) =
            SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(
                || UnitError::UnknownUnit { unit: unit.to_owned(), expected: SIZE_EXPECTED },
            )?;
        count.checked_mul(*size).map(Self).ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |(_, size): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*size);
        match SIZE_UNITS.iter().find(exact) {
            Some((name, size)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(UnitError::Empty);
        }
        let mut total_ms = 0_u64;
        let mut allowed = TIME_UNITS.as_slice();
        while !rest.is_empty() {
            let (count, tail) = number(rest)?;
            let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            if unit.is_empty() {
                return Err(UnitError::NoUnit { number: count, expected: TIME_EXPECTED });
            }
            let Some(at) = allowed.iter().position(|(name, _)| *name == unit) else {
                return Err(if TIME_UNITS.iter().any(|(name, _)| *name == unit) {
                    UnitError::Order
                } else {
                    UnitError::UnknownUnit { unit: unit.to_owned(), expected: TIME_EXPECTED }
                });
            };
            let (here, smaller) = allowed.split_at(at + 1);
            let unit_ms = here.last().map_or(1, |(_, ms)| *ms);
            let part = count.checked_mul(unit_ms).ok_or(UnitError::TooLarge)?;
            total_ms = total_ms.checked_add(part).ok_or(UnitError::TooLarge)?;
            allowed = smaller;
            rest = tail.trim_start();
        }
        Ok(Self(Duration::from_millis(total_ms)))
    }
}

impl fmt::Display for HumanDuration {
    /// Whole milliseconds; anything finer is cut off.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        let mut gap = "";
        for (name, unit_ms) in TIME_UNITS {
            let count = left / unit_ms;
            left %= unit_ms;
            if count > 0 {
                write!(f, "{gap}{count}{name}")?;
                gap = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Result<u64, UnitError> {
        text.parse::<Bytes>().map(|b| b.0)
    }

    fn millis(text: &str) -> Result<u128, UnitError> {
        text.parse::<HumanDuration>().map(|d| d.0.as_millis())
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("10 MiB"), Ok(10_485_760));
        assert_eq!(bytes("8KB"), Ok(8_000));
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("512B"), Ok(512));
        assert_eq!(bytes("1gib"), Ok(1 << 30));
        assert_eq!(bytes(""), Err(UnitError::Empty));
        assert_eq!(bytes("-1"), Err(UnitError::NoNumber('-')));
        assert_eq!(bytes("1.5MiB"), Err(UnitError::Fraction));
        assert_eq!(bytes("99999999TiB"), Err(UnitError::TooLarge));
        assert!(
            matches!(bytes("10 Mb/s"), Err(UnitError::UnknownUnit { unit, .. }) if unit == "Mb/s")
        );
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("1m 30s"), Ok(90_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("200ms"), Ok(200));
        assert_eq!(millis("2h"), Ok(7_200_000));
        assert_eq!(millis("1d"), Ok(86_400_000));
        assert_eq!(millis(" 1 s "), Ok(1_000));
        assert_eq!(millis(""), Err(UnitError::Empty));
        assert!(matches!(millis("30"), Err(UnitError::NoUnit { number: 30, .. })));
        assert_eq!(millis("1.5s"), Err(UnitError::Fraction));
        assert_eq!(millis("30s 1m"), Err(UnitError::Order));
        assert_eq!(millis("1s 1s"), Err(UnitError::Order));
        assert!(matches!(millis("3 weeks"), Err(UnitError::UnknownUnit { .. })));
        assert_eq!(millis("99999999999999999d"), Err(UnitError::TooLarge));
    }

    #[test]
    fn both_are_shown_in_the_largest_exact_unit() {
        assert_eq!(Bytes::kib(64).to_string(), "64KiB");
        assert_eq!(Bytes::mib(1).to_string(), "1MiB");
        assert_eq!(Bytes(8_000).to_string(), "8KB");
        assert_eq!(Bytes(240).to_string(), "240B");
        assert_eq!(Bytes(0).to_string(), "0B");
        assert_eq!(HumanDuration(Duration::from_secs(90)).to_string(), "1m 30s");
        assert_eq!(HumanDuration(Duration::ZERO).to_string(), "0s");
    }

    proptest! {
        #[test]
        fn a_shown_size_parses_back(n in any::<u64>()) {
            prop_assert_eq!(Bytes(n).to_string().parse(), Ok(Bytes(n)));
            let whole = Bytes(n >> 20 << 10);
            prop_assert_eq!(whole.to_string().parse(), Ok(whole));
        }

        #[test]
        fn a_shown_duration_parses_back(ms in any::<u64>()) {
            let duration = HumanDuration(Duration::from_millis(ms));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn any_text_is_a_value_or_a_reason(text in ".{0,40}") {
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<HumanDuration>();
        }
    }
}
