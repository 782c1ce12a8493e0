//! Upstreams that could not be reached and that nobody asks: connects, to see whether they are back.
//!
//! Promises: nothing is sent; an upstream whose pause is over and that takes a connection is no longer out, and one more
//! failure makes it so again. Refuses to judge what failed otherwise: only a request shows that. Bounds: [`AT_ONCE`]
//! connections, each for [`LIMIT`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::edge::Shared;
use crate::edge::outage;
use crate::edge::upstream::Peer;

const EVERY: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(1);
const AT_ONCE: usize = 32;

/// Looks until `stop`.
pub(super) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let mut looks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = looks.tick() => {}
        }
        let now_ms = shared.now_ms();
        let policy = shared.policy.load_full();
        let due = policy.peers.iter().filter(|peer| peer.awaits_connection(now_ms));
        let due: Vec<Arc<Peer>> = due.cloned().collect();
        for some in due.chunks(AT_ONCE) {
            let mut asking = JoinSet::new();
            for peer in some {
                asking.spawn(look(Arc::clone(&shared), Arc::clone(peer)));
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = async { while asking.join_next().await.is_some() {} } => {}
            }
        }
    }
}

async fn look(shared: Arc<Shared>, peer: Arc<Peer>) {
    let connected = tokio::time::timeout(LIMIT, peer.dial(&*shared.dial)).await;
    if matches!(connected, Ok(Ok(_))) && peer.reached() {
        outage::recovered(&shared, &peer);
    }
}
