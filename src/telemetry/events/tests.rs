//! The hub against subscribers that read, that do not, and that are not there.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::hub::{LANE_MAX, SIDE_MAX};
use super::subscription::BUFFER_MAX;
use super::*;
use crate::ports::fake::FakeClock;

fn hub(workers: usize) -> Arc<Hub> {
    Hub::new(workers, Arc::new(FakeClock::at(Duration::from_secs(1_795_292_266))))
}

fn entry(path: &str, status_code: u16) -> Entry<'_> {
    Entry {
        unix: Duration::from_secs(1_795_292_266),
        request_id: b"019-id",
        site: Some("app.example.com"),
        route: Some("/api"),
        method: "GET",
        path,
        protocol: "h2",
        status_code,
        latency_us: 1500,
        response_bytes: 12,
        client_ip: "203.0.113.9",
        upstream: None,
        upstream_us: None,
        tenant_id: None,
        user_id: None,
        denied: None,
        why: None,
        aborted: None,
    }
}

/// What waits for a subscriber now; nothing if nothing does.
fn taken(subscription: &mut Subscription) -> Taken {
    let mut cx = Context::from_waker(Waker::noop());
    match subscription.poll_take(&mut cx, usize::MAX) {
        Poll::Ready(Some(taken)) => taken,
        Poll::Ready(None) => panic!("closed"),
        Poll::Pending => Taken::default(),
    }
}

fn paths(taken: &Taken) -> Vec<&str> {
    let requests = taken.items.iter().filter_map(|item| match item {
        Item::Request(seen) => Some(seen.path.as_str()),
        _ => None,
    });
    requests.collect()
}

#[test]
fn nobody_listening_costs_nothing_and_keeps_nothing() {
    let hub = hub(1);
    assert!(!hub.requests_watched() && !hub.watched());
    hub.request(0, &entry("/", 200), || panic!("nobody asked for the steps"));
    hub.line(Duration::ZERO, b"{}");
    hub.changed("reloaded", None, "text");
    let mut late = hub.subscribe(Wanted::default()).unwrap_or_else(|e| panic!("{e:?}"));
    hub.hand_out();
    assert_eq!(taken(&mut late).items.len(), 0);
    drop(late);
    assert!(!hub.requests_watched() && !hub.watched());
}

#[test]
fn each_subscriber_sees_what_it_asked_for() {
    let hub = hub(2);
    let wanted = Wanted { path_prefix: Some("/a".into()), ..Wanted::default() };
    let mut some = hub.subscribe(wanted).unwrap_or_else(|e| panic!("{e:?}"));
    let kinds = Kinds { requests: false, log: true, state: true };
    let mut aside =
        hub.subscribe(Wanted { kinds, ..Wanted::default() }).unwrap_or_else(|e| panic!("{e:?}"));
    hub.request(0, &entry("/b", 200), || panic!("not shown to anybody"));
    hub.request(1, &entry("/a/b", 200), Vec::new);
    hub.line(Duration::from_secs(1), b"{\"event\":\"x\"}\n");
    hub.changed("draining", None, "finishing");
    hub.hand_out();
    let seen = taken(&mut some);
    assert_eq!((paths(&seen), seen.items.len()), (vec!["/a/b"], 3));
    let seen = taken(&mut aside);
    assert!(matches!(&seen.items[..], [Item::Line(_), Item::State(_)]), "{seen:?}");
}

#[test]
fn every_filter_must_hold() {
    let entry = Entry { denied: Some("method"), ..entry("/api/x", 405) };
    let with = |change: fn(&mut Wanted)| {
        let mut wanted = Wanted::default();
        change(&mut wanted);
        wanted.takes(&entry)
    };
    assert!(with(|_| {}));
    assert!(with(|w| w.site = Some("app.example.com".into())));
    assert!(!with(|w| w.site = Some("other.example".into())));
    assert!(with(|w| w.route = Some("/api".into())));
    assert!(!with(|w| w.route = Some("/".into())));
    assert!(with(|w| w.ip = Some("203.0.113.9".into())));
    assert!(!with(|w| w.ip = Some("203.0.113.8".into())));
    assert!(with(|w| w.status = Some(StatusWanted::Class(4))));
    assert!(!with(|w| w.status = Some(StatusWanted::Exactly(404))));
    assert!(with(|w| w.denied = Some("method".into())));
    assert!(!with(|w| w.denied = Some("unknown_host".into())));
    assert!(with(|w| w.slower_us = Some(1000)));
    assert!(!with(|w| w.slower_us = Some(1500)));
    assert!(!with(|w| w.kinds.requests = false));
}

#[test]
fn a_slow_subscriber_loses_the_oldest_and_is_told_how_many() {
    let hub = hub(1);
    let mut slow = hub.subscribe(Wanted::default()).unwrap_or_else(|e| panic!("{e:?}"));
    for _ in 0..BUFFER_MAX / SIDE_MAX {
        (0..SIDE_MAX).for_each(|_| hub.changed("reloaded", None, "old"));
        hub.hand_out();
    }
    hub.changed("reloaded", None, "new");
    hub.hand_out();
    let seen = taken(&mut slow);
    assert_eq!((seen.dropped, seen.items.len()), (1, BUFFER_MAX));
    let Some(Item::State(last)) = seen.items.last() else { panic!("{seen:?}") };
    assert_eq!(last.text, "new");
    assert_eq!(taken(&mut slow).dropped, 0, "said once");
}

#[test]
fn a_worker_that_is_not_looked_at_keeps_the_newest() {
    let hub = hub(1);
    let mut all = hub.subscribe(Wanted::default()).unwrap_or_else(|e| panic!("{e:?}"));
    for at in 0..LANE_MAX + 3 {
        hub.request(0, &entry(&format!("/{at}"), 200), Vec::new);
    }
    hub.hand_out();
    let seen = taken(&mut all);
    assert_eq!((seen.dropped, paths(&seen).len()), (3, LANE_MAX));
    assert_eq!(paths(&seen)[0], "/3");
}

#[test]
fn a_flood_is_sampled_and_its_errors_stay() {
    let hub = hub(1);
    let mut all = hub.subscribe(Wanted::default()).unwrap_or_else(|e| panic!("{e:?}"));
    let look = |hub: &Hub| {
        (0..1000).for_each(|_| hub.request(0, &entry("/ok", 200), Vec::new));
        hub.request(0, &entry("/error", 500), Vec::new);
        hub.hand_out();
    };
    (0..10).for_each(|_| look(&hub));
    let seen = taken(&mut all);
    assert!(seen.items.iter().any(|item| matches!(item, Item::Sampling(32))), "{:?}", seen.dropped);
    (0..10).for_each(|_| look(&hub));
    let seen = taken(&mut all);
    let errors = paths(&seen).iter().filter(|path| **path == "/error").count();
    assert_eq!((errors, seen.dropped), (10, 0));
    assert!((300..330).contains(&(paths(&seen).len() - errors)), "{}", paths(&seen).len());
}

#[test]
fn a_request_of_the_subscriber_before_is_not_shown_to_the_next_in_its_slot() {
    let hub = hub(1);
    let first = hub.subscribe(Wanted::default()).unwrap_or_else(|e| panic!("{e:?}"));
    hub.request(0, &entry("/", 200), Vec::new);
    drop(first);
    let wanted = Wanted { path_prefix: Some("/a".into()), ..Wanted::default() };
    let mut next = hub.subscribe(wanted).unwrap_or_else(|e| panic!("{e:?}"));
    hub.hand_out();
    assert_eq!(taken(&mut next).items.len(), 0);
}

#[test]
fn there_are_so_many_places_and_no_more() {
    let hub = hub(1);
    let mut held: Vec<_> = (0..SUBSCRIBERS_MAX).map(|_| hub.subscribe(Wanted::default())).collect();
    assert_eq!(hub.subscribe(Wanted::default()).err(), Some(Refused::Full));
    held.pop();
    assert!(hub.subscribe(Wanted::default()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn at_the_end_everything_is_told_first() {
    let hub = hub(1);
    let mut last = hub.subscribe(Wanted::default()).unwrap_or_else(|e| panic!("{e:?}"));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reader = async {
        hub.request(0, &entry("/first", 200), Vec::new);
        let first = poll_fn(|cx| last.poll_take(cx, 64)).await.expect("an event");
        assert_eq!(paths(&first), ["/first"]);
        hub.request(0, &entry("/last", 200), Vec::new);
        stop.send(true).expect("heard");
        let end = poll_fn(|cx| last.poll_take(cx, 64)).await.expect("an event");
        assert_eq!(paths(&end), ["/last"]);
        assert!(poll_fn(|cx| last.poll_take(cx, 64)).await.is_none());
    };
    tokio::join!(hub.run(stopped), reader);
    assert_eq!(hub.subscribe(Wanted::default()).err(), Some(Refused::Closed));
}

#[test]
fn a_long_text_is_cut_between_characters() {
    let long = "ö".repeat(TEXT_BYTES_MAX);
    let short = cut(&long);
    assert!(short.len() <= TEXT_BYTES_MAX + 3 && short.ends_with('…'));
    assert_eq!(cut("short"), "short");
}
