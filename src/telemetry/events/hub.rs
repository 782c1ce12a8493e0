//! Where everything that happens comes together, and from where it goes to the subscribers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::sampling::{Counts, TICKS_PER_SECOND};
use super::subscription::{Item, Member, Subscription};
use super::{Changed, Entry, SUBSCRIBERS_MAX, Seen, Step, Wanted};
use crate::ports::Clock;
use crate::telemetry::metrics::Count;

/// Requests of one worker between two looks.
pub const LANE_MAX: usize = 512;
/// Lines and changes of state between two looks.
pub const SIDE_MAX: usize = 256;
/// Between two looks while somebody watches.
const LOOK_EVERY: Duration = Duration::from_millis(1000 / TICKS_PER_SECOND as u64);

/// Why there is no subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are [`SUBSCRIBERS_MAX`] already.
    Full,
    /// The daemon is ending.
    Closed,
}

/// The one hub of a process.
pub struct Hub {
    /// Somebody watches requests: the one thing that a request looks at.
    requests_watched: AtomicBool,
    /// Somebody watches at all.
    watched: AtomicBool,
    watch: ArcSwap<Watch>,
    lanes: Vec<Lane>,
    side: Mutex<VecDeque<Item>>,
    side_lost: AtomicU64,
    roster: Mutex<Roster>,
    arrived: Notify,
    clock: Arc<dyn Clock>,
}

/// The subscribers, as the workers see them.
#[derive(Default)]
struct Watch {
    generation: u64,
    members: Vec<Arc<Member>>,
}

#[derive(Default)]
struct Roster {
    generation: u64,
    closed: bool,
}

/// What one worker has to tell.
#[derive(Default)]
struct Lane {
    queue: Mutex<VecDeque<Queued>>,
    /// Requests that each slot's filter took, whether or not they were shown; written by the worker alone.
    matched: [[Count; 2]; SUBSCRIBERS_MAX],
    /// Requests that did not fit, by slot.
    lost: [AtomicU64; SUBSCRIBERS_MAX],
}

struct Queued {
    /// Slots of the subscribers that it is for, in the list of this generation.
    slots: u16,
    generation: u64,
    seen: Seen,
}

impl Hub {
    #[must_use]
    pub fn new(workers: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            requests_watched: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            watch: ArcSwap::default(),
            lanes: (0..workers).map(|_| Lane::default()).collect(),
            side: Mutex::default(),
            side_lost: AtomicU64::new(0),
            roster: Mutex::default(),
            arrived: Notify::new(),
            clock,
        })
    }

    /// Whether a request that has ended is worth a closer look.
    #[must_use]
    pub fn requests_watched(&self) -> bool {
        self.requests_watched.load(Ordering::Relaxed)
    }

    /// Whether lines and changes are worth being made.
    #[must_use]
    pub fn watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// A request of `worker` has ended. Only that worker's thread may call this. `steps` is called only if somebody
    /// is shown the request.
    pub fn request(&self, worker: usize, entry: &Entry<'_>, steps: impl FnOnce() -> Vec<Step>) {
        let Some(lane) = self.lanes.get(worker) else { return };
        let watch = self.watch.load();
        let slots = watch.members.iter().fold(0, |slots, member| {
            if member.wanted.takes(entry) && lane.shows(member, entry) {
                slots | bit(member.slot)
            } else {
                slots
            }
        });
        if slots != 0 {
            lane.push(Queued {
                slots,
                generation: watch.generation,
                seen: Seen::new(entry, steps()),
            });
        }
    }

    /// A line of the log that is no request, written at `unix`.
    pub fn line(&self, unix: Duration, bytes: &[u8]) {
        if self.watched() {
            let at_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
            self.aside(Item::Line(Arc::new((at_ms, bytes.to_vec()))));
        }
    }

    /// Something about the daemon changed.
    pub fn changed(&self, what: &'static str, subject: Option<String>, text: impl Into<String>) {
        if self.watched() {
            let (at, text) = (self.clock.unix(), super::cut(&text.into()));
            self.aside(Item::State(Arc::new(Changed { at, what, subject, text })));
        }
    }

    /// The time of day, Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.unix().as_millis()).unwrap_or(i64::MAX)
    }

    fn aside(&self, item: Item) {
        let mut side = lock(&self.side);
        if side.len() >= SIDE_MAX {
            side.pop_front();
            self.side_lost.fetch_add(1, Ordering::Relaxed);
        }
        side.push_back(item);
    }

    /// A new subscriber: sees what happens from now on.
    ///
    /// # Errors
    /// There are too many, or the daemon is ending.
    pub fn subscribe(self: &Arc<Self>, wanted: Wanted) -> Result<Subscription, Refused> {
        let mut roster = lock(&self.roster);
        if roster.closed {
            return Err(Refused::Closed);
        }
        let mut members = self.watch.load().members.clone();
        let free = |slot: &usize| members.iter().all(|member| member.slot != *slot);
        let slot = (0..SUBSCRIBERS_MAX).find(free).ok_or(Refused::Full)?;
        for lane in &self.lanes {
            lane.forget(slot);
        }
        roster.generation += 1;
        let member = Arc::new(Member::new(slot, roster.generation, wanted, self.matched(slot)));
        members.push(Arc::clone(&member));
        self.enrol(&roster, members);
        self.arrived.notify_one();
        Ok(Subscription { hub: Arc::clone(self), member })
    }

    pub(super) fn leave(&self, member: &Arc<Member>) {
        let mut roster = lock(&self.roster);
        let mut members = self.watch.load().members.clone();
        members.retain(|other| !Arc::ptr_eq(other, member));
        roster.generation += 1;
        self.enrol(&roster, members);
    }

    fn enrol(&self, roster: &Roster, members: Vec<Arc<Member>>) {
        let requests = members.iter().any(|member| member.wanted.kinds.requests);
        let anybody = !members.is_empty();
        self.watch.store(Arc::new(Watch { generation: roster.generation, members }));
        self.requests_watched.store(requests, Ordering::Relaxed);
        self.watched.store(anybody, Ordering::Relaxed);
    }

    /// Hands out what happens until `stop`, then what is left, and ends every subscription.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let next = async {
                if self.watched() {
                    tokio::time::sleep(LOOK_EVERY).await;
                } else {
                    self.arrived.notified().await;
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = next => self.hand_out(),
            }
        }
        self.hand_out();
        let mut roster = lock(&self.roster);
        roster.closed = true;
        for member in &self.watch.load().members {
            member.close();
        }
    }

    /// One look: everything that waits goes to whom it is for.
    pub(super) fn hand_out(&self) {
        let watch = self.watch.load();
        let mut requests: Vec<Queued> = self.lanes.iter().flat_map(Lane::take).collect();
        requests.sort_by_key(|queued| queued.seen.ended());
        for Queued { slots, generation, seen } in requests {
            let seen = Arc::new(seen);
            let meant =
                |member: &&Arc<Member>| slots & bit(member.slot) != 0 && member.since <= generation;
            for member in watch.members.iter().filter(meant) {
                member.push(Item::Request(Arc::clone(&seen)));
            }
        }
        let aside = std::mem::take(&mut *lock(&self.side));
        for item in aside {
            let kinds = |member: &&Arc<Member>| match item {
                Item::Line(_) => member.wanted.kinds.log,
                _ => member.wanted.kinds.state,
            };
            for member in watch.members.iter().filter(kinds) {
                member.push(item.clone());
            }
        }
        let side_lost = self.side_lost.swap(0, Ordering::Relaxed);
        for member in &watch.members {
            let lost = self.lanes.iter().filter_map(|lane| lane.lost.get(member.slot));
            let lost = lost.map(|lost| lost.swap(0, Ordering::Relaxed)).sum::<u64>();
            let aside = member.wanted.kinds.log || member.wanted.kinds.state;
            member.lose(lost + if aside { side_lost } else { 0 });
            member.sample(self.matched(member.slot));
            member.wake();
        }
    }

    fn matched(&self, slot: usize) -> Counts {
        let counts = self.lanes.iter().filter_map(|lane| lane.matched.get(slot));
        counts.fold([0, 0], |[a, b], [ordinary, notable]| [a + ordinary.get(), b + notable.get()])
    }
}

impl Lane {
    /// Whether it is the turn of this request to be shown to a subscriber that wants its kind. A free function of
    /// two counters: no lock, nothing that another worker writes.
    fn shows(&self, member: &Member, entry: &Entry<'_>) -> bool {
        let notable = usize::from(entry.denied.is_some() || entry.status_code >= 500);
        let count = self.matched.get(member.slot).and_then(|counts| counts.get(notable));
        let one_in = member.one_in.get(notable);
        let (Some(count), Some(one_in)) = (count, one_in) else { return false };
        let turn = count.get();
        count.up();
        turn % u64::from(one_in.load(Ordering::Relaxed).max(1)) == 0
    }

    /// Never waits: while the hub takes the queue, which is a matter of nanoseconds, a request is lost instead.
    fn push(&self, queued: Queued) {
        let Ok(mut queue) = self.queue.try_lock() else { return self.lose(queued.slots) };
        if queue.len() >= LANE_MAX
            && let Some(oldest) = queue.pop_front()
        {
            self.lose(oldest.slots);
        }
        queue.push_back(queued);
    }

    fn lose(&self, slots: u16) {
        for (slot, lost) in self.lost.iter().enumerate() {
            if slots & bit(slot) != 0 {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn take(&self) -> VecDeque<Queued> {
        std::mem::take(&mut *lock(&self.queue))
    }

    /// What was lost in this slot was another subscriber's.
    fn forget(&self, slot: usize) {
        if let Some(lost) = self.lost.get(slot) {
            lost.store(0, Ordering::Relaxed);
        }
    }
}

const fn bit(slot: usize) -> u16 {
    1 << slot
}

/// Whatever panicked while holding one of these left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
