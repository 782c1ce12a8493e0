//! The loops against clients that behave and clients that do not.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;
use crate::ops::sample::{Daemon, Slow, root};

fn control() -> Arc<dyn Control> {
    Arc::new(Daemon::default())
}

async fn conversation(sent: &[u8], head: Duration) -> String {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let (_keep, mut stop) = watch::channel(false);
    let mut answer = Vec::new();
    let client = async {
        client.write_all(sent).await.expect("sent");
        let _ = client.read_to_end(&mut answer).await;
    };
    tokio::join!(
        client,
        converse(server, router(Door::Ops, control()), head, &mut stop, Patience::default())
    );
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

fn as_root(daemon: Daemon) -> Router {
    router(Door::Control, Arc::new(daemon)).layer(Extension(root()))
}

#[tokio::test]
async fn a_reload_is_finished_although_its_client_left() {
    let slow = Arc::new(Slow::default());
    let daemon = Daemon { slow: Some(Arc::clone(&slow)), ..Daemon::default() };
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let (_keep, mut stop) = watch::channel(false);
    let routes = as_root(daemon);
    let leave = async {
        client
            .write_all(b"POST /v1/reload HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .expect("sent");
        slow.started.notified().await;
        drop(client);
        for _ in 0..10 {
            tokio::task::yield_now().await; // the server sees the end of the stream now
        }
        slow.go.notify_one();
    };
    tokio::join!(
        leave,
        converse(server, routes, Duration::from_secs(10), &mut stop, Patience::default())
    );
    assert_eq!(slow.done.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_minutes_is_answered_before_the_connection_is_closed() {
    let slow = Arc::new(Slow::default());
    let daemon = Daemon { slow: Some(Arc::clone(&slow)), ..Daemon::default() };
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let (_keep, mut stop) = watch::channel(false);
    let mut answer = String::new();
    let asked = async {
        let call =
            b"POST /v1/certificates/app.example.com/renew HTTP/1.1\r\nhost: localhost\r\n\r\n";
        client.write_all(call).await.expect("sent");
        client.read_to_string(&mut answer).await.expect("answered");
    };
    let routes = as_root(daemon);
    let served = tokio::time::timeout(
        CONTROL.whole,
        converse(server, routes, CONTROL.head, &mut stop, Patience::default()),
    );
    let (ended, ()) = tokio::join!(served, asked);
    assert!(ended.is_ok(), "the answer comes in time");
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains("palisade cert list shows how it ends"), "{answer}");
}

#[test]
fn both_loops_can_run_on_any_runtime() {
    fn sendable<T: Send>(_: impl FnOnce() -> T) {}
    let (_, stop) = watch::channel(false);
    let stopped = stop.clone();
    sendable(move || async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        serve_ops(listener, control(), stopped).await;
    });
    sendable(move || async move {
        let listener = UnixListener::bind("/nonexistent").expect("bound");
        serve_unix(listener, Door::Control, control(), stop).await;
    });
}

#[tokio::test]
async fn the_app_is_known_at_its_own_socket_by_the_word_of_the_kernel() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("app.sock");
    let own = rustix::process::geteuid().as_raw();
    for (app, status) in [(own, "200 OK"), (own + 1, "403 Forbidden")] {
        let listener = UnixListener::bind(&path).expect("bound");
        let (stop, stopped) = watch::channel(false);
        let served =
            serve_unix(listener, Door::App, Arc::new(Daemon { app, ..Daemon::default() }), stopped);
        let asked = async {
            let mut client = tokio::net::UnixStream::connect(&path).await.expect("connected");
            let call = b"POST /v1/activity HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-length: 18\r\n\r\n{\"action\":\"login\"}";
            client.write_all(call).await.expect("sent");
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.expect("an answer");
            stop.send(true).expect("it still serves");
            answer
        };
        let ((), answer) = tokio::join!(served, asked);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        std::fs::remove_file(&path).expect("removed");
    }
}

const EVENTS: &[u8] = b"GET /v1/events?kinds=state HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// A connection to a desk that has no other, with a small buffer in between.
async fn connected(desk: &mut Desk) -> tokio::io::DuplexStream {
    let (client, server) = tokio::io::duplex(256);
    let place = desk.place().await.expect("a place");
    desk.serve(server, as_root(Daemon::default()), place);
    client
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_read_outlasts_the_time_of_a_connection() {
    let (_keep, stop) = watch::channel(false);
    let mut desk = Desk::new(stop, CONTROL);
    let mut client = connected(&mut desk).await;
    client.write_all(EVENTS).await.expect("sent");
    let begun = tokio::time::Instant::now();
    let mut alive = 0;
    while begun.elapsed() < CONTROL.whole * 5 {
        let mut some = [0; 256];
        let read = client.read(&mut some).await.expect("readable");
        assert!(read > 0, "cut after {:?}", begun.elapsed());
        alive += String::from_utf8_lossy(&some).matches("alive").count();
    }
    assert!(alive >= 110, "one in five seconds: {alive}");
    assert_eq!(desk.places.available_permits(), CONNECTIONS_MAX - 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_reads_gives_its_place_back() {
    let (_keep, stop) = watch::channel(false);
    let hub = crate::ops::sample::events();
    let mut desk = Desk::new(stop.clone(), CONTROL);
    let mut client = connected(&mut desk).await;
    let freed = async {
        client.write_all(EVENTS).await.expect("sent");
        while !hub.watched() {
            tokio::task::yield_now().await;
        }
        (0..200).for_each(|_| hub.changed("reloaded", None, "x".repeat(1000)));
        desk.places.acquire_many(64).await.expect("all places are free again").forget();
    };
    tokio::select! {
        () = hub.run(stop) => panic!("nobody stopped it"),
        () = freed => {}
    }
}

/// A call on the ops address that never ends by itself, and how long it was waited for.
async fn waited_for(token: &str) -> Duration {
    let daemon = Daemon { slow: Some(Arc::default()), ..Daemon::default() };
    let (_keep, stop) = watch::channel(false);
    let mut desk = Desk::new(stop, OPS);
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let place = desk.place().await.expect("a place");
    desk.serve(server, router(Door::Ops, Arc::new(daemon)), place);
    let begun = tokio::time::Instant::now();
    let call = format!(
        "POST /v1/reload HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    client.write_all(call.as_bytes()).await.expect("sent");
    let _ = client.read_to_end(&mut Vec::new()).await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn whoever_shows_a_token_is_waited_for_as_on_the_control_socket() {
    let waited = waited_for("operator").await;
    assert!(waited >= CONTROL.whole && waited <= CONTROL.whole + OPS.whole, "{waited:?}");
    assert!(waited_for("nobody").await < OPS.whole, "refused at once");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_known_loses_the_place_soon() {
    let (_keep, stop) = watch::channel(false);
    let mut desk = Desk::new(stop, OPS);
    let (mut client, server) = tokio::io::duplex(64);
    let place = desk.place().await.expect("a place");
    desk.serve(server, router(Door::Ops, control()), place);
    let begun = tokio::time::Instant::now();
    // It asks and reads nothing of the answer, which does not fit into the buffer.
    client.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    desk.places.acquire_many(64).await.expect("all places are free again").forget();
    assert!(begun.elapsed() <= OPS.whole, "{:?}", begun.elapsed());
}
