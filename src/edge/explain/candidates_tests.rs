//! The explanation says what the choice does.

use super::*;
use crate::config::{Environment, load_file};
use crate::edge::upstream::{Failing, Peers, Trusts};

fn policy(site: &str) -> Policy {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("palisade.toml");
    std::fs::write(&path, format!("[site.\"app.localhost\"]\n{site}")).expect("written");
    let loaded = load_file(&path, &Environment::new(Vec::new()));
    let settings = loaded.unwrap_or_else(|report| panic!("{report}")).settings;
    let peers = Peers::of(&settings, None, &Trusts::default());
    Policy::new(1, settings, vec![None], 443, peers)
}

fn peer<'a>(policy: &'a Policy, name: &str) -> &'a Peer {
    policy.peers.iter().find(|peer| peer.endpoint.to_string() == name).expect("known")
}

/// What it comes to, and a line for each upstream.
fn told(policy: &Policy, now_ms: u64) -> (String, Vec<String>) {
    let (all, note) = of(policy, &policy.settings.sites[0].upstreams, now_ms);
    let line =
        |found: Candidate| format!("{} {}: {}", found.upstream, found.verdict.word(), found.why);
    (note.unwrap_or_else(|denial| format!("{denial:?}")), all.into_iter().map(line).collect())
}

#[test]
fn who_fails_is_skipped_while_another_is_there_and_probed_once_its_pause_is_over() {
    let policy = policy("upstream = [\"a:1\", \"b:1\"]");
    peer(&policy, "b:1").open(Failing::Quick, 0);
    let (note, all) = told(&policy, 0);
    assert_eq!(note, "a:1 is asked");
    assert_eq!(all, ["a:1 asked: weight 1", "b:1 skipped: it fails at once; next probe in 1 s"]);
    let (note, all) = told(&policy, 1_000);
    assert_eq!(note, "b:1 is asked first; where it is not there, a:1 is asked");
    assert_eq!(all[1], "b:1 probed: it fails at once; this request finds out whether it is back");
}

#[test]
fn who_refuses_is_asked_where_nobody_is_better_and_who_hangs_is_not() {
    let policy = policy("upstream = [\"a:1\", \"b:1\"]");
    peer(&policy, "a:1").open(Failing::Quick, 0);
    peer(&policy, "b:1").open(Failing::Slow, 0);
    let (note, all) = told(&policy, 0);
    assert_eq!(note, "a:1 is asked");
    assert_eq!(all[0], "a:1 asked: it fails at once; nobody is better");
    assert_eq!(all[1], "b:1 skipped: it does not answer in time; next probe in 1 s");
    let slow = self::policy("upstream = \"a:1\"");
    peer(&slow, "a:1").open(Failing::Slow, 0);
    let (note, all) = told(&slow, 200);
    assert!(note.starts_with("UpstreamDown") && note.contains("retry_s: 1"), "{note}");
    assert_eq!(all, ["a:1 skipped: it does not answer in time; next probe in 1 s"]);
}

#[test]
fn who_has_no_place_is_waited_for_rather_than_one_that_is_out() {
    let policy = policy("upstream = [{ to = \"a:1\", requests_max = 1 }, \"b:1\"]");
    assert_eq!(peer(&policy, "a:1").enter(Some(1)), Some(true));
    let (note, all) = told(&policy, 0);
    assert_eq!(note, "b:1 is asked");
    assert!(all[0].starts_with("a:1 skipped: weight 1; it has "), "{all:?}");
    peer(&policy, "b:1").open(Failing::Quick, 0);
    let (note, all) = told(&policy, 0);
    assert_eq!(note, "a place is waited for at a:1");
    assert!(all[0].starts_with("a:1 awaited: ") && all[1].starts_with("b:1 skipped: "), "{all:?}");
}

#[test]
fn where_nobody_is_left_alone_everyone_is_asked() {
    let policy = policy("upstream = [\"a:1\", \"b:1\"]\nbreaker = \"off\"");
    peer(&policy, "b:1").open(Failing::Slow, 0);
    assert_eq!(told(&policy, 0).1[1], "b:1 asked: weight 1");
    assert!(told(&policy, 9_000).0.starts_with("the one whose turn it is of a:1, b:1 is asked"));
}
