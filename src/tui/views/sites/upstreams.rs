//! The upstreams of a site: how many are up, and what is known of each.
//!
//! Bounds: the first [`LISTED_MAX`] upstreams of the daemon by name; of others only the names are shown.

use crate::base::words::{self, count, soon};
use crate::ops::api::SiteStatus;
use crate::ops::api::page::PageQuery;
use crate::ops::api::upstreams::{
    UpstreamFailure, UpstreamState, UpstreamStatus, UpstreamTallies, UpstreamUse,
};
use crate::ops::client::{Client, ClientError};

use super::super::super::page::Page;
use super::super::super::sample::Say;
use super::super::super::table::Cell;
use super::super::super::theme::Tone;

/// What is asked for every time, in at most [`PAGES_MAX`] pages.
const LISTED_MAX: usize = 2_000;
const PAGES_MAX: usize = 8;

/// Every upstream, or the first of very many; none of a daemon that does not tell.
pub(super) async fn all(client: &Client) -> Result<Vec<UpstreamStatus>, ClientError> {
    let (mut all, mut query) = (Vec::new(), PageQuery::default());
    for _ in 0..PAGES_MAX {
        let page = match client.upstreams(&query).await {
            Ok(page) => page,
            Err(ClientError::Refused(problem)) if problem.status == 404 => break,
            Err(error) => return Err(error),
        };
        all.extend(page.items);
        query.after = page.next;
        if query.after.is_none() || all.len() >= LISTED_MAX {
            break;
        }
    }
    all.truncate(LISTED_MAX);
    Ok(all)
}

/// `2 of 3 up`; sorted by the share that is up.
pub(super) fn cell(site: &SiteStatus) -> Cell {
    let (all, out) = (site.upstreams.len(), site.upstreams_out);
    let tone = match out {
        0 => Tone::Plain,
        out if out < all => Tone::Warn,
        _ => Tone::Bad,
    };
    let up = all.saturating_sub(out).saturating_mul(1_000) / all.max(1);
    let up = u64::try_from(up).unwrap_or(u64::MAX);
    Cell { tone, ..Cell::value(up, words::upstreams(&site.upstreams, out)) }
}

/// The upstreams of a site, then those of its routes.
pub(super) fn section(page: &mut Page, site: &SiteStatus, known: &[UpstreamStatus]) {
    page.blank();
    page.heading(if site.upstreams.len() == 1 { "Upstream" } else { "Upstreams" });
    for name in &site.upstreams {
        match known.iter().find(|upstream| upstream.upstream == *name) {
            Some(upstream) => {
                let used = upstream.used_by.iter();
                let mut own = used.filter(|used| used.site == site.name && used.route.is_none());
                entry(page, upstream, own.next());
            }
            None => page.field("", Tone::Plain, name),
        }
    }
    for upstream in known {
        let used = upstream.used_by.iter();
        for used in used.filter(|used| used.site == site.name && used.route.is_some()) {
            entry(page, upstream, Some(used));
        }
    }
}

fn entry(page: &mut Page, upstream: &UpstreamStatus, used: Option<&UpstreamUse>) {
    let (tone, word) = match upstream.state {
        UpstreamState::Up => (Tone::Good, "OK"),
        UpstreamState::Unknown => (Tone::Plain, "-"),
        UpstreamState::Stalled => (Tone::Warn, "WARN"),
        UpstreamState::Failing | UpstreamState::Probing | UpstreamState::Down => {
            (Tone::Bad, "FAIL")
        }
    };
    let mut text = format!("{word:<4}  {}", upstream.upstream);
    if let Some(route) = used.and_then(|used| used.route.as_deref()) {
        text.push_str(&format!(", route {route}"));
    }
    if let Some(used) = used {
        text.push_str(&format!(", weight {}", used.weight));
    }
    page.field(upstream.state.word(), tone, &text);
    page.field("", Tone::Plain, &load(upstream));
    if let Some(why) = &upstream.why {
        page.field("", Tone::Plain, &format!("out{}: {why}", when_out(upstream)));
    }
    let told = |failure: &&UpstreamFailure| upstream.why.as_deref() != Some(failure.text.as_str());
    if let Some(failure) = upstream.last_failure.as_ref().filter(told) {
        page.field("", Tone::Quiet, &format!("failed at {}: {}", failure.at, failure.text));
    }
}

/// `12 of 100 in flight, 3 waiting, refused 7`
fn load(upstream: &UpstreamStatus) -> String {
    let of = upstream.requests_max.map_or(String::new(), |max| format!(" of {}", count(max)));
    let mut text = format!("{}{of} in flight", count(upstream.in_flight));
    let UpstreamTallies { opened, retries, busy, .. } = &upstream.tallies;
    for (number, words) in [
        (upstream.waiting, "waiting"),
        (*retries, "sent elsewhere"),
        (*busy, "refused for want of a place"),
    ] {
        if number > 0 {
            text.push_str(&format!(", {} {words}", count(number)));
        }
    }
    match opened {
        0 => {}
        1 => text.push_str(", out once"),
        times => text.push_str(&format!(", out {} times", count(*times))),
    }
    text
}

/// Since when, and when it is asked again.
fn when_out(upstream: &UpstreamStatus) -> String {
    let since = upstream.since.as_deref();
    let since = since.map_or(String::new(), |since| format!(" since {}", since));
    let next = match (upstream.state, upstream.probe_in_ms) {
        (UpstreamState::Probing, _) => ", a probe is under way".to_owned(),
        (_, None) => String::new(),
        (_, Some(0)) => ", the next request is the probe".to_owned(),
        (_, Some(ms)) => {
            let in_s = i64::try_from(ms.div_ceil(1_000)).unwrap_or(i64::MAX);
            format!(", next probe in {}", soon(in_s))
        }
    };
    format!("{since}{next}")
}

/// One that fails, one that is full, one of a route whose health checks fail, and one that nobody has asked.
pub(super) fn sample(say: Say<'_>) -> Vec<UpstreamStatus> {
    let failure = |text: &str| UpstreamFailure { at: say("2026-11-21T20:17:31Z"), text: say(text) };
    let upstream = |name: &str, state: UpstreamState, weight: u32| UpstreamStatus {
        upstream: say(name),
        state,
        why: None,
        last_failure: None,
        since: None,
        probe_in_ms: None,
        protocol: say("http/1.1"),
        tls: false,
        used_by: vec![UpstreamUse { site: say("app.example.com"), route: None, weight }],
        used_by_total: 1,
        requests_max: None,
        in_flight: 0,
        waiting: 0,
        tallies: UpstreamTallies::default(),
    };
    let mut full = upstream("127.0.0.1:3000", UpstreamState::Up, 3);
    (full.requests_max, full.in_flight, full.waiting) = (Some(100), 100, 3);
    (full.last_failure, full.tallies.busy) = (Some(failure("connection reset")), 7);
    let mut failing = upstream("127.0.0.1:3001", UpstreamState::Failing, 1);
    failing.last_failure = Some(failure("connection refused"));
    failing.why = failing.last_failure.as_ref().map(|last| last.text.clone());
    (failing.since, failing.probe_in_ms) = (Some(say("2026-11-21T20:14:02Z")), Some(2_400));
    (failing.tallies.opened, failing.tallies.retries) = (4, 31);
    let mut down = upstream("h2c://127.0.0.1:4001", UpstreamState::Down, 1);
    down.used_by.iter_mut().for_each(|used| used.route = Some(say("/api")));
    down.since = Some(say("2026-11-21T20:10:00Z"));
    (down.why, down.protocol) = (Some(say("its health check fails, answered 503")), say("h2"));
    let stalled = upstream("127.0.0.1:4000", UpstreamState::Stalled, 1);
    vec![full, failing, stalled, upstream("127.0.0.1:5000", UpstreamState::Unknown, 1), down]
}
