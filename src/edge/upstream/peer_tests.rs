//! What outlives a reload, and what a reload changes.

use std::time::Duration;

use super::*;
use crate::config::{Environment, load_file};
use crate::edge::upstream::breaker::{Failing, Pass, Rules};

fn settings(site: &str) -> Settings {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("palisade.toml");
    std::fs::write(&path, format!("[site.\"app.localhost\"]\n{site}")).expect("written");
    let loaded = load_file(&path, &Environment::new(Vec::new()));
    loaded.unwrap_or_else(|report| panic!("{report}")).settings
}

fn only(peers: &Peers) -> &Arc<Peer> {
    peers.iter().next().expect("one")
}

fn opens(peer: &Peer) {
    assert!(peer.switch.failed(
        Pass::Usual,
        Failing::Slow,
        0,
        Rules { failures: 1, open_ms: 1 },
        0
    ));
}

#[test]
fn what_is_known_of_an_upstream_that_stays_stays() {
    let before = Peers::of(&settings("upstream = \"127.0.0.1:1\""), None, &Trusts::default());
    opens(only(&before));
    let more = settings("upstream = [\"127.0.0.1:1\", \"127.0.0.1:2\"]");
    let after = Peers::of(&more, Some(&before), &Trusts::default());
    let kept = after.get(&only(&before).endpoint).expect("kept");
    assert!(Arc::ptr_eq(kept, only(&before)) && kept.breaker().is_open());
    assert_eq!(after.snapshots(0).len(), 2);
}

#[test]
fn without_a_breaker_nothing_stays_open() {
    let before = Peers::of(&settings("upstream = \"127.0.0.1:1\""), None, &Trusts::default());
    opens(only(&before));
    let off = settings("upstream = \"127.0.0.1:1\"\nbreaker = \"off\"");
    assert!(!only(&Peers::of(&off, Some(&before), &Trusts::default())).breaker().is_open());
}

#[test]
fn requests_take_places_only_where_somebody_counts_them() {
    let placed =
        |site: &str| only(&Peers::of(&settings(site), None, &Trusts::default())).enter(None);
    assert_eq!(placed("upstream = \"127.0.0.1:1\""), Some(false));
    assert_eq!(placed("upstream = \"127.0.0.1:1\"\nbalance = \"least-loaded\""), Some(false));
    let two = "upstream = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nbalance = \"least-loaded\"";
    assert_eq!(placed(two), Some(true));
    assert_eq!(placed("upstream = { to = \"127.0.0.1:1\", requests_max = 2 }"), Some(true));
}

#[test]
fn a_snapshot_tells_what_happened_last_and_when() {
    let peers = Peers::of(&settings("upstream = \"127.0.0.1:1\""), None, &Trusts::default());
    let peer = only(&peers);
    assert_eq!((peer.snapshot(0).changed, peer.snapshot(0).last_failure), (None, None));
    opens(peer);
    peer.note_failure(Duration::from_secs(7), "refused".into());
    assert_eq!(peer.note_change(Duration::from_secs(7)), None);
    assert_eq!(peer.note_change(Duration::from_secs(9)), Some(Duration::from_secs(2)));
    let told = peer.snapshot(0);
    let last = LastFailure { at: Duration::from_secs(7), text: "refused".into() };
    assert_eq!((told.last_failure, told.changed), (Some(last), Some(Duration::from_secs(9))));
    assert!(told.breaker.is_open());
}

#[test]
fn an_answer_to_somebody_tells_that_others_wait_for_something_slow() {
    let peers = Peers::of(&settings("upstream = \"127.0.0.1:1\""), None, &Trusts::default());
    let peer = only(&peers);
    peer.asked(1_000);
    assert!(!peer.answered_since(1_000), "being asked is no answer");
    peer.progressed(1_500);
    assert!(peer.answered_since(1_000));
    assert!(!peer.answered_since(1_500));
}

#[test]
fn the_last_word_of_an_upstream_is_an_answer_or_a_failure() {
    let peers = Peers::of(&settings("upstream = \"127.0.0.1:1\""), None, &Trusts::default());
    let peer = only(&peers);
    assert!(!peer.snapshot(0).heard, "nothing was asked yet");
    peer.progressed(5);
    assert!(peer.snapshot(5).heard);
    peer.note_failure(Duration::from_secs(7), "refused".into());
    assert!(!peer.snapshot(6).heard);
    peer.progressed(7);
    assert!(peer.snapshot(7).heard, "however soon after");
}
