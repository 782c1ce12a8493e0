//! What is known of upstreams, for whoever asks.

use super::control::Daemon;
use crate::edge::upstream::{Snapshot, State};
use crate::ports::health::Health;
use crate::telemetry::metrics::UpstreamFigures;

impl Daemon {
    /// One entry for each upstream of the policy in force, by name.
    pub(super) fn upstream_snapshots(&self) -> Vec<Snapshot> {
        self.shared.policy.load().peers.snapshots(self.shared.now_ms())
    }

    pub(super) fn upstream_figures(&self) -> Vec<UpstreamFigures> {
        let figures = |upstream: Snapshot| UpstreamFigures {
            state: number(&upstream),
            name: upstream.upstream,
            in_flight: upstream.in_flight,
            waiting: upstream.waiting,
            opened: upstream.opened,
            retries: upstream.retries,
            spared: upstream.spared,
            busy: upstream.busy,
        };
        self.upstream_snapshots().into_iter().map(figures).collect()
    }
}

/// As the help of the metric says.
const fn number(upstream: &Snapshot) -> u64 {
    match (upstream.breaker, upstream.health) {
        (State::Open { probing: true, .. }, _) => 1,
        (State::Open { .. }, _) => 2,
        (State::Closed { .. }, Health::Down) => 3,
        (State::Closed { .. }, _) if upstream.stalled => 4,
        (State::Closed { .. }, _) => 0,
    }
}
