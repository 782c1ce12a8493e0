//! A response body of the app, which drives the connection it comes on and gives it back when it has ended.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use super::link::Link;
use super::pool::Pool;
use crate::edge::body::{BodyError, BodyState};
use crate::edge::timers::{Deadline, Timers};

pub struct UpstreamBody {
    incoming: Incoming,
    /// `None` once given back or broken.
    link: Option<Box<Link>>,
    pool: Rc<Pool>,
    timers: Rc<Timers>,
    between_bytes: Option<BetweenBytes>,
    /// Trailers have come: nothing follows them.
    ended: bool,
}

/// How long the app may pause inside its response.
pub struct BetweenBytes {
    pub limit: Duration,
    pub deadline: Deadline,
    /// While the client still sends, an app that answered early may be waiting for it.
    pub upload: Option<Rc<BodyState>>,
}

impl BetweenBytes {
    /// The pause of the app counts from the last byte of the upload.
    fn goes_on(&self, cx: &Context<'_>) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.extends(&self.deadline, self.limit, cx))
    }
}

impl UpstreamBody {
    /// `between_bytes` is `None` for streams that may be silent, as event streams are.
    pub fn new(
        incoming: Incoming,
        link: Box<Link>,
        pool: Rc<Pool>,
        timers: Rc<Timers>,
        between_bytes: Option<BetweenBytes>,
    ) -> Self {
        let mut body =
            Self { incoming, link: Some(link), pool, timers, between_bytes, ended: false };
        if body.incoming.is_end_stream() {
            body.give_back();
        }
        body
    }

    fn give_back(&mut self) {
        if let Some(link) = self.link.take() {
            self.pool.give_back(link, self.timers.now_ms());
        }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Asking first tells hyper that data is wanted; then the connection is moved, and it is asked again.
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(link) = &mut self.link
        {
            link.drive(cx);
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(between) = &self.between_bytes {
                    between.deadline.disarm();
                }
                self.ended = frame.is_trailers();
                if self.is_end_stream() {
                    self.give_back();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                self.link = None;
                Poll::Ready(Some(Err(BodyError::Upstream)))
            }
            Poll::Ready(None) => {
                self.give_back();
                Poll::Ready(None)
            }
            Poll::Pending => self.wait(cx),
        }
    }

    fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(between) = &self.between_bytes else { return Poll::Pending };
        if !between.deadline.is_armed() {
            between.deadline.arm(between.limit);
        }
        if between.deadline.expired(cx) && !between.goes_on(cx) {
            self.link = None;
            return Poll::Ready(Some(Err(BodyError::UpstreamIdle)));
        }
        Poll::Pending
    }

    pub fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for UpstreamBody {
    /// A body that was dropped before its end takes its connection with it: the rest of the response is still coming.
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.give_back();
        }
    }
}
