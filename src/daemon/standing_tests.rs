//! What people are told of upstreams.

use super::*;
use crate::config::settings::Settings;
use crate::config::{Environment, load_file};
use crate::edge::upstream::{Failing, LastFailure, Peers, Trouble, Trusts, groups};
use crate::ports::health::Checked;

fn known(upstream: &str) -> Snapshot {
    Snapshot {
        upstream: upstream.into(),
        health: Health::Unknown,
        down: None,
        breaker: State::Closed { failures: 0 },
        changed: None,
        heard: true,
        stalled: false,
        in_flight: 2,
        waiting: 1,
        last_failure: None,
        opened: 0,
        retries: 0,
        spared: 0,
        busy: 0,
    }
}

fn failing(upstream: &str) -> Snapshot {
    let at = Duration::from_secs(1_795_292_266);
    Snapshot {
        breaker: State::Open { until_ms: 9_000, pauses: 0, how: Failing::Quick, probing: false },
        changed: Some(at),
        heard: false,
        last_failure: Some(LastFailure { at, text: "refused".into(), trouble: Trouble::Refused }),
        ..known(upstream)
    }
}

fn settings(keys: &str) -> Settings {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("palisade.toml");
    std::fs::write(&path, format!("[site.\"app.localhost\"]\n{keys}")).expect("written");
    let loaded = load_file(&path, &Environment::new(Vec::new()));
    loaded.unwrap_or_else(|report| panic!("{report}")).settings
}

fn site(keys: &str) -> Site {
    settings(keys).sites.remove(0)
}

fn policy(keys: &str) -> Policy {
    let settings = settings(keys);
    let peers = Peers::of(&settings, None, &Trusts::default());
    Policy::new(1, settings, vec![None], 443, peers)
}

fn out(site: &Site, all: &[Snapshot]) -> Out {
    let endpoints = groups(site).flat_map(|group| &group.list).map(|found| &found.endpoint);
    let known = |endpoint: &Endpoint| {
        let found = all.iter().find(|known| known.upstream == endpoint.to_string());
        Some((endpoint.clone(), found.cloned()?))
    };
    Out { known: endpoints.filter_map(known).collect(), now_ms: 8_000 }
}

fn words(site: &Site, all: &[Snapshot]) -> Vec<(Level, String)> {
    let about = out(site, all).about(site);
    about.into_iter().map(|found| (found.level, found.message)).collect()
}

#[test]
fn a_state_is_one_word() {
    let down = Snapshot { health: Health::Down, ..known("a:1") };
    let probing = State::Open { until_ms: 1, pauses: 1, how: Failing::Slow, probing: true };
    for (snapshot, word) in [
        (known("a:1"), "up"),
        (Snapshot { heard: false, ..known("a:1") }, "unknown"),
        (Snapshot { heard: false, health: Health::Up, ..known("a:1") }, "up"),
        (Snapshot { stalled: true, ..known("a:1") }, "stalled"),
        (failing("a:1"), "failing"),
        (Snapshot { health: Health::Up, ..failing("a:1") }, "failing"),
        (Snapshot { breaker: probing, ..down.clone() }, "probing"),
        (down, "down"),
    ] {
        assert_eq!(state_of(&snapshot).word(), word, "{snapshot:?}");
    }
}

#[test]
fn a_site_without_any_upstream_fails_and_one_with_some_is_warned_about() {
    let site = site("upstream = [\"a:1\", \"b:1\"]");
    assert_eq!(words(&site, &[]), []);
    let [(level, message)] = &words(&site, &[failing("b:1")])[..] else { panic!("one sentence") };
    assert_eq!(*level, Level::Warn);
    assert_eq!(
        message,
        "app.localhost: upstream b:1 is out (1 of 2): refused, since 2026-11-21T20:17:46Z (next: see whether the app \
         runs and listens there; requests go to other upstreams meanwhile; palisade sees by itself when it can be \
         reached again)"
    );
    let at = Duration::from_secs(1_795_292_266);
    let down = Some(LastFailure { at, text: "answered 503".into(), trouble: Trouble::Check });
    let down = Snapshot { health: Health::Down, down, ..known("a:1") };
    let [(level, message)] = &words(&site, &[failing("b:1"), down])[..] else { panic!("one") };
    assert_eq!(*level, Level::Fail);
    let begins = "app.localhost: all 2 upstreams are out: a:1: its health check fails, answered 503, since \
                  2026-11-21T20:17:46Z; b:1: refused, since ";
    assert!(message.starts_with(begins), "{message}");
}

#[test]
fn what_only_a_request_can_find_out_fails_no_longer_once_one_may_be_sent() {
    let site = site("upstream = \"a:1\"");
    let at = Duration::from_secs(1_795_292_266);
    let level = |trouble, until_ms| {
        let breaker = State::Open { until_ms, pauses: 0, how: Failing::Slow, probing: false };
        let last_failure = Some(LastFailure { at, text: "why".into(), trouble });
        let [(level, message)] =
            &words(&site, &[Snapshot { breaker, last_failure, ..failing("a:1") }])[..]
        else {
            panic!("one sentence")
        };
        assert!(message.contains("(next: "), "{message}");
        *level
    };
    assert_eq!(level(Trouble::Late, 9_000), Level::Fail);
    assert_eq!(level(Trouble::Late, 8_000), Level::Warn);
    assert_eq!(level(Trouble::Refused, 8_000), Level::Fail, "palisade looks by itself");
}

#[test]
fn a_route_with_its_own_app_has_its_own_sentence() {
    let site =
        site("upstream = \"a:1\"\n[site.\"app.localhost\".route.\"/api\"]\nupstream = \"b:1\"");
    let [(level, message)] = &words(&site, &[failing("b:1")])[..] else { panic!("one sentence") };
    assert_eq!(*level, Level::Fail);
    assert!(message.starts_with("app.localhost, route /api: its upstream b:1 is out: refused"));
}

#[test]
fn a_site_that_has_no_breaker_asks_whoever_fails_others() {
    let site = site("upstream = [\"a:1\", \"b:1\"]\nbreaker = \"off\"");
    assert_eq!(words(&site, &[failing("b:1")]), []);
    assert_eq!(out(&site, &[failing("b:1")]).of(&site.upstreams).count(), 0);
}

#[test]
fn a_sentence_names_a_few_upstreams_and_counts_the_rest() {
    let names = ["a:1", "b:1", "c:1", "d:1", "e:1"];
    let site = site(&format!("upstream = {names:?}"));
    let [(_, message)] = &words(&site, &names.map(failing))[..] else { panic!("one sentence") };
    assert!(message.contains("all 5 upstreams are out: a:1: refused, since "), "{message}");
    assert!(message.contains("c:1: refused") && message.contains("; 2 more ("), "{message}");
}

#[test]
fn the_time_of_the_next_probe_is_counted_down() {
    let site = site("upstream = { to = \"a:1\", requests_max = 7 }");
    let told = |now_ms| {
        let used = Used {
            endpoint: &site.upstreams.list[0].endpoint,
            requests_max: Some(7),
            by: Vec::new(),
            total: 0,
        };
        status_of(failing("a:1"), used, now_ms)
    };
    assert_eq!((told(8_000).probe_in_ms, told(9_500).probe_in_ms), (Some(1_000), Some(0)));
    let told = told(0);
    assert_eq!((told.why.as_deref(), told.requests_max), (Some("refused"), Some(7)));
    assert_eq!(told.last_failure.map(|last| last.at), told.since);
}

#[test]
fn traffic_is_unwelcome_only_while_every_health_check_fails() {
    let policy = policy("upstream = [\"a:1\", \"b:1\"]");
    let peers: Vec<_> = policy.peers.iter().collect();
    peers.iter().for_each(|peer| peer.open(Failing::Slow, 0));
    assert!(!none_is_well(&policy), "a request would find out that they are back");
    peers[0].settle(Health::Down);
    assert!(!none_is_well(&policy));
    peers[1].settle(Health::Down);
    assert!(none_is_well(&policy));
}

#[test]
fn an_upstream_is_listed_once_with_everyone_who_uses_it() {
    let policy = policy(
        "upstream = [\"a:1\", { to = \"b:1\", weight = 2 }]\n\
         [site.\"app.localhost\".route.\"/api\"]\nupstream = \"b:1\"\n",
    );
    let all = uses(&policy);
    assert_eq!(all.keys().collect::<Vec<_>>(), ["a:1", "b:1"]);
    let used = &all["b:1"];
    let by = used.by.iter().map(|used| (used.route.as_deref(), used.weight));
    assert_eq!((by.collect::<Vec<_>>(), used.total), (vec![(None, 2), (Some("/api"), 1)], 2));
}
