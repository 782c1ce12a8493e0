//! Sends a request to the app and hands its response on while it still comes.
//!
//! Promises: what may have reached the app is sent again only if its method is idempotent and it has no body (23);
//! a connection that breaks mid-body ends the client's message the same way (24).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::body::{Body, BodyError, BodyState, RequestBody};
use super::policy::Policy;
use super::respond;
use super::timers::Deadline;
use super::trip::Trip;
use super::upstream::{BetweenBytes, ConnectError, Group, Link, Pool, UpstreamBody};
use crate::base::Denial;
use crate::telemetry::metrics::UpstreamUse;

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
    body: Incoming,
) -> Result<Response<Body>, Denial> {
    let max = trip.intake().and_then(|intake| intake.body_max.bytes());
    let (mut body, state) = RequestBody::new(body, &trip.conn, max);
    trip.upload.clone_from(&state);
    body.prefetch().await; // so that a small body leaves together with its head
    if let Some(denial) = trip.upload_fault() {
        return Err(denial); // the app need not hear of it
    }
    let group = upstreams(trip)?;
    let request = Request::from_parts(head, body);
    let (mut leased, mut how) = lease(trip, &group).await?;
    let exchange = Exchange::start(trip, state);
    // The app may have closed a kept connection at this very moment: that is no reason to lose a request.
    let repeat = how == UpstreamUse::Reused && may_repeat(&request);
    leased.link.record.start(repeat);
    let again = match exchange.run(&mut leased, request).await {
        Sent::Answered(answer) => Ok(answer),
        // Nothing was written: the request is whole, and may take another connection.
        Sent::Unsent(whole) => Err(Some(*whole)),
        Sent::Broken if repeat => Err(leased.link.record.request()),
        Sent::Broken => Err(None),
        Sent::Refused(denial) => return Err(denial),
    };
    let answer = match again {
        Ok(answer) => answer,
        Err(None) => return Err(Exchange::broken(&leased)),
        Err(Some(request)) => {
            leased.link = connect(trip, &leased.pool).await?;
            how = UpstreamUse::Opened;
            exchange.run_once(&mut leased, request).await?
        }
    };
    trip.conn.worker.shard.upstream(how);
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked; what the connection speaks now is nobody's guess.
        return Err(Denial::UpstreamBroke {
            upstream: leased.pool.label.to_string(),
            why: "it answered 101 to a request that asked for no upgrade".into(),
        });
    }
    trip.answered = Some(trip.elapsed());
    Ok(stream_back(trip, exchange, leased, answer))
}

/// A new connection to the first upstream that can be reached, for an exchange that will not give it back.
pub(super) async fn lease_new(trip: &mut Trip, group: &Group) -> Result<Leased, Denial> {
    let mut refusal = Denial::Internal { what: "a site without upstreams" };
    for pool in group.in_turn() {
        trip.upstream = Some(Rc::clone(&pool.label));
        match connect(trip, pool).await {
            Ok(link) => return Ok(Leased { link, pool: Rc::clone(pool) }),
            Err(denial) => refusal = denial,
        }
    }
    Err(refusal)
}

/// A connection and the pool that wants it back.
pub(super) struct Leased {
    pub link: Box<Link>,
    pub pool: Rc<Pool>,
}

pub(super) fn upstreams(trip: &Trip) -> Result<Rc<Group>, Denial> {
    let site = trip.host.as_ref().map(|host| host.site);
    site.and_then(|site| trip.view.upstreams(site, trip.route))
        .cloned()
        .ok_or(Denial::Internal { what: "a site without upstreams" })
}

/// An idle connection, or a new one to the first upstream that can be reached.
async fn lease(trip: &mut Trip, group: &Group) -> Result<(Leased, UpstreamUse), Denial> {
    let mut refusal = Denial::Internal { what: "a site without upstreams" };
    for pool in group.in_turn() {
        trip.upstream = Some(Rc::clone(&pool.label));
        if let Some(link) = pool.reuse() {
            return Ok((Leased { link, pool: Rc::clone(pool) }, UpstreamUse::Reused));
        }
        match connect(trip, pool).await {
            Ok(link) => return Ok((Leased { link, pool: Rc::clone(pool) }, UpstreamUse::Opened)),
            Err(denial) => refusal = denial,
        }
    }
    Err(refusal)
}

async fn connect(trip: &Trip, pool: &Pool) -> Result<Box<Link>, Denial> {
    let limit = trip.view.policy.settings.timeout.connect;
    // Connecting is rare: its future is not part of every request's.
    let connecting = Box::pin(pool.connect(&trip.conn.worker.shared, limit));
    connecting.await.map_err(|error| {
        trip.conn.worker.shard.upstream(UpstreamUse::Failed);
        let upstream = pool.label.to_string();
        match error {
            ConnectError::Timeout(limit) => {
                Denial::UpstreamTimeout { upstream, waited_s: limit.as_secs() }
            }
            error => Denial::UpstreamUnreachable { upstream, why: error.to_string() },
        }
    })
}

/// Whether a request that may have reached the app may be sent once more (RFC 9110 §9.2.2, promise 23).
fn may_repeat(request: &Request<RequestBody>) -> bool {
    let idempotent = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    idempotent && matches!(request.body(), RequestBody::Empty)
}

/// How sending a request ended.
enum Sent {
    Answered(Response<Incoming>),
    /// The connection ended before anything was written; here is the request again.
    Unsent(Box<Request<RequestBody>>),
    /// It ended after something may have been written.
    Broken,
    Refused(Denial),
}

/// The deadlines of one request at the app.
pub(super) struct Exchange {
    first_byte: Duration,
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

    fn run<'a>(
        &'a self,
        leased: &'a mut Leased,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Sent> + 'a {
        self.deadline.arm(self.first_byte);
        let response = leased.link.sender.try_send_request(request);
        self.answer(leased, response)
    }

    async fn answer<F>(&self, leased: &mut Leased, response: F) -> Sent
    where
        F: Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
    {
        let link = &mut leased.link;
        let mut response = pin!(response);
        let answer = poll_fn(|cx| {
            let alive = link.drive(cx);
            let mut answer = response.as_mut().poll(cx);
            if !alive && answer.is_pending() {
                link.discard();
                answer = response.as_mut().poll(cx);
            }
            match answer {
                Poll::Ready(answer) => {
                    let message = |mut error: TrySendError<_>| error.take_message().map(Box::new);
                    return Poll::Ready(Some(answer.map_err(message)));
                }
                Poll::Pending if !alive => return Poll::Ready(Some(Err(None))),
                Poll::Pending => {}
            }
            if self.deadline.expired(cx) && !self.still_sending(cx) {
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await;
        match answer {
            Some(Ok(answer)) => Sent::Answered(answer),
            Some(Err(Some(whole))) => Sent::Unsent(whole),
            Some(Err(None)) => {
                let fault = self.body.as_ref().and_then(|body| body.fault.get());
                fault.and_then(BodyError::refusal).map_or(Sent::Broken, Sent::Refused)
            }
            None => Sent::Refused(Denial::UpstreamTimeout {
                upstream: leased.pool.label.to_string(),
                waited_s: self.first_byte.as_secs(),
            }),
        }
    }

    /// As `run`, where there is no second try.
    pub(super) async fn run_once(
        &self,
        leased: &mut Leased,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Denial> {
        match self.run(leased, request).await {
            Sent::Answered(answer) => Ok(answer),
            Sent::Unsent(_) | Sent::Broken => Err(Self::broken(leased)),
            Sent::Refused(denial) => Err(denial),
        }
    }

    /// The wait for the first byte of the answer begins with the last byte of the request.
    fn still_sending(&self, cx: &std::task::Context<'_>) -> bool {
        let body = self.body.as_ref();
        body.is_some_and(|body| body.extends(&self.deadline, self.first_byte, cx))
    }

    fn broken(leased: &Leased) -> Denial {
        Denial::UpstreamBroke {
            upstream: leased.pool.label.to_string(),
            why: "the connection ended before a response came".into(),
        }
    }
}

pub(super) fn stream_back(
    trip: &Trip,
    exchange: Exchange,
    leased: Leased,
    answer: Response<Incoming>,
) -> Response<Body> {
    let (mut head, incoming) = answer.into_parts();
    // Whatever the app speaks, the client speaks to palisade (RFC 9110 §2.5).
    head.version = Version::HTTP_11;
    if head.headers.contains_key(TRANSFER_ENCODING) {
        // The length was read from the chunks; a second one must not travel on (RFC 9112 §6.3).
        head.headers.remove(CONTENT_LENGTH);
    }
    exchange.deadline.disarm();
    let between_bytes = (!may_be_silent(&head.headers)).then(|| BetweenBytes {
        limit: trip.view.policy.settings.timeout.between_bytes,
        deadline: exchange.deadline,
        upload: exchange.body,
    });
    let timers = Rc::clone(&trip.conn.worker.timers);
    let body = UpstreamBody::new(incoming, leased.link, leased.pool, timers, between_bytes);
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
