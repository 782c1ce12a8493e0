//! One subscriber: its buffer, and the end that it reads from.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::hub::Hub;
use super::sampling::{Counts, Meter};
use super::{Changed, Seen, Wanted};

/// Events waiting for one subscriber.
pub const BUFFER_MAX: usize = 1024;

/// What a subscriber gets.
#[derive(Debug, Clone)]
pub enum Item {
    Request(Arc<Seen>),
    /// When it was written, since 1970 in milliseconds, and the line as the log has it.
    Line(Arc<(i64, Vec<u8>)>),
    State(Arc<Changed>),
    /// From now on one of so many requests is shown.
    Sampling(u32),
}

/// Events that were taken at once, in order.
#[derive(Debug, Default)]
pub struct Taken {
    /// So many were left out before the first of them.
    pub dropped: u64,
    pub items: Vec<Item>,
}

/// A subscriber, as the hub and the workers see it.
pub(super) struct Member {
    pub slot: usize,
    /// Generation of the list of subscribers that this one came with.
    pub since: u64,
    pub wanted: Wanted,
    /// One in how many is shown: ordinary requests; errors and refusals. Powers of two.
    pub one_in: [AtomicU32; 2],
    /// Only the hub's task uses it.
    pub meter: Mutex<(Meter, Counts)>,
    buffer: Mutex<Buffer>,
}

#[derive(Default)]
struct Buffer {
    items: VecDeque<Item>,
    dropped: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl Member {
    /// `counted` is what the workers have counted in this slot so far.
    pub fn new(slot: usize, since: u64, wanted: Wanted, counted: Counts) -> Self {
        Self {
            slot,
            since,
            wanted,
            one_in: [AtomicU32::new(1), AtomicU32::new(1)],
            meter: Mutex::new((Meter::default(), counted)),
            buffer: Mutex::default(),
        }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, item: Item) {
        let mut buffer = self.buffer();
        if buffer.items.len() >= BUFFER_MAX {
            buffer.items.pop_front();
            buffer.dropped += 1;
        }
        buffer.items.push_back(item);
    }

    /// Adds to what the subscriber is told to have missed.
    pub fn lose(&self, count: u64) {
        self.buffer().dropped += count;
    }

    /// Adjusts the sampling to what the workers have counted by now.
    pub fn sample(&self, counted: Counts) {
        let mut state = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let (meter, before) = &mut *state;
        let [ordinary, notable] = counted;
        let [ordinary_before, notable_before] = std::mem::replace(before, counted);
        let now = meter.tick([
            ordinary.saturating_sub(ordinary_before),
            notable.saturating_sub(notable_before),
        ]);
        let shown = |one_in: [u32; 2]| one_in.into_iter().max().unwrap_or(1);
        let then = self.one_in.each_ref().map(|one_in| one_in.load(Ordering::Relaxed));
        for (one_in, now) in self.one_in.iter().zip(now) {
            one_in.store(now, Ordering::Relaxed);
        }
        if shown(now) != shown(then) {
            self.push(Item::Sampling(shown(now)));
        }
    }

    /// Wakes the reader if there is something for it.
    pub fn wake(&self) {
        let mut buffer = self.buffer();
        let ready = !buffer.items.is_empty() || buffer.dropped > 0 || buffer.closed;
        if let Some(waker) = buffer.waker.take_if(|_| ready) {
            drop(buffer);
            waker.wake();
        }
    }

    pub fn close(&self) {
        self.buffer().closed = true;
        self.wake();
    }
}

/// The reading end. Dropping it ends the subscription.
pub struct Subscription {
    pub(super) hub: Arc<Hub>,
    pub(super) member: Arc<Member>,
}

impl Subscription {
    /// At most `most` of the events that wait; `None` when the hub has closed and everything was taken.
    pub fn poll_take(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Option<Taken>> {
        let mut buffer = self.member.buffer();
        if buffer.items.is_empty() && buffer.dropped == 0 {
            if buffer.closed {
                return Poll::Ready(None);
            }
            buffer.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.items.len().min(most);
        let items = buffer.items.drain(..count).collect();
        Poll::Ready(Some(Taken { dropped: std::mem::take(&mut buffer.dropped), items }))
    }

    /// What it was asked for.
    #[must_use]
    pub fn wanted(&self) -> &Wanted {
        &self.member.wanted
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.leave(&self.member);
    }
}
