//! Which upstreams a request would be sent to at this moment, and why not to the others: the choice of `upstream::group`,
//! without taking anybody's turn, place or probe.

use super::super::policy::Policy;
use super::super::upstream::{Peer, Standing, State};
use crate::base::Denial;
use crate::config::settings::{Balance, Upstream, Upstreams};
use crate::ports::health::Health;

/// An upstream of whoever is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub upstream: String,
    pub verdict: Verdict,
    /// In words.
    pub why: String,
}

/// What would become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is asked, or one of those that are.
    Asked,
    /// It is asked first, to find out whether it is back.
    Probed,
    /// It has no place now; the request waits for one there.
    Awaited,
    Skipped,
}

impl Verdict {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Probed => "probed",
            Self::Awaited => "awaited",
            Self::Skipped => "skipped",
        }
    }
}

/// What is known of one.
struct Known<'a> {
    upstream: &'a Upstream,
    peer: &'a Peer,
    standing: Standing,
    full: bool,
}

/// All of a group, and what that comes to: who is asked, in words, or why nobody is.
pub(super) fn of(
    policy: &Policy,
    group: &Upstreams,
    now_ms: u64,
) -> (Vec<Candidate>, Result<String, Denial>) {
    let minded = group.breaker.is_some();
    let known = group.list.iter().filter_map(|upstream| {
        let peer = policy.peers.get(&upstream.endpoint)?;
        let standing = Standing::of(peer, minded, now_ms);
        Some(Known { upstream, peer, standing, full: !peer.has_room(upstream.requests_max) })
    });
    let known: Vec<Known<'_>> = known.collect();
    let alone = known.len() == 1;
    let probes = |known: &Known<'_>| {
        let due =
            matches!(known.peer.breaker(), State::Open { until_ms, .. } if until_ms <= now_ms);
        minded && due && !known.full && (alone || known.peer.health() != Health::Down)
    };
    // One request is one probe: the first that is due.
    let probed = known.iter().position(probes);
    let asked = asked(&known);
    let verdict = |(at, known): (usize, &Known<'_>)| match asked {
        _ if probed == Some(at) => Verdict::Probed,
        Some(Next::Ask(standing)) if known.standing == standing && !known.full => Verdict::Asked,
        Some(Next::Await(from)) if known.full && from.contains(&known.standing) => Verdict::Awaited,
        _ => Verdict::Skipped,
    };
    let verdicts: Vec<Verdict> = known.iter().enumerate().map(verdict).collect();
    let candidates = known.iter().zip(&verdicts).map(|(known, verdict)| Candidate {
        upstream: known.upstream.to_string(),
        verdict: *verdict,
        why: why(known, *verdict, group.balance, now_ms),
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let note = note(group.balance, &candidates).map_or_else(|| Err(nobody(&known, now_ms)), Ok);
    (candidates, note)
}

/// Whose turn it is.
enum Next {
    /// Those of this standing that have a place.
    Ask(Standing),
    /// Those of these standings that have none.
    Await([Standing; 2]),
}

fn asked(known: &[Known<'_>]) -> Option<Next> {
    let any = |standing, full| known.iter().any(|k| k.standing == standing && k.full == full);
    Standing::ASKED.into_iter().find_map(|standing| {
        // Rather than one that is out, somebody who will have a place.
        let waits = standing != Standing::Fit && (any(standing, true) || any(Standing::Fit, true));
        match any(standing, false) {
            true => Some(Next::Ask(standing)),
            false => waits.then_some(Next::Await([standing, Standing::Fit])),
        }
    })
}

fn why(known: &Known<'_>, verdict: Verdict, balance: Balance, now_ms: u64) -> String {
    let Known { upstream, peer, .. } = known;
    let mut words = match (known.standing, balance) {
        (Standing::Fit, Balance::RoundRobin) => format!("weight {}", upstream.weight),
        (Standing::Fit, Balance::LeastLoaded) => {
            format!("weight {}, {} requests", upstream.weight, peer.in_flight())
        }
        (Standing::Stalled, _) => {
            format!("it has {} requests and has answered none for a while", peer.in_flight())
        }
        (Standing::Down, _) => {
            let why = peer.down().map(|down| format!(" ({})", down.text));
            format!("its health check fails{}", why.unwrap_or_default())
        }
        (Standing::Quick, _) => failing("it fails at once", peer),
        (Standing::Slow, _) => failing("it does not answer in time", peer),
    };
    if let (Verdict::Skipped, State::Open { until_ms, probing, .. }) = (verdict, peer.breaker())
        && matches!(known.standing, Standing::Quick | Standing::Slow)
    {
        words.push_str(&match until_ms.saturating_sub(now_ms).div_ceil(1_000) {
            _ if probing => "; a probe is under way".to_owned(),
            0 => "; a probe is due".to_owned(),
            seconds => format!("; next probe in {seconds} s"),
        });
    }
    match verdict {
        Verdict::Asked if known.standing != Standing::Fit => words.push_str("; nobody is better"),
        Verdict::Probed => words.push_str("; this request finds out whether it is back"),
        _ => {}
    }
    if let (true, Some(max)) = (known.full, upstream.requests_max) {
        words.push_str(&format!("; it has {} of {max} requests", peer.in_flight()));
    }
    words
}

fn failing(how: &str, peer: &Peer) -> String {
    let last = peer.last_failure().map(|last| format!(" ({})", last.text));
    format!("{how}{}", last.unwrap_or_default())
}

/// Who is asked; `None` where nobody can be.
fn note(balance: Balance, candidates: &[Candidate]) -> Option<String> {
    let named = |verdict: Verdict| -> Vec<&str> {
        let found = candidates.iter().filter(|found| found.verdict == verdict);
        found.map(|found| found.upstream.as_str()).collect()
    };
    let mut note = match &named(Verdict::Probed)[..] {
        [first, ..] => format!("{first} is asked first"),
        [] => String::new(),
    };
    let then = match (&named(Verdict::Asked)[..], &named(Verdict::Awaited)[..]) {
        ([], []) if candidates.is_empty() => "there is none".to_owned(),
        ([], []) => String::new(),
        ([], awaited) => format!("a place is waited for at {}", awaited.join(", ")),
        ([only], _) => format!("{only} is asked"),
        (several, _) => {
            let who = match balance {
                Balance::RoundRobin => "whose turn it is",
                Balance::LeastLoaded => "with the fewest requests for its weight",
            };
            let all = several.join(", ");
            format!("the one {who} of {all} is asked, the others if it is not there")
        }
    };
    if !note.is_empty() && !then.is_empty() {
        note.push_str("; where it is not there, ");
    }
    note.push_str(&then);
    (!note.is_empty()).then_some(note)
}

/// Every one lets deadlines pass.
fn nobody(known: &[Known<'_>], now_ms: u64) -> Denial {
    let ends = known.iter().filter_map(|known| match known.peer.breaker() {
        State::Open { until_ms, .. } => Some((until_ms, known)),
        State::Closed { .. } => None,
    });
    let Some((until_ms, first)) = ends.min_by_key(|(until_ms, _)| *until_ms) else {
        return Denial::Internal { what: "a site without upstreams" };
    };
    let retry_s = until_ms.saturating_sub(now_ms).div_ceil(1_000).max(1);
    Denial::UpstreamDown {
        upstream: first.upstream.to_string(),
        why: first.peer.last_failure().map_or_else(|| "no answer".to_owned(), |l| l.text.clone()),
        retry_s: u32::try_from(retry_s).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
#[path = "candidates_tests.rs"]
mod tests;
