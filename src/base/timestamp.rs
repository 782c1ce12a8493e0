//! RFC 3339 timestamps in UTC.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// 2025-01-01T00:00:00Z, before the first palisade: a clock that says less is wrong, as on a machine without a battery
/// before the network has told it the time.
pub const SURELY_PAST_S: i64 = 1_735_689_600;

/// `2026-11-21T20:17:46Z`, from seconds since 1970. Times outside the years 0-9999 give an empty text.
#[must_use]
pub fn rfc3339(unix_s: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_s)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Seconds since 1970 of an RFC 3339 timestamp in any offset; the part below a second is cut off.
#[must_use]
pub fn unix_s(rfc3339: &str) -> Option<i64> {
    OffsetDateTime::parse(rfc3339, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// `20:17:46`, in UTC.
#[must_use]
pub fn time_of_day(unix_s: i64) -> String {
    let s = unix_s.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60)
}

/// Writes timestamps with milliseconds and formats the part above them once a second.
#[derive(Debug, Default)]
pub struct Stamp {
    second: u64,
    text: String,
}

impl Stamp {
    /// `2026-11-21T20:17:46.359Z`
    pub fn millis(&mut self, unix: Duration) -> &str {
        let second = unix.as_secs();
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = rfc3339(i64::try_from(second).unwrap_or(0));
        }
        let millis = unix.subsec_millis();
        let seconds_end = "2026-11-21T20:17:46".len();
        self.text.truncate(seconds_end);
        self.text.push('.');
        for digit in [millis / 100, millis / 10 % 10, millis % 10] {
            self.text.push(char::from_digit(digit, 10).unwrap_or('0'));
        }
        self.text.push('Z');
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_rfc_3339_in_utc() {
        assert_eq!(rfc3339(1_795_292_266), "2026-11-21T20:17:46Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(253_402_300_799), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339(i64::MAX), "");
    }

    #[test]
    fn a_timestamp_is_read_back() {
        assert_eq!(unix_s("2026-11-21T20:17:46Z"), Some(1_795_292_266));
        assert_eq!(unix_s("2026-11-21T22:17:46.9+02:00"), Some(1_795_292_266));
        assert_eq!(unix_s("yesterday"), None);
        assert_eq!(time_of_day(1_795_292_266), "20:17:46");
        assert_eq!(time_of_day(-1), "23:59:59");
    }

    #[test]
    fn milliseconds_follow_the_second() {
        let mut stamp = Stamp::default();
        let at = |ms| Duration::from_millis(ms);
        assert_eq!(stamp.millis(at(1_795_292_266_359)), "2026-11-21T20:17:46.359Z");
        assert_eq!(stamp.millis(at(1_795_292_266_004)), "2026-11-21T20:17:46.004Z");
        assert_eq!(stamp.millis(at(1_795_292_267_000)), "2026-11-21T20:17:47.000Z");
    }
}
