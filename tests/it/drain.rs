//! The end: what was accepted is finished, nothing new is accepted, and the exit code says so.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};

use crate::support::h2_raw::H2;
use crate::support::wire::{END_STREAM, GOAWAY, RST_STREAM};
use crate::support::{Daemon, Upstream, plain};

/// An app whose answers to `/slow` wait for a word.
fn slow_app() -> (Upstream, Sender<()>) {
    let (go, wait): (Sender<()>, Receiver<()>) = channel();
    let wait = Mutex::new(wait);
    let app = Upstream::start(move |seen, link| {
        if seen.target() == "/slow" {
            let _ = wait.lock().unwrap().recv();
        }
        link.answer("200 OK", &[], "done");
    });
    (app, go)
}

#[test]
fn sigterm_lets_a_slow_request_finish_and_refuses_new_connections() {
    let (app, go) = slow_app();
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut slow = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    slow.send("GET /slow HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    app.wait_for_requests(1);
    daemon.sigterm();
    daemon.wait_for_event("stopping");
    // The listening sockets close right after; until then the kernel may still take a connection, which nobody serves.
    while plain(daemon.https()).is_ok() {
        std::thread::yield_now();
    }
    let ready = daemon.curl_ops("/readyz", &[]);
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.text().contains("stopping"), "{}", ready.text());
    assert_eq!(daemon.curl_ops("/healthz", &[]).status, 200, "it lives");
    assert_eq!(daemon.status()["state"], "draining");
    go.send(()).unwrap();
    let answer = slow.answer("GET").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "done"));
    assert_eq!(answer.field("connection"), Some("close"), "{}", answer.head);
    assert_eq!(daemon.wait_exit(), 0);
    let line = daemon.wait_for_line(|line| line["event"] == "request");
    assert_eq!((line["path"].as_str(), line["status_code"].as_u64()), (Some("/slow"), Some(200)));
    assert_eq!(daemon.wait_for_event("stopped")["connections_cut"], 0);
}

#[test]
fn sigterm_under_load_finishes_every_request_that_was_accepted() {
    const EACH: usize = 8;
    let (begun, go) = (AtomicUsize::new(0), Barrier::new(2 * EACH + 1));
    let held = Arc::new((begun, go));
    let theirs = Arc::clone(&held);
    let app = Upstream::start(move |seen, link| {
        theirs.0.fetch_add(1, Ordering::SeqCst);
        theirs.1.wait();
        link.answer("200 OK", &[], [seen.target().as_bytes(), &seen.body].concat());
    });
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut http1: Vec<_> = (0..EACH)
        .map(|n| {
            let mut connection = daemon.http1();
            let head =
                format!("POST /{n} HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 4\r\n");
            connection.send(format!("{head}\r\nbody")).unwrap();
            connection
        })
        .collect();
    let mut http2 = H2::connect(&daemon);
    for stream in (1..).step_by(2).take(EACH) {
        assert!(http2.get(stream, "/h2"));
    }
    app.wait_for_requests(2 * EACH);
    daemon.sigterm();
    daemon.wait_for_event("stopping");
    http2.wait(|frame| frame.kind == GOAWAY);
    held.1.wait();
    for (n, connection) in http1.iter_mut().enumerate() {
        let answer = connection.answer("POST").expect("what was accepted is answered");
        assert_eq!((answer.status, answer.text()), (200, format!("/{n}body")));
        assert_eq!(answer.field("connection"), Some("close"), "{}", answer.head);
        assert!(connection.rest().is_empty());
    }
    let end = http2.end();
    let ended = end.frames.iter().filter(|f| f.stream != 0 && f.flags & END_STREAM != 0);
    assert_eq!(ended.count(), EACH, "{end:?}");
    assert!(!end.frames.iter().any(|frame| frame.kind == RST_STREAM), "{end:?}");
    assert_eq!(daemon.wait_exit(), 0);
    let lines = daemon.wait_for_requests(2 * EACH);
    assert!(lines.iter().all(|line| line["status_code"] == 200), "{lines:?}");
    assert_eq!(daemon.wait_for_event("stopped")["connections_cut"], 0);
    assert_eq!(held.0.load(Ordering::SeqCst), 2 * EACH, "each reached the app once");
}

#[test]
fn an_h2_client_is_told_to_go_away_and_its_request_finishes() {
    let (app, go) = slow_app();
    let daemon = Daemon::site("app.localhost", &app.address());
    std::thread::scope(|scope| {
        let client = scope.spawn(|| daemon.curl(&["--http2", "https://app.localhost/slow"]));
        app.wait_for_requests(1);
        daemon.sigterm();
        daemon.wait_for_event("stopping");
        go.send(()).unwrap();
        let answer = client.join().unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "done"), "{answer:?}");
    });
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn an_idle_h2_connection_is_sent_a_goaway_and_closed() {
    const GOAWAY: u8 = 7;
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    let client = daemon.client().alpn(&["h2"]);
    let mut idle = client.connect(daemon.https(), "app.localhost").unwrap();
    // The preface and an empty SETTINGS frame (RFC 9113 §3.4); frames begin with 9 bytes (§4.1).
    idle.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut next = || {
        let mut head = [0; 9];
        idle.read_exact(&mut head).expect("a frame");
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        idle.read_exact(&mut payload).expect("its payload");
        (head[3], payload)
    };
    assert_eq!(next().0, 4, "the server's own SETTINGS");
    daemon.sigterm();
    let goodbye = loop {
        let (kind, payload) = next();
        if kind == GOAWAY {
            break payload;
        }
    };
    assert_eq!(goodbye[4..8], [0; 4], "NO_ERROR");
    drop(idle);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn idle_connections_do_not_hold_up_the_end() {
    let app = Upstream::text("hello");
    // Whoever waits for the grace time here waits for longer than the test does.
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\n[timeout]\ngrace = \"1h\"",
        app.address()
    ));
    let client = daemon.client();
    let mut used = client.connect(daemon.https(), "app.localhost").unwrap();
    assert_eq!(used.get("app.localhost", "/").unwrap().status, 200);
    let mut fresh = client.connect(daemon.https(), "app.localhost").unwrap();
    assert_eq!(daemon.stop(), 0);
    assert_eq!(daemon.wait_for_event("stopped")["connections_cut"], 0);
    assert!(used.rest().is_empty() && fresh.rest().is_empty());
}

#[test]
fn what_does_not_finish_in_the_grace_time_is_cut() {
    let (app, _go) = slow_app();
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\n[timeout]\ngrace = \"100ms\"",
        app.address()
    ));
    let mut slow = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    slow.send("GET /slow HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    app.wait_for_requests(1);
    assert_eq!(daemon.stop(), 0);
    assert!(slow.answer("GET").is_err(), "cut, not made up");
    assert_eq!(daemon.wait_for_event("stopped")["connections_cut"], 1);
    assert_eq!(daemon.wait_for_requests(1)[0]["path"], "/slow", "it is logged all the same");
}

#[test]
fn a_second_sigterm_ends_the_wait() {
    let (app, _go) = slow_app();
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\n[timeout]\ngrace = \"1h\"",
        app.address()
    ));
    let mut slow = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    slow.send("GET /slow HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    app.wait_for_requests(1);
    daemon.sigterm();
    daemon.wait_for_event("stopping");
    daemon.sigterm();
    assert_eq!(daemon.wait_exit(), 0);
}
