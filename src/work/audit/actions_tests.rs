//! Actions over a real state: what is on disk when somebody is told so, and what becomes of the rest.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::base::audit::{Actor, By, Source};
use crate::ports::fake::FakeClock;

const NOW: Duration = Duration::from_secs(1_795_292_266);

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    actions: Arc<ActionLog>,
    stop: watch::Sender<bool>,
    running: tokio::task::JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "the test is the supervisor")]
fn bench() -> Bench {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(FakeClock::at(NOW));
    let (log, _) = Log::open(Some(&dir.path().join("log")), clock.clone()).expect("a log");
    let store = Store::open(&dir.path().join("state"), clock, log.clone()).expect("a state");
    let actions = ActionLog::new(store.clone(), log);
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(Arc::clone(&actions).run(stopped));
    Bench { dir, store, actions, stop, running }
}

fn refund(number: i64) -> Intent {
    let by = By {
        actor: Actor::Client { ip: "203.0.113.9".into(), user: None },
        source: Source::Edge,
        request_id: Some(format!("id-{number}")),
        confirmed: None,
    };
    Intent::new(number, by, "route.refund").on("/api/refund")
}

/// The client with that number.
fn client(number: usize) -> IpKey {
    IpKey::of(IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).expect("small"))))
}

/// A place of somebody new each time.
fn place_of(actions: &ActionLog, number: usize) -> Box<dyn Place> {
    actions.reserve(client(number)).unwrap_or_else(|why| panic!("{why:?}"))
}

fn place(actions: &ActionLog) -> Box<dyn Place> {
    place_of(actions, 0)
}

fn refusal(actions: &ActionLog, number: usize) -> Option<NoPlace> {
    actions.reserve(client(number)).err()
}

/// Those on disk, by when they happened.
fn written(store: &Store) -> Vec<i64> {
    let intents = store.intents(usize::MAX).expect("readable");
    intents.into_iter().map(|(_, intent)| intent.at_ms).collect()
}

#[tokio::test]
async fn a_record_is_on_disk_when_somebody_is_told_so() {
    let bench = bench();
    for number in 0..3 {
        place(&bench.actions).record(refund(number)).await.expect("written");
        assert_eq!(written(&bench.store), (0..=number).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn whoever_does_not_wait_is_recorded_all_the_same_also_at_a_stop() {
    let bench = bench();
    for number in 0..600 {
        let client = usize::try_from(number).expect("small");
        drop(place_of(&bench.actions, client).record(refund(number)));
    }
    bench.stop.send(true).expect("it runs");
    bench.running.await.expect("no panic");
    assert_eq!(written(&bench.store), (0..600).collect::<Vec<_>>());
}

#[tokio::test]
async fn there_are_only_so_many_places_and_each_comes_back() {
    let bench = bench();
    let mut places: Vec<_> = (0..PLACES).map(|n| place_of(&bench.actions, n)).collect();
    let full = Some(NoPlace::Now("too many actions wait for the app or for their record"));
    assert_eq!(refusal(&bench.actions, PLACES), full);
    let unused = places.pop();
    drop(unused);
    places.push(place(&bench.actions));
    assert_eq!(refusal(&bench.actions, 0), full);
    let used = places.pop().expect("one");
    used.record(refund(1)).await.expect("written");
    let _again = place(&bench.actions);
    assert_eq!(refusal(&bench.actions, 0), full);
}

#[tokio::test]
async fn a_client_with_all_of_its_places_leaves_those_of_others() {
    let bench = bench();
    let mut places: Vec<_> = (0..PLACES_PER_CLIENT).map(|_| place(&bench.actions)).collect();
    assert_eq!(refusal(&bench.actions, 0), Some(NoPlace::Client));
    let _other = place_of(&bench.actions, 1);
    drop(places.pop());
    places.push(place(&bench.actions));
    assert_eq!(refusal(&bench.actions, 0), Some(NoPlace::Client));
    let used = places.pop().expect("one");
    used.record(refund(1)).await.expect("written");
    places.push(place(&bench.actions));
    assert_eq!(refusal(&bench.actions, 0), Some(NoPlace::Client));
    drop(places);
    assert_eq!(bench.actions.clients.taken().len(), 1, "whoever has none is forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_now_is_written_later_once_and_meanwhile_nothing_begins() {
    let bench = bench();
    let (file, away) = (bench.dir.path().join("state/core.redb"), bench.dir.path().join("away"));
    let (first, second) = (place(&bench.actions), place(&bench.actions));
    std::fs::rename(&file, &away).expect("moved");
    let first = first.record(refund(1));
    // The store notices with the first write.
    while refusal(&bench.actions, 0).is_none() {
        tokio::task::yield_now().await;
    }
    let second = second.record(refund(2));
    assert!(written(&bench.store).is_empty());
    std::fs::rename(&away, &file).expect("moved back");
    first.await.expect("written");
    second.await.expect("written");
    assert_eq!(written(&bench.store), [1, 2]);
    while refusal(&bench.actions, 0).is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_had_taken_in_spite_of_a_failure_is_not_written_twice() {
    let bench = bench();
    bench.store.put_intent(refund(1)).await.expect("written");
    let (written_tx, recorded) = oneshot::channel();
    let place = bench.actions.take(client(0)).unwrap_or_else(|why| panic!("{why:?}"));
    let mut batch = vec![Waiting { intent: refund(1), written: written_tx, _place: place }];
    bench.actions.behind.store(true, Ordering::Relaxed);
    assert!(bench.actions.write(&mut batch).await);
    recorded.await.expect("told");
    assert_eq!(written(&bench.store), [1]);
}
