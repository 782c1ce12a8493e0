//! Requests as bytes, exactly.

use std::task::{Context, Poll, Waker};

use http::{Method, Request};

use super::outgoing::Outgoing;
use crate::edge::body::RequestBody;

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
fn written(outgoing: &mut Outgoing, most: usize) -> String {
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
    let mut outgoing = Outgoing::default();
    outgoing.begin(&parts(method, target, fields), RequestBody::Empty);
    written(&mut outgoing, 4096)
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
        let mut outgoing = Outgoing::default();
        outgoing.begin(&parts(method.clone(), "/a", &[("host", "a.example")]), RequestBody::Empty);
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
