//! Renewals planned, failures waited out.

use proptest::prelude::*;

use super::*;

const NOW_S: i64 = 1_800_000_000;

fn held(lifetime_s: i64, jitter: u32) -> Held {
    Held {
        not_before_s: NOW_S,
        not_after_s: NOW_S + lifetime_s,
        stored_at_s: NOW_S,
        jitter,
        ari: None,
        uncovered: None,
        other_ca: false,
        imported: false,
        self_signed: false,
    }
}

fn ari(start_s: i64, end_s: i64) -> Ari {
    Ari { start_s, end_s, explanation_url: None, asked_at_s: NOW_S, ask_again_at_s: NOW_S + 60 }
}

fn at_s(held: &Held) -> i64 {
    plan(NOW_S, Some(held), &History::default()).at_s
}

fn days(count: i64) -> i64 {
    count * DAY_S
}

#[test]
fn every_lifetime_is_renewed_at_its_share() {
    // Lifetime in days, first and last moment in hours.
    for (lifetime, first, last) in
        [(6, 72, 77), (45, 720, 756), (64, 1024, 1076), (90, 1440, 1512), (9, 108, 116)]
    {
        let from = (at_s(&held(days(lifetime), 0)) - NOW_S) / HOUR_S;
        let to = (at_s(&held(days(lifetime), u32::MAX)) - NOW_S) / HOUR_S;
        assert!(
            (first..=last).contains(&from) && (first..=last).contains(&to),
            "{lifetime} days: {from} h to {to} h"
        );
        assert_eq!(from, first, "{lifetime} days");
    }
    let why = plan(NOW_S, Some(&held(days(90) - 1, 0)), &History::default()).why;
    assert_eq!(why, "a third of its 90 days is left then");
    let why = plan(NOW_S, Some(&held(days(6), 0)), &History::default()).why;
    assert_eq!(why, "half of its 6 days is left then");
}

#[test]
fn the_cas_window_decides_where_there_is_one() {
    let (start, end) = (NOW_S + days(10), NOW_S + days(12));
    let with = |jitter| Held { ari: Some(ari(start, end)), ..held(days(90), jitter) };
    assert_eq!(at_s(&with(0)), start);
    assert_eq!(at_s(&with(u32::MAX)), end);
    assert_eq!(at_s(&with(u32::MAX / 2)), NOW_S + days(11) - 1);
    // In the past: now.
    let past = Held { ari: Some(ari(NOW_S - 200, NOW_S - 100)), ..held(days(90), 7) };
    assert!(at_s(&past) <= NOW_S);
    // No window at all (RFC 9773 §4.2).
    let nonsense = Held { ari: Some(ari(end, start)), ..held(days(90), 0) };
    assert_eq!(at_s(&nonsense), at_s(&held(days(90), 0)));
    // Never so late that a failure could not be made good.
    let late = Held { ari: Some(ari(NOW_S + days(89), NOW_S + days(120))), ..held(days(90), 9) };
    assert_eq!(at_s(&late), NOW_S + days(81));
}

#[test]
fn what_is_missing_is_fetched_now() {
    let none = plan(NOW_S, None, &History::default());
    assert_eq!((none.at_s, none.why.as_str()), (NOW_S, "there is no certificate yet"));
    let uncovered = Held { uncovered: Some("www.example.com".into()), ..held(days(90), 0) };
    assert_eq!(at_s(&uncovered), NOW_S);
    assert_eq!(at_s(&Held { other_ca: true, ..held(days(90), 0) }), NOW_S);
}

#[test]
fn a_failure_holds_the_plan_back_but_not_for_ever() {
    let waits = |not_before_s| {
        let history =
            History { failures: 2, not_before_s: Some(not_before_s), ..History::default() };
        plan(NOW_S, None, &history)
    };
    assert_eq!(waits(NOW_S + 600).at_s, NOW_S + 600);
    assert!(waits(NOW_S + 600).why.ends_with("the last 2 attempts failed"));
    assert_eq!(waits(NOW_S - 5).at_s, NOW_S);
    // Written when the clock was a year ahead.
    assert_eq!(waits(NOW_S + days(365)).at_s, NOW_S);
}

#[test]
fn waits_grow_and_leave_time_before_the_end() {
    let middle = u32::MAX / 2;
    let wait = |failures, left_s: Option<i64>| {
        try_again_at_s(NOW_S, failures, middle, None, left_s.map(|left| NOW_S + left)) - NOW_S
    };
    let growing: Vec<i64> = (1..=6).map(|failures| wait(failures, None)).collect();
    assert_eq!(growing, [59, 599, 5999, 86_399, 86_399, 86_399]);
    assert_eq!(wait(9, Some(days(2))), days(2) / 10);
    assert_eq!(wait(9, Some(HOUR_S)), 10 * MINUTE_S);
    assert_eq!(wait(9, Some(-5)), 100 * MINUTE_S);
}

#[test]
fn the_cas_wait_is_obeyed_also_near_the_end_and_bounded() {
    let at = |retry_after| try_again_at_s(NOW_S, 1, 0, Some(retry_after), Some(NOW_S + 60)) - NOW_S;
    assert_eq!(at(7200), 7200);
    assert_eq!(at(1), 48);
    assert_eq!(at(u64::MAX), WAIT_MAX_S);
}

#[test]
fn the_window_is_asked_for_when_the_ca_says_within_bounds() {
    assert_eq!(ask_again_at_s(NOW_S, None), NOW_S + 6 * HOUR_S);
    assert_eq!(ask_again_at_s(NOW_S, Some(0)), NOW_S + 60);
    assert_eq!(ask_again_at_s(NOW_S, Some(u64::MAX)), NOW_S + DAY_S);
    assert!(asks_window(NOW_S, None));
    assert!(!asks_window(NOW_S, Some(&ari(0, 1))));
    assert!(asks_window(NOW_S + 60, Some(&ari(0, 1))));
    // Asked by a clock that was a year ahead.
    assert!(asks_window(NOW_S - days(365), Some(&ari(0, 1))));
}

#[test]
fn a_clock_that_is_off_is_told_and_one_that_is_not_is_not() {
    assert_eq!(clock_trouble(NOW_S, None), None);
    assert_eq!(clock_trouble(NOW_S, Some(NOW_S - 3600)), None);
    let words = clock_trouble(NOW_S + days(365), Some(NOW_S)).expect("off");
    assert!(words.contains("2028-01-15") && words.contains("2027-01-15"), "{words}");
    assert!(clock_trouble(NOW_S - days(365), Some(NOW_S)).is_some());
}

#[test]
fn certificates_of_one_day_are_not_renewed_in_one_minute() {
    for (lifetime, per_minute_max) in [(90, 8), (6, 20)] {
        let mut by_minute = std::collections::BTreeMap::new();
        let mut random = 1_u32;
        for _ in 0..1000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = at_s(&held(days(lifetime), random));
            *by_minute.entry(at / 60).or_insert(0) += 1;
        }
        let most = by_minute.values().max().copied().unwrap_or(0);
        assert!(most <= per_minute_max, "{lifetime} days: {most} in one minute");
    }
}

proptest! {
    #[test]
    fn a_plan_lies_between_the_start_and_the_end(
        lifetime_s in 60_i64..days(400),
        jitter: u32,
        window in proptest::option::of((0_i64..days(500), 1_i64..days(50))),
    ) {
        let window = window.map(|(start, length)| ari(NOW_S + start, NOW_S + start + length));
        let certificate = Held { ari: window.clone(), ..held(lifetime_s, jitter) };
        let at = at_s(&certificate);
        prop_assert!(at >= NOW_S);
        prop_assert!(at <= NOW_S + lifetime_s - lifetime_s / 10, "{} of {}", at - NOW_S, lifetime_s);
        if let Some(window) = window {
            prop_assert!(at <= window.end_s);
        }
    }

    #[test]
    fn no_clock_and_no_answer_makes_a_wait_panic_or_last(
        now_s: i64, failures: u32, random: u32,
        retry: Option<u64>, expires_s: Option<i64>,
    ) {
        let at = try_again_at_s(now_s, failures, random, retry, expires_s);
        prop_assert!(at >= now_s);
        prop_assert!(at.saturating_sub(now_s) <= WAIT_MAX_S);
    }

    #[test]
    fn any_stored_times_give_a_plan(
        now_s: i64, not_before_s: i64, not_after_s: i64, stored_at_s: i64, jitter: u32,
        start_s: i64, end_s: i64, wait: Option<i64>,
    ) {
        let certificate = Held {
            not_before_s, not_after_s, stored_at_s, jitter,
            ari: Some(ari(start_s, end_s)), uncovered: None, other_ca: false,
            imported: false, self_signed: false,
        };
        let history = History { not_before_s: wait, failures: 1, ..History::default() };
        let _ = plan(now_s, Some(&certificate), &history);
        let _ = certificate.is_young(now_s);
    }
}

#[test]
fn a_failure_that_is_yet_to_come_was_noted_by_a_wrong_clock_and_counts_for_nothing() {
    let noted = |at_s| History {
        failures: 1,
        not_before_s: Some(at_s + 60),
        last_failure: Some(Failure {
            at_s,
            kind: None,
            detail: "this machine says it is another day".into(),
            status: None,
            likely: "the clock".into(),
            next: "set it".into(),
            early: false,
        }),
        ..History::default()
    };
    let ahead = noted(NOW_S + days(2));
    assert_eq!(failure(NOW_S, &ahead), None);
    assert_eq!(plan(NOW_S, None, &ahead).at_s, NOW_S);
    let just_now = noted(NOW_S);
    assert_eq!(failure(NOW_S, &just_now), just_now.last_failure.as_ref());
    assert_eq!(plan(NOW_S, None, &just_now).at_s, NOW_S + 60);
}

#[test]
fn what_was_imported_stays_until_its_renewal_unless_no_ca_has_signed_it() {
    let imported = Held { imported: true, ..held(days(90), 0) };
    let kept = plan(NOW_S, Some(&imported), &History::default());
    assert_eq!(kept.at_s, at_s(&held(days(90), 0)));
    assert_eq!(kept.why, "it was imported; a third of its 90 days is left then");
    let self_signed = Held { self_signed: true, ..imported };
    let replaced = plan(NOW_S, Some(&self_signed), &History::default());
    assert_eq!(
        (replaced.at_s, replaced.why.as_str()),
        (NOW_S, "the imported certificate is self-signed")
    );
}

#[test]
fn a_wait_of_a_minute_or_so_is_told_in_seconds() {
    assert_eq!([62, 90, 91, 600].map(span), ["62 s", "90 s", "2 min", "10 min"]);
}
