//! Requests that found no place at an upstream lately, for people.
//!
//! Promises: a refusal is told at once and for [`LATELY`], and no longer. Bounds: the upstreams of the policy, each with a
//! count for every [`STEP`] of that time at most; a sentence names [`NAMED_MAX`] upstreams.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::standing::{NAMED_MAX, named_groups, whose};
use crate::config::settings::{Endpoint, Site, Upstreams};
use crate::ops::api::{Attention, Level};

/// How far back refusals are mentioned.
const LATELY: Duration = Duration::from_secs(120);

/// Looks that follow each other faster are one.
const STEP: Duration = Duration::from_secs(2);

/// What was counted, look by look.
#[derive(Debug, Default)]
pub(super) struct Crowd(HashMap<Endpoint, Refused>);

#[derive(Debug, Default)]
struct Refused {
    /// Since the start, as of the last look.
    total: u64,
    /// When there were more than before, and how many; oldest first.
    growth: VecDeque<(Instant, u64)>,
}

/// How many requests each upstream had no place for lately; those that had one for all are left out.
pub(super) struct Lately(HashMap<Endpoint, u64>);

impl Crowd {
    /// Takes what was counted since the start, of all upstreams that there are.
    pub fn look(&mut self, now: Instant, counts: impl Iterator<Item = (Endpoint, u64)>) {
        let mut before = std::mem::take(&mut self.0);
        for (endpoint, total) in counts.filter(|(_, total)| *total > 0) {
            let mut known = before.remove(&endpoint).unwrap_or_default();
            let more = total.saturating_sub(known.total);
            known.total = total;
            match known.growth.back_mut() {
                Some((at, count)) if now.saturating_duration_since(*at) < STEP => *count += more,
                _ if more > 0 => known.growth.push_back((now, more)),
                _ => {}
            }
            known.growth.retain(|(at, _)| now.saturating_duration_since(*at) <= LATELY);
            self.0.insert(endpoint, known);
        }
    }

    /// As of the last look.
    pub fn lately(&self) -> Lately {
        let sum = |known: &Refused| known.growth.iter().map(|(_, more)| more).sum::<u64>();
        let some = self.0.iter().map(|(endpoint, known)| (endpoint.clone(), sum(known)));
        Lately(some.filter(|(_, count)| *count > 0).collect())
    }
}

impl Lately {
    /// What about a site somebody has to look into: its visitors, or those of others at the same upstream, were sent away.
    pub fn about(&self, site: &Site) -> Vec<Attention> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let groups = named_groups(site);
        groups.filter_map(|(site, route, group)| self.of(&whose(site, route), group)).collect()
    }

    fn of(&self, whose: &str, group: &Upstreams) -> Option<Attention> {
        let full = group.list.iter().filter_map(|upstream| {
            let max = upstream.requests_max?;
            let count = self.0.get(&upstream.endpoint)?;
            Some((*count, format!("{upstream} ({max} at once)")))
        });
        let (counts, mut names): (Vec<u64>, Vec<String>) = full.unzip();
        // Each of those that had no place counts the same request.
        let refused = counts.into_iter().max()?;
        let requests =
            if refused == 1 { "1 request was".into() } else { format!("{refused} requests were") };
        if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            names.truncate(NAMED_MAX);
            names.push(format!("{more} more"));
        }
        let queue = match group.wait_queue.requests_max {
            0 => "wait_queue is off".to_owned(),
            most => format!("wait_queue: {most} for {:?}", group.wait_queue.wait_max),
        };
        let message = format!(
            "{whose}: too busy, {requests} refused in the last 2 minutes for want of a place at {} ({queue}); next: raise \
             requests_max if the app can take more, or wait_queue if visitors may wait, or make the app faster",
            names.join(", ")
        );
        Some(Attention { level: Level::Warn, message })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_file};

    fn site(keys: &str) -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("palisade.toml");
        std::fs::write(&path, format!("[site.\"app.localhost\"]\n{keys}")).expect("written");
        let loaded = load_file(&path, &Environment::new(Vec::new()));
        loaded.unwrap_or_else(|report| panic!("{report}")).settings.sites.remove(0)
    }

    fn counts(site: &Site, counts: &[u64]) -> Vec<(Endpoint, u64)> {
        let endpoints = site.upstreams.list.iter().map(|upstream| upstream.endpoint.clone());
        endpoints.zip(counts.iter().copied()).collect()
    }

    #[test]
    fn requests_refused_for_want_of_a_place_are_told_for_two_minutes() {
        let site = site(
            "upstream = { to = \"a:1\", requests_max = 2 }\nwait_queue = { requests = 9, wait = \"5s\" }",
        );
        let mut crowd = Crowd::default();
        let start = Instant::now();
        let mut told = |after_s: u64, total: u64| {
            let now = start + Duration::from_secs(after_s);
            crowd.look(now, counts(&site, &[total]).into_iter());
            let about = crowd.lately().about(&site);
            about.into_iter().map(|found| (found.level, found.message)).collect::<Vec<_>>()
        };
        assert_eq!(told(0, 0), []);
        let [(level, message)] = &told(2, 3)[..] else { panic!("one sentence") };
        assert_eq!(*level, Level::Warn);
        assert_eq!(
            message,
            "app.localhost: too busy, 3 requests were refused in the last 2 minutes for want of a place at a:1 (2 at \
             once) (wait_queue: 9 for 5s); next: raise requests_max if the app can take more, or wait_queue if visitors \
             may wait, or make the app faster"
        );
        assert!(told(60, 4)[0].1.contains(" 4 requests were refused "));
        assert!(told(130, 4)[0].1.contains(" 1 request was refused "));
        assert_eq!(told(181, 4), []);
    }

    #[test]
    fn of_upstreams_that_are_full_together_a_request_counts_once() {
        let site = site(
            "upstream = [{ to = \"a:1\", requests_max = 2 }, { to = \"b:1\", requests_max = 1 }, \"c:1\"]\n\
             wait_queue = \"off\"",
        );
        let mut crowd = Crowd::default();
        crowd.look(Instant::now(), counts(&site, &[5, 5, 0]).into_iter());
        let about = crowd.lately().about(&site);
        let [Attention { message, .. }] = &about[..] else { panic!("one sentence") };
        let told = "5 requests were refused in the last 2 minutes for want of a place at a:1 (2 at once), b:1 (1 at once) \
                    (wait_queue is off)";
        assert!(message.contains(told), "{message}");
    }

    #[test]
    fn an_upstream_that_is_gone_is_forgotten() {
        let site = site("upstream = { to = \"a:1\", requests_max = 2 }");
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        crowd.look(now, counts(&site, &[5]).into_iter());
        crowd.look(now, std::iter::empty());
        assert!(crowd.0.is_empty());
    }
}
