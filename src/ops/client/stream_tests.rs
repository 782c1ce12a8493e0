//! Daemons that misbehave.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

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
        let place = ("/run/p.sock".into(), &Heard::default());
        EventStream::open(place, client, &query).await?.next().await
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
