//! Factors that were begun and do not count yet: nobody is locked out by a device that did not take its secret.
//!
//! Bounds: [`LASTS`], and [`PENDING_MAX`] at a time; one more ends the oldest. In memory: a restart forgets them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::core::SECRET_BYTES;

/// How long the device may take.
pub const LASTS: Duration = Duration::from_secs(600);
pub const PENDING_MAX: usize = 8;

/// A factor that waits for its first code.
#[derive(Clone)]
pub struct Pending {
    pub name: String,
    pub secret: Zeroizing<[u8; SECRET_BYTES]>,
    /// Name of the factor that confirmed its enrolment; nothing where there was none yet.
    pub confirmed: Option<String>,
    pub ends: Instant,
}

/// All that wait, oldest first.
#[derive(Default)]
pub struct Waiting(VecDeque<Pending>);

impl Waiting {
    /// Adds one; another one of its name is forgotten.
    pub fn add(&mut self, pending: Pending, now: Instant) {
        self.0.retain(|other| other.ends > now && other.name != pending.name);
        while self.0.len() >= PENDING_MAX {
            self.0.pop_front();
        }
        self.0.push_back(pending);
    }

    #[must_use]
    pub fn get(&self, name: &str, now: Instant) -> Option<Pending> {
        self.0.iter().find(|pending| pending.name == name && pending.ends > now).cloned()
    }

    /// It is active; those that nobody confirmed because there was no factor are void from now on.
    pub fn activated(&mut self, name: &str) {
        self.0.retain(|pending| pending.name != name && pending.confirmed.is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_ends_by_itself_or_when_too_many_wait() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let pending = |name: &str| Pending {
            name: name.into(),
            secret: Zeroizing::new([1; SECRET_BYTES]),
            confirmed: Some("phone".into()),
            ends: now + LASTS,
        };
        for number in 0..=PENDING_MAX {
            waiting.add(pending(&number.to_string()), now);
        }
        assert!(waiting.get("0", now).is_none() && waiting.get("1", now).is_some());
        assert!(waiting.get("1", now + LASTS).is_none());
        waiting.add(Pending { confirmed: None, ..pending("8") }, now);
        assert_eq!(waiting.0.len(), PENDING_MAX, "of each name there is one");
        waiting.activated("1");
        assert!(waiting.get("1", now).is_none() && waiting.get("8", now).is_none());
        assert!(waiting.get("2", now).is_some());
    }
}
