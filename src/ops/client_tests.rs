//! Client and server over a real socket, and servers that misbehave.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::ops::sample::{self, Daemon};
use crate::ops::{Door, SocketKind, bind_socket, serve_unix};

/// Runs `calls` against a daemon on a socket of its own.
async fn with_daemon<F: Future>(reloads: bool, calls: impl FnOnce(Client) -> F) -> F::Output {
    with(Daemon { reloads, ..Daemon::default() }, calls).await
}

async fn with<F: Future>(daemon: Daemon, calls: impl FnOnce(Client) -> F) -> F::Output {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::from_std(bind_socket(SocketKind::CONTROL, &path).expect("bound"))
        .expect("registered");
    let (stop, stopped) = watch::channel(false);
    let daemon = Arc::new(daemon);
    let calls = async {
        let output = calls(Client::unix(&path)).await;
        stop.send(true).expect("heard");
        output
    };
    tokio::join!(calls, serve_unix(listener, Door::Control, daemon, stopped)).0
}

#[tokio::test]
async fn every_call_arrives_and_its_answer_too() {
    with_daemon(true, |client| async move {
        assert_eq!(client.status().await.expect("answered"), sample::status());
        assert_eq!(client.certificates().await.expect("answered").len(), 2);
        assert_eq!(client.reload().await.expect("answered").generation, 4);
        let refused = client.local_ca().await.expect_err("refused");
        assert_eq!(refused.to_string(), "no site uses the local CA");
    })
    .await;
}

#[tokio::test]
async fn a_code_goes_with_every_call_and_is_shown_nowhere() {
    with(Daemon { factor: true, ..Daemon::default() }, |client| async move {
        assert!(client.whoami().await.expect("answered").totp);
        let error = client.rotate_keys().await.expect_err("refused");
        assert!(error.wants_code() && !error.is_wrong_code());
        let confirmed = client.clone().with_code(" 123 456\n");
        assert_eq!(confirmed.rotate_keys().await.expect("answered").key, 2);
        assert!(!format!("{confirmed:?}").contains("123"));
        confirmed.lower();
        assert!(confirmed.rotate_keys().await.expect_err("refused").wants_code());
        let error = client.with_code("12\u{0}3").rotate_keys().await.expect_err("refused");
        assert!(matches!(error, ClientError::Garbled(_)), "{error}");
        assert!(!error.to_string().contains("12"), "{error}");
    })
    .await;
}

fn pair(cert_pem: &str) -> ImportCertificate {
    ImportCertificate { cert_pem: cert_pem.into(), key_pem: "-----BEGIN PRIVATE KEY-----".into() }
}

#[tokio::test]
async fn calls_about_one_site_name_it_and_carry_their_body() {
    with_daemon(true, |client| async move {
        let renewed = client.renew_certificate("app.example.com").await.expect("answered");
        assert_eq!((renewed.site.as_str(), renewed.source.as_str()), ("app.example.com", "acme"));
        let long = pair(&"-----BEGIN CERTIFICATE-----\n".repeat(10_000));
        let imported = client.import_certificate("*.example.com", &long).await.expect("answered");
        assert_eq!(imported.site, "*.example.com");
        assert_eq!(client.rotate_keys().await.expect("answered").rows, 7);
        let refused = client.renew_certificate("shop.example.com").await.expect_err("refused");
        assert_eq!(refused.to_string(), "the CA says: no");
        let odd = "a/../b?c#d e%00\u{e9}";
        let refused = client.renew_certificate(odd).await.expect_err("refused");
        assert_eq!(refused.to_string(), format!("there is no site \"{odd}\""));
        let Err(ClientError::Refused(problem)) =
            client.import_certificate("app.example.com", &pair("x")).await
        else {
            panic!("taken")
        };
        assert_eq!(problem.status, 422);
    })
    .await;
}

#[tokio::test]
async fn a_refused_reload_keeps_its_words() {
    let refused = with_daemon(false, |client| async move { client.reload().await }).await;
    let Err(ClientError::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.status, problem.detail.as_deref()), (422, Some("error: no site")));
}

#[tokio::test]
async fn a_missing_daemon_is_told_from_a_dead_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let error = Client::unix(&path).status().await.expect_err("nobody there").to_string();
    assert!(error.ends_with("control.sock: there is no such socket"), "{error}");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    let error = Client::unix(&path).status().await.expect_err("nobody there").to_string();
    assert!(error.ends_with("left behind by a daemon that is gone"), "{error}");
    let path = dir.path().join("plain");
    std::fs::write(&path, "x").expect("written");
    let error = Client::unix(&path).status().await.expect_err("nobody there").to_string();
    assert!(error.ends_with("plain: it is no socket"), "{error}");
    let denied = io::ErrorKind::PermissionDenied.into();
    let error = Client::unix(&path).unreachable(&denied);
    assert!(matches!(error, ClientError::NotPermitted { .. }), "{error}");
}

/// A daemon that answers every call with this, as JSON.
async fn says(body: &'static str) -> (tempfile::TempDir, JoinSet<()>, Client) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let head =
        "HTTP/1.1 200 OK\r\npalisade-api: 1\r\npalisade-version: 0.0.7\r\nconnection: close\r\n";
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = [0; 1024];
            let _ = stream.read(&mut seen).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (dir, tasks, Client::unix(path))
}

#[tokio::test]
async fn a_list_whose_pages_lead_nowhere_is_not_followed_for_ever() {
    for body in [r#"{"items":[],"next":"a"}"#, r#"{"items":[1],"next":"a"}"#] {
        let (_dir, _tasks, client) = says(body).await;
        let error = client.all::<u8>("/v1/made-up").await.expect_err("endless").to_string();
        assert!(error.contains("/v1/made-up does not end"), "{error}");
    }
    let (_dir, _tasks, client) = says(r#"{"items":[1,2],"next":null}"#).await;
    assert_eq!(client.daemon_version(), None);
    assert_eq!(client.all::<u8>("/v1/made-up").await.expect("a list"), [1, 2]);
    assert_eq!(client.clone().daemon_version(), Some("0.0.7"));
}

async fn against(answer: &[u8]) -> ClientError {
    let (client, mut server) = tokio::io::duplex(64 * 1024);
    let server = async move {
        let mut seen = [0; 1024];
        let _ = server.read(&mut seen).await.expect("a request");
        server.write_all(answer).await.expect("sent");
    };
    let heard = Heard::default();
    let request = asking(Method::GET, "/v1/status", Bytes::new()).expect("a request");
    let call = send::<Status, _>(client, &heard, request);
    tokio::join!(call, server).0.expect_err("no status")
}

#[tokio::test]
async fn another_version_or_garbage_is_never_taken_for_an_answer() {
    let other = against(b"HTTP/1.1 200 OK\r\npalisade-api: 2\r\ncontent-length: 2\r\n\r\n{}").await;
    assert!(matches!(other, ClientError::Version { theirs: Some(ref v) } if v == "2"), "{other}");
    let none = against(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    assert!(matches!(none, ClientError::Version { theirs: None }), "{none}");
    let empty = against(b"HTTP/1.1 200 OK\r\npalisade-api: 1\r\ncontent-length: 2\r\n\r\n{}").await;
    assert!(matches!(empty, ClientError::Garbled(_)), "{empty}");
    assert!(matches!(against(b"\x16\x03\x01garbage\r\n\r\n").await, ClientError::Garbled(_)));
}

#[tokio::test]
async fn a_daemon_that_ends_in_the_middle_of_a_call_leaves_the_outcome_unknown() {
    let answers: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\npalisade-api: 1\r\n",
        b"HTTP/1.1 200 OK\r\npalisade-api: 1\r\ncontent-length: 99\r\n\r\n{}",
    ];
    for answer in answers {
        let error = against(answer).await;
        assert!(matches!(error, ClientError::Cut { changes: false }), "{answer:?}: {error}");
        assert!(!error.to_string().contains("outcome"), "{error}");
    }
    // A process that is killed with bytes unread resets the connection.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let long = pair(&"x".repeat(1_000_000));
    let (client, end) = (Client::unix(&path), async { drop(listener.accept().await) });
    let call = client.import_certificate("app.example.com", &long);
    let error = tokio::join!(call, end).0.expect_err("no answer");
    assert!(matches!(error, ClientError::Cut { changes: true }), "{error}");
}
