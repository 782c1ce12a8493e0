//! Whoever stops moving ends at a deadline: in the handshake, in a head, in a body, between two requests, while reading
//! (promises 8 and 17). Every wait here is for the end that the deadline brings.

use std::net::TcpStream;
use std::sync::mpsc::Sender;

use crate::support::wire::{
    DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, RawApp, SETTINGS, WINDOW_UPDATE, await_frame,
    drain, frame, frames, head, preface, request, send,
};
use crate::support::{Daemon, Upstream, deadline, left, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";

fn site(app: &str, timeouts: &str) -> Daemon {
    Daemon::start(&format!("[timeout]\n{timeouts}\n[site.\"app.localhost\"]\nupstream = \"{app}\""))
}

fn connect(daemon: &Daemon, alpn: &str) -> crate::support::Connection {
    daemon.client().alpn(&[alpn]).connect(daemon.https(), "app.localhost").unwrap()
}

/// An app that reads to the end and reports it.
fn listens(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    let _ = reports.send(head(&mut stream).lines().next().unwrap_or_default().to_owned());
    drain(&mut stream);
    let _ = reports.send("closed".into());
}

#[test]
fn a_handshake_that_does_not_come_is_closed_and_counted() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "handshake = \"300ms\"");
    let mut silent = plain(daemon.https()).unwrap();
    let mut begun = plain(daemon.https()).unwrap();
    send(&mut begun, [22, 3, 1, 2, 0, 1, 0]);
    assert_eq!((drain(&mut silent), drain(&mut begun)), (0, 0));
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.lines().any(|l| l.contains("timeout") && l.ends_with("} 2")), "{metrics}");
}

#[test]
fn a_head_that_does_not_end_is_closed_on_both_ports() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "head = \"300ms\"");
    let mut secure = connect(&daemon, "http/1.1");
    secure.send("GET / HTTP/1.1\r\nHost: app.loc").unwrap();
    let mut open = plain(daemon.http()).unwrap();
    send(&mut open, "GET / HTTP/1.1\r\nHost: app.loc");
    assert_eq!((drain(&mut secure), drain(&mut open)), (0, 0));
    let mut behind = connect(&daemon, "http/1.1");
    behind.send(format!("{GET}GET /next HT")).unwrap();
    assert_eq!(behind.answer("GET").unwrap().status, 200);
    assert_eq!(behind.rest(), b"");
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn an_idle_connection_is_closed() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "keep_alive = \"300ms\"");
    let mut unused = connect(&daemon, "http/1.1");
    let mut used = connect(&daemon, "http/1.1");
    assert_eq!(used.get("app.localhost", "/").unwrap().status, 200);
    let mut open = plain(daemon.http()).unwrap();
    assert_eq!((unused.rest(), used.rest(), drain(&mut open)), (vec![], vec![], 0));
}

#[test]
fn an_http2_client_that_does_nothing_is_closed_whatever_it_has_said() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "keep_alive = \"300ms\"");
    let said: [Vec<u8>; 4] = [
        vec![],
        preface(),
        // A head that never ends.
        [preface(), frame(HEADERS, 0, 1, &[0])].concat(),
        [preface(), request(1, END_STREAM, "GET", "/", &[])].concat(),
    ];
    for said in said {
        let mut connection = connect(&daemon, "h2");
        connection.send(&said).unwrap();
        // It never answers the GOAWAY either.
        let seen = frames(&mut connection);
        let told = seen.iter().any(|frame| frame.kind == GOAWAY);
        assert!(told || said.is_empty(), "{seen:?}");
    }
    assert_eq!(app.requests().len(), 1);
    let ends = deadline();
    while daemon.status()["connections"]["open"] != 0 {
        assert!(!left(ends).is_zero(), "{}", daemon.status());
    }
}

#[test]
fn a_body_that_stops_is_refused_and_the_apps_connection_ends() {
    let app = RawApp::start(listens);
    let daemon = site(&app.address(), "body_idle = \"300ms\"");
    let mut connection = connect(&daemon, "http/1.1");
    connection
        .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 9\r\n\r\nabc")
        .unwrap();
    let answer = connection.answer("POST").unwrap();
    assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
    assert_eq!(connection.rest(), b"");
    assert_eq!((app.report().as_str(), app.report().as_str()), ("POST / HTTP/1.1", "closed"));

    let mut connection = connect(&daemon, "h2");
    connection.send([preface(), request(1, 0, "POST", "/", &[])].concat()).unwrap();
    connection.send(frame(DATA, 0, 1, b"abc")).unwrap();
    await_frame(&mut connection, |frame| frame.kind == HEADERS && frame.stream == 1);
    assert_eq!((app.report().as_str(), app.report().as_str()), ("POST / HTTP/1.1", "closed"));
    let denied: Vec<_> =
        daemon.wait_for_requests(2).iter().map(|line| line["denied"].clone()).collect();
    assert_eq!(denied, ["body_too_slow", "body_too_slow"]);
}

/// More than every buffer between the app and the client together.
fn endless(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    head(&mut stream);
    send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n");
    let piece = vec![b'x'; 100_000];
    while std::io::Write::write_all(&mut stream, &piece).is_ok() {}
    let _ = reports.send("cut".into());
}

/// What a client of HTTP/1.1 that reads nothing makes palisade take from the app, its own receive buffer included.
const HELD_MAX: u64 = 512 * 1024;

#[test]
fn a_client_that_does_not_read_loses_its_connection_and_frees_the_app() {
    let app = RawApp::start(endless);
    let daemon = site(&app.address(), "write_idle = \"300ms\"");
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(GET).unwrap();
    assert_eq!(app.report(), "cut");
    let line = &daemon.wait_for_requests(1)[0];
    assert_eq!(line["aborted"], "client_left");
    // What the app had said by then waits on this machine: in the kernel for the most part.
    let held = line["response_bytes"].as_u64().unwrap();
    assert!(held < HELD_MAX, "{held} bytes");
    drain(&mut connection);
}

#[test]
fn an_http2_stream_without_a_window_is_reset_and_frees_the_app() {
    let app = RawApp::start(endless);
    let daemon = site(&app.address(), "write_idle = \"300ms\"\nbetween_bytes = \"300ms\"");
    let mut connection = connect(&daemon, "h2");
    // SETTINGS_INITIAL_WINDOW_SIZE 0: the socket never stalls, the streams do.
    connection.send(preface()).unwrap();
    connection.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).unwrap();
    for stream in [1, 3, 5] {
        connection.send(request(stream, END_STREAM, "GET", "/", &[])).unwrap();
    }
    for _ in 0..3 {
        await_frame(&mut connection, |frame| frame.kind == RST_STREAM);
        assert_eq!(app.report(), "cut");
    }
    assert_eq!(daemon.wait_for_requests(3).len(), 3);
    // The connection itself is as good as before.
    connection.send(request(7, END_STREAM, "GET", "/x", &[("host", "other")])).unwrap();
    await_frame(&mut connection, |frame| frame.stream == 7);
}

/// Resident memory of a process, in pages.
fn pages(daemon: &Daemon) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", daemon.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_http2_client_that_reads_nothing_costs_little() {
    let app = RawApp::start(|mut stream: TcpStream, _, reports: &Sender<String>| {
        head(&mut stream);
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n");
        // A write that waits this long has met somebody who does not read.
        stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).expect("a timeout");
        let piece = vec![b'x'; 100_000];
        while std::io::Write::write_all(&mut stream, &piece).is_ok() {}
        let _ = reports.send("full".into());
        drain(&mut stream);
    });
    let daemon = site(&app.address(), "");
    let before = pages(&daemon);
    let mut connection = connect(&daemon, "h2");
    connection.send(preface()).unwrap();
    // Windows without end, so that nothing but the bound on what is held holds it.
    connection.send(frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).unwrap();
    connection.send(frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0])).unwrap();
    for stream in (1..200).step_by(2) {
        connection.send(request(stream, END_STREAM, "GET", "/", &[])).unwrap();
    }
    for _ in 0..100 {
        app.report();
    }
    let grown = (pages(&daemon) - before) * 4 / 1024;
    assert!(grown < 36, "{grown} MiB for one client");
}

#[test]
fn an_app_that_pauses_in_its_answer_breaks_it_off() {
    let app = RawApp::start(|mut stream: TcpStream, _, reports: &Sender<String>| {
        head(&mut stream);
        send(&mut stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
        drain(&mut stream);
        let _ = reports.send("cut".into());
    });
    let daemon = site(&app.address(), "between_bytes = \"300ms\"");
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(GET).unwrap();
    assert!(connection.answer("GET").is_err(), "no clean end");
    assert_eq!(app.report(), "cut");
    assert_eq!(daemon.wait_for_requests(1)[0]["aborted"], "upstream_idle");
}

#[test]
fn an_app_that_answers_early_may_wait_for_the_upload() {
    use std::io::Read;
    let app = RawApp::start(|mut stream: TcpStream, _, _: &Sender<String>| {
        if head(&mut stream).contains("/clock") {
            drain(&mut stream);
            return;
        }
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
        let mut body = [0; 3];
        if stream.read_exact(&mut body).is_ok() {
            send(&mut stream, body);
        }
    });
    let daemon = site(&app.address(), "between_bytes = \"2s\"\nfirst_byte = \"1s\"");
    let mut upload = connect(&daemon, "http/1.1");
    upload.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 3\r\n\r\n").unwrap();
    for byte in ["a", "b", "c"] {
        // Each takes a second: together longer than the app may pause, and none of them alone.
        assert_eq!(
            connect(&daemon, "http/1.1").get("app.localhost", "/clock").unwrap().status,
            504
        );
        upload.send(byte).unwrap();
    }
    assert_eq!(upload.answer("POST").unwrap().text(), "abc");
}

#[test]
fn an_event_stream_may_be_silent_for_longer() {
    let (wake, woken) = std::sync::mpsc::channel::<()>();
    let woken = std::sync::Arc::new(std::sync::Mutex::new(woken));
    let app = RawApp::start(move |mut stream: TcpStream, _, _: &Sender<String>| {
        if head(&mut stream).contains("/clock") {
            drain(&mut stream);
            return;
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        send(&mut stream, format!("{head}data: 1\n\n"));
        let _ = woken.lock().unwrap().recv();
        send(&mut stream, "data: 2\n\n");
    });
    let daemon = site(&app.address(), "between_bytes = \"300ms\"\nfirst_byte = \"1s\"");
    let mut stream = connect(&daemon, "http/1.1");
    stream.send(GET).unwrap();
    stream.read_until("data: 1\n\n").unwrap();
    let mut clock = connect(&daemon, "http/1.1");
    assert_eq!(clock.get("app.localhost", "/clock").unwrap().status, 504);
    wake.send(()).unwrap();
    stream.read_until("data: 2\n\n").unwrap();
}
