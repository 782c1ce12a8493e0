//! Sends a request to the app and hands its response on while it still comes.
//!
//! Promises: a connection that breaks mid-body ends the client's message the same way (24). Which upstream is asked,
//! and whether another one is, is said in `lease`.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version, response};
use hyper::body::Incoming;

use super::body::{Body, BodyState, RequestBody};
use super::identity::Identity;
use super::lease::{Course, Leased};
use super::policy::Policy;
use super::respond;
use super::timers::Deadline;
use super::trip::Trip;
use super::upstream::{BetweenBytes, Fault, UpstreamBody};
use crate::base::{Broke, Denial};

/// The next step, where only the app can know more.
const LOOK_THERE: &str = "; look into the app's own log at this time";

/// Refuses what no app should see.
pub(super) fn admit(policy: &Policy, head: &Parts) -> Result<(), Denial> {
    let uri_bytes = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if uri_bytes as u64 > policy.settings.http.uri_max.0 {
        return Err(Denial::UriTooLong { uri_bytes });
    }
    if head.method == Method::CONNECT {
        return Err(Denial::MethodNotSupported);
    }
    Ok(())
}

/// Forwards one request and returns the head of the answer, with the body still streaming.
pub(super) async fn forward(
    trip: &mut Trip,
    head: Parts,
    identity: &Identity,
    body: Incoming,
) -> Result<Response<Body>, Denial> {
    let max = trip.intake().and_then(|intake| intake.body_max.bytes());
    let (mut body, state) = RequestBody::new(body, &trip.conn, max);
    trip.upload.clone_from(&state);
    body.prefetch().await; // so that a small body leaves together with its head
    if let Some(denial) = trip.upload_fault() {
        return Err(denial); // the app need not hear of it
    }
    let mut course = Course::begin(trip)?;
    let mut leased = course.lease(trip).await?;
    let exchange = Exchange::start(trip, state);
    leased.link.begin(head, trip.own(identity), body);
    let answer = loop {
        match exchange.run(&mut leased).await {
            Ok(answer) => break answer,
            // Failures are rare: what follows from one is no part of every request's future.
            Err(failure) => {
                Box::pin(course.again(trip, &mut leased, &exchange, failure)).await?;
            }
        }
    };
    course.answered(trip, &mut leased);
    if answer.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked; what the connection speaks now is nobody's guess.
        return Err(Denial::UpstreamBroke {
            upstream: leased.pool().label.to_string(),
            why: format!("it answered 101 to a request that asked for no upgrade{LOOK_THERE}"),
            how: Broke::Nonsense,
        });
    }
    trip.answered = Some(trip.elapsed());
    Ok(stream_back(trip, exchange, leased, answer))
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure {
    Broke(Fault),
    /// The deadline for its first byte has passed.
    TimedOut,
}

/// The deadlines of one request at the app.
pub(super) struct Exchange {
    pub(super) first_byte: Duration,
    deadline: Deadline,
    body: Option<Rc<BodyState>>,
}

impl Exchange {
    pub(super) fn start(trip: &Trip, body: Option<Rc<BodyState>>) -> Self {
        let first_byte = match trip.route() {
            Some(route) => route.first_byte,
            None => trip.view.policy.settings.timeout.first_byte,
        };
        Self { first_byte, deadline: trip.conn.worker.timers.deadline(), body }
    }

    /// Sends the request that was begun on the connection, and waits for the head of its answer.
    pub(super) async fn run(&self, leased: &mut Leased) -> Result<response::Parts, Failure> {
        self.deadline.arm(self.first_byte);
        poll_fn(|cx| match leased.link.poll_head(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(Failure::Broke)),
            Poll::Pending if self.deadline.expired(cx) && !self.still_sending(cx) => {
                Poll::Ready(Err(Failure::TimedOut))
            }
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// What a failure means to the client: its own body may be what went wrong.
    pub(super) fn refusal(&self, failure: Failure, leased: &Leased) -> Denial {
        let upstream = leased.pool().label.to_string();
        let Failure::Broke(fault) = failure else {
            let waited = self.first_byte;
            return Denial::UpstreamTimeout { upstream, waited, connected: true };
        };
        match self.body.as_ref().and_then(|body| body.fault.get()) {
            Some(fault) => fault.refusal().unwrap_or(Denial::BodyBroken),
            None if fault == Fault::RequestBody => Denial::BodyBroken,
            None => {
                let mut why = leased.why(fault);
                if !fault.is_decisive() {
                    why.push_str(LOOK_THERE);
                }
                Denial::UpstreamBroke { upstream, why, how: fault.into() }
            }
        }
    }

    /// Whether the app has nothing more to wait for.
    pub(super) fn is_sent(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.ended.get())
    }

    /// The wait for the first byte of the answer begins with the last byte of the request.
    fn still_sending(&self, cx: &std::task::Context<'_>) -> bool {
        let body = self.body.as_ref();
        body.is_some_and(|body| body.extends(&self.deadline, self.first_byte, cx))
    }
}

pub(super) fn stream_back(
    trip: &Trip,
    exchange: Exchange,
    leased: Leased,
    mut head: response::Parts,
) -> Response<Body> {
    // Whatever the app speaks, the client speaks to palisade (RFC 9110 §2.5).
    head.version = Version::HTTP_11;
    exchange.deadline.disarm();
    let silent = may_be_silent(&head.headers);
    if let Some(body) = &exchange.body
        && silent
    {
        body.may_be_silent.set(true);
    }
    let between_bytes = (!silent).then(|| BetweenBytes {
        limit: trip.view.policy.settings.timeout.between_bytes,
        deadline: exchange.deadline,
        upload: exchange.body,
    });
    let timers = Rc::clone(&trip.conn.worker.timers);
    let body = UpstreamBody::new(leased.link, leased.visit, timers, between_bytes);
    respond::strip(&mut head.headers);
    Response::from_parts(head, Body::upstream(body))
}

/// Streams in which silence is normal.
fn may_be_silent(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(b"text/event-stream") || kind.starts_with(b"application/grpc")
    })
}
