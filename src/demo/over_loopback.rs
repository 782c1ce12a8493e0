//! The app over a real loopback connection, with raw requests.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::app::{Story, serve};

/// No test takes as long as this unless something hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs the app for as long as the test runs, then tells it to stop and waits for that.
async fn with_app<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr) -> F) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let story = Story { trust: "palisade cert trust".to_owned() };
    let both = async {
        tokio::join!(serve(listener, story, stopped), async {
            test(address).await;
            stop.send_replace(true);
        })
    };
    tokio::time::timeout(LIMIT, both).await.expect("the app hangs").0.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the test is the client")]
async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Everything the app sends until it closes the connection.
async fn ask(address: SocketAddr, line: &str, fields: &str, body: &str) -> String {
    let mut stream = connect(address).await;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is cut may be reset: what came before counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path}"), "", "").await
}

async fn post(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("POST {path}"), "", "").await
}

#[tokio::test]
async fn every_page_answers() {
    with_app(|app| async move {
        for path in ["/", "/form", "/script", "/websocket", "/stream", "/slow?s=0", "/fail"] {
            let answer = get(app, path).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
            assert!(answer.contains("<html lang=\"en\">"), "{path}: {answer}");
        }
        assert!(get(app, "/demo.css").await.contains("text/css"));
        assert!(get(app, "/mark.svg").await.contains("image/svg+xml"));
        assert!(get(app, "/nothing").await.starts_with("HTTP/1.1 404"));
    })
    .await;
}

#[tokio::test]
async fn a_form_is_shown_with_what_the_proxy_added_and_escaped() {
    with_app(|app| async move {
        let fields = "Content-Type: application/x-www-form-urlencoded\r\n\
                      X-Forwarded-For: 203.0.113.9\r\nX-Request-ID: id-1\r\n";
        let answer = ask(app, "POST /form", fields, "name=%3Cb%3EAda&message=hi").await;
        assert!(answer.contains("&lt;b&gt;Ada"), "{answer}");
        assert!(answer.contains("203.0.113.9") && answer.contains("id-1"), "{answer}");
        assert!(answer.contains("traceparent"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn the_request_is_echoed_as_the_app_saw_it() {
    with_app(|app| async move {
        let answer = ask(app, "PUT /headers?a=1", "X-Twice: 1\r\nx-twice: 2\r\n", "body").await;
        let (_, json) = answer.split_once("\r\n\r\n").unwrap();
        let seen: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(seen["method"], "PUT");
        assert_eq!(seen["target"], "/headers?a=1");
        assert_eq!(seen["version"], "HTTP/1.1");
        assert_eq!(seen["headers"]["x-twice"], serde_json::json!(["1", "2"]));
        assert!(seen["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    })
    .await;
}

#[tokio::test]
async fn a_broken_app_answers_500_until_it_is_mended() {
    with_app(|app| async move {
        assert!(post(app, "/fail/on").await.starts_with("HTTP/1.1 303"));
        assert!(get(app, "/").await.starts_with("HTTP/1.1 500"));
        assert!(get(app, "/fail").await.starts_with("HTTP/1.1 200"));
        assert!(post(app, "/fail/off").await.starts_with("HTTP/1.1 303"));
        assert!(get(app, "/").await.starts_with("HTTP/1.1 200"));
        assert!(post(app, "/fail/sideways").await.starts_with("HTTP/1.1 404"));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_cut_carries_no_answer() {
    with_app(|app| async move {
        post(app, "/fail/close").await;
        assert_eq!(get(app, "/").await, "");
        post(app, "/fail/off").await;
        assert!(get(app, "/").await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn a_hanging_request_is_answered_once_the_app_is_mended() {
    with_app(|app| async move {
        post(app, "/fail/hang").await;
        let (answer, ()) = tokio::join!(get(app, "/"), async {
            assert!(get(app, "/fail").await.contains("never answered"));
            post(app, "/fail/off").await;
        });
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_page_of_another_site_cannot_throw_the_switch() {
    with_app(|app| async move {
        let answer = ask(app, "POST /fail/on", "Sec-Fetch-Site: cross-site\r\n", "").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(get(app, "/").await.starts_with("HTTP/1.1 200"));
    })
    .await;
}

#[tokio::test]
async fn events_come_at_once_and_go_on_from_the_last_one_seen() {
    with_app(|app| async move {
        let mut stream = connect(app).await;
        let request = "GET /events HTTP/1.1\r\nHost: demo\r\nLast-Event-ID: 41\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("id: 43\n") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.contains("text/event-stream") && seen.contains("id: 42\nevent: tick\n"));
    })
    .await;
}

#[tokio::test]
async fn a_websocket_echoes_and_ends_with_the_app() {
    with_app(|app| async move {
        let mut stream = connect(app).await;
        let request = "GET /ws HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        // "hey" as one text frame, masked with zeros (RFC 6455 §5.2).
        stream.write_all(b"\x81\x83\0\0\0\0hey").await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\x81\x03hey") {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0);
        }
        assert!(seen.starts_with(b"HTTP/1.1 101"));
    })
    .await;
}
