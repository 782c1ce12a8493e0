//! What this process uses, from `/proc/self` (proc(5)).

use std::fs;

/// Memory and processor time of the whole process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub rss_bytes: u64,
    /// User and system time since start.
    pub cpu_us: u64,
}

/// Zeroes where the kernel does not say.
#[must_use]
pub fn usage() -> Usage {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let pages = resident_pages(&statm).unwrap_or(0);
    let ticks = cpu_ticks(&stat).unwrap_or(0);
    Usage {
        rss_bytes: pages.saturating_mul(rustix::param::page_size() as u64),
        cpu_us: ticks.saturating_mul(1_000_000) / rustix::param::clock_ticks_per_second().max(1),
    }
}

/// The second number of `statm`.
fn resident_pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// `utime` and `stime`, fields 14 and 15 of `stat`. The name before them may hold blanks and brackets.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 150 30 7 8 20 0 9 0 100 1 2";
        assert_eq!(cpu_ticks(stat), Some(180));
        assert_eq!(resident_pages("1000 250 30 4 0 6 0\n"), Some(250));
        assert_eq!((cpu_ticks(""), resident_pages("")), (None, None));
    }

    #[test]
    fn this_process_uses_memory() {
        assert!(usage().rss_bytes > 1 << 20, "{:?}", usage());
    }
}
