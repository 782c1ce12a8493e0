//! A connection over a pair of sockets: what makes it usable again, and what ends it.

use std::future::poll_fn;

use http::Request;
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::fault::Fault;
use super::link::Link;
use super::stream::UpstreamStream;
use crate::edge::body::RequestBody;
use crate::edge::identity::sample::{LINES, sample};

fn pair() -> (Box<Link>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    (Link::new(UpstreamStream::Unix(near), 0), far)
}

fn begin(link: &mut Link, method: &str) {
    let request = Request::builder().method(method).uri("/").body(()).expect("a request");
    link.begin(request.into_parts().0, sample().own(), RequestBody::Empty);
}

/// The request that has come.
async fn asked(far: &mut UnixStream) -> String {
    let mut seen = [0; 512];
    let count = far.read(&mut seen).await.expect("the request");
    String::from_utf8_lossy(&seen[..count]).into_owned()
}

/// One request and `answer` to it; the body that came.
async fn exchange(link: &mut Link, far: &mut UnixStream, answer: &str) -> Result<Vec<u8>, Fault> {
    begin(link, "GET");
    far.write_all(answer.as_bytes()).await.expect("written");
    poll_fn(|cx| link.poll_head(cx)).await?;
    let mut body = Vec::new();
    while let Some(frame) = poll_fn(|cx| link.poll_body(cx)).await {
        body.extend_from_slice(&frame.map(Frame::into_data)?.unwrap_or_default());
    }
    assert_eq!(asked(far).await, format!("GET / HTTP/1.1\r\n{LINES}\r\n"));
    link.finish();
    Ok(body)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_used_again_until_something_comes_unasked() {
    let (mut link, mut far) = pair();
    for _ in 0..3 {
        assert_eq!(exchange(&mut link, &mut far, OK).await, Ok(b"ok".to_vec()));
        assert!(link.is_alive());
        link.rest();
        assert!(link.is_alive(), "resting costs nothing but buffers");
    }
    far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
    // The bytes are there once the runtime has seen them.
    while link.is_alive() {
        tokio::task::yield_now().await;
    }
    assert!(link.is_clean(), "nobody had read them: only the look at the socket tells");
}

#[tokio::test]
async fn a_connection_that_is_closed_while_idle_is_found_out_before_it_is_used() {
    let (mut link, mut far) = pair();
    assert_eq!(exchange(&mut link, &mut far, OK).await, Ok(b"ok".to_vec()));
    drop(far);
    while link.is_alive() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn only_silence_lets_a_request_be_had_elsewhere() {
    for (method, answer, fault, may) in [
        ("GET", "", Fault::Closed, true),
        ("GET", "HTTP/1.1 2", Fault::CutHead, false),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\n", Fault::CutHead, false),
        ("POST", "", Fault::Closed, false),
    ] {
        let (mut link, mut far) = pair();
        begin(&mut link, method);
        far.write_all(answer.as_bytes()).await.expect("written");
        let head = poll_fn(|cx| {
            let polled = link.poll_head(cx);
            // The request is on its way now.
            let _ = far.try_read(&mut [0; 512]);
            if polled.is_pending() {
                cx.waker().wake_by_ref();
                return std::task::Poll::Ready(None);
            }
            polled.map(Some)
        });
        assert!(head.await.is_none());
        drop(far);
        let head = poll_fn(|cx| link.poll_head(cx)).await;
        assert_eq!(head.err(), Some(fault), "{method} {answer:?}");
        assert_eq!(link.may_repeat(), may, "{method} {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_counts_although_the_app_takes_nothing() {
    let (mut link, mut far) = pair();
    far.write_all(OK.as_bytes()).await.expect("written");
    drop(far);
    begin(&mut link, "GET");
    let head = poll_fn(|cx| link.poll_head(cx)).await.expect("an answer");
    assert_eq!(head.status, 200);
    assert!(!link.is_clean());
}

#[tokio::test]
async fn a_second_try_takes_the_whole_request_along() {
    let (mut old, far) = pair();
    drop(far);
    begin(&mut old, "GET");
    assert_eq!(poll_fn(|cx| old.poll_head(cx)).await.err(), Some(Fault::Closed));
    let (mut fresh, mut far) = pair();
    fresh.repeat(&mut old);
    far.write_all(OK.as_bytes()).await.expect("written");
    assert_eq!(poll_fn(|cx| fresh.poll_head(cx)).await.expect("an answer").status, 200);
    assert_eq!(asked(&mut far).await, format!("GET / HTTP/1.1\r\n{LINES}\r\n"));
}
