//! Tasks with an owner: what ends by a panic is reported and started again.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};

use crate::telemetry::{Level, Log};

/// Between a panic and the next start of the same task.
const PAUSE: Duration = Duration::from_secs(1);

/// The background tasks of the control runtime.
pub struct Supervisor {
    handle: Handle,
    log: Log,
    tasks: JoinSet<()>,
}

impl Supervisor {
    #[must_use]
    pub fn new(handle: Handle, log: Log) -> Self {
        Self { handle, log, tasks: JoinSet::new() }
    }

    /// Runs `task`, and again whenever it panics, until it returns.
    pub fn keep<F, T>(&mut self, name: &'static str, mut task: F)
    where
        F: FnMut() -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let (handle, log) = (self.handle.clone(), self.log.clone());
        self.tasks.spawn_on(
            async move {
                while let Err(error) = handle.spawn(task()).await {
                    if error.is_cancelled() {
                        return;
                    }
                    report(&log, name, &error);
                    tokio::time::sleep(PAUSE).await;
                }
            },
            &self.handle,
        );
    }

    /// Waits until every task has returned, but no longer than `limit`.
    pub async fn finish(mut self, limit: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(limit, all).await;
    }
}

fn report(log: &Log, name: &str, error: &JoinError) {
    log.event(Level::Error, "task_restarted", |line| {
        line.text("task", name)
            .text("why", &error.to_string())
            .text("next", "report the panic that was logged just before");
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::ports::system::SystemClock;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_started_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let (log, _writer) = Log::open(Some(&path), Arc::new(SystemClock)).expect("a log");
        let mut supervisor = Supervisor::new(Handle::current(), log.clone());
        let runs = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&runs);
        supervisor.keep("test", move || {
            let run = counter.fetch_add(1, Ordering::Relaxed);
            async move { assert!(run == 2, "panics twice") }
        });
        supervisor.finish(Duration::from_secs(60)).await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        log.flush();
        let text = std::fs::read_to_string(path).expect("the log");
        assert_eq!(text.matches("task_restarted").count(), 2);
    }
}
