//! A thousand names through a year, an outage of days included, against a modelled CA that counts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::store::certs::{Ari, History};
use crate::work::acme::core::{DAY_S, Held, plan, try_again_at_s};

const START_S: i64 = 1_800_000_000;
const LE: &str = "https://acme-v02.api.letsencrypt.org/directory";

fn candidate(site: u32, due_s: i64, expires_s: i64) -> Candidate<u32> {
    Candidate { site, due_s, expires_s: Some(expires_s), exempt: false }
}

fn nothing<'a>() -> Placed<'a> {
    Placed { at_work: 0, recent_s: &[], at_ca_s: &[], allowance: None }
}

#[test]
fn the_soonest_to_expire_go_first_and_four_at_a_time() {
    let all: Vec<_> =
        (0..6).map(|site| candidate(site, START_S, START_S + 100 - i64::from(site))).collect();
    assert_eq!(choose(START_S, &all, nothing()).start, [5, 4, 3, 2]);
    let busy = Placed { at_work: 3, ..nothing() };
    assert_eq!(choose(START_S, &all, busy).start, [5]);
}

#[test]
fn what_is_not_due_says_when_it_will_be() {
    let all = [candidate(1, START_S + 50, 0), candidate(2, START_S + 30, 0)];
    let choice = choose(START_S, &all, nothing());
    assert_eq!(choice, Choice { start: vec![], look_again_s: Some(START_S + 30) });
}

#[test]
fn ten_orders_in_ten_seconds_are_enough() {
    let all: Vec<_> = (0..6).map(|site| candidate(site, START_S, 0)).collect();
    let recent: Vec<i64> = (0..9).map(|at| START_S - at).collect();
    let choice = choose(START_S, &all, Placed { recent_s: &recent, ..nothing() });
    assert_eq!(choice.start.len(), 1);
    assert_eq!(choice.look_again_s, Some(START_S - 8 + WINDOW_S));
}

#[test]
fn the_cas_limit_stops_all_but_what_is_exempt() {
    let allowance = allowance(LE);
    assert_eq!(allowance, Some(Allowance { orders: 300, period_s: 10_800 }));
    assert_eq!(super::allowance("https://ca.example/acme.letsencrypt.org/"), None);
    let placed: Vec<i64> = (0..285).map(|at| START_S - 10_000 + at).collect();
    let mut all = [candidate(1, START_S, 5), candidate(2, START_S, 9)];
    all[1].exempt = true;
    let choice = choose(START_S, &all, Placed { at_ca_s: &placed, allowance, ..nothing() });
    assert_eq!(choice.start, [2]);
    assert_eq!(choice.look_again_s, Some(START_S - 10_000 + 10_800));
    // Orders of a clock that was ahead count for nothing.
    let ahead: Vec<i64> = placed.iter().map(|at| at + 365 * DAY_S).collect();
    let choice = choose(START_S, &all, Placed { at_ca_s: &ahead, allowance, ..nothing() });
    assert_eq!(choice.start.len(), 2);
}

/// A CA that counts as Let's Encrypt does, and fails the test when somebody passes a limit.
struct Model {
    lifetime_s: i64,
    windows: bool,
    down: Vec<(i64, i64)>,
    placed_s: Vec<i64>,
    random: u64,
}

impl Model {
    fn random(&mut self) -> u32 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 32) as u32
    }

    fn is_down(&self, now_s: i64) -> bool {
        self.down.iter().any(|(from, to)| (*from..*to).contains(&now_s))
    }

    fn place(&mut self, now_s: i64, exempt: bool) {
        self.placed_s.retain(|at| *at > now_s - 10_800);
        let last = self.placed_s.iter().filter(|at| **at > now_s - WINDOW_S).count();
        assert!(last < ORDERS_MAX, "{} orders in 10 s", last + 1);
        assert!(exempt || self.placed_s.len() < 300, "more than 300 orders in 3 h");
        self.placed_s.push(now_s);
    }

    fn issue(&mut self, now_s: i64) -> Held {
        let not_before_s = now_s - 3600;
        let ari = self.windows.then(|| Ari {
            start_s: not_before_s + self.lifetime_s * 64 / 100,
            end_s: not_before_s + self.lifetime_s * 66 / 100,
            explanation_url: None,
            asked_at_s: now_s,
            ask_again_at_s: now_s + 21_600,
        });
        Held {
            not_before_s,
            not_after_s: not_before_s + self.lifetime_s,
            stored_at_s: now_s,
            jitter: self.random(),
            ari,
            uncovered: None,
            other_ca: false,
            imported: false,
            self_signed: false,
        }
    }
}

#[derive(Default)]
struct Name {
    held: Option<Held>,
    history: History,
    due_s: i64,
    at_work: bool,
}

/// Runs `count` names for `days` and returns the number of certificates issued and the most starts in a minute.
fn live(ca: &mut Model, count: usize, days: i64) -> (usize, usize) {
    let mut names: Vec<Name> =
        (0..count).map(|_| Name { due_s: START_S, ..Name::default() }).collect();
    let mut ends: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    let (mut now_s, mut issued, mut starts_s) = (START_S, 0, Vec::<i64>::new());
    let end_s = START_S + days * DAY_S;
    let mut most = 0;
    while now_s < end_s {
        while let Some(Reverse((at, index))) = ends.peek().copied().filter(|end| end.0.0 <= now_s) {
            ends.pop();
            let name = &mut names[index];
            name.at_work = false;
            if ca.is_down(at) {
                name.history.failures += 1;
                let expires_s = name.held.as_ref().map(|held| held.not_after_s);
                let step = name.history.failures.min(3);
                let again = try_again_at_s(now_s, step, ca.random(), None, expires_s);
                name.history.not_before_s = Some(again);
            } else {
                assert!(
                    name.held.as_ref().is_none_or(|held| held.not_after_s > now_s),
                    "one expired"
                );
                name.held = Some(ca.issue(now_s));
                name.history = History::default();
                issued += 1;
            }
            name.due_s = plan(now_s, name.held.as_ref(), &name.history).at_s;
        }
        let idle = || names.iter().enumerate().filter(|(_, name)| !name.at_work);
        // Of those that are not due, only the first matters.
        let first = idle().map(|(_, name)| name.due_s).filter(|due_s| *due_s > now_s).min();
        let all: Vec<_> = idle()
            .filter(|(_, name)| name.due_s <= now_s || Some(name.due_s) == first)
            .map(|(site, name)| Candidate {
                site,
                due_s: name.due_s,
                expires_s: Some(name.held.as_ref().map_or(now_s, |held| held.not_after_s)),
                exempt: name.held.as_ref().is_some_and(|held| held.ari.is_some()),
            })
            .collect();
        starts_s.retain(|at| *at > now_s - 60);
        let placed = Placed {
            at_work: ends.len(),
            recent_s: &starts_s,
            at_ca_s: &ca.placed_s,
            allowance: allowance(LE),
        };
        let choice = choose(now_s, &all, placed);
        for site in choice.start {
            let exempt = names[site].held.as_ref().is_some_and(|held| held.ari.is_some());
            if !ca.is_down(now_s) {
                ca.place(now_s, exempt);
            }
            starts_s.push(now_s);
            names[site].at_work = true;
            let takes_s = if ca.is_down(now_s) { 30 } else { 2 + i64::from(ca.random() % 10) };
            ends.push(Reverse((now_s + takes_s, site)));
        }
        most = most.max(starts_s.len());
        let ending = ends.peek().map(|end| end.0.0);
        let next = [choice.look_again_s, ending].into_iter().flatten().min().unwrap_or(end_s);
        now_s = next.max(now_s + 1);
    }
    assert!(names.iter().all(|name| name.held.as_ref().is_some_and(|h| h.not_after_s > now_s)));
    (issued, most)
}

fn a_thousand_names_for_a_year(windows: bool) {
    let outage = (START_S + 60 * DAY_S, START_S + 65 * DAY_S);
    let mut ca = Model {
        lifetime_s: 90 * DAY_S,
        windows,
        down: vec![outage, (START_S + 3600, START_S + 7200)],
        placed_s: Vec::new(),
        random: 42,
    };
    let (issued, most) = live(&mut ca, 1000, 365);
    // 365 days in steps of about 58 to 63 days, the first included.
    assert!((6000..=7500).contains(&issued), "{issued} certificates");
    assert!(most <= 60, "{most} starts in a minute");
}

#[test]
fn a_thousand_names_live_through_a_year_with_an_outage() {
    a_thousand_names_for_a_year(false);
}

#[test]
fn a_thousand_names_with_windows_live_through_a_year_with_an_outage() {
    a_thousand_names_for_a_year(true);
}

#[test]
fn six_days_are_enough_for_an_outage_of_two() {
    let mut ca = Model {
        lifetime_s: 6 * DAY_S,
        windows: false,
        down: vec![(START_S + 10 * DAY_S, START_S + 12 * DAY_S)],
        placed_s: Vec::new(),
        random: 7,
    };
    let (issued, _) = live(&mut ca, 300, 40);
    assert!((300 * 11..300 * 14).contains(&issued), "{issued}");
}
