//! Who is asked, by what is known of each.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::settings::{Breaker, Endpoint, Protocol, UpstreamAddr};
use crate::edge::upstream::Peer;
use crate::ports::health::Checked;

const RULES: Rules = Rules { failures: 2, open_ms: 1_000 };

fn upstream(port: u16, weight: u32, requests_max: Option<usize>) -> Upstream {
    let addr = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port };
    let endpoint = Endpoint { addr, protocol: Protocol::Http1, tls: None };
    Upstream { endpoint, weight, requests_max }
}

fn settings(list: Vec<Upstream>) -> Upstreams {
    Upstreams {
        list,
        balance: Balance::RoundRobin,
        wait_queue: WaitQueue { requests_max: 1, wait_max: Duration::from_secs(1) },
        retry_percent: 20,
        breaker: Some(Breaker { failures: 2, open: Duration::from_secs(1) }),
        health: None,
        keep_awake: None,
    }
}

/// A group of so many, each with this cap.
fn group(many: u16, requests_max: Option<usize>) -> Group {
    let list = (0..many).map(|port| upstream(port, 1, requests_max)).collect();
    Group::new(&settings(list), |upstream| Some(Pool::new(Peer::new(upstream.endpoint.clone()))))
}

fn choose(group: &Group, now_ms: u64) -> Result<Chosen, Nobody> {
    group.choose(now_ms, Tried::default(), || 0)
}

fn asked(group: &Group, now_ms: u64) -> usize {
    choose(group, now_ms).unwrap_or_else(|nobody| panic!("{nobody:?}")).at
}

fn peer(group: &Group, at: usize) -> &Arc<Peer> {
    &group.members[at].pool.peer
}

/// The upstream fails as often as it takes.
fn fails(group: &Group, at: usize, how: Failing, now_ms: u64) {
    for _ in 0..RULES.failures {
        Visit::begin(&group.members[at].pool, false).failed(how, now_ms, RULES, 0);
    }
}

#[test]
fn each_upstream_is_asked_in_turn_and_once_by_each_request() {
    let group = group(3, None);
    assert_eq!([0; 4].map(|_| asked(&group, 0)), [0, 1, 2, 0]);
    let mut tried = Tried::default();
    for _ in 0..3 {
        tried.add(group.choose(0, tried, || 0).unwrap_or_else(|_| panic!("one is left")).at);
    }
    assert_eq!(group.choose(0, tried, || 0).err(), Some(Nobody::Left));
}

#[test]
fn one_that_is_out_is_spared_but_for_a_probe() {
    let group = group(2, None);
    fails(&group, 0, Failing::Quick, 0);
    assert_eq!([0; 3].map(|_| asked(&group, 999)), [1, 1, 1]);
    let mut probe = choose(&group, 1_000).unwrap_or_else(|_| panic!("the probe"));
    assert_eq!((probe.at, probe.visit.pass), (0, Pass::Probe));
    assert_eq!([0; 3].map(|_| asked(&group, 1_000)), [1, 1, 1]);
    assert!(probe.visit.answered(1_010, Some(RULES)), "it is back");
    assert_eq!([0; 2].map(|_| asked(&group, 1_010)), [0, 1]);
}

#[test]
fn a_probe_that_is_dropped_leaves_the_question_to_the_next_request() {
    let group = group(2, None);
    fails(&group, 0, Failing::Quick, 0);
    drop(choose(&group, 1_000));
    let next = choose(&group, 1_000).unwrap_or_else(|_| panic!("the probe"));
    assert_eq!((next.at, next.visit.pass), (0, Pass::Probe));
}

#[test]
fn where_all_refuse_all_are_asked_and_where_all_are_late_none_is() {
    for many in [1, 2] {
        let quick = group(many, None);
        (0..many.into()).for_each(|at| fails(&quick, at, Failing::Quick, 0));
        let anyway = choose(&quick, 10).unwrap_or_else(|nobody| panic!("{many}: {nobody:?}"));
        assert_eq!(anyway.visit.pass, Pass::Anyway);
        let slow = group(many, None);
        (0..many.into()).for_each(|at| fails(&slow, at, Failing::Slow, 0));
        assert_eq!(choose(&slow, 300).err(), Some(Nobody::Out { retry_ms: 700 }), "{many}");
        let probe = choose(&slow, 1_000).unwrap_or_else(|nobody| panic!("{many}: {nobody:?}"));
        assert_eq!(probe.visit.pass, Pass::Probe);
    }
}

#[test]
fn one_that_its_health_checks_call_down_is_the_last_resort() {
    let group = group(3, None);
    peer(&group, 0).settle(Health::Down);
    assert_eq!([0; 3].map(|_| asked(&group, 0)), [1, 2, 1]);
    fails(&group, 1, Failing::Slow, 0);
    fails(&group, 2, Failing::Slow, 0);
    assert_eq!(asked(&group, 0), 0);
}

#[test]
fn without_a_breaker_nobody_is_out() {
    let mut settings = settings((0..2).map(|port| upstream(port, 1, None)).collect());
    settings.breaker = None;
    let group = Group::new(&settings, |u| Some(Pool::new(Peer::new(u.endpoint.clone()))));
    fails(&group, 0, Failing::Slow, 0);
    assert_eq!([0; 2].map(|_| asked(&group, 0)), [0, 1]);
}

#[test]
fn one_that_answers_nothing_is_passed_over_until_it_answers() {
    let group = group(2, None);
    let mut held: Vec<Chosen> = Vec::new();
    while held.iter().filter(|chosen| chosen.at == 0).count() < 4 {
        let mut chosen = choose(&group, 10_000).unwrap_or_else(|_| panic!("one"));
        if chosen.at == 1 {
            chosen.visit.answered(10_000, Some(RULES));
        }
        held.push(chosen);
    }
    assert_eq!([0; 2].map(|_| asked(&group, 11_000)).iter().sum::<usize>(), 1, "not yet");
    assert_eq!([0; 3].map(|_| asked(&group, 11_001)), [1, 1, 1]);
    let silent = held.iter_mut().find(|chosen| chosen.at == 0).expect("one of four");
    silent.visit.answered(11_100, Some(RULES));
    assert_eq!([0; 2].map(|_| asked(&group, 11_200)).iter().sum::<usize>(), 1);
}

#[test]
fn where_all_are_long_polls_nobody_is_refused() {
    let group = group(2, None);
    let held: Vec<Chosen> = (0..20).filter_map(|_| choose(&group, 0).ok()).collect();
    let later: Vec<usize> = (0..4).map(|_| asked(&group, 60_000)).collect();
    assert_eq!((held.len(), later.iter().sum::<usize>()), (20, 2), "{later:?}");
}

#[test]
fn full_upstreams_are_waited_for_in_a_line_of_their_own_length() {
    let group = group(2, Some(1));
    let first = choose(&group, 0).unwrap_or_else(|_| panic!("free"));
    let second = choose(&group, 0).unwrap_or_else(|_| panic!("free"));
    assert_ne!(first.at, second.at);
    assert_eq!(choose(&group, 0).err(), Some(Nobody::Full));
    let ticket = group.line_up(0, Tried::default()).expect("room in the line");
    assert!(group.line_up(0, Tried::default()).is_none(), "the line is full");
    assert_eq!(peer(&group, 0).snapshot(0).waiting, 1);
    drop(ticket);
    drop(first);
    assert_eq!(choose(&group, 0).map(|chosen| chosen.at).ok(), Some(0));
}

#[test]
fn rather_than_one_that_is_out_a_full_one_is_waited_for() {
    let group = group(2, Some(1));
    fails(&group, 0, Failing::Quick, 0);
    let _held = choose(&group, 0).unwrap_or_else(|_| panic!("free"));
    assert_eq!(choose(&group, 0).err(), Some(Nobody::Full));
}

#[test]
fn whoever_shares_an_upstream_counts_its_requests_together() {
    let one = Peer::new(upstream(1, 1, None).endpoint);
    let pools = [Pool::new(Arc::clone(&one)), Pool::new(Arc::clone(&one))];
    let visits = [Visit::begin(&pools[0], false), Visit::begin(&pools[1], false)];
    assert_eq!(one.in_flight(), 2);
    drop(visits);
    assert_eq!(one.in_flight(), 0);
}

proptest! {
    #[test]
    fn whatever_is_out_or_full_somebody_who_is_neither_is_asked(
        standings in proptest::collection::vec(0_u8..4, 1..8),
        turns in 1_usize..20,
    ) {
        let many = u16::try_from(standings.len()).expect("few");
        let group = group(many, Some(1));
        let mut held = Vec::new();
        for (at, standing) in standings.iter().enumerate() {
            match standing {
                1 => fails(&group, at, Failing::Quick, 0),
                2 => fails(&group, at, Failing::Slow, 0),
                3 => held.extend(group.enter(at, 0)),
                _ => {}
            }
        }
        for _ in 0..turns {
            match choose(&group, 10) {
                Ok(chosen) => {
                    let fit = standings.contains(&0);
                    prop_assert!(standings[chosen.at] == 0 || (!fit && standings[chosen.at] == 1));
                }
                Err(Nobody::Full) => prop_assert!(!standings.contains(&0) && standings.contains(&3)),
                Err(nobody) => {
                    prop_assert_eq!(nobody, Nobody::Out { retry_ms: 990 });
                    prop_assert!(standings.iter().all(|standing| *standing == 2));
                }
            }
        }
    }
}
