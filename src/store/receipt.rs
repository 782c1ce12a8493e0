//! The outcome of a write, for whoever asked for it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::StoreError;

/// The outcome of a write, once it is known. Dropping it does not undo the write.
#[must_use = "a write has not happened before its receipt says so"]
pub struct Receipt<T>(oneshot::Receiver<Result<T, StoreError>>);

/// Fills in a [`Receipt`].
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

impl<T> Receipt<T> {
    pub(super) fn pair() -> (Answer<T>, Self) {
        let (answer, receiver) = oneshot::channel();
        (answer, Self(receiver))
    }

    /// Of a write that was refused before it was queued.
    pub(super) fn refused(error: StoreError) -> Self {
        let (answer, receipt) = Self::pair();
        let _ = answer.send(Err(error)); // its receiver is right here
        receipt
    }

    /// Blocks this thread until the commit; for threads that may wait, never inside a runtime's worker.
    ///
    /// # Errors
    /// Nothing was written.
    ///
    /// # Panics
    /// Inside a task of a runtime: await the receipt there.
    pub fn wait(self) -> Result<T, StoreError> {
        self.0.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }
}

impl<T> Future for Receipt<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}
