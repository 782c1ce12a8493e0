//! The bodies that pass through: what a client sends to the app, and what is sent to a client. Neither is boxed.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

use super::conn::Conn;
use super::deny;
use super::timers::{Deadline, Pace, Stall};
use super::trip::Trip;
use super::upstream::{Fault, UpstreamBody};
use crate::base::Denial;

/// Why a body did not reach its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the client stopped sending its request body, or sent it too slowly")]
    TooSlow,
    #[error("the client's request body broke off")]
    Broken,
    #[error("the client's request body is longer than {max} bytes")]
    TooLarge { max: u64 },
    #[error("the client takes its response too slowly")]
    ReaderTooSlow,
    #[error("the upstream's response broke off: {0}")]
    Upstream(Fault),
    #[error("the upstream paused for too long inside its response")]
    UpstreamIdle,
}

/// How far a request body has got; shared with whoever waits for the answer to it.
#[derive(Debug, Default)]
pub struct BodyState {
    pub fault: Cell<Option<BodyError>>,
    /// Worker clock at the last byte.
    pub last_ms: Cell<u64>,
    /// Silence and slowness are normal: app and client have a conversation.
    pub may_be_silent: Cell<bool>,
    /// All of it has come, or nobody waits for the rest.
    pub ended: Cell<bool>,
}

impl BodyError {
    /// The refusal of a request whose body failed like this, if the fault is not the app's.
    pub const fn refusal(self) -> Option<Denial> {
        match self {
            Self::TooSlow => Some(Denial::BodyTooSlow),
            Self::TooLarge { max } => Some(Denial::BodyTooLarge { said: None, max }),
            Self::Broken => Some(Denial::BodyBroken),
            Self::ReaderTooSlow | Self::Upstream(_) | Self::UpstreamIdle => None,
        }
    }
}

impl BodyState {
    /// Arms an expired `deadline` anew if less than `limit` has passed since the last byte of this body.
    pub fn extends(&self, deadline: &Deadline, limit: Duration, cx: &Context<'_>) -> bool {
        let since = Duration::from_millis(deadline.now_ms().saturating_sub(self.last_ms.get()));
        let left = limit.saturating_sub(since);
        if left.is_zero() {
            return false;
        }
        deadline.arm(left);
        !deadline.expired(cx)
    }
}

/// A request body on its way to the app.
#[derive(Default)]
pub enum RequestBody {
    #[default]
    Empty,
    Stream(Box<Streaming>),
}

pub struct Streaming {
    incoming: Incoming,
    /// Read ahead by `prefetch`.
    ahead: Option<Result<Frame<Bytes>, BodyError>>,
    conn: Rc<Conn>,
    idle: Deadline,
    pace: Pace,
    /// Bytes that may come, and how many of them are still to come; `None` for all.
    limit: Option<Limit>,
    ended: bool,
    state: Rc<BodyState>,
}

/// How much of a body may still come.
struct Limit {
    max: u64,
    left: u64,
}

impl RequestBody {
    /// `max`: the most bytes that are passed on; one more breaks the body off.
    pub fn new(
        incoming: Incoming,
        conn: &Rc<Conn>,
        max: Option<u64>,
    ) -> (Self, Option<Rc<BodyState>>) {
        if incoming.is_end_stream() {
            return (Self::Empty, None);
        }
        let state = Rc::new(BodyState::default());
        state.last_ms.set(conn.worker.timers.now_ms());
        conn.bodies_open.set(conn.bodies_open.get() + 1);
        let streaming = Streaming {
            incoming,
            ahead: None,
            conn: Rc::clone(conn),
            idle: conn.worker.timers.deadline(),
            pace: Pace::default(),
            limit: max.map(|max| Limit { max, left: max }),
            ended: false,
            state: Rc::clone(&state),
        };
        (Self::Stream(Box::new(streaming)), Some(state))
    }

    /// Takes what has already come of the body, waiting for one turn of the task and no longer.
    ///
    /// hyper reads a body only once somebody asks for it. Without this, every head would be written to the app alone,
    /// and its body, though received together with it, by a second system call.
    pub async fn prefetch(&mut self) {
        let Self::Stream(streaming) = self else { return };
        let mut asked = false;
        poll_fn(|cx| match streaming.poll(cx) {
            Poll::Ready(frame) => {
                // An empty frame that only brings the end is no body at all.
                let empty = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(Bytes::is_empty);
                streaming.ahead = frame.filter(|frame| !frame.as_ref().is_ok_and(empty));
                Poll::Ready(())
            }
            Poll::Pending if asked => Poll::Ready(()),
            Poll::Pending => {
                asked = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await;
    }
}

impl Streaming {
    fn fail(&self, fault: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.state.fault.set(Some(fault));
        Poll::Ready(Some(Err(fault)))
    }

    /// Of what is still to come, what was read ahead included: it makes the Content-Length for the app.
    fn size_hint(&self) -> SizeHint {
        let mut hint = self.incoming.size_hint();
        if let Some(Ok(frame)) = &self.ahead
            && let Some(data) = frame.data_ref()
        {
            let ahead = data.len() as u64;
            let upper = hint.upper().map(|upper| upper + ahead);
            hint.set_lower(0);
            if let Some(upper) = upper {
                hint.set_upper(upper);
            }
            hint.set_lower(self.incoming.size_hint().lower() + ahead);
        }
        hint
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.state.ended.set(true);
            self.conn.bodies_open.set(self.conn.bodies_open.get().saturating_sub(1));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let worker = &self.conn.worker;
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let now_ms = worker.timers.now_ms();
                self.idle.disarm();
                self.state.last_ms.set(now_ms);
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.pace.moved(now_ms, bytes);
                if let Some(limit) = &mut self.limit {
                    let max = limit.max;
                    match limit.left.checked_sub(bytes) {
                        Some(left) => limit.left = left,
                        None => return self.fail(BodyError::TooLarge { max }),
                    }
                }
                if self.pace.too_slow(worker.rate_min()) && !self.state.may_be_silent.get() {
                    return self.fail(BodyError::TooSlow);
                }
                if self.incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => self.fail(BodyError::Broken),
            Poll::Ready(None) => {
                self.idle.disarm();
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending if self.state.may_be_silent.get() => Poll::Pending,
            Poll::Pending => {
                if !self.idle.is_armed() {
                    self.idle.arm(worker.timeouts().body_idle);
                    self.pace.wait(worker.timers.now_ms());
                }
                if self.idle.expired(cx) { self.fail(BodyError::TooSlow) } else { Poll::Pending }
            }
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        if !self.ended && !self.incoming.is_end_stream() {
            // hyper reads the rest, or closes; until the next request begins, the connection must not be parked.
            self.conn.unread.set(true);
        }
        self.end();
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Stream(streaming) => match streaming.ahead.take() {
                Some(ahead) => Poll::Ready(Some(ahead)),
                None => streaming.poll(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(streaming) => {
                streaming.ahead.is_none() && streaming.incoming.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(streaming) => streaming.size_hint(),
        }
    }
}

/// A response body on its way to a client, with the record of the request it answers.
pub struct Body {
    inner: Inner,
    trip: Option<Box<Trip>>,
    /// HTTP/2 only: armed while the next step is the client's.
    stall: Option<Rc<Stall>>,
}

enum Inner {
    Empty,
    Full(Bytes),
    Upstream(UpstreamBody),
}

impl Body {
    pub const fn empty() -> Self {
        Self { inner: Inner::Empty, trip: None, stall: None }
    }

    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self { inner: Inner::Full(bytes.into()), trip: None, stall: None }
    }

    pub const fn upstream(body: UpstreamBody) -> Self {
        Self { inner: Inner::Upstream(body), trip: None, stall: None }
    }

    /// The app's body, where it is one.
    pub fn into_upstream(mut self) -> Option<UpstreamBody> {
        match std::mem::replace(&mut self.inner, Inner::Empty) {
            Inner::Upstream(body) => Some(body),
            Inner::Empty | Inner::Full(_) => None,
        }
    }

    /// The record closes when this body ends or is dropped.
    pub fn accounted(mut self, trip: Box<Trip>) -> Self {
        if trip.conn.http2 {
            self.stall = trip.conn.stream_stall.borrow().clone();
            if let Some(stall) = &self.stall {
                stall.wait(trip.view.policy.settings.timeout.write_idle, 0);
            }
        }
        self.trip = Some(trip);
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let (Some(stall), Some(trip)) = (&this.stall, &mut this.trip) {
            stall.moved();
            if stall.too_slow(trip.view.policy.settings.http.rate_min.0) {
                trip.aborted = Some("client_slow");
                this.trip = None;
                return Poll::Ready(Some(Err(BodyError::ReaderTooSlow)));
            }
        }
        let polled = match &mut this.inner {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Upstream(body) => match &this.trip {
                Some(trip) if !trip.conn.http2 => {
                    std::task::ready!(trip.conn.ahead.poll_room(cx));
                    body.poll(cx)
                }
                _ => body.poll(cx),
            },
        };
        if let Some(trip) = &mut this.trip {
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    trip.response_bytes += bytes as u64;
                    trip.conn.ahead.add(bytes);
                }
                Poll::Ready(Some(Err(BodyError::UpstreamIdle))) => {
                    trip.aborted = Some("upstream_idle");
                }
                Poll::Ready(Some(Err(fault))) => match trip.upload_fault() {
                    // What the client sent, or did not, has ended the exchange, not the app.
                    Some(denial) => {
                        deny::note(trip, &denial);
                        trip.aborted = trip.denied;
                    }
                    None => {
                        trip.aborted = Some("upstream_broke");
                        trip.why = Some(fault.to_string());
                    }
                },
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.trip = None;
        } else if let (Some(stall), Some(trip)) = (&this.stall, &this.trip) {
            let bytes = match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    frame.data_ref().map_or(0, |data| data.len() as u64)
                }
                _ => 0,
            };
            stall.wait(trip.view.policy.settings.timeout.write_idle, bytes);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Empty => true,
            Inner::Full(bytes) => bytes.is_empty(),
            Inner::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Upstream(body) => body.size_hint(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(stall) = &self.stall {
            stall.over();
        }
        let Some(trip) = &mut self.trip else { return };
        let ended = match &self.inner {
            Inner::Empty => true,
            Inner::Full(bytes) => bytes.is_empty(),
            Inner::Upstream(body) => body.is_end_stream(),
        };
        // hyper drops the body of an answer to HEAD unread.
        if !ended && trip.method != http::Method::HEAD && trip.aborted.is_none() {
            trip.aborted = Some("client_left");
        }
    }
}
