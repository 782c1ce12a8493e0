//! What is kept, by site: the oldest of the site that holds most goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::{AGE_MAX, KEPT_BYTES_MAX, KEPT_MAX, Original};

/// What one of them takes beside its texts.
const OVERHEAD_BYTES: usize = 512;

#[derive(Default)]
pub(super) struct Ring {
    sites: HashMap<String, Held>,
    count: usize,
    bytes: usize,
}

/// What is kept of one site, oldest first.
#[derive(Default)]
struct Held {
    originals: VecDeque<(Instant, Arc<Original>)>,
    bytes: usize,
}

impl Ring {
    pub fn put(&mut self, original: Arc<Original>, now: Instant) {
        let bytes = weight(&original);
        let held = self.sites.entry(original.site.clone()).or_default();
        held.originals.push_back((now, original));
        held.bytes += bytes;
        self.bytes += bytes;
        self.count += 1;
        while self.count > KEPT_MAX && self.forget_of_most(|held| held.originals.len()) {}
        while self.bytes > KEPT_BYTES_MAX && self.forget_of_most(|held| held.bytes) {}
    }

    pub fn get(&self, id: &str) -> Option<Arc<Original>> {
        let mut all = self.sites.values().flat_map(|held| &held.originals);
        all.find(|(_, original)| original.id == id).map(|(_, original)| Arc::clone(original))
    }

    pub fn all(&self) -> Vec<Arc<Original>> {
        let held = self.sites.values().flat_map(|held| &held.originals);
        held.map(|(_, original)| Arc::clone(original)).collect()
    }

    pub fn forget_old(&mut self, now: Instant) {
        let old = |since: Instant| now.saturating_duration_since(since) >= AGE_MAX;
        let begins_old = |held: &Held| held.originals.front().is_some_and(|(since, _)| old(*since));
        while let Some(site) = self.sites.iter().find(|(_, held)| begins_old(held)) {
            let site = site.0.clone();
            self.forget_oldest(&site);
        }
    }

    /// Forgets the oldest of the site that holds most; of several such, of the one whose oldest is oldest.
    fn forget_of_most(&mut self, most: impl Fn(&Held) -> usize) -> bool {
        let age = |held: &Held| held.originals.front().map(|(since, _)| std::cmp::Reverse(*since));
        let largest = self.sites.iter().max_by_key(|(_, held)| (most(held), age(held)));
        let Some(site) = largest.map(|(site, _)| site.clone()) else { return false };
        self.forget_oldest(&site);
        true
    }

    fn forget_oldest(&mut self, site: &str) {
        let Some(held) = self.sites.get_mut(site) else { return };
        if let Some((_, gone)) = held.originals.pop_front() {
            let bytes = weight(&gone);
            held.bytes = held.bytes.saturating_sub(bytes);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.count = self.count.saturating_sub(1);
        }
        if held.originals.is_empty() {
            self.sites.remove(site);
        }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Bytes of memory, as good as they can be told.
fn weight(original: &Original) -> usize {
    let of_field = |field: &super::Field| {
        field.name.len() + field.value.as_ref().map_or(0, String::len) + size_of::<super::Field>()
    };
    let fields: usize = original.fields.iter().map(of_field).sum();
    original.body.capacity() + original.path.len() + fields + OVERHEAD_BYTES
}
