//! Requests byte for byte: what is refused, what reaches the app, upgrades, and the end of everything (promises 10, 12,
//! 14, 19, 20, 21, 22, 59).

use std::net::TcpStream;
use std::sync::mpsc::Sender;

use crate::support::wire::{
    DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, RawApp, await_frame, drain, frame, frames, head,
    request, send,
};
use crate::support::{Daemon, Upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n";

fn site(app: &str, more: &str) -> Daemon {
    Daemon::start(&format!("{more}\n[site.\"app.localhost\"]\nupstream = \"{app}\""))
}

#[test]
fn a_request_that_two_parsers_could_read_differently_is_refused_and_closed() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\r\nHost: app.localhost\r\n\r\n",
        "GET http://app.localhost/ HTTP/1.1\r\nHost: other.localhost\r\n\r\n",
        "GET http://me@app.localhost/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: +5\r\n\r\nabcde",
        "POST / HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : app.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\r\nX: a\u{1b}b\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.localhost\"\r\n\r\n",
    ] {
        let mut connection = daemon.http1();
        connection.send(bad).unwrap();
        // The request behind it must never be served.
        let _ = connection.send(GET);
        assert_eq!(connection.answer("GET").unwrap().status, 400, "{bad:?}");
        assert_eq!(connection.rest(), b"", "{bad:?}");
    }
    assert_eq!(app.connections(), 0);
}

#[test]
fn too_many_fields_are_refused_with_an_answer() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    let fields: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    let mut connection = daemon.http1();
    connection.send(format!("GET / HTTP/1.1\r\nHost: app.localhost\r\n{fields}\r\n")).unwrap();
    assert_eq!(connection.answer("GET").unwrap().status, 431);
    assert_eq!(app.connections(), 0);
}

#[test]
fn the_app_always_learns_the_host_that_was_asked_for() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    let mut connection = daemon.http1();
    connection
        .send("GET http://app.localhost/a?b HTTP/1.1\r\nHost: APP.localhost\r\n\r\n")
        .unwrap();
    assert_eq!(connection.answer("GET").unwrap().status, 200);
    connection.send("OPTIONS * HTTP/1.1\r\nHost: APP.localhost.:1\r\n\r\n").unwrap();
    assert_eq!(connection.answer("OPTIONS").unwrap().status, 200);
    let seen = app.requests();
    assert_eq!((seen[0].target(), seen[0].fields("host")), ("/a?b", vec!["APP.localhost"]));
    assert_eq!((seen[1].target(), seen[1].fields("host")), ("*", vec!["APP.localhost.:1"]));
}

#[test]
fn a_final_answer_before_100_continue_spoils_no_connection() {
    let app = RawApp::start(|mut stream: TcpStream, number, reports: &Sender<String>| {
        let seen = head(&mut stream);
        let _ = reports.send(format!("{number} {}", seen.to_lowercase().contains("expect")));
        send(&mut stream, "HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno");
        drain(&mut stream);
    });
    let daemon = site(&app.address(), "");
    for number in 0..2 {
        let mut connection = daemon.http1();
        connection
            .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            .unwrap();
        assert_eq!(connection.answer("POST").unwrap().text(), "no");
        assert_eq!(app.report(), format!("{number} false"), "a connection of its own, no Expect");
        let _ = connection.send(format!("abc{GET}"));
        drain(&mut connection);
    }
    assert_eq!(app.reported(), Vec::<String>::new());
    // A refusal of palisade itself comes instead of the interim answer.
    let mut connection = daemon.http1();
    connection
        .send("POST / HTTP/1.1\r\nHost: other.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .unwrap();
    assert!(connection.read_until("\r\n").unwrap().starts_with("HTTP/1.1 404"));
}

#[test]
fn http2_requests_that_break_the_rules_are_reset_alone() {
    let app = Upstream::start(|seen, link| link.answer("200 OK", &[], &seen.body));
    let daemon = site(&app.address(), "");
    let mut connection = daemon.http2();
    let bad =
        [("connection", "x"), ("transfer-encoding", "chunked"), ("upgrade", "x"), ("te", "gzip")];
    for (stream, (name, value)) in (1..).step_by(2).zip(bad) {
        connection.send(request(stream, END_STREAM, "GET", "/", &[(name, value)])).unwrap();
        let end = await_frame(&mut connection, |frame| frame.stream == stream);
        assert_eq!(end.kind, RST_STREAM, "{name}: {value:?}");
    }
    for (stream, data) in [(21, &b"abc"[..]), (23, b"abcdefgh")] {
        connection.send(request(stream, 0, "POST", "/", &[("content-length", "5")])).unwrap();
        connection.send(frame(DATA, END_STREAM, stream, data)).unwrap();
        let end = await_frame(&mut connection, |frame| frame.stream == stream);
        assert_eq!(end.kind, RST_STREAM, "content-length 5, {} bytes", data.len());
    }
    assert_eq!(app.requests().len(), 0);
    connection.send(request(31, END_STREAM, "GET", "/", &[])).unwrap();
    assert_eq!(await_frame(&mut connection, |frame| frame.stream == 31).kind, HEADERS);
}

#[test]
fn http2_fields_that_are_no_fields_end_the_connection() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    for (name, value) in [("X-Upper", "x"), ("x", "a\nb"), ("x", "a\rb"), ("x", "a\0b")] {
        let mut connection = daemon.http2();
        connection.send(request(1, END_STREAM, "GET", "/", &[(name, value)])).unwrap();
        let seen = frames(&mut connection);
        assert!(seen.iter().any(|frame| frame.kind == GOAWAY), "{name}: {value:?}: {seen:?}");
    }
    assert_eq!(app.connections(), 0);
}

/// An app that agrees to a WebSocket and then says everything back, louder.
fn echo(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    use std::io::{Read, Write};
    let seen = head(&mut stream);
    let _ = reports.send(seen);
    let agreed =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    send(&mut stream, format!("{agreed}welcome."));
    let mut buffer = [0; 1024];
    while let Ok(read) = stream.read(&mut buffer) {
        if read == 0 || stream.write_all(&buffer[..read].to_ascii_uppercase()).is_err() {
            break;
        }
    }
    let _ = reports.send("closed".into());
}

#[test]
fn a_tunnel_carries_early_bytes_of_both_sides_and_ends_with_either() {
    let app = RawApp::start(echo);
    let daemon = site(&app.address(), "");
    let mut client = daemon.http1();
    client.send(format!("{HANDSHAKE}\r\nearly.")).unwrap();
    assert_eq!(client.answer("GET").unwrap().status, 101);
    assert_eq!(client.read_until("EARLY.").unwrap(), "welcome.EARLY.");
    client.send("more.").unwrap();
    assert_eq!(client.read_until("MORE.").unwrap(), "MORE.");
    assert!(app.report().contains("upgrade: websocket"));
    drop(client);
    assert_eq!(app.report(), "closed");
}

#[test]
fn a_reload_leaves_the_tunnels_of_a_site_alone() {
    let app = RawApp::start(echo);
    let daemon = site(&app.address(), "");
    let mut client = daemon.http1();
    client.send(format!("{HANDSHAKE}\r\n")).unwrap();
    client.read_until("welcome.").unwrap();
    daemon.reload();
    client.send("still here.").unwrap();
    assert_eq!(client.read_until(".").unwrap(), "STILL HERE.");
}

#[test]
fn what_is_no_websocket_handshake_opens_no_tunnel() {
    let app = Upstream::text("plain");
    let daemon = site(&app.address(), "");
    // A body, or HTTP/1.0: an ordinary request whose upgrade is ignored.
    let mut client = daemon.http1();
    client.send(format!("{HANDSHAKE}Content-Length: 5\r\n\r\nhello{GET}")).unwrap();
    assert_eq!(client.answer("GET").unwrap().text(), "plain");
    assert_eq!(client.answer("GET").unwrap().text(), "plain");
    let mut client = daemon.http1();
    client.send(format!("{}\r\n", HANDSHAKE.replace("HTTP/1.1", "HTTP/1.0"))).unwrap();
    assert_eq!(client.answer("GET").unwrap().text(), "plain");
    let seen = app.requests();
    assert_eq!((seen[0].body.as_slice(), seen[0].field("upgrade")), (&b"hello"[..], None));
    assert_eq!(seen[2].field("upgrade"), None);
    // The app says no: its answer is the answer, and the connection goes on.
    let mut client = daemon.http1();
    client.send(format!("{HANDSHAKE}\r\n{GET}")).unwrap();
    assert_eq!(client.answer("GET").unwrap().text(), "plain");
    assert_eq!(client.answer("GET").unwrap().text(), "plain");
    // A page of another site may not even ask.
    let mut client = daemon.http1();
    client.send(format!("{HANDSHAKE}Origin: https://evil.example\r\n\r\n")).unwrap();
    assert_eq!(client.answer("GET").unwrap().status, 403);
    assert_eq!(app.requests().len(), 5);
}

/// An app that holds a request until it is let go.
fn held() -> (RawApp, Sender<()>) {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Arc::new(std::sync::Mutex::new(gone));
    let app = RawApp::start(move |mut stream: TcpStream, number, reports: &Sender<String>| {
        let seen = head(&mut stream);
        if seen.contains("/ws") {
            return echo_from(stream, seen, reports);
        }
        if seen.contains("/events") {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
            send(&mut stream, format!("{head}data: 1\n\n"));
            drain(&mut stream);
            return;
        }
        let _ = reports.send(format!("{number}"));
        let _ = gone.lock().unwrap().recv();
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        drain(&mut stream);
    });
    (app, go)
}

fn echo_from(mut stream: TcpStream, _seen: String, _: &Sender<String>) {
    let agreed =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    send(&mut stream, format!("{agreed}welcome."));
    drain(&mut stream);
}

#[test]
fn a_stop_finishes_what_was_accepted_and_cuts_the_rest_after_the_grace_time() {
    let (app, go) = held();
    let daemon = site(&app.address(), "[timeout]\ngrace = \"2s\"");
    let (mut busy, mut begun, mut tunnel, mut events) =
        (daemon.http1(), daemon.http1(), daemon.http1(), daemon.http1());
    busy.send(GET).unwrap();
    let mut streams = daemon.http2();
    streams.send(request(1, END_STREAM, "GET", "/", &[])).unwrap();
    app.report();
    app.report();
    tunnel.send(format!("{HANDSHAKE}\r\n")).unwrap();
    tunnel.read_until("welcome.").unwrap();
    events.send(GET.replace("/ ", "/events ")).unwrap();
    events.read_until("data: 1\n\n").unwrap();
    begun.send(GET.split_at(20).0).unwrap();
    daemon.sigterm();
    daemon.wait_for_event("stopping");
    begun.send(GET.split_at(20).1).unwrap();
    app.report();
    // Told to go, before it is answered.
    await_frame(&mut streams, |frame| frame.kind == GOAWAY);
    for _ in 0..3 {
        go.send(()).unwrap();
    }
    for connection in [&mut busy, &mut begun] {
        let answer = connection.answer("GET").unwrap();
        assert_eq!((answer.text().as_str(), answer.field("connection")), ("done", Some("close")));
        assert_eq!(connection.rest(), b"");
    }
    let rest = frames(&mut streams);
    assert!(rest.iter().any(|frame| frame.payload == b"done"), "{rest:?}");
    // The end of the last chunk, and no end of the message.
    assert_eq!((tunnel.rest(), events.rest()), (vec![], b"\r\n".to_vec()));
    assert_eq!(daemon.wait_exit(), 0);
    let cut = daemon.wait_for_event("stopped")["connections_cut"].as_u64().unwrap();
    // Those two, and the HTTP/2 client that has not left.
    assert!((2..=3).contains(&cut), "{cut}");
    let lines = daemon.access_lines();
    let events = lines.iter().find(|line| line["path"] == "/events").expect("its line");
    assert_eq!(events["aborted"], "client_left");
}
