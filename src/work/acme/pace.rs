//! Which of the sites that are due may order now.
//!
//! Promises: at most [`ORDERS_MAX`] new orders in [`WINDOW_S`] seconds, [`AT_WORK_MAX`] sites at work, and Let's
//! Encrypt's limit of new orders per account kept with some in reserve; renewals that the CA asked for are exempt from
//! that one (RFC 9773 §5). The certificate that ends soonest goes first, and before it the sites that have none.

/// New orders in any [`WINDOW_S`] seconds (promise 4; half of what Let's Encrypt allows one address).
pub const ORDERS_MAX: usize = 10;
pub const WINDOW_S: i64 = 10;
/// Sites at work at one time.
pub const AT_WORK_MAX: usize = 4;

/// New orders that one account may place in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    pub orders: usize,
    pub period_s: i64,
}

/// <https://letsencrypt.org/docs/rate-limits/>: "up to 300 new orders … every 3 hours".
const LETS_ENCRYPT: Allowance = Allowance { orders: 300, period_s: 3 * 60 * 60 };
/// Kept for second challenges and for what an operator asks for.
const RESERVE: usize = 15;

/// The published limit of a CA; others make their own known by refusing.
#[must_use]
pub fn allowance(directory_url: &str) -> Option<Allowance> {
    let host = directory_url.strip_prefix("https://")?.split(['/', ':']).next()?;
    host.ends_with(".letsencrypt.org").then_some(LETS_ENCRYPT)
}

/// A site that wants an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate<S> {
    pub site: S,
    pub due_s: i64,
    /// When its certificate ends, if it has one.
    pub expires_s: Option<i64>,
    /// The order will replace a certificate that the CA knows, or one is there already and is only resumed.
    pub exempt: bool,
}

/// What has been placed already.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    pub at_work: usize,
    /// Times of new orders of the last seconds, in any order.
    pub recent_s: &'a [i64],
    /// Times of new orders at this CA, in any order.
    pub at_ca_s: &'a [i64],
    pub allowance: Option<Allowance>,
}

/// Sites to start now, and when to look again (`None`: when something changes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice<S> {
    pub start: Vec<S>,
    pub look_again_s: Option<i64>,
}

/// Chooses among `candidates`.
#[must_use]
pub fn choose<S: Clone + Ord>(
    now_s: i64,
    candidates: &[Candidate<S>],
    placed: Placed<'_>,
) -> Choice<S> {
    let mut due: Vec<&Candidate<S>> = candidates.iter().filter(|c| c.due_s <= now_s).collect();
    due.sort_by(|a, b| (a.expires_s, a.due_s, &a.site).cmp(&(b.expires_s, b.due_s, &b.site)));
    let mut look_again_s = candidates.iter().filter(|c| c.due_s > now_s).map(|c| c.due_s).min();
    let mut slots = AT_WORK_MAX.saturating_sub(placed.at_work);
    let recent = within(placed.recent_s, now_s, WINDOW_S);
    let mut burst = ORDERS_MAX.saturating_sub(recent.len());
    let (mut budget, budget_back_s) = budget(now_s, placed);
    let mut start = Vec::new();
    for candidate in due {
        if slots == 0 {
            break; // the end of an attempt wakes the planner
        }
        if burst == 0 {
            soonest(&mut look_again_s, recent.first().map(|at| at + WINDOW_S));
            break;
        }
        if !candidate.exempt {
            if budget == 0 {
                soonest(&mut look_again_s, budget_back_s);
                continue;
            }
            budget -= 1;
        }
        slots -= 1;
        burst -= 1;
        start.push(candidate.site.clone());
    }
    Choice { start, look_again_s }
}

/// New orders that the CA's limit still allows, and when the next one comes free.
fn budget(now_s: i64, placed: Placed<'_>) -> (usize, Option<i64>) {
    let Some(allowance) = placed.allowance else { return (usize::MAX, None) };
    let counted = within(placed.at_ca_s, now_s, allowance.period_s);
    let usable = allowance.orders.saturating_sub(RESERVE);
    // The one whose leaving brings the count below what may be used.
    let back = counted.get(counted.len().saturating_sub(usable)).map(|at| at + allowance.period_s);
    (usable.saturating_sub(counted.len()), back)
}

/// Times of the last `period_s` seconds, oldest first. Times in the future are those of a clock that was wrong.
fn within(times_s: &[i64], now_s: i64, period_s: i64) -> Vec<i64> {
    let mut counted: Vec<i64> =
        times_s.iter().copied().filter(|at| *at > now_s - period_s && *at <= now_s).collect();
    counted.sort_unstable();
    counted
}

fn soonest(look_again_s: &mut Option<i64>, at_s: Option<i64>) {
    *look_again_s = match (*look_again_s, at_s) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
