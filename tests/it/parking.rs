//! Connections between two requests: answers that are not held back, parking after a second, bodies that nobody read,
//! readers that take their time (promises 13, 17).

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::support::wire::{RawApp, drain, head, send};
use crate::support::{Daemon, TlsClient, Upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";
/// Longer than a connection is idle before it is parked.
const PARKED: &str = "1600ms";

/// A site whose path `/clock` is not answered before everything idle has been parked.
fn site(app: &str) -> (Daemon, Upstream) {
    let silent = Upstream::start(|_, link| drop(link.receive()));
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{app}\"\n\
         [site.\"app.localhost\".route.\"/clock\"]\nupstream = \"{}\"\n\
         first_byte_timeout = \"{PARKED}\"",
        silent.address()
    ));
    (daemon, silent)
}

/// Returns when every connection that was idle at the call has been parked.
fn let_park(daemon: &Daemon) {
    let mut clock = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    assert_eq!(clock.get("app.localhost", "/clock").unwrap().status, 504);
}

fn h1(daemon: &Daemon) -> TlsClient {
    daemon.client().alpn(&["http/1.1"])
}

#[test]
fn an_answer_is_not_held_back_by_the_half_of_a_next_request() {
    let app = Upstream::text("ok");
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut connection = h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    connection.send(format!("{GET}{}", GET.split_at(9).0)).unwrap();
    assert_eq!(connection.answer("GET").unwrap().text(), "ok");
    connection.send(GET.split_at(9).1).unwrap();
    assert_eq!(connection.answer("GET").unwrap().text(), "ok");
    assert_eq!(app.requests().len(), 2);
}

#[test]
fn a_line_break_too_many_after_a_body_is_refused_behind_the_answer() {
    let app = Upstream::start(|seen, link| link.answer("200 OK", &[], &seen.body));
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut connection = h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    let post = "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 2\r\n\r\nab\r\n";
    connection.send(post).unwrap();
    assert_eq!(connection.answer("POST").unwrap().text(), "ab");
    assert_eq!(connection.answer("POST").unwrap().status, 400);
    assert_eq!(connection.rest(), b"");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let app = Upstream::start(|seen, link| link.answer("200 OK", &[], seen.target()));
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut connection = h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    let all: String = (0..20).map(|n| GET.replace("/ ", &format!("/{n} "))).collect();
    connection.send(all).unwrap();
    for n in 0..20 {
        assert_eq!(connection.answer("GET").unwrap().text(), format!("/{n}"));
    }
}

#[test]
fn a_parked_connection_goes_on_where_it_was() {
    let app = Upstream::text("ok");
    let (daemon, _silent) = site(&app.address());
    let connect = || h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    let (mut idle, mut begun, mut fresh) = (connect(), connect(), connect());
    assert_eq!(idle.get("app.localhost", "/").unwrap().status, 200);
    // The half of a head that came together with the request before it.
    begun.send(format!("{GET}{}", GET.split_at(9).0)).unwrap();
    assert_eq!(begun.answer("GET").unwrap().status, 200);
    let_park(&daemon);
    idle.send(GET.split_at(9).0).unwrap();
    begun.send(GET.split_at(9).1).unwrap();
    assert_eq!(begun.answer("GET").unwrap().text(), "ok");
    let_park(&daemon);
    idle.send(GET.split_at(9).1).unwrap();
    assert_eq!(idle.answer("GET").unwrap().text(), "ok");
    assert_eq!(fresh.get("app.localhost", "/").unwrap().text(), "ok");
}

/// Answers the head, and reports what else comes until the end.
fn early(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    let seen = head(&mut stream);
    send(&mut stream, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let _ = reports.send(format!("{seen}{}", String::from_utf8_lossy(&rest)));
}

#[test]
fn the_unread_body_of_an_early_answer_is_never_a_request() {
    let app = RawApp::start(early);
    let (daemon, _silent) = site(&app.address());
    let mut connection = h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    connection
        .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1000\r\n\r\nfirst")
        .unwrap();
    assert_eq!(connection.answer("POST").unwrap().status, 413);
    // Sent too late to matter, or refused: either way it is not a request.
    let _ = connection.send(GET.replace("/ ", "/smuggled "));
    let_park(&daemon);
    let _ = connection.send(GET.replace("/ ", "/smuggled "));
    assert_eq!(connection.rest(), b"");
    let seen = app.report();
    assert!(!seen.contains("HTTP/1.1\r\nhost: app.localhost\r\n\r\nGET"), "{seen}");
    assert_eq!(app.reported(), Vec::<String>::new());
    assert!(daemon.access_lines().iter().all(|line| line["path"] != "/smuggled"));
}

#[test]
fn a_client_that_still_sends_can_read_its_answer() {
    let app = RawApp::start(early);
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut connection = h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    connection
        .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 9000000\r\n\r\n")
        .unwrap();
    assert!(app.report().contains("POST / "), "its connection is closed: the answer has come");
    for _ in 0..30 {
        connection.send(vec![b'x'; 100_000]).unwrap();
    }
    assert_eq!(connection.answer("POST").unwrap().text(), "big");
    assert_eq!(connection.rest(), b"");

    // The same where palisade itself refuses, before it has looked at the body.
    let mut connection = h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    connection
        .send("POST / HTTP/1.1\r\nHost: other.example\r\nContent-Length: 9000000\r\n\r\n")
        .unwrap();
    daemon.wait_for_line(|line| line["status_code"] == 404);
    for _ in 0..30 {
        connection.send(vec![b'x'; 100_000]).unwrap();
    }
    assert_eq!(connection.answer("POST").unwrap().status, 404);
    assert_eq!(connection.rest(), b"");
}

#[test]
fn a_reader_that_takes_its_time_gets_everything() {
    const BYTES: usize = 20_000_000;
    let app = Upstream::start(|_, link| link.answer("200 OK", &[], vec![b'x'; BYTES]));
    let (daemon, _silent) = site(&app.address());
    let mut connection = h1(&daemon).connect(daemon.https(), "app.localhost").unwrap();
    for _ in 0..2 {
        connection.send(GET).unwrap();
        let_park(&daemon);
        assert_eq!(connection.answer("GET").unwrap().body.len(), BYTES);
    }
}

#[test]
fn a_client_that_does_not_read_stops_the_app_from_sending() {
    const LENGTH: usize = 400_000_000;
    let app = RawApp::start(|mut stream: TcpStream, _, reports: &Sender<String>| {
        head(&mut stream);
        send(&mut stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"));
        // A write that waits this long has met somebody who does not read.
        stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let (piece, mut sent) = (vec![b'x'; 100_000], 0);
        while sent < LENGTH && std::io::Write::write_all(&mut stream, &piece).is_ok() {
            sent += piece.len();
        }
        let _ = reports.send(sent.to_string());
    });
    let daemon = Daemon::site("app.localhost", &app.address());
    for alpn in ["http/1.1", "h2"] {
        let client = daemon.client().alpn(&[alpn]);
        let mut connection = client.connect(daemon.https(), "app.localhost").unwrap();
        if alpn == "h2" {
            use crate::support::wire::{END_STREAM, preface, request};
            connection.send(preface()).unwrap();
            connection.send(request(1, END_STREAM, "GET", "/", &[])).unwrap();
        } else {
            connection.send(GET).unwrap();
        }
        let sent: usize = app.report().parse().unwrap();
        // The buffers of four sockets, and a little of palisade's own.
        assert!(sent < 60_000_000, "{alpn}: {sent} bytes went somewhere");
        assert!(drain(&mut connection) < LENGTH, "and were cut off with the app");
    }
}
