//! Bounds, fairness and age of what is kept.

use tokio::time::Instant;

use super::*;
use crate::ports::fake::FakeClock;

fn original(site: &str, number: usize, bytes: usize) -> Box<Original> {
    Box::new(Original {
        id: format!("{number:06}"),
        at: Duration::ZERO,
        site: site.into(),
        route: None,
        method: "GET".into(),
        path: "/".into(),
        status: 500,
        upstream: None,
        upstream_us: None,
        fields: Vec::new(),
        body: vec![b'x'; bytes],
        end: End::Whole,
    })
}

fn filled(list: impl IntoIterator<Item = Box<Original>>) -> (Ring, Instant) {
    let (mut ring, now) = (Ring::default(), Instant::now());
    list.into_iter().for_each(|original| ring.put(Arc::from(original), now));
    (ring, now)
}

#[test]
fn no_more_are_kept_than_there_is_room_for_and_the_oldest_go() {
    let (ring, _) = filled((0..KEPT_MAX + 3).map(|at| original("a", at, 10)));
    assert_eq!(ring.all().len(), KEPT_MAX);
    assert!(ring.get("000002").is_none() && ring.get("000003").is_some());
}

#[test]
fn bodies_take_no_more_memory_than_the_bound() {
    let (ring, _) = filled((0..300).map(|at| original("a", at, BODY_BYTES_MAX)));
    assert!(ring.bytes() <= KEPT_BYTES_MAX, "{}", ring.bytes());
    assert!(ring.all().len() > 100, "{}", ring.all().len());
    assert!(ring.get("000299").is_some());
}

#[test]
fn a_site_that_fails_without_end_pushes_out_its_own_only() {
    let quiet = (0..20).map(|at| original("quiet", at, 1000));
    let loud = (1000..9000).map(|at| original("loud", at, BODY_BYTES_MAX));
    let (ring, _) = filled(quiet.chain(loud));
    for at in 0..20 {
        assert!(ring.get(&format!("{at:06}")).is_some(), "{at}");
    }
    assert!(ring.get("008999").is_some());
}

#[test]
fn of_many_sites_that_fail_each_keeps_its_latest() {
    let (sites, rounds) = (100, 20);
    let all = (0..sites * rounds).map(|at| original(&format!("site {}", at % sites), at, 10));
    let (ring, _) = filled(all);
    for at in sites * (rounds - 1)..sites * rounds {
        assert!(ring.get(&format!("{at:06}")).is_some(), "{at}");
    }
}

#[test]
fn nothing_is_kept_for_longer_than_a_day() {
    let (mut ring, now) = filled([original("a", 1, 10)]);
    ring.forget_old(now + AGE_MAX - Duration::from_secs(1));
    assert_eq!(ring.all().len(), 1);
    ring.put(Arc::from(original("b", 2, 10)), now + AGE_MAX);
    ring.forget_old(now + AGE_MAX);
    assert_eq!(ring.all().len(), 1, "the older one is gone");
    assert!(ring.get("000001").is_none());
}

#[test]
fn what_does_not_fit_is_counted_and_nobody_waits() {
    let originals = Originals::new(Arc::new(FakeClock::at(Duration::ZERO)));
    (0..WAITING_MAX + 5).for_each(|at| originals.hand_over(original("a", at, 1)));
    assert_eq!(originals.lost(), 5);
}

#[tokio::test]
async fn what_is_handed_over_is_found_by_its_id_and_listed_newest_first() {
    let originals = Originals::new(Arc::new(FakeClock::at(Duration::ZERO)));
    let (stop, stopped) = watch::channel(false);
    (0..3).for_each(|at| originals.hand_over(original("a", at, 1)));
    let kept = async {
        while originals.get("000002").is_none() {
            tokio::task::yield_now().await;
        }
        stop.send(true).expect("it runs");
    };
    tokio::join!(originals.run(stopped), kept);
    let ids: Vec<String> = originals.newest_first().iter().map(|one| one.id.clone()).collect();
    assert_eq!(ids, ["000002", "000001", "000000"]);
    assert!(originals.get("000003").is_none());
}
