//! Who is connected to a worker, so that idle connections can make room when there are too many (promise 18).
//!
//! Promises: only connections on which nothing is asked for have to go, those that have been idle for longest first.
//! Joining and leaving are a few stores; choosing looks at every connection of the worker once.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::conn::Conn;

/// What the acceptor and one worker know of each other.
#[derive(Debug, Default)]
pub struct Load {
    /// Connections handed over and not yet closed.
    pub open: AtomicUsize,
    /// Idle connections that should go because there are too many.
    crowded: AtomicUsize,
    /// The same because the system has no descriptors left.
    no_files: AtomicUsize,
    wake: Notify,
}

/// Why room is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Places,
    Files,
}

impl Load {
    /// Asks the worker to have `count` connections on their way out.
    pub fn ask(&self, need: Need, count: usize) {
        self.wanted(need).fetch_max(count, Ordering::Relaxed);
        self.wake.notify_one();
    }

    /// Waits until that was asked.
    pub async fn asked(&self) {
        self.wake.notified().await;
    }

    /// How many are wanted, once.
    pub fn take(&self, need: Need) -> usize {
        self.wanted(need).swap(0, Ordering::Relaxed)
    }

    const fn wanted(&self, need: Need) -> &AtomicUsize {
        match need {
            Need::Places => &self.crowded,
            Need::Files => &self.no_files,
        }
    }
}

/// The connections of one worker.
#[derive(Debug, Default)]
pub struct Crowd {
    seats: RefCell<Vec<Weak<Conn>>>,
    free: RefCell<Vec<usize>>,
}

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub struct Seat {
    crowd: Rc<Crowd>,
    key: Cell<Option<usize>>,
}

impl Crowd {
    pub fn seat(self: &Rc<Self>) -> Seat {
        Seat { crowd: Rc::clone(self), key: Cell::new(None) }
    }

    /// Sends idle connections away until `wanted` are leaving, and says how many that were now.
    pub fn make_room(&self, wanted: usize) -> usize {
        let mut leaving = 0;
        let mut idle = Vec::new();
        for conn in self.seats.borrow().iter().filter_map(Weak::upgrade) {
            if conn.shed.get() {
                leaving += 1;
            } else if conn.is_idle() {
                idle.push(conn);
            }
        }
        let more = wanted.saturating_sub(leaving).min(idle.len());
        if more > 0 && more < idle.len() {
            idle.select_nth_unstable_by_key(more, |conn| conn.last_active_ms.get());
        }
        idle.iter().take(more).for_each(|conn| conn.leave());
        more
    }
}

impl Seat {
    pub fn taken_by(&self, conn: &Rc<Conn>) {
        let mut seats = self.crowd.seats.borrow_mut();
        let key = self.crowd.free.borrow_mut().pop().unwrap_or(seats.len());
        match seats.get_mut(key) {
            Some(seat) => *seat = Rc::downgrade(conn),
            None => seats.push(Rc::downgrade(conn)),
        }
        self.key.set(Some(key));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(key) = self.key.get() else { return };
        if let Some(seat) = self.crowd.seats.borrow_mut().get_mut(key) {
            *seat = Weak::new();
        }
        self.crowd.free.borrow_mut().push(key);
    }
}
