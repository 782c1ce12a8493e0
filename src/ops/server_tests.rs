//! The loops against clients that behave and clients that do not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;
use crate::ops::sample::Daemon;

fn control() -> Arc<dyn Control> {
    Arc::new(Daemon { ready: true, reloads: true })
}

async fn conversation(sent: &[u8], head: Duration) -> String {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let (_keep, mut stop) = watch::channel(false);
    let mut answer = Vec::new();
    let client = async {
        client.write_all(sent).await.expect("sent");
        let _ = client.read_to_end(&mut answer).await;
    };
    tokio::join!(client, converse(server, ops_router(control()), head, &mut stop));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn one_request_is_answered_and_the_connection_closed() {
    let twice = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answer = conversation(twice, Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1);
}

#[tokio::test]
async fn a_silent_or_slow_client_loses_its_place() {
    let brief = Duration::from_millis(50);
    assert_eq!(conversation(b"", brief).await.matches("200 OK").count(), 0);
    assert_eq!(
        conversation(b"GET /healthz HTTP/1.1\r\nhost:", brief).await.matches("200 OK").count(),
        0
    );
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let head =
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(32 * 1024));
    let answer = conversation(head.as_bytes(), Duration::from_secs(10)).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn stopping_ends_the_loop_and_idle_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = watch::channel(false);
    let client = async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        let stream = socket.connect(address).await.expect("connected");
        stop.send(true).expect("heard");
        stream
    };
    let (_stream, ()) = tokio::join!(client, serve_ops(listener, control(), stopped));
}
