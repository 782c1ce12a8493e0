//! Numbers, spans of time and columns as people read them. Pure.

/// `12d 4h`, `3h 5m`, `2m 7s`, `42s`: the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, m) => format!("{m}m {s}s"),
        (0, h, m) => format!("{h}h {m}m"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

/// `63 d`, `5 h`, `expired 2 d ago`.
pub(super) fn expiry(in_s: i64) -> String {
    let size = in_s.unsigned_abs();
    let span =
        if size >= 86_400 { format!("{} d", size / 86_400) } else { format!("{} h", size / 3_600) };
    if in_s > 0 { span } else { format!("expired {span} ago") }
}

/// `45 s`, `10 min`, `3 h`, `28 d`: the largest unit, rounded up so that it is never too early.
pub(super) fn soon(in_s: i64) -> String {
    let s = u64::try_from(in_s).unwrap_or(0);
    match s {
        0..=90 => format!("{s} s"),
        91..3_600 => format!("{} min", s.div_ceil(60)),
        3_600..86_400 => format!("{} h", s.div_ceil(3_600)),
        _ => format!("{} d", s.div_ceil(86_400)),
    }
}

/// `1,284,007`
pub(super) fn count(number: u64) -> String {
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

/// Cut or filled to exactly `width` characters; the cut shows as `…`. Cleaned first, so that what is counted is what shows.
pub(super) fn column(text: &str, width: usize) -> String {
    let text = super::output::one_line(text);
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// `first`, or `first +2`.
pub(super) fn and_more(first: &str, more: usize, width: usize) -> String {
    if more == 0 {
        return column(first, width);
    }
    let tail = format!(" +{more}");
    let head = column(first, width.saturating_sub(tail.len()));
    column(&format!("{}{tail}", head.trim_end()), width)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_column_is_as_wide_as_asked_whatever_is_in_it() {
        assert_eq!(column("ab", 4), "ab  ");
        assert_eq!(column("abcdef", 4), "abc…");
        assert_eq!(column("a\x1b\n\u{9b}bcdef", 4), "a b…");
        assert_eq!(and_more("app.example.com", 2, 12), "app.exam… +2");
        assert_eq!(and_more("app", 0, 5), "app  ");
    }
}
