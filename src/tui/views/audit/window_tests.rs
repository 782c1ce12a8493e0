//! What is held of a long log, whatever is looked at.

use proptest::prelude::*;

use super::*;
use crate::base::audit::{Actor, Outcome, Source};

fn record(seq: u64, bytes: usize) -> AuditRecord {
    AuditRecord {
        seq,
        at_ms: i64::try_from(seq).expect("small") * 1_000,
        actor: Actor::System,
        source: Source::Signal,
        action: "config.reload".into(),
        subject: Some("x".repeat(bytes)),
        before: Facts::new(),
        after: Facts::new(),
        outcome: Outcome::Done,
        why: None,
        request_id: None,
        confirmed: None,
        prev: String::new(),
        hash: String::new(),
    }
}

/// A daemon with records 1 to `last`, of which an answer holds at most `most`.
struct Log {
    last: u64,
    most: u64,
    bytes: usize,
}

impl Log {
    fn answer(&self, want: Want) -> Answer {
        let query = query(want);
        let limit = (query.limit.unwrap_or(1_000) as u64).min(self.most);
        let (from, to, next) = match query.before {
            Some(before) => {
                let to = before.min(self.last + 1);
                let from = to.saturating_sub(limit).max(1);
                (from, to, (from > 1).then_some(from))
            }
            None => {
                let to = (query.after + 1 + limit).min(self.last + 1);
                (query.after + 1, to, (to <= self.last).then_some(to - 1))
            }
        };
        let records = (from..to).map(|seq| record(seq, self.bytes)).collect();
        Answer { want, page: AuditPage { records, next, last: self.last, stub: None } }
    }

    /// Asks as long as something is missing for who looks there.
    fn settle(&self, mut window: Window, cursor: Option<u64>, sifted: bool) -> Window {
        for _ in 0..100 {
            let want = window.want(cursor, sifted);
            let is_known = window.has_newest() && window.last == self.last;
            if want == Want::Nothing || want == Want::Newest && is_known {
                return window;
            }
            window = window.with(&self.answer(want));
        }
        panic!("it never has enough: {:?}", window.ends());
    }
}

fn is_whole(window: &Window) -> bool {
    let seqs: Vec<u64> = window.newest_first().map(|record| record.seq).collect();
    seqs.windows(2).all(|pair| pair[0] == pair[1] + 1)
}

#[test]
fn a_hundred_thousand_records_are_walked_through_with_a_thousand_held() {
    let log = Log { last: 100_000, most: 200, bytes: 1 };
    let mut window = log.settle(Window::default(), None, false);
    assert_eq!(window.ends(), Some((99_801, 100_000)));
    let mut seen = 0;
    for cursor in (1..=100_000).rev() {
        window = log.settle(window, Some(cursor), false);
        assert_eq!(window.record(cursor).map(|record| record.seq), Some(cursor));
        seen = seen.max(window.records.len());
    }
    assert!(seen <= HELD_MAX && is_whole(&window));
    assert_eq!(window.ends().map(|(from, _)| from), Some(1));
    assert!(!window.has_newest());
    for cursor in 1..=100_000 {
        window = log.settle(window, Some(cursor), false);
        assert!(window.record(cursor).is_some());
    }
    assert!(window.has_newest() && is_whole(&window) && window.records.len() <= HELD_MAX);
}

#[test]
fn the_newest_take_the_place_of_what_is_far_away() {
    let mut log = Log { last: 5_000, most: 200, bytes: 1 };
    let mut window = log.settle(Window::default(), None, false);
    for cursor in (2_000..=5_000).rev() {
        window = log.settle(window, Some(cursor), false);
    }
    assert_eq!(window.want(Some(2_400), false), Want::Nothing, "in the middle nothing is missing");
    window = log.settle(window, None, false);
    assert_eq!(window.ends(), Some((4_801, 5_000)));
    log.last += 3;
    window = log.settle(window, None, false);
    assert_eq!(window.ends(), Some((4_801, 5_003)), "what was known stays");
    log.last += 3_000;
    window = log.settle(window, None, false);
    assert_eq!(window.ends(), Some((7_804, 8_003)), "but never with a gap");
}

#[test]
fn a_filter_has_the_stretch_filled_and_no_more() {
    let log = Log { last: 5_000, most: 200, bytes: 1 };
    let window = log.settle(Window::default(), None, true);
    assert_eq!(window.ends(), Some((4_001, 5_000)));
    let short = Log { last: 260, most: 200, bytes: 1 };
    let window = short.settle(Window::default(), None, true);
    assert_eq!((window.ends(), window.first), (Some((1, 260)), Some(1)));
}

#[test]
fn large_records_are_held_by_their_bytes() {
    let log = Log { last: 500, most: 5, bytes: 100 * 1024 };
    let mut window = log.settle(Window::default(), None, false);
    for cursor in (1..=500).rev().chain(1..=500) {
        window = log.settle(window, Some(cursor), false);
        assert!(window.record(cursor).is_some(), "{cursor}: {:?}", window.ends());
        assert!(window.bytes <= BYTES_MAX);
    }
}

proptest! {
    #[test]
    fn whatever_is_looked_at_the_stretch_has_no_gap(
        looks in proptest::collection::vec((any::<Option<u16>>(), any::<bool>(), 0..300_u64), 1..20),
        most in 1..250_u64,
    ) {
        let mut log = Log { last: 0, most, bytes: 1 };
        let mut window = Window::default();
        for (cursor, sifted, more) in looks {
            log.last += more;
            window = window.with(&log.answer(window.want(cursor.map(u64::from), sifted)));
            prop_assert!(is_whole(&window) && window.records.len() <= HELD_MAX);
            let ends = window.ends().map(|(from, to)| (from, to + 1));
            prop_assert!(ends.is_none() || ends == Some((window.from, window.to)));
            let bytes: usize = window.records.values().map(|(bytes, _)| bytes).sum();
            prop_assert_eq!(bytes, window.bytes);
        }
    }
}
