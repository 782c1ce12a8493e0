//! Requests as bytes, exactly.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{Method, Request};
use http_body::{Body, Frame, SizeHint};
use proptest::prelude::*;
use tokio::io::AsyncWrite;

use super::chunked::{Chunked, Step};

use super::outgoing::{Outgoing, SendError};
use crate::edge::body::{BodyError, RequestBody};
use crate::edge::identity::sample::{LINES, sample};

fn parts(
    method: Method,
    target: &str,
    fields: &[(&'static str, &'static str)],
) -> http::request::Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}

/// What is written, by writes of at most `most` bytes.
fn written(outgoing: &mut Outgoing<RequestBody>, most: usize) -> String {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut near, far) = tokio::io::duplex(most);
    let mut far = std::pin::pin!(far);
    let mut all = Vec::new();
    loop {
        let polled = outgoing.poll_write(&mut near, &mut cx);
        let mut buffer = [0; 4096];
        let mut buffer = tokio::io::ReadBuf::new(&mut buffer);
        let _ = tokio::io::AsyncRead::poll_read(far.as_mut(), &mut cx, &mut buffer);
        all.extend_from_slice(buffer.filled());
        if let Poll::Ready(done) = polled {
            done.expect("written");
            return String::from_utf8(all).expect("text");
        }
    }
}

fn request(method: Method, target: &str, fields: &[(&'static str, &'static str)]) -> String {
    let mut outgoing = Outgoing::<RequestBody>::default();
    outgoing.begin(&parts(method, target, fields), sample().own(), RequestBody::Empty);
    let sent = written(&mut outgoing, 4096).into_bytes();
    String::from_utf8(without_own_words(sent)).expect("text")
}

/// What palisade says itself is in every head.
fn without_own_words(mut sent: Vec<u8>) -> Vec<u8> {
    let own = LINES.as_bytes();
    let at = sent.windows(own.len()).position(|lines| lines == own).expect("its own words");
    sent.drain(at..at + own.len());
    sent
}

#[test]
fn a_request_without_a_body_is_its_head() {
    let sent = request(Method::GET, "/a?b=c", &[("host", "a.example"), ("x-a", "1"), ("x-a", "2")]);
    assert_eq!(sent, "GET /a?b=c HTTP/1.1\r\nhost: a.example\r\nx-a: 1\r\nx-a: 2\r\n\r\n");
    assert_eq!(request(Method::OPTIONS, "*", &[]), "OPTIONS * HTTP/1.1\r\n\r\n");
    assert_eq!(request(Method::GET, "http://a.example?b", &[]), "GET /?b HTTP/1.1\r\n\r\n");
    assert_eq!(request(Method::GET, "http://a.example", &[]), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn palisades_words_stand_behind_the_fields() {
    let mut outgoing = Outgoing::<RequestBody>::default();
    let head = parts(Method::POST, "/", &[("x-a", "1")]);
    outgoing.begin(&head, sample().own(), RequestBody::Empty);
    let sent = written(&mut outgoing, 4096);
    assert_eq!(sent, format!("POST / HTTP/1.1\r\nx-a: 1\r\n{LINES}content-length: 0\r\n\r\n"));
}

#[test]
fn the_framing_is_never_the_clients() {
    let claims = [("content-length", "7"), ("transfer-encoding", "chunked")];
    assert_eq!(request(Method::GET, "/", &claims), "GET / HTTP/1.1\r\ncontent-length: 0\r\n\r\n");
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        let sent = request(method.clone(), "/", &[]);
        assert_eq!(sent, format!("{method} / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"));
    }
    assert_eq!(request(Method::DELETE, "/", &[]), "DELETE / HTTP/1.1\r\n\r\n");
}

#[test]
fn a_second_try_is_made_of_the_same_bytes_and_only_where_it_may_be() {
    for (method, may) in [
        (Method::GET, true),
        (Method::HEAD, true),
        (Method::DELETE, true),
        (Method::POST, false),
        (Method::PATCH, false),
    ] {
        let mut outgoing = Outgoing::<RequestBody>::default();
        let head = parts(method.clone(), "/a", &[("host", "a.example")]);
        outgoing.begin(&head, sample().own(), RequestBody::Empty);
        assert!(outgoing.may_repeat(), "nothing was written yet");
        let first = written(&mut outgoing, 7);
        assert!(outgoing.is_done());
        assert_eq!(outgoing.may_repeat(), may, "{method}");
        outgoing.rewind();
        assert_eq!(written(&mut outgoing, 4096), first);
        outgoing.finish();
        assert!(outgoing.is_done(), "a finished request is nothing to write");
    }
}

/// A body that comes in frames, with pauses: `None` is one.
#[derive(Default)]
struct Scripted {
    frames: VecDeque<Option<Bytes>>,
    exact: Option<u64>,
}

impl Scripted {
    fn new(frames: &[Option<Vec<u8>>], exact: bool) -> Self {
        let frames: VecDeque<Option<Bytes>> =
            frames.iter().map(|frame| frame.clone().map(Bytes::from)).collect();
        let length = frames.iter().flatten().map(|frame| frame.len() as u64).sum();
        Self { frames, exact: exact.then_some(length) }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.frames.pop_front() {
            None => Poll::Ready(None),
            Some(None) => Poll::Pending,
            Some(Some(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        // As hyper's bodies do it: only a known length tells that nothing follows.
        self.exact.is_some() && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.exact.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

/// A socket that takes a little at a time, and pauses: zero is a pause.
struct Narrow {
    takes: VecDeque<usize>,
    taken: Vec<u8>,
    calls: usize,
}

impl AsyncWrite for Narrow {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let most = self.takes.pop_front().unwrap_or(usize::MAX);
        if most == 0 {
            return Poll::Pending;
        }
        self.calls += 1;
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).take(most).collect();
        self.taken.extend_from_slice(&all);
        Poll::Ready(Ok(all.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Everything that was written of a POST with this body, and how many writes it took.
fn post(body: Scripted, takes: &[usize]) -> Result<(Vec<u8>, usize), SendError> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut socket = Narrow { takes: takes.iter().copied().collect(), taken: Vec::new(), calls: 0 };
    let mut outgoing = Outgoing::<Scripted>::default();
    outgoing.begin(&parts(Method::POST, "/", &[]), sample().own(), body);
    loop {
        if let Poll::Ready(done) = outgoing.poll_write(&mut socket, &mut cx) {
            done?;
            assert!(outgoing.is_done());
            return Ok((without_own_words(socket.taken), socket.calls));
        }
    }
}

#[test]
fn a_head_and_a_small_body_leave_in_one_write() {
    let (sent, calls) = post(Scripted::new(&[Some(b"abc".to_vec())], true), &[]).expect("sent");
    assert_eq!(sent, b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!(calls, 1);
    let (sent, calls) = post(Scripted::new(&[Some(b"abc".to_vec())], false), &[]).expect("sent");
    assert_eq!(sent, b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(calls, 1);
    let (_, calls) = post(Scripted::new(&[Some(vec![b'x'; 60_000])], false), &[]).expect("sent");
    assert_eq!(calls, 2, "a large frame with everything before it, then the end");
}

#[test]
fn a_body_that_is_not_as_long_as_was_said_is_not_passed_off_as_whole() {
    for said in [2, 4] {
        let mut body = Scripted::new(&[Some(b"abc".to_vec())], true);
        body.exact = Some(said);
        assert_eq!(post(body, &[]), Err(SendError::Body), "{said}");
    }
}

proptest! {
    #[test]
    fn a_body_arrives_whole_through_every_socket(
        frames in proptest::collection::vec(
            proptest::option::of(prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..50),
                proptest::collection::vec(any::<u8>(), 4000..9000),
            ]),
            0..8,
        ),
        exact in any::<bool>(),
        takes in proptest::collection::vec(prop_oneof![0_usize..20, 0_usize..9000], 0..30),
    ) {
        let body: Vec<u8> = frames.iter().flatten().flatten().copied().collect();
        let (sent, _) = post(Scripted::new(&frames, exact), &takes).expect("sent");
        let end = sent.windows(4).position(|end| end == b"\r\n\r\n").expect("a head") + 4;
        let mut rest = BytesMut::from(&sent[end..]);
        if exact {
            prop_assert_eq!(&rest[..], &body[..]);
        } else {
            let (mut chunked, mut read) = (Chunked::default(), Vec::new());
            while let Step::Data(data) = chunked.next(&mut rest).expect("chunks") {
                read.extend_from_slice(&data);
            }
            prop_assert!(chunked.is_done() && rest.is_empty());
            prop_assert_eq!(read, body);
        }
    }
}
