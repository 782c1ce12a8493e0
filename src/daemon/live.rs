//! What moves: feeds the history once a second, and explains what a request would meet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::control::Daemon;
use super::materials::unix_s;
use crate::edge::explain::{Asked, Candidate};
use crate::edge::{self, Policy, Shared};
use crate::ops;
use crate::ops::api::Problem;
use crate::ops::api::live::{
    ExplainQuery, Explanation, HeaderChange, RouteTried, Step, UpstreamTried,
};
use crate::ports::Clock;
use crate::sys;
use crate::telemetry::history::{History, Sample};

/// Looks fall into the middle of a second, so that one that comes late or early still falls into the same.
const MIDDLE: Duration = Duration::from_millis(500);

/// A history that begins now.
pub(super) fn begin(clock: &dyn Clock) -> History {
    History::new(unix_s(clock), sample(clock, clock.now(), None))
}

/// Everything that the history wants to know, now.
fn sample(clock: &dyn Clock, started: Instant, shared: Option<&Shared>) -> Sample {
    let usage = sys::usage::usage();
    let uptime = clock.now().saturating_duration_since(started);
    Sample {
        totals: shared.map(|shared| shared.metrics.totals()).unwrap_or_default(),
        connections: shared.map_or(0, |shared| shared.caps.open() as u64),
        rss_bytes: usage.rss_bytes,
        cpu_us: usage.cpu_us,
        uptime_us: u64::try_from(uptime.as_micros()).unwrap_or(u64::MAX),
    }
}

/// Observes once a second until `stop`.
pub(super) async fn keep_history(daemon: Arc<Daemon>, mut stop: watch::Receiver<bool>) {
    let clock = Arc::clone(&daemon.shared.clock);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(until_next_middle(clock.unix())) => {}
        }
        let sample = sample(&*clock, daemon.started, Some(&daemon.shared));
        daemon.history.observe(unix_s(&*clock), sample);
    }
}

/// What the request of `query` would meet.
pub(super) fn explain(
    policy: &Policy,
    query: &ExplainQuery,
    now_ms: u64,
) -> Result<Explanation, Problem> {
    let bad = |detail: String| Problem::new(400, "Bad Request", detail);
    let method = query.method.as_deref().unwrap_or("GET");
    let ip = query.ip.as_deref().unwrap_or("127.0.0.1");
    let peer = ip.parse().map_err(|_| bad(format!("{ip} is no IP address")))?;
    let mut fields = Vec::new();
    for header in &query.headers {
        let field = header.split_once(':').ok_or_else(|| bad(format!("{header} has no colon")))?;
        fields.push((field.0.trim().to_owned(), field.1.trim().to_owned()));
    }
    let asked = Asked::new(&query.url, method, peer, &fields).map_err(bad)?;
    let told = edge::explain::explain(policy, &asked, now_ms);
    let steps: Vec<Step> = told.steps.into_iter().map(ops::shown_step).collect();
    let deciding = |step: &&Step| matches!(step.outcome.as_str(), "refused" | "answered");
    let decided_by = steps.iter().find(deciding).map(|step| step.name.clone());
    let change = |(name, value)| HeaderChange { name, value };
    let added = told.to_client.into_iter().map(|(name, value)| (name, Some(value)));
    let tried = told.routes.into_iter();
    Ok(Explanation {
        method: method.to_owned(),
        url: query.url.clone(),
        client_ip: told.client,
        steps,
        decided_by: decided_by.unwrap_or_default(),
        status: told.status,
        site: told.site,
        route: told.route,
        routes: tried.map(|(name, why)| RouteTried { name, matches: why.is_none(), why }).collect(),
        upstreams: told.upstreams,
        candidates: told.candidates.into_iter().map(candidate).collect(),
        request_headers: told.to_app.into_iter().map(change).collect(),
        response_headers: added.map(change).collect(),
    })
}

fn candidate(found: Candidate) -> UpstreamTried {
    let Candidate { upstream, verdict, why } = found;
    UpstreamTried { upstream, outcome: verdict.word().to_owned(), why }
}

/// To the middle of the next second.
fn until_next_middle(unix: Duration) -> Duration {
    let into = Duration::from_nanos(unix.subsec_nanos().into());
    Duration::from_secs(1) + MIDDLE - into
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_is_looked_at_once_even_with_a_little_delay() {
        let mut now = Duration::from_millis(1_000_730);
        for second in 1001..1100 {
            now += until_next_middle(now) + Duration::from_millis(second % 7 * 60);
            assert_eq!(now.as_secs(), second);
        }
    }
}
