//! A response body of the app, which drives the connection it comes on and gives it back when it has ended.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::carrier::Carrier;
use super::fault::Fault;
use super::visit::Visit;
use crate::edge::body::{BodyError, BodyState};
use crate::edge::timers::{Deadline, Timers};

pub struct UpstreamBody {
    /// `None` once given back or broken.
    link: Option<Carrier>,
    visit: Visit,
    timers: Rc<Timers>,
    between_bytes: Option<BetweenBytes>,
    /// It has reached its end, and nothing follows.
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
        link: Carrier,
        visit: Visit,
        timers: Rc<Timers>,
        between_bytes: Option<BetweenBytes>,
    ) -> Self {
        let mut body = Self { link: Some(link), visit, timers, between_bytes, ended: false };
        body.give_back_if_over();
        body
    }

    /// Nobody waits for the rest of the request: only the answer is still read.
    pub fn stop_sending(&mut self) {
        if let Some(link) = &mut self.link {
            link.stop_sending();
        }
        if let Some(between) = &mut self.between_bytes {
            between.upload = None;
        }
    }

    fn give_back_if_over(&mut self) {
        if let Some(link) = self.link.take_if(|link| link.is_over()) {
            self.ended = true;
            self.visit.finish(link, self.timers.now_ms());
        }
    }

    fn break_off(&mut self) {
        self.link = None;
        self.visit.end();
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready((!self.ended).then_some(Err(BodyError::Upstream(Fault::CutBody))));
        };
        match link.poll_body(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(between) = &self.between_bytes {
                    between.deadline.disarm();
                }
                self.give_back_if_over();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(fault))) => {
                self.break_off();
                Poll::Ready(Some(Err(BodyError::Upstream(fault))))
            }
            Poll::Ready(None) => {
                self.give_back_if_over();
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
            self.break_off();
            return Poll::Ready(Some(Err(BodyError::UpstreamIdle)));
        }
        Poll::Pending
    }

    pub const fn is_end_stream(&self) -> bool {
        self.ended
    }

    pub fn size_hint(&self) -> SizeHint {
        match &self.link {
            Some(link) => link.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
