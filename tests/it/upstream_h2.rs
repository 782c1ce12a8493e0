//! Apps that speak HTTP/2 in the clear: what they refuse unseen is asked again, and what they cannot have is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::{Response, StatusCode};

use crate::support::wire::{RawApp, head, send};
use crate::support::{Daemon, Place};

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Refuses its first request unseen and answers each other with its body; the count is that of the requests.
fn shy() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let count = Arc::<AtomicUsize>::default();
    let theirs = Arc::clone(&count);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let count = Arc::clone(&theirs);
                tokio::task::spawn_local(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, mut answer))) = connection.accept().await {
                        if count.fetch_add(1, Ordering::SeqCst) == 0 {
                            answer.send_reset(Reason::REFUSED_STREAM);
                            continue;
                        }
                        tokio::task::spawn_local(async move {
                            let mut body = request.into_body();
                            let mut out = answer.send_response(Response::new(()), false).unwrap();
                            while let Some(Ok(data)) = body.data().await {
                                out.send_data(data, false).unwrap();
                            }
                            out.send_data(Bytes::new(), true).unwrap();
                        });
                    }
                });
            }
        });
    });
    (addr, count)
}

#[test]
fn what_an_app_refuses_unseen_is_asked_again_with_its_body_whatever_its_method() {
    let (addr, count) = shy();
    let daemon = Daemon::site("app.localhost", &format!("h2c://{addr}"));
    let answer = daemon.curl(&["https://app.localhost/", "--data", "once and whole"]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text(), "once and whole");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// An app that says so much to whatever comes, and closes.
fn says(bytes: &'static [u8]) -> RawApp {
    RawApp::start(move |mut stream: TcpStream, _, _| {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(bytes);
    })
}

#[test]
fn a_wrong_scheme_is_found_out_by_what_the_app_says() {
    let alert = [21, 3, 3, 0, 2, 2, 70].as_slice();
    let http1 = b"HTTP/1.1 505 Not Supported\r\nContent-Length: 0\r\n\r\n".as_slice();
    let page = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    for (scheme, said, hint) in [
        ("", alert, "it speaks TLS: write https:// in front of its address, or h2:// for HTTP/2"),
        ("h2c://", alert, "it speaks TLS: write h2:// in front of its address"),
        ("h2c://", page, "it speaks TLS: write h2:// in front of its address"),
        ("h2c://", http1, "it speaks HTTP/1.1: leave h2c:// away"),
    ] {
        let app = says(said);
        let daemon = Daemon::site("app.localhost", &format!("{scheme}{}", app.address()));
        assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 502);
        let line = daemon.wait_for_requests(1).remove(0);
        // Nothing follows: the app's own log knows no more.
        assert!(line["why"].as_str().is_some_and(|why| why.ends_with(hint)), "{line}");
    }
}

#[test]
fn an_app_that_closes_without_a_byte_is_asked_whether_it_speaks_tls() {
    let app = says(b"");
    let daemon = Daemon::site("app.localhost", &app.address());
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 502);
    let why = daemon.wait_for_requests(1).remove(0)["why"].to_string();
    for words in ["does it speak TLS? write https://", "look into the app's own log"] {
        assert!(why.contains(words), "{words} in {why}");
    }
}

#[test]
fn a_websocket_goes_to_the_upstream_of_a_group_that_can_have_it() {
    let (addr, count) = shy();
    let app = RawApp::start(|mut stream: TcpStream, _, _| {
        head(&mut stream);
        send(
            &mut stream,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
    });
    let place = Place::new();
    let upstreams = format!("[\"h2c://{addr}\", \"{}\"]", app.address());
    place.configure(&format!("[site.\"app.localhost\"]\nupstream = {upstreams}"));
    let daemon = place.start();
    for _ in 0..4 {
        let mut client =
            daemon.client().alpn(&["http/1.1"]).connect(daemon.https(), "app.localhost").unwrap();
        client.send(HANDSHAKE).unwrap();
        assert_eq!(client.answer("GET").unwrap().status, 101);
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_websocket_to_an_app_that_speaks_http2_is_refused_and_the_log_says_why() {
    let (addr, count) = shy();
    let daemon = Daemon::site("app.localhost", &format!("h2c://{addr}"));
    let mut client = daemon.http1();
    client.send(HANDSHAKE).unwrap();
    let answer = client.answer("GET").unwrap();
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED.as_u16());
    let line = daemon.wait_for_requests(1).remove(0);
    assert_eq!(line["denied"], "no_websocket", "{line}");
    assert!(line["why"].as_str().is_some_and(|why| why.contains("without h2://")), "{line}");
    assert_eq!(count.load(Ordering::SeqCst), 0, "it heard of no request");
}
