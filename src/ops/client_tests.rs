//! Client and server over a real socket, and servers that misbehave.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::*;
use crate::ops::sample::{self, Daemon};
use crate::ops::{Door, SocketKind, bind_socket, serve_unix};

/// Runs `calls` against a daemon on a socket of its own.
async fn with_daemon<F: Future>(reloads: bool, calls: impl FnOnce(Client) -> F) -> F::Output {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::from_std(bind_socket(SocketKind::CONTROL, &path).expect("bound"))
        .expect("registered");
    let (stop, stopped) = watch::channel(false);
    let daemon = Arc::new(Daemon { reloads, ..Daemon::default() });
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
}

async fn against(answer: &[u8]) -> ClientError {
    let (client, mut server) = tokio::io::duplex(64 * 1024);
    let server = async move {
        let mut seen = [0; 1024];
        let _ = server.read(&mut seen).await.expect("a request");
        server.write_all(answer).await.expect("sent");
    };
    let call = exchange::<Status, _>(client, Method::GET, "/v1/status", Bytes::new());
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
        assert!(matches!(error, ClientError::Cut), "{answer:?}: {error}");
    }
    // A process that is killed with bytes unread resets the connection.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::bind(&path).expect("bound");
    let long = pair(&"x".repeat(1_000_000));
    let (client, end) = (Client::unix(&path), async { drop(listener.accept().await) });
    let call = client.import_certificate("app.example.com", &long);
    let error = tokio::join!(call, end).0.expect_err("no answer");
    assert!(matches!(error, ClientError::Cut), "{error}");
}
