//! Lines of the log that somebody outside can cause at will: at most one a second, worker and kind; the next one counts
//! those that were left out.

use std::cell::Cell;

/// Between two lines.
const COMPLAIN_EVERY_MS: u64 = 1000;

/// What the log has not heard yet of one kind.
#[derive(Debug, Default)]
pub struct Complaints {
    last_ms: Cell<Option<u64>>,
    untold: Cell<u64>,
}

impl Complaints {
    /// Whether a line may be written now, and how many were left out before it.
    pub fn more(&self, now_ms: u64) -> Option<u64> {
        let lately = |at: u64| now_ms.saturating_sub(at) < COMPLAIN_EVERY_MS;
        if self.last_ms.get().is_some_and(lately) {
            self.untold.set(self.untold.get() + 1);
            return None;
        }
        self.last_ms.set(Some(now_ms));
        Some(self.untold.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_counts_those_before_it() {
        let complaints = Complaints::default();
        assert_eq!(complaints.more(0), Some(0));
        assert_eq!(complaints.more(1), None);
        assert_eq!(complaints.more(999), None);
        assert_eq!(complaints.more(1000), Some(2));
        assert_eq!(complaints.more(5000), Some(0));
    }
}
