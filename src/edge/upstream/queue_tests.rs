//! Places and lines, with as many workers as it takes to disagree.

use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::config::settings::{Endpoint, Protocol, UpstreamAddr};

fn peer() -> Arc<Peer> {
    let addr = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: 1 };
    Peer::new(Endpoint { addr, protocol: Protocol::Http1, tls: None })
}

fn draw(peer: &Arc<Peer>, max: usize, most: usize) -> Option<Ticket> {
    Ticket::draw([(0, peer, max)].into_iter(), most)
}

/// The place that a ticket has got by now.
fn place(ticket: &mut Ticket) -> Option<usize> {
    let mut cx = Context::from_waker(Waker::noop());
    match std::pin::pin!(ticket.place()).poll(&mut cx) {
        Poll::Ready(place) => place,
        Poll::Pending => None,
    }
}

#[test]
fn places_go_to_those_who_wait_in_their_order() {
    let peer = peer();
    assert!(peer.places.enter(Some(1)) && !peer.places.enter(Some(1)));
    let mut first = draw(&peer, 1, 2).expect("room in the line");
    let mut second = draw(&peer, 1, 2).expect("room in the line");
    assert!(draw(&peer, 1, 2).is_none(), "the line is full");
    assert_eq!((place(&mut first), peer.places.waiting()), (None, 2));
    peer.places.leave();
    assert_eq!(place(&mut second), None, "it came later");
    assert!(!peer.places.enter(Some(1)), "nor is it for somebody who has not waited");
    assert_eq!(place(&mut first), Some(0));
    peer.places.leave();
    assert_eq!(place(&mut second), Some(0));
    peer.places.leave();
    assert_eq!((peer.places.taken(), peer.places.waiting()), (0, 0));
}

#[test]
fn who_leaves_the_line_takes_nothing_along() {
    let peer = peer();
    assert!(peer.places.enter(Some(1)));
    let given = draw(&peer, 1, 9).expect("room");
    let left = draw(&peer, 1, 9).expect("room");
    let mut stays = draw(&peer, 1, 9).expect("room");
    drop(left);
    peer.places.leave();
    assert_eq!(place(&mut stays), None, "somebody else has it");
    drop(given);
    assert_eq!(place(&mut stays), Some(0), "and has left with it");
    assert_eq!((peer.places.taken(), peer.places.waiting()), (1, 0));
}

#[test]
fn who_waits_for_several_gets_the_first_and_leaves_all_lines() {
    let (a, b) = (peer(), peer());
    assert!(a.places.enter(Some(1)) && b.places.enter(Some(1)));
    let mut ticket = Ticket::draw([(3, &a, 1), (5, &b, 1)].into_iter(), 1).expect("room");
    b.places.leave();
    a.places.leave();
    assert_eq!(place(&mut ticket), Some(5));
    assert_eq!((a.places.taken(), b.places.taken()), (0, 1));
    assert_eq!((a.places.waiting(), b.places.waiting()), (0, 0));
    drop(ticket);
    assert_eq!(b.places.taken(), 1, "the place is the caller's");
}

#[test]
fn who_has_a_place_elsewhere_is_in_nobodys_way() {
    let (a, b) = (peer(), peer());
    assert!(a.places.enter(Some(1)) && b.places.enter(Some(1)));
    let _placed = Ticket::draw([(0, &a, 1), (1, &b, 1)].into_iter(), 1).expect("room");
    b.places.leave();
    assert!(draw(&a, 1, 1).is_some(), "the line holds nobody who waits");
}

#[test]
fn a_place_that_became_free_before_the_line_was_joined_is_not_missed() {
    let peer = peer();
    let mut ticket = draw(&peer, 1, 1).expect("room");
    assert_eq!(place(&mut ticket), Some(0));
}

#[test]
fn workers_that_come_and_go_at_once_never_exceed_the_places_and_nobody_is_forgotten() {
    const MAX: usize = 3;
    let (peer, inside) = (peer(), Arc::new(AtomicUsize::new(0)));
    let exceeded = Arc::new(AtomicBool::new(false));
    let workers = (0..8).map(|worker| {
        let (peer, inside, exceeded) =
            (Arc::clone(&peer), Arc::clone(&inside), Arc::clone(&exceeded));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                for turn in 0..500 {
                    if !peer.places.enter(Some(MAX)) {
                        let mut ticket = draw(&peer, MAX, 100).expect("room");
                        if (turn + worker) % 7 == 0 {
                            continue; // a client that leaves
                        }
                        assert_eq!(ticket.place().await, Some(0));
                    }
                    if inside.fetch_add(1, Ordering::SeqCst) >= MAX {
                        exceeded.store(true, Ordering::SeqCst);
                    }
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    peer.places.leave();
                }
            });
        })
    });
    let workers: Vec<_> = workers.collect();
    workers.into_iter().for_each(|worker| worker.join().expect("it ends"));
    assert!(!exceeded.load(Ordering::SeqCst));
    assert_eq!((peer.places.taken(), peer.places.waiting()), (0, 0));
}
