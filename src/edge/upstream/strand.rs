//! One exchange on a shared HTTP/2 connection, with what [`Link`](super::link::Link) promises of an own one.
//!
//! Promises: both directions move whenever it is polled; dropped before its end it is reset (CANCEL), so that the app
//! stops working for nobody (15); a reset inside a body is a fault and never an end (24). Bounds: what is taken of the
//! request's body while the app gives no window: one frame.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version, request, response};
use http_body::{Body, Frame, SizeHint};

use super::fault::Fault;
use super::head::INTERIM_MAX;
use super::multiplex::Line;
use super::outgoing::is_idempotent;
use crate::edge::body::RequestBody;
use crate::edge::identity::Own;
use crate::edge::trailers::{self, TakesTrailers};

pub struct Strand {
    /// Until the request is sent.
    sender: Option<SendRequest<Bytes>>,
    line: Rc<Line>,
    tls: bool,
    /// Kept, so that it may be sent again.
    request: Request<()>,
    body: RequestBody,
    taken: Taken,
    /// Of the body, taken and not yet sent; `last` says that nothing follows.
    rest: Bytes,
    last: bool,
    sending: Option<SendStream<Bytes>>,
    /// The app takes nothing more. What it still says counts.
    deaf: bool,
    waiting: Option<ResponseFuture>,
    receiving: Option<RecvStream>,
    interim: u8,
    /// The app has not looked at it.
    refused: bool,
    /// All data of the response has come; trailers may follow.
    data_over: bool,
    over: bool,
    /// What Content-Length says is still to come.
    left: Option<u64>,
}

/// How much of the request's body has been taken from the client.
#[derive(Debug, Default)]
enum Taken {
    #[default]
    Nothing,
    /// This was all of it.
    Whole(Bytes),
    Some,
}

impl Strand {
    pub fn new(sender: SendRequest<Bytes>, line: Rc<Line>, tls: bool) -> Box<Self> {
        line.exchanges.set(line.exchanges.get() + 1);
        Box::new(Self {
            sender: Some(sender),
            line,
            tls,
            request: Request::new(()),
            body: RequestBody::Empty,
            taken: Taken::Nothing,
            rest: Bytes::new(),
            last: false,
            sending: None,
            deaf: false,
            waiting: None,
            receiving: None,
            interim: 0,
            refused: false,
            data_over: false,
            over: false,
            left: None,
        })
    }

    /// As [`Link::begin`](super::link::Link::begin).
    pub fn begin(&mut self, head: request::Parts, own: Own<'_>, body: RequestBody) {
        self.request = request(head, own, &body, self.tls);
        self.body = body;
    }

    /// As [`Link::repeat`](super::link::Link::repeat).
    pub fn repeat(&mut self, before: &mut Self) {
        self.request = std::mem::take(&mut before.request);
        self.body = std::mem::take(&mut before.body);
        self.taken = std::mem::take(&mut before.taken);
        if let Taken::Whole(bytes) = &self.taken {
            self.rest = bytes.clone();
            self.last = true;
        }
    }

    /// Whether the exchange, of which no answer came, may be had again (RFC 9113 §8.7, promise 23).
    pub fn may_repeat(&self) -> bool {
        match &self.taken {
            _ if self.receiving.is_some() => false,
            Taken::Nothing if self.body.is_end_stream() => {
                self.refused || self.sender.is_some() || is_idempotent(self.request.method())
            }
            Taken::Nothing | Taken::Whole(_) => self.refused || self.sender.is_some(),
            Taken::Some => false,
        }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let Some(mut sender) = self.sender.take() else { return Ok(()) };
        let sent = match sender.poll_ready(cx) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => {
                let whole = self.rest.is_empty() && !self.last && self.body.is_end_stream();
                sender.send_request(self.request.clone(), whole).map(|sent| (sent, whole))
            }
        };
        match sent {
            Ok(((waiting, sending), whole)) => {
                self.waiting = Some(waiting);
                self.sending = (!whole).then_some(sending);
                Ok(())
            }
            Err(_) => {
                // The connection ended between the choice and now: nothing was sent.
                self.refused = true;
                Err(Fault::Closed)
            }
        }
    }

    /// Sends the request, and waits for the head of its response.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Fault>> {
        self.send(cx)?;
        self.write(cx)?;
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(Err(Fault::Closed)) };
        while let Poll::Ready(Some(Ok(_))) = waiting.poll_informational(cx) {
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                return Poll::Ready(Err(Fault::InterimFlood));
            }
        }
        let answer = ready!(Pin::new(waiting).poll(cx));
        let (mut head, receiving) = answer.map_err(|error| self.fault(&error))?.into_parts();
        self.waiting = None;
        self.over = receiving.is_end_stream();
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        self.left = length.and_then(|length| length.parse().ok());
        if head.status == StatusCode::NO_CONTENT {
            // A 204 has no length (RFC 9110 §8.6): a client that believes it takes the next response for a body.
            head.headers.remove(CONTENT_LENGTH);
        }
        self.receiving = Some(receiving);
        Poll::Ready(Ok(head))
    }

    /// The next frame of the response's body; goes on with the request if there is anything left of it.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if self.over {
            return Poll::Ready(None);
        }
        self.write(cx)?;
        let Some(receiving) = &mut self.receiving else {
            return Poll::Ready(Some(Err(Fault::CutHead)));
        };
        while !self.data_over {
            match ready!(receiving.poll_data(cx)) {
                Some(Ok(data)) => {
                    // What is handed out no longer counts: the next frame is asked for when this one has left.
                    let _ = receiving.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.over = receiving.is_end_stream();
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    if self.over {
                        return Poll::Ready(None);
                    }
                }
                Some(Err(error)) => return self.broken(&error),
                None => self.data_over = true,
            }
        }
        match ready!(receiving.poll_trailers(cx)) {
            Ok(trailers) => {
                self.over = true;
                Poll::Ready(trailers.and_then(of_response).map(|map| Ok(Frame::trailers(map))))
            }
            Err(error) => self.broken(&error),
        }
    }

    /// An app that has said everything may tell that it wants no more of the request (RFC 9113 §8.1).
    fn broken(&mut self, error: &h2::Error) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let complete =
            error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        let in_full = self.left.is_none_or(|left| left == 0);
        if complete && in_full && self.sending.is_some() {
            self.over = true;
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Err(self.fault(error))))
    }

    /// Passes on what has come of the request's body, as far as the app has room for it.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        while let Some(sending) = self.sending.as_mut().filter(|_| !self.deaf) {
            if self.rest.is_empty() && !self.last {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Some(Ok(frame))) => self.take(frame),
                    Poll::Ready(Some(Err(_))) => {
                        sending.send_reset(Reason::CANCEL);
                        self.sending = None;
                        return Err(Fault::RequestBody);
                    }
                    Poll::Ready(None) => self.last = true,
                }
                continue;
            }
            let room = match (self.rest.len(), sending.capacity()) {
                (0, _) => 0,
                (wanted, 0) => {
                    sending.reserve_capacity(wanted);
                    match sending.poll_capacity(cx) {
                        Poll::Pending => return Ok(()),
                        Poll::Ready(Some(Ok(0))) => continue,
                        Poll::Ready(Some(Ok(room))) => room,
                        Poll::Ready(Some(Err(_)) | None) => {
                            self.deaf = true;
                            return Ok(());
                        }
                    }
                }
                (_, room) => room,
            };
            let data = self.rest.split_to(room.min(self.rest.len()));
            let end = self.last && self.rest.is_empty();
            self.deaf = sending.send_data(data, end).is_err();
            if end && !self.deaf {
                self.sending = None;
                self.body = RequestBody::Empty;
            }
        }
        Ok(())
    }

    /// As [`Link::stop_sending`](super::link::Link::stop_sending): the rest is missed by nobody but the app, which hears of it
    /// with the reset at the end.
    pub fn stop_sending(&mut self) {
        if self.sending.is_some() {
            self.deaf = true;
            self.body = RequestBody::Empty;
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                self.last = self.body.is_end_stream();
                self.taken = match self.taken {
                    Taken::Nothing if self.last => Taken::Whole(data.clone()),
                    _ => Taken::Some,
                };
                self.rest = data;
            }
            Err(frame) => {
                self.taken = Taken::Some;
                let trailers = frame.into_trailers().ok().and_then(of_request);
                match (trailers, &mut self.sending) {
                    (Some(trailers), Some(sending)) => {
                        // What it does not take, it has told already.
                        let _ = sending.send_trailers(trailers);
                        self.sending = None;
                    }
                    _ => self.last = true,
                }
            }
        }
    }

    /// What a failure of the stream or of its connection means.
    fn fault(&mut self, error: &h2::Error) -> Fault {
        let reason = error.reason().unwrap_or(Reason::NO_ERROR);
        match () {
            () if self.line.mute.get() => Fault::Mute,
            // A GOAWAY breaks those exchanges only that the app has not looked at (RFC 9113 §6.8).
            () if error.is_remote() && (error.is_go_away() || reason == Reason::REFUSED_STREAM) => {
                self.refused = self.receiving.is_none();
                Fault::Refused
            }
            () if error.is_remote() => Fault::Reset(reason),
            () if error.is_library() => Fault::NotHttp2(reason),
            () if self.receiving.is_none() => Fault::Closed,
            () => Fault::CutBody,
        }
    }

    /// The whole response has been handed out.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    pub fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.over => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::new(),
        }
    }
}

impl Drop for Strand {
    fn drop(&mut self) {
        let exchanges: &Cell<usize> = &self.line.exchanges;
        exchanges.set(exchanges.get().saturating_sub(1));
        // Who has all bytes of a body need not wait for the word that it has ended.
        let complete = (self.over || self.left == Some(0)) && self.sending.is_none();
        if self.sender.is_none() && !complete {
            self.line.resets.set(self.line.resets.get().saturating_add(1));
        }
    }
}

/// The head of a request as HTTP/2 has it (RFC 9113 §8.3.1).
fn request(mut head: request::Parts, own: Own<'_>, body: &RequestBody, tls: bool) -> Request<()> {
    let authority = head.headers.remove(HOST);
    let authority = authority.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = Uri::default().into_parts();
    target.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    target.authority = Some(authority.unwrap_or(Authority::from_static("localhost")));
    let path = head.uri.path_and_query().cloned();
    target.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
    // The parts are all there, so they make one.
    head.uri = Uri::from_parts(target).unwrap_or_default();
    head.version = Version::HTTP_2;
    // Whatever the client said about the framing was about its own connection.
    head.headers.remove(CONTENT_LENGTH);
    match body.size_hint().exact() {
        Some(length) if length > 0 || head.method == Method::POST || head.method == Method::PUT => {
            head.headers.insert(CONTENT_LENGTH, length.into());
        }
        _ => {}
    }
    own.append_to(&mut head.headers);
    if head.extensions.get::<TakesTrailers>().is_some() {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Request::from_parts(head, ())
}

fn of_response(mut map: HeaderMap) -> Option<HeaderMap> {
    trailers::of_response(&mut map);
    (!map.is_empty()).then_some(map)
}

fn of_request(mut map: HeaderMap) -> Option<HeaderMap> {
    trailers::of_request(&mut map);
    (!map.is_empty()).then_some(map)
}
