//! Connections to the app: which are used again, what is sent twice, and what ends when a client leaves (promises 13,
//! 15, 23, 24).

use std::net::TcpStream;
use std::sync::mpsc::Sender;

use crate::support::wire::{
    DATA, END_STREAM, HEADERS, RST_STREAM, RawApp, await_frame, drain, frame, head, request, send,
};
use crate::support::{Daemon, Upstream, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";

#[test]
fn surplus_bytes_close_a_connection_and_reach_nobody() {
    let app = Upstream::raw([
        (
            "/second",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        ),
        ("/after-204", "HTTP/1.1 204 No Content\r\n\r\nevil"),
        ("/after-304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nevil"),
    ]);
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for (n, (path, body)) in
        [("/second", "ab"), ("/after-204", ""), ("/after-304", "")].into_iter().enumerate()
    {
        assert_eq!(client.get("app.localhost", path).unwrap().text(), body);
        assert_eq!(client.get("app.localhost", "/").unwrap().text(), "ok");
        assert_eq!(app.connections(), n + 2, "after {path}");
    }
    client.send("HEAD /second HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    assert_eq!(client.answer("HEAD").unwrap().field("content-length"), Some("2"));
    assert_eq!(client.get("app.localhost", "/").unwrap().text(), "ok");
}

#[test]
fn whole_answers_of_every_form_leave_the_connection_usable() {
    let app = Upstream::raw([
        ("/204", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("/304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"),
        ("/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        (
            "/trailers",
            "HTTP/1.1 200 OK\r\nTrailer: X-End\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-End: 1\r\n\r\n",
        ),
        (
            "/interim",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
        ),
    ]);
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for (path, body) in
        [("/204", ""), ("/304", ""), ("/chunked", "ab"), ("/trailers", "ab"), ("/interim", "ab")]
    {
        assert_eq!(client.get("app.localhost", path).unwrap().text(), body, "{path}");
    }
    assert_eq!(app.connections(), 1);
    assert!(daemon.wait_for_requests(5).iter().all(|line| line["aborted"].is_null()));
}

#[test]
fn an_answer_that_contradicts_itself_is_no_answer() {
    let app = Upstream::raw([
        ("/lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nabcde"),
        (
            "/unasked",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        ),
        ("/garbage", "\u{0}\u{1}no HTTP at all\r\n\r\n"),
    ]);
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for path in ["/lengths", "/unasked", "/garbage"] {
        let answer = client.get("app.localhost", path).unwrap();
        assert_eq!(answer.status, 502, "{path}");
        assert_eq!(answer.field("upgrade"), None);
        assert_eq!(client.get("app.localhost", "/").unwrap().text(), "ok", "after {path}");
    }
    let mut client = daemon.http2();
    client.send(request(1, END_STREAM, "GET", "/unasked", &[])).unwrap();
    assert_eq!(await_frame(&mut client, |frame| frame.stream == 1).kind, HEADERS);
    assert_eq!(daemon.wait_for_requests(7)[6]["status_code"], 502);
}

#[test]
fn an_app_that_speaks_http_1_0_does_not_cost_the_client_its_connection() {
    let app = Upstream::start(|_, link| {
        link.send("HTTP/1.0 200 OK\r\n\r\nold");
        link.close();
    });
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for _ in 0..2 {
        let answer = client.get("app.localhost", "/").unwrap();
        assert!(answer.head.starts_with("HTTP/1.1 200"), "{}", answer.head);
        assert_eq!(answer.text(), "old");
    }
}

/// An app that answers the first request of each connection, and hangs up on the second.
fn forgetful() -> RawApp {
    RawApp::start(|mut stream: TcpStream, _, reports: &Sender<String>| {
        for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""] {
            let seen = head(&mut stream);
            let _ = reports.send(seen);
            send(&mut stream, answer);
        }
    })
}

#[test]
fn only_what_may_be_repeated_is_sent_again() {
    let body = "HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 2\r\n\r\nab";
    let empty = "HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
    for (method, rest, status, times) in [
        ("GET", empty, 200, 2),
        ("DELETE", empty, 200, 2),
        ("POST", empty, 502, 1),
        ("PUT", body, 502, 1),
    ] {
        let app = forgetful();
        let daemon = Daemon::one_pool(&app.address());
        let mut client = daemon.http1();
        assert_eq!(client.get("app.localhost", "/first").unwrap().status, 200);
        client.send(format!("{method} /second {rest}")).unwrap();
        assert_eq!(client.answer(method).unwrap().status, status, "{method}");
        assert!(app.report().starts_with("GET /first HTTP/1.1"));
        let sent = app.reported();
        assert_eq!(sent.len(), times, "{method}: {sent:?}");
        assert!(sent[0].starts_with(&format!("{method} /second HTTP/1.1\r\n")), "{sent:?}");
        assert!(sent.iter().all(|head| *head == sent[0]), "the same request: {sent:?}");
    }
}

#[test]
fn an_answer_before_the_body_ends_the_apps_connection() {
    let app = RawApp::start(|mut stream: TcpStream, number, reports: &Sender<String>| {
        head(&mut stream);
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
        drain(&mut stream);
        let _ = reports.send(format!("{number} closed"));
    });
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    client
        .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 900\r\n\r\nabc")
        .unwrap();
    assert_eq!(client.answer("POST").unwrap().text(), "early");
    assert_eq!(app.report(), "0 closed");
    let mut client = daemon.http2();
    client.send(request(1, 0, "POST", "/", &[])).unwrap();
    await_frame(&mut client, |frame| frame.kind == DATA && frame.flags & END_STREAM != 0);
    assert_eq!(app.report(), "1 closed");
}

/// An app that never answers and says when it was left.
fn waits(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    let seen = head(&mut stream);
    let _ = reports.send(seen.lines().next().unwrap_or_default().to_owned());
    drain(&mut stream);
    let _ = reports.send("left".into());
}

#[test]
fn a_client_that_leaves_takes_its_request_back_from_the_app() {
    let app = RawApp::start(waits);
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    client.send(GET).unwrap();
    assert_eq!(app.report(), "GET / HTTP/1.1");
    drop(client);
    assert_eq!(app.report(), "left");

    let mut client = daemon.http1();
    client
        .send("POST /upload HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 900\r\n\r\nabc")
        .unwrap();
    assert_eq!(app.report(), "POST /upload HTTP/1.1");
    drop(client);
    assert_eq!(app.report(), "left");

    let mut client = daemon.http2();
    client.send(request(1, END_STREAM, "GET", "/h2", &[])).unwrap();
    assert_eq!(app.report(), "GET /h2 HTTP/1.1");
    client.send(frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).unwrap();
    assert_eq!(app.report(), "left");
    let lines = daemon.wait_for_requests(3);
    assert_eq!(lines[0]["status_code"], 499, "{lines:?}");
    assert_eq!(lines[2]["status_code"], 499, "{lines:?}");
}

#[test]
fn an_answer_that_is_reset_is_reset_for_every_protocol() {
    let app = RawApp::start(|mut stream: TcpStream, _, _: &Sender<String>| {
        let closing = head(&mut stream).contains("/until-close");
        let length = if closing { "Connection: close" } else { "Content-Length: 10" };
        send(&mut stream, format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\nab"));
        // The client has the beginning when it says so.
        head(&mut stream);
    });
    // Bytes that the app has not read make its close a reset.
    let daemon = Daemon::one_pool(&app.address());
    for path in ["/length", "/until-close"] {
        let mut client = daemon.http2();
        client.send(request(1, 0, "POST", path, &[])).unwrap();
        await_frame(&mut client, |frame| frame.kind == DATA && frame.payload == b"ab");
        client.send(frame(DATA, 0, 1, &[&b"\r\n\r\n"[..], &[b'x'; 9000]].concat())).unwrap();
        let end = await_frame(&mut client, |frame| frame.stream == 1 && frame.payload != b"ab");
        assert_eq!(end.kind, RST_STREAM, "{path}: {end:?}");
    }
}

#[test]
fn the_plain_port_never_talks_to_the_app() {
    let app = Upstream::raw::<String>([]);
    let daemon = Daemon::one_pool(&app.address());
    let mut stream = plain(daemon.http()).unwrap();
    send(&mut stream, "CONNECT app.localhost:443 HTTP/1.1\r\nHost: app.localhost:443\r\n\r\n");
    let answer = head(&mut stream);
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(app.connections(), 0);
}
