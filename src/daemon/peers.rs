//! What is known of upstreams, for whoever asks.

use super::control::Daemon;
use super::standing::state_of;
use crate::edge::upstream::Snapshot;
use crate::ops::api::upstreams::UpstreamState;
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
fn number(upstream: &Snapshot) -> u64 {
    match state_of(upstream) {
        UpstreamState::Up | UpstreamState::Unknown => 0,
        UpstreamState::Probing => 1,
        UpstreamState::Failing => 2,
        UpstreamState::Down => 3,
        UpstreamState::Stalled => 4,
    }
}
