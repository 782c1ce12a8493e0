//! Apps that break the rules, on purpose or in distress: what is no answer, what ends a connection, and what counts all
//! the same (promises 11, 13, 14, 24).

use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc::Sender;

use crate::support::wire::{
    DATA, END_STREAM, HEADERS, RST_STREAM, RawApp, await_frame, drain, frame, head, request, send,
};
use crate::support::{Daemon, Link, Seen, Upstream};

#[test]
fn what_two_readers_could_understand_differently_is_no_answer() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let cases = [
        (
            "/both",
            format!(
                "{ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
            ),
            "both",
        ),
        ("/lengths", format!("{ok}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), "differ"),
        ("/list", format!("{ok}Content-Length: 2, 3\r\n\r\nabc"), "differ"),
        ("/coding", format!("{ok}Transfer-Encoding: gzip\r\n\r\nabc"), "Transfer-Encoding"),
        (
            "/old",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            "HTTP/1.0",
        ),
        ("/lf", "HTTP/1.1 200 OK\nContent-Length: 0\n\n".into(), "LF"),
        ("/fold", format!("{ok}X: a\r\n b\r\nContent-Length: 0\r\n\r\n"), "malformed"),
        ("/space", format!("{ok}Content-Length : 0\r\n\r\n"), "malformed"),
        ("/giant", format!("{ok}X: {}\r\n\r\n", "a".repeat(70_000)), "bytes"),
        ("/fields", format!("{ok}{}\r\n", "X: a\r\n".repeat(129)), "fields"),
        (
            "/flood",
            format!(
                "{}{ok}Content-Length: 0\r\n\r\n",
                "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17)
            ),
            "interim",
        ),
        ("/greeting", "220 mail.example ESMTP\r\n".into(), "no HTTP"),
    ];
    let app = Upstream::raw(cases.iter().map(|(path, raw, _)| (*path, raw.clone())));
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for (n, (path, _, _)) in cases.iter().enumerate() {
        let answer = client.get("app.localhost", path).unwrap();
        assert_eq!(answer.status, 502, "{path}");
        assert_eq!(client.get("app.localhost", "/").unwrap().text(), "ok", "after {path}");
        assert_eq!(app.connections(), n + 2, "the connection of {path} is not used again");
    }
    let lines = daemon.wait_for_requests(cases.len() * 2);
    for ((path, _, word), line) in cases.iter().zip(lines.iter().step_by(2)) {
        let why = line["why"].as_str().unwrap_or_default();
        assert!(line["path"] == *path && why.contains(word), "{path}: {line}");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_reaches_nobody() {
    let app = RawApp::start(|mut stream: TcpStream, number, reports: &Sender<String>| {
        while !head(&mut stream).is_empty() {
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            // Behind the answer, in a write of its own.
            if number == 0 {
                send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
            }
            let _ = reports.send(format!("{number}"));
        }
    });
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for connection in ["0", "1", "1"] {
        assert_eq!(client.get("app.localhost", "/").unwrap().text(), "ok");
        assert_eq!(app.report(), connection);
    }
}

#[test]
fn chunks_that_break_off_break_off_for_the_client_too() {
    let app = RawApp::start(|mut stream: TcpStream, _, _: &Sender<String>| {
        let broken = head(&mut stream).contains("/broken");
        let end = if broken { "5\r\nabcdeXX" } else { "5\r\nabc" };
        let answer =
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n{end}");
        send(&mut stream, answer);
        if broken {
            drain(&mut stream);
        }
    });
    let daemon = Daemon::one_pool(&app.address());
    for path in ["/cut", "/broken"] {
        let mut client = daemon.http1();
        client.get("app.localhost", path).expect_err("an answer without an end");
        let mut client = daemon.http2();
        client.send(request(1, END_STREAM, "GET", path, &[])).unwrap();
        let reset = |kind| kind == RST_STREAM;
        await_frame(&mut client, |frame| frame.stream == 1 && reset(frame.kind));
    }
    for line in daemon.wait_for_requests(4) {
        assert_eq!(
            (&line["status_code"], &line["aborted"]),
            (&200.into(), &"upstream_broke".into())
        );
        assert!(line["why"].as_str().unwrap_or_default().contains("response"), "{line}");
    }
}

#[test]
fn an_app_that_answers_and_closes_before_the_upload_ends_is_heard() {
    let app = RawApp::start(|mut stream: TcpStream, _, _: &Sender<String>| {
        head(&mut stream);
        // What was not read makes this close a reset.
        send(&mut stream, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!");
    });
    let daemon = Daemon::one_pool(&app.address());
    for _ in 0..5 {
        let mut client = daemon.http1();
        let head = "POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 9000000\r\n\r\n";
        client.send(head).unwrap();
        // It may be told before it has sent everything.
        let _ = client.send(vec![b'x'; 200_000]);
        let answer = client.answer("POST").unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (413, "no!"));
    }
}

#[test]
fn a_connection_whose_request_never_ended_serves_nobody_else() {
    let app = RawApp::start(|mut stream: TcpStream, number, reports: &Sender<String>| {
        while !head(&mut stream).is_empty() {
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            let _ = reports.send(format!("{number}"));
        }
    });
    let daemon = Daemon::one_pool(&app.address());
    let mut uploader = daemon.http1();
    uploader
        .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 900\r\n\r\nabc")
        .unwrap();
    assert_eq!(uploader.answer("POST").unwrap().text(), "ok");
    assert_eq!(app.report(), "0");
    assert_eq!(daemon.http1().get("app.localhost", "/").unwrap().text(), "ok");
    assert_eq!(app.report(), "1", "a connection of its own");
}

#[test]
fn both_directions_flow_at_once() {
    let app = RawApp::start(|mut stream: TcpStream, _, reports: &Sender<String>| {
        let mut seen = head(&mut stream);
        send(&mut stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for word in ["one", "two"] {
            let mut buffer = [0; 1024];
            while !seen.contains(&format!("3\r\n{word}\r\n")) {
                let count = stream.read(&mut buffer).expect("more of the upload");
                seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
            send(&mut stream, format!("3\r\n{word}\r\n"));
        }
        send(&mut stream, "0\r\n\r\n");
        let _ = reports.send(seen);
    });
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http2();
    client.send(request(1, 0, "GET", "/talk", &[])).unwrap();
    for (word, flags) in [("one", 0), ("two", END_STREAM)] {
        client.send(frame(DATA, flags, 1, word.as_bytes())).unwrap();
        await_frame(&mut client, |frame| frame.kind == DATA && frame.payload == word.as_bytes());
    }
    let seen = app.report();
    assert!(seen.contains("transfer-encoding: chunked\r\n"), "{seen}");
}

#[test]
fn a_body_of_unknown_length_is_chunked_whatever_the_method() {
    let app = Upstream::text("ok");
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for method in ["GET", "POST"] {
        let head = "/ HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{method} {head}3\r\nabc\r\n0\r\n\r\n")).unwrap();
        assert_eq!(client.answer(method).unwrap().text(), "ok");
    }
    for seen in app.requests() {
        assert_eq!(seen.fields("transfer-encoding"), ["chunked"], "{}", seen.head);
        assert_eq!(seen.body, b"abc");
    }
    assert_eq!(app.connections(), 1);
}

#[test]
fn a_body_without_a_length_ends_with_its_connection() {
    let body: String = (0..60_000).map(|n| format!("{n:5}")).collect();
    let whole = body.clone();
    let app = Upstream::start(move |_, link| {
        link.send(format!("HTTP/1.1 200 OK\r\n\r\n{whole}"));
        link.close();
    });
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    for _ in 0..2 {
        assert!(client.get("app.localhost", "/").unwrap().text() == body);
    }
    assert_eq!(app.connections(), 2);
}

#[test]
fn lengths_of_what_is_not_sent_travel_on_and_cost_no_connection() {
    let unchanged = "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n";
    let app = Upstream::raw([
        ("/unchanged", unchanged),
        ("/reason", "HTTP/1.1 200 Fine by me\r\nContent-Length: 0\r\n\r\n"),
    ]);
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http1();
    assert_eq!(client.get("app.localhost", "/unchanged").unwrap().status, 304);
    let reason = client.get("app.localhost", "/reason").unwrap();
    assert!(reason.head.starts_with("HTTP/1.1 200 Fine by me\r\n"), "{}", reason.head);
    let head_only = RawApp::start(|mut stream: TcpStream, number, reports: &Sender<String>| {
        while !head(&mut stream).is_empty() {
            send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
            let _ = reports.send(format!("{number}"));
        }
    });
    assert_eq!(app.connections(), 1);
    let daemon = Daemon::one_pool(&head_only.address());
    let mut client = daemon.http1();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
        assert_eq!(client.answer("HEAD").unwrap().field("content-length"), Some("5"));
        assert_eq!(head_only.report(), "0");
    }
}

#[test]
fn trailers_reach_a_client_that_can_take_them() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nGrpc-Status: 0\r\nConnection: close\r\n\r\n";
    let app = Upstream::raw([("/call", answer)]);
    let daemon = Daemon::one_pool(&app.address());
    let mut client = daemon.http2();
    client.send(request(1, 0, "POST", "/call", &[])).unwrap();
    client.send(frame(DATA, END_STREAM, 1, b"x")).unwrap();
    await_frame(&mut client, |frame| frame.kind == DATA && frame.payload == b"ab");
    let end = await_frame(&mut client, |frame| frame.stream == 1);
    assert_eq!((end.kind, end.flags & END_STREAM), (HEADERS, END_STREAM), "{end:?}");
    assert!(!end.payload.is_empty());
}

/// The second answer is in the socket before the next request begins, and the worker has had no turn to hear of it.
#[test]
fn an_answer_that_nobody_asked_for_is_not_the_next_ones() {
    let (sent, is_sent) = std::sync::mpsc::channel();
    let sent = std::sync::Mutex::new(sent);
    let app = Upstream::start(move |seen: &Seen, link: &mut Link| {
        link.answer("200 OK", &[], "own");
        if seen.target() == "/twice" {
            link.answer("200 OK", &[], "poison");
            sent.lock().unwrap().send(()).unwrap();
        }
    });
    let daemon = Daemon::one_pool(&app.address());
    for _ in 0..20 {
        let mut client = daemon.http1();
        let mut victim = daemon.http1();
        client.send("GET /twice HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
        is_sent.recv().unwrap();
        assert_eq!(client.answer("GET").unwrap().text(), "own");
        assert_eq!(victim.get("app.localhost", "/").unwrap().text(), "own");
    }
}
