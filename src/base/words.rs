//! Numbers and spans of time as people read them. Pure.

/// `12d 4h`, `3h 5m`, `2m 7s`, `42s`: the two largest units.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, m) => format!("{m}m {s}s"),
        (0, h, m) => format!("{h}h {m}m"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

/// `63 d`, `5 h`, `expired 2 d ago`.
#[must_use]
pub fn expiry(in_s: i64) -> String {
    let size = in_s.unsigned_abs();
    let span =
        if size >= 86_400 { format!("{} d", size / 86_400) } else { format!("{} h", size / 3_600) };
    if in_s > 0 { span } else { format!("expired {span} ago") }
}

/// `45 s`, `10 min`, `3 h`, `28 d`: the largest unit, rounded up so that it is never too early.
#[must_use]
pub fn soon(in_s: i64) -> String {
    let s = u64::try_from(in_s).unwrap_or(0);
    match s {
        0..=90 => format!("{s} s"),
        91..3_600 => format!("{} min", s.div_ceil(60)),
        3_600..86_400 => format!("{} h", s.div_ceil(3_600)),
        _ => format!("{} d", s.div_ceil(86_400)),
    }
}

/// Of a site: `127.0.0.1:3000`, `out: 127.0.0.1:3000`, `2 of 3 up`.
#[must_use]
pub fn upstreams(names: &[String], out: usize) -> String {
    match (names, out) {
        ([], _) => "-".to_owned(),
        ([only], 0) => only.clone(),
        ([only], _) => format!("out: {only}"),
        (several, out) => format!("{} of {} up", several.len().saturating_sub(out), several.len()),
    }
}

/// That the daemon is another version than whoever talks to it, and what to do.
#[must_use]
pub fn skew(daemon: &str, own: &str, who: &str) -> String {
    let numbers = |version: &str| -> Vec<u64> {
        let release = version.split(['-', '+']).next().unwrap_or_default();
        release.split('.').map(|part| part.parse().unwrap_or(0)).collect()
    };
    let next = if numbers(daemon) > numbers(own) {
        format!("use the {who} that came with the daemon")
    } else {
        "restart the daemon to finish the upgrade".to_owned()
    };
    format!("the daemon is palisade {daemon}, this {who} {own}; {next}")
}

/// `1,284,007`
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `3.2 ms`, `48 ms`, `1.4 s`, `420 µs`: two digits are enough to compare.
#[must_use]
pub fn micros(us: u64) -> String {
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=9_999 => tenths(us / 100, "ms"),
        10_000..=999_499 => format!("{} ms", (us + 500) / 1_000),
        999_500..=59_999_999 => tenths(us / 100_000, "s"),
        _ => span(us / 1_000_000),
    }
}

/// `512 B`, `48 MiB`, `1.4 GiB`
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) if bytes < 10 * unit => {
            tenths((u128::from(bytes) * 10 / u128::from(*unit)) as u64, name)
        }
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

/// `1.2%` of a whole; `0%` of nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0%".into();
    }
    let hundredths = u128::from(part) * 10_000 / u128::from(whole);
    match hundredths {
        0 => "<0.01%".into(),
        1..=99 => format!("0.{hundredths:02}%"),
        100..=999 => format!("{}.{}%", hundredths / 100, hundredths / 10 % 10),
        _ => format!("{}%", hundredths / 100),
    }
}

fn tenths(tenths: u64, unit: &str) -> String {
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, part) => format!("{whole}.{part} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_one_of_two_versions_is_what_to_change() {
        assert_eq!(
            skew("0.1.0", "0.2.0", "command"),
            "the daemon is palisade 0.1.0, this command 0.2.0; restart the daemon to finish the upgrade"
        );
        let words = skew("0.10.0", "0.9.0-rc.1", "dashboard");
        assert!(words.ends_with("; use the dashboard that came with the daemon"), "{words}");
    }

    #[test]
    fn spans_name_their_two_largest_units() {
        assert_eq!(span(0), "0s");
        assert_eq!(span(127), "2m 7s");
        assert_eq!(span(11_100), "3h 5m");
        assert_eq!(span(1_051_259), "12d 4h");
    }

    #[test]
    fn expiry_is_in_days_and_says_when_it_is_past() {
        assert_eq!(expiry(63 * 86_400 + 5), "63 d");
        assert_eq!(expiry(18_001), "5 h");
        assert_eq!(expiry(-2 * 86_400), "expired 2 d ago");
    }

    #[test]
    fn soon_names_one_unit_and_is_never_too_early() {
        let words = [-5, 0, 59, 62, 90, 91, 600, 3_600, 7_201, 86_400, 28 * 86_400].map(soon);
        let expected =
            ["0 s", "0 s", "59 s", "62 s", "90 s", "2 min", "10 min", "1 h", "3 h", "1 d", "28 d"];
        assert_eq!(words, expected);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_284_007), "1,284,007");
    }

    #[test]
    fn durations_sizes_and_shares_carry_their_units() {
        assert_eq!([0, 999, 3_200, 48_400].map(micros), ["0 µs", "999 µs", "3.2 ms", "48 ms"]);
        assert_eq!([999_600, 1_450_000, 61_000_000].map(micros), ["0.9 s", "1.4 s", "1m 1s"]);
        assert_eq!(
            [0, 1_024, 50_331_648, 1_503_238_553].map(size),
            ["0 B", "1 KiB", "48 MiB", "1.3 GiB"]
        );
        assert_eq!(size(u64::MAX), "16777215 TiB");
        assert_eq!(percent(0, 9), "0%");
        assert_eq!(percent(1, 0), "0%");
        assert_eq!(percent(1, 1_000_000), "<0.01%");
        assert_eq!(percent(2, 10_000), "0.02%");
        assert_eq!(percent(12, 1_000), "1.2%");
        assert_eq!(percent(42, 100), "42%");
    }
}
