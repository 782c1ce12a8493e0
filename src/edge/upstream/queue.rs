//! Places at an upstream, and those who wait for one.
//!
//! Promises: never more places than there are, of all workers together; whoever waits longest gets the next one, also
//! one that another worker frees; who has gone waits no longer and takes nothing along. Refuses a line that is longer
//! than it may be. No lock and no look at the line while nobody waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::peer::Peer;

/// The places at one upstream.
#[derive(Debug, Default)]
pub struct Places {
    taken: AtomicUsize,
    /// The length of the line.
    waiting: AtomicUsize,
    line: Mutex<VecDeque<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    who: Arc<Waiter>,
    /// Which upstream this is to who waits.
    at: usize,
    max: usize,
}

/// One request that waits, in the lines of several upstreams.
#[derive(Debug)]
struct Waiter(Mutex<Option<oneshot::Sender<usize>>>);

impl Places {
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Takes a place if there is one that nobody waits for. Without `max` there always is.
    pub fn enter(&self, max: Option<usize>) -> bool {
        match max {
            None => {
                self.taken.fetch_add(1, Ordering::SeqCst);
                true
            }
            Some(max) => self.waiting.load(Ordering::SeqCst) == 0 && self.take(max),
        }
    }

    /// As of now; somebody else may be first.
    pub fn has_room(&self, max: usize) -> bool {
        self.waiting() == 0 && self.taken() < max
    }

    fn take(&self, max: usize) -> bool {
        let more = |taken: usize| (taken < max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Frees a place. Whoever joins the line looks for a free place afterwards, and here the line is looked at after the
    /// place was freed: in whatever order the two happen, one of them sees the other.
    pub fn leave(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.hand_out();
        }
    }

    /// Gives free places to those who wait, first come first served.
    fn hand_out(&self) {
        let mut line = self.line();
        line.retain(|waiting| {
            let mut tell = waiting.who.lock();
            if tell.is_none() {
                return false; // it has got a place elsewhere
            }
            if !self.take(waiting.max) {
                return true;
            }
            if tell.take().is_some_and(|tell| tell.send(waiting.at).is_err()) {
                self.taken.fetch_sub(1, Ordering::SeqCst);
            }
            false
        });
        self.waiting.store(line.len(), Ordering::SeqCst);
    }

    fn join(&self, waiting: Waiting, most: usize) -> bool {
        let mut line = self.line();
        if line.len() >= most {
            line.retain(|waiting| waiting.who.lock().is_some()); // some may have a place elsewhere by now
        }
        let joins = line.len() < most;
        if joins {
            line.push_back(waiting);
            self.waiting.store(line.len(), Ordering::SeqCst);
        }
        joins
    }

    fn forget(&self, who: &Arc<Waiter>) {
        let mut line = self.line();
        line.retain(|waiting| !Arc::ptr_eq(&waiting.who, who));
        self.waiting.store(line.len(), Ordering::SeqCst);
    }

    /// Whatever panicked while holding it left the line whole.
    fn line(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    fn lock(&self) -> MutexGuard<'_, Option<oneshot::Sender<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the lines of some upstreams. Dropping it leaves them.
#[derive(Debug)]
pub struct Ticket {
    who: Arc<Waiter>,
    peers: Vec<(usize, Arc<Peer>)>,
    told: oneshot::Receiver<usize>,
}

impl Ticket {
    /// Joins the lines of these upstreams, each with its number and its places. `None` if all the lines are as long as
    /// they may be.
    pub fn draw<'a>(
        upstreams: impl Iterator<Item = (usize, &'a Arc<Peer>, usize)>,
        most: usize,
    ) -> Option<Self> {
        let (tell, told) = oneshot::channel();
        let who = Arc::new(Waiter(Mutex::new(Some(tell))));
        let mut ticket = Self { who, peers: Vec::new(), told };
        for (at, peer, max) in upstreams {
            let waiting = Waiting { who: Arc::clone(&ticket.who), at, max };
            if peer.places.join(waiting, most) {
                ticket.peers.push((at, Arc::clone(peer)));
            }
        }
        for (_, peer) in &ticket.peers {
            peer.places.hand_out();
        }
        (!ticket.peers.is_empty()).then_some(ticket)
    }

    /// Waits for a place, which is the caller's from then on, at the upstream of this number.
    pub async fn place(&mut self) -> Option<usize> {
        let at = (&mut self.told).await.ok();
        self.peers.retain(|(of, peer)| {
            peer.places.forget(&self.who);
            at != Some(*of)
        });
        at
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        for (_, peer) in &self.peers {
            peer.places.forget(&self.who);
        }
        // Nobody gives it a place any more; one that was given goes to the next.
        if let Ok(given) = self.told.try_recv()
            && let Some((_, peer)) = self.peers.iter().find(|(at, _)| *at == given)
        {
            peer.places.leave();
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
