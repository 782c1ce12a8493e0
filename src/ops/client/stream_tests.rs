//! The stream over a real socket, and daemons that misbehave.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::*;
use crate::ops::sample::{self, Daemon};
use crate::ops::{Client, bind_control, serve_control};
use crate::telemetry::access::Entry;
use crate::telemetry::events::{Outcome, Step, Wanted};

fn entry(path: &str) -> Entry<'_> {
    Entry {
        unix: Duration::from_millis(1_795_292_266_359),
        request_id: b"019-id",
        site: None,
        route: None,
        method: "GET",
        path,
        protocol: "h2",
        status_code: 404,
        latency_us: 359_000,
        response_bytes: 12,
        client_ip: "203.0.113.9",
        upstream: None,
        upstream_us: None,
        tenant_id: None,
        user_id: None,
        denied: Some("unknown_host"),
        why: None,
        aborted: None,
    }
}

/// Runs `calls` against a daemon on a socket of its own, whose hub works until they are done.
async fn with_daemon<F: Future>(calls: impl FnOnce(Client, watch::Sender<bool>) -> F) -> F::Output {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::from_std(bind_control(&path).expect("bound")).expect("registered");
    let (stop, stopped) = watch::channel(false);
    let daemon = Arc::new(Daemon { ready: true, reloads: true });
    let calls = calls(Client::unix(&path), stop);
    let hub = sample::events().run(stopped.clone());
    tokio::join!(calls, serve_control(listener, daemon, stopped), hub).0
}

/// One test for everything that a hub of the whole process can be asked: it ends with the first daemon.
#[tokio::test]
async fn events_arrive_until_the_daemon_ends() {
    with_daemon(|client, stop| async move {
        let refused = client.history("5m").await.expect_err("refused").to_string();
        assert_eq!(refused, "resolution must be one of 1s, 10s, 1m");
        let history = client.history("1s").await.expect("answered");
        assert_eq!((history.resolution_s, history.points.len(), history.end_s), (1, 1, 1_001));
        let query = EventsQuery { status: Some("44".into()), ..EventsQuery::default() };
        let refused = client.events(&query).await.err().expect("refused").to_string();
        assert_eq!(refused, "status must be as 404 or 4xx");

        let query = EventsQuery { path: Some("/a b&c".into()), ..EventsQuery::default() };
        let mut events = client.events(&query).await.expect("a stream");
        let hello = events.next().await.expect("heard");
        assert!(matches!(hello, Some(Event::Hello { .. })), "{hello:?}");
        let hub = sample::events();
        let steps =
            || vec![Step { name: "site", outcome: Outcome::Refused, note: "no site".into() }];
        hub.request(0, &entry("/other"), steps);
        hub.request(0, &entry("/a b&c/d"), steps);
        let Some(Event::Request(seen)) = events.next().await.expect("heard") else { panic!() };
        assert_eq!((seen.path.as_str(), seen.at_ms), ("/a b&c/d", 1_795_292_266_000));
        assert_eq!((&*seen.steps[0].outcome, &*seen.steps[0].note), ("refused", "no site"));
        hub.line(Duration::ZERO, br#"{"timestamp":"t","level":"warn","event":"x","n":1}"#);
        hub.changed("draining", None, "finishing what was accepted");
        let Some(Event::Log(line)) = events.next().await.expect("heard") else { panic!() };
        assert_eq!((line.level.as_str(), line.event.as_str()), ("warn", "x"));
        assert_eq!((line.fields.len(), &line.fields["n"]), (1, &1.into()));
        let Some(Event::State(change)) = events.next().await.expect("heard") else { panic!() };
        assert_eq!(change.what, "draining");

        let held: Vec<_> = (0..15)
            .map(|_| hub.subscribe(Wanted::default()).unwrap_or_else(|_| panic!()))
            .collect();
        let query = EventsQuery::default();
        let refused = client.events(&query).await.err().expect("refused").to_string();
        assert!(refused.starts_with("16 watch this daemon already"), "{refused}");
        drop(held);
        stop.send(true).expect("heard");
        assert_eq!(events.next().await.expect("an end, not a fault"), None);
    })
    .await;
}

/// A stream whose other end says `answer`, and then nothing while `open`.
async fn against(answer: &[u8], open: bool) -> Result<Option<Event>, ClientError> {
    let (client, mut server) = UnixStream::pair().expect("a pair");
    let server = async {
        let mut seen = [0; 1024];
        let _ = server.read(&mut seen).await.expect("a request");
        let _ = server.write_all(answer).await;
        open.then_some(server)
    };
    let call = async {
        let query = EventsQuery::default();
        EventStream::open("/run/p.sock".into(), client, &query).await?.next().await
    };
    let (answer, _held) = tokio::join!(call, server);
    answer
}

const HEAD: &str = "HTTP/1.1 200 OK\r\npalisade-api: 1\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> Vec<u8> {
    format!("{HEAD}{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

#[tokio::test]
async fn a_daemon_that_breaks_off_or_talks_nonsense_is_a_fault() {
    let broken = against(&chunk("{\"type\":"), false).await;
    assert!(matches!(broken, Err(ClientError::Unreachable { .. })), "{broken:?}");
    let nonsense = against(&chunk("{\"type\":\"alive\"}\n"), true).await;
    assert!(matches!(nonsense, Err(ClientError::Garbled(_))), "{nonsense:?}");
    let long = against(&chunk(&"x".repeat(LINE_BYTES_MAX + 1)), true).await;
    assert!(matches!(long, Err(ClientError::Garbled(_))), "{long:?}");
    let other = against(b"HTTP/1.1 200 OK\r\npalisade-api: 2\r\n\r\n", true).await;
    assert!(matches!(other, Err(ClientError::Version { .. })), "{other:?}");
}

#[tokio::test]
async fn an_event_of_a_newer_daemon_is_passed_over() {
    let lines = "{\"type\":\"weather\"}\n{\"type\":\"alive\",\"now_ms\":5}\n";
    let event = against(&chunk(lines), true).await;
    assert_eq!(event.expect("heard"), Some(Event::Alive { now_ms: 5 }));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_says_nothing_is_reported() {
    let silent = against(HEAD.as_bytes(), true).await;
    assert!(matches!(silent, Err(ClientError::Silent { after_s: 20, .. })), "{silent:?}");
}
