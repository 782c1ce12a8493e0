//! When a certificate is fetched, and when a failed attempt is repeated.
//!
//! Promises: no clock and no I/O: the same facts give the same plan. Renewal follows the CA's window, else the share of
//! the lifetime that is left; no fixed number of days (promise 2). A wait written down by a clock that was wrong binds
//! nobody. Bounds: a wait after a failure is at most [`WAIT_MAX_S`].

use crate::base::timestamp::rfc3339;
use crate::store::certs::{Ari, Failure, History};

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
pub const DAY_S: i64 = 24 * HOUR_S;

/// Waits after the first, second, … failure in a row (promise 4).
const BACKOFF_S: [i64; 4] = [MINUTE_S, 10 * MINUTE_S, 100 * MINUTE_S, DAY_S];
/// The longest period that a CA counts over: Let's Encrypt's limits per week.
pub const WAIT_MAX_S: i64 = 7 * DAY_S;
/// Below this a certificate is renewed when half of its lifetime is left, else when a third is.
const SHORT_LIVED_S: i64 = 10 * DAY_S;
/// The CA's answer about the renewal window is asked for again within these bounds, whatever it says (RFC 9773 §4.3.2).
const ASK_AGAIN_S: (i64, i64) = (MINUTE_S, DAY_S);
/// Where the CA does not say when to ask again.
const ASK_AGAIN_DEFAULT_S: i64 = 6 * HOUR_S;
/// Further off than this, the CA and this machine cannot both be right about the time.
const SKEW_MAX_S: i64 = DAY_S;

/// What matters about a certificate that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub not_before_s: i64,
    pub not_after_s: i64,
    pub stored_at_s: i64,
    /// Drawn once: where in a window this certificate is renewed.
    pub jitter: u32,
    pub ari: Option<Ari>,
    /// A wanted name that it does not cover.
    pub uncovered: Option<String>,
    /// It was issued by another CA than the one that is configured now.
    pub other_ca: bool,
    /// Somebody brought it.
    pub imported: bool,
    /// Somebody brought it, and no CA has signed it.
    pub self_signed: bool,
}

impl Held {
    pub const fn lifetime_s(&self) -> i64 {
        self.not_after_s.saturating_sub(self.not_before_s)
    }

    /// Whether it was got so recently that needing another one already is a sign of something wrong.
    pub fn is_young(&self, now_s: i64) -> bool {
        let age = now_s.saturating_sub(self.stored_at_s);
        (0..(self.lifetime_s() / 4).min(DAY_S)).contains(&age)
    }
}

/// When the next attempt is due, and why then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub at_s: i64,
    pub why: String,
}

/// Plans the next attempt for a site.
#[must_use]
pub fn plan(now_s: i64, held: Option<&Held>, history: &History) -> Plan {
    let plan = wish(now_s, held);
    let Some(not_before_s) = history.not_before_s else { return plan };
    // Written by a clock that was ahead: waiting for it could take years.
    let by_wrong_clock = not_before_s.saturating_sub(now_s) > WAIT_MAX_S
        || (history.last_failure.is_some() && failure(now_s, history).is_none());
    if by_wrong_clock || not_before_s <= plan.at_s {
        return plan;
    }
    let why = match history.failures {
        0 => plan.why,
        1 => format!("{}; the last attempt failed", plan.why),
        failures => format!("{}; the last {failures} attempts failed", plan.why),
    };
    Plan { at_s: not_before_s, why }
}

/// Whether it would be fetched now if nothing had failed.
#[must_use]
pub fn is_due(now_s: i64, held: Option<&Held>) -> bool {
    wish(now_s, held).at_s <= now_s
}

/// The last failure, unless it is yet to come: then the clock was ahead, and what it led to is no news any more.
#[must_use]
pub fn failure(now_s: i64, history: &History) -> Option<&Failure> {
    history.last_failure.as_ref().filter(|failure| failure.at_s <= now_s.saturating_add(HOUR_S))
}

/// When it would be fetched if nothing had failed.
fn wish(now_s: i64, held: Option<&Held>) -> Plan {
    let now = |why: String| Plan { at_s: now_s, why };
    let Some(held) = held else { return now("there is no certificate yet".into()) };
    if let Some(name) = &held.uncovered {
        return now(format!("the certificate does not cover {name}"));
    }
    if held.other_ca {
        return now("the certificate is from another CA than the configured one".into());
    }
    if held.self_signed {
        return now("the imported certificate is self-signed".into());
    }
    let (at_s, why) = by_window(held).unwrap_or_else(|| by_lifetime(held));
    Plan { at_s, why }
}

/// A uniformly random point of the CA's window (RFC 9773 §4.2), but always with some lifetime left.
fn by_window(held: &Held) -> Option<(i64, String)> {
    let ari = held.ari.as_ref().filter(|ari| ari.start_s < ari.end_s)?;
    let point = within(ari.start_s, ari.end_s, held.jitter);
    let last = held.not_after_s.saturating_sub(held.lifetime_s() / 10);
    let mut why = format!("the CA suggests {} to {}", rfc3339(ari.start_s), rfc3339(ari.end_s));
    if let Some(url) = &ari.explanation_url {
        why.push_str(", see ");
        why.push_str(url);
    }
    Some((point.min(last), why))
}

/// When a third of the lifetime is left, or half of a short one; then spread over a thirtieth of it, so that
/// certificates of one day do not all renew in one minute.
fn by_lifetime(held: &Held) -> (i64, String) {
    let lifetime = held.lifetime_s().max(0);
    let (left, share) =
        if lifetime < SHORT_LIVED_S { (lifetime / 2, "half") } else { (lifetime / 3, "a third") };
    let from = held.not_after_s.saturating_sub(left);
    let at_s = within(from, from.saturating_add(lifetime / 30), held.jitter);
    let origin = if held.imported { "it was imported; " } else { "" };
    (at_s, format!("{origin}{share} of its {} is left then", span(lifetime)))
}

/// `jitter` as a share of the way from `start_s` to `end_s`.
fn within(start_s: i64, end_s: i64, jitter: u32) -> i64 {
    let width = i128::from(end_s) - i128::from(start_s);
    let part = width * i128::from(jitter) / i128::from(u32::MAX);
    i64::try_from(i128::from(start_s) + part).unwrap_or(start_s)
}

/// `90 days`, `36 h`, `5 min`, for sentences.
#[must_use]
pub fn span(seconds: i64) -> String {
    match seconds {
        // Certificates end one second early: 90 days are 7,775,999 s.
        s if s >= 2 * DAY_S - 1 => format!("{} days", s.saturating_add(DAY_S / 2) / DAY_S),
        s if s >= 2 * HOUR_S => format!("{} h", (s + HOUR_S / 2) / HOUR_S),
        s if s > 90 => format!("{} min", (s + MINUTE_S / 2) / MINUTE_S),
        s => format!("{s} s"),
    }
}

/// When to try again after the `failures`th failure in a row.
///
/// The backoff never takes more than a tenth of the time that is left to the certificate, but the CA's Retry-After is
/// obeyed even then: asking earlier would only be refused.
#[must_use]
pub fn try_again_at_s(
    now_s: i64,
    failures: u32,
    random: u32,
    retry_after_s: Option<u64>,
    expires_s: Option<i64>,
) -> i64 {
    let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
    let base = BACKOFF_S.get(step).copied().unwrap_or(DAY_S);
    let jittered = within(base - base / 5, base + base / 5, random);
    let patience = match expires_s.map(|at| at.saturating_sub(now_s)) {
        None => i64::MAX,
        Some(left) if left <= 0 => 100 * MINUTE_S,
        Some(left) => (left / 10).max(10 * MINUTE_S),
    };
    let asked = retry_after_s.map_or(0, |s| i64::try_from(s).unwrap_or(i64::MAX).min(WAIT_MAX_S));
    now_s.saturating_add(jittered.min(patience).max(asked))
}

/// When to ask for the renewal window again.
#[must_use]
pub fn ask_again_at_s(now_s: i64, retry_after_s: Option<u64>) -> i64 {
    let (min, max) = ASK_AGAIN_S;
    let asked = retry_after_s.map_or(ASK_AGAIN_DEFAULT_S, |s| i64::try_from(s).unwrap_or(max));
    now_s.saturating_add(asked.clamp(min, max))
}

/// Whether the renewal window should be asked for. An answer from the future was written by a clock that was wrong.
#[must_use]
pub fn asks_window(now_s: i64, ari: Option<&Ari>) -> bool {
    ari.is_none_or(|ari| {
        ari.ask_again_at_s <= now_s || ari.asked_at_s > now_s.saturating_add(MINUTE_S)
    })
}

/// How far this machine's clock is off, in words, if it and the CA's cannot both be right.
#[must_use]
pub fn clock_trouble(now_s: i64, ca_date_s: Option<i64>) -> Option<String> {
    let ca = ca_date_s?;
    let off = now_s.saturating_sub(ca);
    (off.saturating_abs() > SKEW_MAX_S)
        .then(|| format!("this machine says it is {}, the CA says {}", rfc3339(now_s), rfc3339(ca)))
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
