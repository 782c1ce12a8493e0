//! The end: readiness off, no new connections, what was accepted is finished, then everything closes (promise 59).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::control::Daemon;
use crate::base::audit::{By, Source};
use crate::edge::Drain;
use crate::ops::api::State;
use crate::sys;
use crate::telemetry::Level;

/// After the grace time, for threads to end.
const LAST_MARGIN: Duration = Duration::from_secs(2);

/// The signals that mean something here.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them over from their default, which is to end the process at once.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Serves SIGHUP until SIGTERM or SIGINT comes.
    pub async fn until_stop(&mut self, daemon: &Daemon) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    // Refusals are kept for `status` and logged.
                    let by = By::system(Source::Signal);
                    let _ = tokio::task::block_in_place(|| daemon.reload_now(&by));
                }
            }
        }
    }

    /// A second wish to stop: no more waiting.
    async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Drains the workers, and returns when they have ended.
pub(super) async fn drain(
    daemon: Arc<Daemon>,
    workers: Vec<JoinHandle<()>>,
    tell: watch::Sender<Drain>,
    signals: &mut Signals,
) {
    let shared = &daemon.shared;
    let _ = sys::notify::stopping();
    let (acceptor, grace) = {
        let mut inner = daemon.inner();
        inner.state = State::Draining;
        (inner.acceptor.take(), inner.settings.timeout.grace)
    };
    let open = shared.caps.open() as u64;
    shared.log.event(Level::Info, "stopping", |line| {
        line.number("connections", open).number("grace_s", grace.as_secs());
    });
    tokio::task::block_in_place(|| daemon.record_stop());
    let text = format!("finishing what {open} connections have asked for");
    shared.events.changed("draining", None, text);
    if let Some(acceptor) = acceptor {
        tokio::task::block_in_place(|| acceptor.stop());
    }
    let _ = tell.send(Drain::Until(shared.clock.now() + grace));
    let ended = tokio::task::spawn_blocking(move || {
        for worker in workers {
            let _ = worker.join();
        }
    });
    let limit = tokio::time::sleep(grace + LAST_MARGIN);
    tokio::select! {
        _ = ended => {}
        () = limit => {}
        () = signals.again() => {
            let _ = tell.send(Drain::Until(shared.clock.now()));
        }
    }
    // Of workers that have ended, and of those that were not waited for.
    let cut = shared.cut.load(Ordering::Relaxed) + shared.caps.open();
    shared.log.event(Level::Info, "stopped", |line| {
        line.number("connections_cut", cut as u64);
    });
}
