//! How many client connections may be open at once: in all, per address, per IPv6 /64, per site.
//!
//! One short lock per connection, taken when it opens and when it closes, never per request.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::{IpKey, unmapped};
use crate::config::settings::ConnectionCaps;

/// Idle connections make room when less than this part of the places is free, up to a number.
const RESERVE_PART: usize = 16;
const RESERVE_MAX: usize = 256;
/// However few connections there may be, one client may load a page.
const BEYOND_MIN: usize = 100;

/// Which cap a connection met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Total,
    PerIp,
    Per64,
    PerSite,
    /// Every worker's queue of new connections is full.
    Busy,
}

impl Refusal {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Total, "total"),
        (Self::PerIp, "per_ip"),
        (Self::Per64, "per_64"),
        (Self::PerSite, "per_site"),
        (Self::Busy, "busy"),
    ];
}

/// The counts of the whole process.
#[derive(Debug)]
pub struct Caps {
    limits: Mutex<ConnectionCaps>,
    /// That of `limits`, for whoever only wants to know whether there is room.
    total: AtomicUsize,
    open: AtomicUsize,
    /// Requests of HTTP/2 clients beyond the share that each of them has in any case.
    beyond: AtomicUsize,
    by_ip: Mutex<HashMap<IpAddr, usize>>,
    by_64: Mutex<HashMap<IpKey, usize>>,
    by_site: Mutex<HashMap<(String, IpAddr), usize>>,
    refused: [AtomicU64; Refusal::ALL.len()],
}

impl Caps {
    #[must_use]
    pub fn new(limits: ConnectionCaps) -> Arc<Self> {
        Arc::new(Self {
            total: AtomicUsize::new(limits.total),
            limits: Mutex::new(limits),
            open: AtomicUsize::new(0),
            beyond: AtomicUsize::new(0),
            by_ip: Mutex::default(),
            by_64: Mutex::default(),
            by_site: Mutex::default(),
            refused: Default::default(),
        })
    }

    /// Takes new limits; open connections stay.
    pub fn set_limits(&self, limits: ConnectionCaps) {
        self.total.store(limits.total, Ordering::Relaxed);
        *lock(&self.limits) = limits;
    }

    /// Counts a connection from `peer`, or says which cap forbids it.
    ///
    /// # Errors
    /// The cap that was met; it is counted.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refusal> {
        let mut permit = self.admit_unknown()?;
        permit.settle(peer)?;
        Ok(permit)
    }

    /// Counts a connection of a proxy that has yet to say whose it is: only the cap on all together may forbid it.
    ///
    /// # Errors
    /// [`Refusal::Total`]; it is counted.
    pub fn admit_unknown(self: &Arc<Self>) -> Result<Permit, Refusal> {
        if self.open.load(Ordering::Relaxed) >= self.max() {
            return Err(self.refuse(Refusal::Total));
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Permit { caps: Arc::clone(self), peer: None })
    }

    /// Counts a connection of `peer` to a site that has a cap of its own.
    ///
    /// # Errors
    /// [`Refusal::PerSite`]; it is counted.
    pub fn admit_to_site(
        self: &Arc<Self>,
        site: &str,
        peer: IpAddr,
        max: usize,
    ) -> Result<SitePermit, Refusal> {
        let key = (site.to_owned(), unmapped(peer));
        if !raise(&mut lock(&self.by_site), key.clone(), max) {
            return Err(self.refuse(Refusal::PerSite));
        }
        Ok(SitePermit { caps: Arc::clone(self), key })
    }

    /// Counts a refusal.
    pub fn refuse(&self, refusal: Refusal) -> Refusal {
        if let Some(count) = self.refused.get(refusal as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        refusal
    }

    /// Open client connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The cap on all connections together.
    #[must_use]
    pub fn max(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// As many idle connections as should close to make room for new ones; none while there is room.
    #[must_use]
    pub fn idle_unwanted(&self) -> usize {
        let max = self.max();
        let reserve = (max / RESERVE_PART).clamp(1, RESERVE_MAX);
        let crowded = self.open().saturating_sub(max.saturating_sub(reserve));
        // A few more than are too many: choosing them costs a look at all.
        if crowded > 0 { crowded + reserve / 2 } else { 0 }
    }

    /// No connection more is admitted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.open() >= self.max()
    }

    /// A request begins on an HTTP/2 connection that has its share already.
    pub fn begin_beyond(&self) {
        self.beyond.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end_beyond(&self) {
        self.beyond.fetch_sub(1, Ordering::Relaxed);
    }

    /// Of these there are as many as connections may be: descriptors and memory are for two of each connection.
    #[must_use]
    pub fn has_too_many_beyond(&self) -> bool {
        self.beyond.load(Ordering::Relaxed) > self.max().max(BEYOND_MIN)
    }

    /// Refusals since start, by the name of the cap.
    #[must_use]
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let counts = self.refused.iter().map(|count| count.load(Ordering::Relaxed));
        Refusal::ALL.iter().map(|(_, name)| *name).zip(counts).collect()
    }
}

/// One open connection; dropping it closes the count.
#[derive(Debug)]
pub struct Permit {
    caps: Arc<Caps>,
    /// `None` while nobody knows, and for what a proxy asks on its own account.
    peer: Option<IpAddr>,
}

impl Permit {
    /// Counts the connection as one of `peer`, too.
    ///
    /// # Errors
    /// The cap that was met; it is counted, and the connection is counted in all only.
    pub fn settle(&mut self, peer: IpAddr) -> Result<(), Refusal> {
        self.unsettle();
        let (peer, caps) = (unmapped(peer), &self.caps);
        let limits = lock(&caps.limits).clone();
        if !raise(&mut lock(&caps.by_ip), peer, limits.per_ip) {
            return Err(caps.refuse(Refusal::PerIp));
        }
        if peer.is_ipv6() && !raise(&mut lock(&caps.by_64), IpKey::of(peer), limits.per_64) {
            lower(&mut lock(&caps.by_ip), &peer);
            return Err(caps.refuse(Refusal::Per64));
        }
        self.peer = Some(peer);
        Ok(())
    }

    fn unsettle(&mut self) {
        let Some(peer) = self.peer.take() else { return };
        lower(&mut lock(&self.caps.by_ip), &peer);
        if peer.is_ipv6() {
            lower(&mut lock(&self.caps.by_64), &IpKey::of(peer));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.unsettle();
        self.caps.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One open connection to a site with a cap of its own.
#[derive(Debug)]
pub struct SitePermit {
    caps: Arc<Caps>,
    key: (String, IpAddr),
}

impl Drop for SitePermit {
    fn drop(&mut self) {
        lower(&mut lock(&self.caps.by_site), &self.key);
    }
}

fn raise<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K, max: usize) -> bool {
    let count = counts.entry(key).or_insert(0);
    let fits = *count < max;
    if fits {
        *count += 1;
    }
    fits
}

fn lower<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The counts stay usable although a thread panicked while holding them: each is one number.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps() -> Arc<Caps> {
        Caps::new(ConnectionCaps { total: 4, per_ip: 2, per_64: 3 })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_proxy_meets_only_the_cap_on_all_and_its_clients_meet_theirs() {
        let caps = caps();
        let mut open: Vec<Permit> = (0..4).map(|_| caps.admit_unknown().expect("room")).collect();
        assert_eq!(caps.admit_unknown().err(), Some(Refusal::Total));
        let client = ip("192.0.2.1");
        let settled: Vec<_> = open.iter_mut().map(|permit| permit.settle(client)).collect();
        assert_eq!(settled, [Ok(()), Ok(()), Err(Refusal::PerIp), Err(Refusal::PerIp)]);
        assert_eq!(caps.open(), 4, "refused, and still there until dropped");
        open.clear();
        assert_eq!((caps.open(), lock(&caps.by_ip).len()), (0, 0));
    }

    #[test]
    fn an_address_gets_no_more_than_its_share_and_gets_it_back() {
        let caps = caps();
        let first = caps.admit(ip("192.0.2.1"));
        let _second = caps.admit(ip("::ffff:192.0.2.1")).expect("mapped is the same address");
        assert_eq!(caps.admit(ip("192.0.2.1")).err(), Some(Refusal::PerIp));
        drop(first);
        assert!(caps.admit(ip("192.0.2.1")).is_ok());
        assert!(caps.refused().contains(&("per_ip", 1)));
    }

    #[test]
    fn a_64_shares_one_cap() {
        let caps = caps();
        let open: Vec<_> = (1..=3).map(|n| caps.admit(ip(&format!("2001:db8::{n}")))).collect();
        assert!(open.iter().all(Result::is_ok));
        assert_eq!(caps.admit(ip("2001:db8::9")).err(), Some(Refusal::Per64));
        assert!(caps.admit(ip("2001:db8:1::9")).is_ok());
    }

    #[test]
    fn the_total_holds_and_nothing_is_left_behind() {
        let caps = caps();
        let open: Vec<_> = (1..=4).map(|n| caps.admit(ip(&format!("192.0.2.{n}")))).collect();
        assert_eq!(caps.admit(ip("192.0.2.9")).err(), Some(Refusal::Total));
        drop(open);
        assert_eq!(caps.open(), 0);
        assert!(lock(&caps.by_ip).is_empty() && lock(&caps.by_64).is_empty());
    }

    #[test]
    fn idle_connections_are_unwanted_before_the_last_place_is_taken() {
        let caps = Caps::new(ConnectionCaps { total: 64, per_ip: 64, per_64: 64 });
        let mut open: Vec<_> = (0..60).map(|_| caps.admit(ip("192.0.2.1"))).collect();
        assert_eq!((caps.idle_unwanted(), caps.is_full()), (0, false));
        open.push(caps.admit(ip("192.0.2.1")));
        assert_eq!(caps.idle_unwanted(), 1 + 2);
        open.extend((0..3).map(|_| caps.admit(ip("192.0.2.1"))));
        assert_eq!((caps.idle_unwanted(), caps.is_full()), (4 + 2, true));
        drop(open);
        assert_eq!(caps.idle_unwanted(), 0);
    }

    #[test]
    fn a_site_may_ask_for_less() {
        let caps = caps();
        let _one = caps.admit_to_site("a", ip("192.0.2.1"), 1).expect("the first");
        assert_eq!(caps.admit_to_site("a", ip("192.0.2.1"), 1).err(), Some(Refusal::PerSite));
        assert!(caps.admit_to_site("b", ip("192.0.2.1"), 1).is_ok());
    }
}
