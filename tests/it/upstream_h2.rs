//! Apps that speak HTTP/2 in the clear: what they refuse unseen is asked again, and what they cannot have is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::Reason;
use http::{Response, StatusCode};

use crate::support::Daemon;

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

#[test]
fn a_websocket_to_an_app_that_speaks_http2_is_refused_and_the_log_says_why() {
    let (addr, count) = shy();
    let daemon = Daemon::site("app.localhost", &format!("h2c://{addr}"));
    let mut client = daemon.http1();
    client
        .send(
            "GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let answer = client.answer("GET").unwrap();
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED.as_u16());
    let line = daemon.wait_for_requests(1).remove(0);
    assert_eq!(line["denied"], "no_websocket", "{line}");
    assert!(line["why"].as_str().is_some_and(|why| why.contains("without h2://")), "{line}");
    assert_eq!(count.load(Ordering::SeqCst), 0, "it heard of no request");
}
