//! Columns as people read them; numbers and spans of time come from `base`. Pure.

pub(super) use crate::base::words::{count, expiry, soon, span, upstreams};

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
    fn a_column_is_as_wide_as_asked_whatever_is_in_it() {
        assert_eq!(column("ab", 4), "ab  ");
        assert_eq!(column("abcdef", 4), "abc…");
        assert_eq!(column("a\x1b\n\u{9b}bcdef", 4), "a␛ …");
        assert_eq!(and_more("app.example.com", 2, 12), "app.exam… +2");
        assert_eq!(and_more("app", 0, 5), "app  ");
    }
}
