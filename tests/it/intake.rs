//! What a site or a route takes in: sizes, methods and types of bodies, judged before the app is asked or cut off.

use std::net::TcpStream;
use std::sync::mpsc::Sender;

use crate::support::wire::{
    DATA, END_STREAM, HEADERS, RST_STREAM, RawApp, await_frame, drain, frame, head, preface,
    request, send,
};
use crate::support::{Connection, Daemon, Upstream};

fn site(app: &str, keys: &str) -> Daemon {
    Daemon::start(&format!("[site.\"app.localhost\"]\nupstream = \"{app}\"\n{keys}"))
}

fn connect(daemon: &Daemon, alpn: &str) -> Connection {
    let mut connection =
        daemon.client().alpn(&[alpn]).connect(daemon.https(), "app.localhost").unwrap();
    if alpn == "h2" {
        connection.send(preface()).unwrap();
    }
    connection
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: app.localhost\r\n{fields}\r\n{body}")
}

fn denials(daemon: &Daemon, reason: &str) -> String {
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let name = format!("palisade_denials_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{metrics}")).to_owned()
}

#[test]
fn a_body_that_is_said_to_be_too_long_is_refused_before_the_app_is_asked() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "body_max = \"10B\"");
    let mut connection = connect(&daemon, "http/1.1");
    let fields = "Content-Length: 11\r\nAccept: application/json\r\n";
    connection.send(post(fields, "hello world")).unwrap();
    let answer = connection.answer("POST").unwrap();
    assert_eq!((answer.status, answer.field("connection")), (413, Some("close")));
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    let id = answer.field("x-request-id").expect("an id").to_owned();
    assert!(answer.text().contains(&id), "{}", answer.text());
    assert_eq!(connection.rest(), b"");

    let mut connection = connect(&daemon, "h2");
    connection.send(request(1, 0, "POST", "/", &[("content-length", "11")])).unwrap();
    let refused = await_frame(&mut connection, |frame| frame.stream == 1);
    assert_eq!(refused.kind, HEADERS);
    connection.send(request(3, END_STREAM, "GET", "/", &[])).unwrap();
    await_frame(&mut connection, |frame| frame.stream == 3 && frame.kind == HEADERS);

    let lines = daemon.wait_for_requests(3);
    let refused: Vec<_> = lines.iter().filter(|line| line["status_code"] == 413).collect();
    assert_eq!(refused.len(), 2, "{lines:?}");
    for line in refused {
        assert_eq!(line["denied"], "body_too_large");
        assert!(line["why"].as_str().unwrap().contains("body_max (10B)"), "{line}");
    }
    assert_eq!(denials(&daemon, "body_too_large"), "2");
    assert_eq!(app.only_request().method(), "GET");
}

#[test]
fn a_client_that_asks_first_is_told_no_without_100_continue() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "body_max = \"10B\"");
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(post("Content-Length: 11\r\nExpect: 100-continue\r\n", "")).unwrap();
    assert!(connection.read_until("\r\n").unwrap().starts_with("HTTP/1.1 413"));
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(post("Content-Length: 10\r\nExpect: 100-continue\r\n", "")).unwrap();
    assert_eq!(connection.read_until("\r\n\r\n").unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    connection.send("helloworld").unwrap();
    assert_eq!(connection.answer("POST").unwrap().status, 200);
    assert_eq!(app.only_request().body, b"helloworld");
}

/// An app that says what it got of a body before its connection ended.
fn gets(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    use std::io::Read;
    let _ = reports.send(head(&mut stream).lines().next().unwrap_or_default().to_owned());
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let _ = reports.send(String::from_utf8_lossy(&all).into_owned());
}

#[test]
fn a_body_of_unknown_length_is_cut_off_and_the_app_never_takes_it_for_the_whole() {
    let app = RawApp::start(gets);
    let daemon = site(&app.address(), "body_max = \"10B\"");
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(post("Transfer-Encoding: chunked\r\n", "")).unwrap();
    assert_eq!(app.report(), "POST / HTTP/1.1");
    connection.send("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n").unwrap();
    let answer = connection.answer("POST").unwrap();
    assert_eq!((answer.status, answer.field("connection")), (413, Some("close")));
    assert_eq!(connection.rest(), b"");
    let got = app.report();
    assert!(!got.contains("0\r\n\r\n") && !got.contains("world"), "{got:?}");

    let mut connection = connect(&daemon, "h2");
    connection.send(request(1, 0, "POST", "/", &[])).unwrap();
    assert_eq!(app.report(), "POST / HTTP/1.1");
    connection.send(frame(DATA, 0, 1, b"hello")).unwrap();
    connection.send(frame(DATA, END_STREAM, 1, b" world")).unwrap();
    let refused = await_frame(&mut connection, |frame| frame.stream == 1);
    assert_eq!(refused.kind, HEADERS);
    let got = app.report();
    assert!(!got.contains("0\r\n\r\n") && !got.contains("world"), "{got:?}");

    let lines = daemon.wait_for_requests(2);
    assert!(lines.iter().all(|line| line["status_code"] == 413), "{lines:?}");
    assert_eq!(denials(&daemon, "body_too_large"), "2");
}

/// An app that begins its answer before it has the body.
fn hasty(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    head(&mut stream);
    send(&mut stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n");
    drain(&mut stream);
    let _ = reports.send("closed".into());
}

#[test]
fn an_answer_that_has_begun_is_broken_off_and_never_ends_cleanly() {
    let app = RawApp::start(hasty);
    let daemon = site(&app.address(), "body_max = \"10B\"");
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(post("Transfer-Encoding: chunked\r\n", "")).unwrap();
    connection.read_until("begun\r\n").unwrap();
    connection.send("b\r\nhello world\r\n0\r\n\r\n").unwrap();
    assert_eq!(connection.rest(), b"", "no last chunk");
    assert_eq!(app.report(), "closed");

    let mut connection = connect(&daemon, "h2");
    connection.send(request(1, 0, "POST", "/", &[])).unwrap();
    await_frame(&mut connection, |frame| frame.stream == 1 && frame.kind == DATA);
    connection.send(frame(DATA, END_STREAM, 1, b"hello world")).unwrap();
    let end = await_frame(&mut connection, |frame| frame.stream == 1);
    assert_eq!(end.kind, RST_STREAM);
    assert_eq!(app.report(), "closed");

    for line in daemon.wait_for_requests(2) {
        let told = (&line["status_code"], &line["denied"], &line["aborted"]);
        assert_eq!(told, (&200.into(), &"body_too_large".into(), &"body_too_large".into()));
    }
    assert_eq!(denials(&daemon, "body_too_large"), "2");
}

#[test]
fn a_body_of_the_limit_passes_and_a_route_can_lift_it() {
    let app = Upstream::text("ok");
    let keys = "body_max = \"10B\"\n[site.\"app.localhost\".route.\"/stream\"]\nbody_max = \"off\"";
    let daemon = site(&app.address(), keys);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(post(chunked, "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n")).unwrap();
    assert_eq!(connection.answer("POST").unwrap().status, 200);
    connection.send(post("Content-Length: 10\r\n", "helloworld")).unwrap();
    assert_eq!(connection.answer("POST").unwrap().status, 200);
    let long = "x".repeat(100_000);
    let lifted = post("Content-Length: 100000\r\n", &long).replace("POST /", "POST /stream");
    connection.send(lifted).unwrap();
    assert_eq!(connection.answer("POST").unwrap().status, 200);
    let sizes: Vec<u64> = app.requests().iter().map(|seen| seen.body_bytes).collect();
    assert_eq!(sizes, [10, 10, 100_000]);
}

#[test]
fn without_a_word_about_it_a_body_may_have_ten_mebibytes() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(post("Content-Length: 10485761\r\nExpect: 100-continue\r\n", "")).unwrap();
    assert!(connection.read_until("\r\n").unwrap().starts_with("HTTP/1.1 413"));
    let mut connection = connect(&daemon, "http/1.1");
    connection.send(post("Content-Length: 10485760\r\nExpect: 100-continue\r\n", "")).unwrap();
    assert!(connection.read_until("\r\n").unwrap().starts_with("HTTP/1.1 100"));
}

#[test]
fn methods_and_types_that_are_not_listed_never_reach_the_app() {
    let app = Upstream::text("ok");
    let keys = "methods = [\"GET\", \"POST\"]\n[site.\"app.localhost\".route.\"/api\"]\n\
        methods = \"POST\"\ncontent_types = [\"application/json\", \"multipart/form-data\"]";
    let daemon = site(&app.address(), keys);
    let status = |path: &str, args: &[&str]| {
        let url = format!("https://app.localhost{path}");
        let args: Vec<&str> = args.iter().copied().chain([url.as_str()]).collect();
        daemon.curl(&args).status
    };
    let json = "content-type: Application/JSON;charset=utf-8";
    for version in ["--http1.1", "--http2"] {
        assert_eq!(status("/", &[version, "-X", "PUT", "-d", "x"]), 405);
        assert_eq!(status("/api", &[version]), 405);
        assert_eq!(status("/api", &[version, "-d", "x"]), 415, "a form");
        assert_eq!(status("/api", &[version, "-d", "x", "-H", "content-type:"]), 415);
        assert_eq!(status("/api", &[version, "-d", "{}", "-H", json]), 200);
        assert_eq!(status("/api", &[version, "-F", "a=b"]), 200);
        assert_eq!(status("/api", &[version, "-X", "POST"]), 200, "nothing is sent");
        assert_eq!(status("/", &[version, "-I"]), 200, "who may GET may HEAD");
    }
    let refused = daemon.curl(&["--http2", "-I", "https://app.localhost/api"]);
    assert_eq!((refused.status, refused.exit), (405, 0), "{refused:?}");
    let refused = daemon.curl(&["-X", "DELETE", "https://app.localhost/"]);
    assert_eq!(refused.field("allow"), Some("GET, POST, HEAD"));
    assert_eq!(app.requests().len(), 8);
    assert_eq!(
        (denials(&daemon, "method_not_allowed"), denials(&daemon, "content_type")),
        ("6".into(), "4".into())
    );
}

#[test]
fn a_websocket_is_no_body() {
    let app = RawApp::start(|mut stream: TcpStream, _, reports: &Sender<String>| {
        head(&mut stream);
        let agreed =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        send(&mut stream, agreed);
        let _ = reports.send(drain(&mut stream).to_string());
    });
    let daemon = site(&app.address(), "body_max = \"0B\"\ncontent_types = \"text/plain\"");
    let mut connection = connect(&daemon, "http/1.1");
    connection
        .send("GET /ws HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .unwrap();
    assert_eq!(connection.answer("GET").unwrap().status, 101);
    connection.send("x".repeat(1000)).unwrap();
    drop(connection);
    assert_eq!(app.report(), "1000");
}

#[test]
fn what_the_app_says_about_its_errors_stays_inside_where_asked() {
    let app = Upstream::start(|seen, link| {
        let status = if seen.target().contains("fine") { "404 Not Found" } else { "503 Busy" };
        let fields = [
            ("Content-Type", "text/plain"),
            ("Content-Encoding", "identity"),
            ("ETag", "\"1\""),
            ("Retry-After", "7"),
        ];
        link.answer(status, &fields, "panicked at src/secret.rs");
    });
    let keys = "hide_errors = true\n[site.\"app.localhost\".route.\"/open\"]\nhide_errors = false";
    let daemon = site(&app.address(), keys);
    for version in ["--http1.1", "--http2"] {
        let json = ["-H", "Accept: application/json"];
        let told = daemon.curl(&[version, json[0], json[1], "https://app.localhost/"]);
        assert_eq!((told.status, told.field("retry-after")), (503, Some("7")), "{told:?}");
        assert_eq!(told.field("content-type"), Some("application/problem+json"));
        assert_eq!((told.field("etag"), told.field("content-encoding")), (None, None));
        assert!(!told.text().contains("secret"), "{told:?}");
        let id = told.field("x-request-id").expect("an id").to_owned();
        assert!(told.text().contains(&id), "{told:?}");
        let page = daemon.curl(&[version, "https://app.localhost/"]);
        assert!(page.text().contains("<html") && !page.text().contains("secret"), "{page:?}");
        let bare = daemon.curl(&[version, "-I", "https://app.localhost/"]);
        assert_eq!((bare.status, bare.exit), (503, 0), "{bare:?}");
        for open in ["https://app.localhost/fine", "https://app.localhost/open"] {
            assert!(daemon.curl(&[version, open]).text().contains("secret"), "{open}");
        }
    }
    let lines = daemon.wait_for_requests(10);
    assert_eq!(lines.iter().filter(|line| !line["aborted"].is_null()).count(), 0, "{lines:?}");
}

#[test]
fn an_upload_that_breaks_off_while_the_answer_streams_is_the_clients_fault() {
    let app = RawApp::start(hasty);
    let daemon = Daemon::start(&format!(
        "[timeout]\nbody_idle = \"1s\"\n[site.\"app.localhost\"]\nupstream = \"{}\"",
        app.address()
    ));
    let rests = [("x\r\n", "bad_chunk"), ("", "body_too_slow")];
    for (number, (rest, label)) in (1..).zip(rests) {
        let mut connection = connect(&daemon, "http/1.1");
        connection.send(post("Transfer-Encoding: chunked\r\n", "")).unwrap();
        connection.read_until("begun\r\n").unwrap();
        connection.send(rest).unwrap();
        assert_eq!(connection.rest(), b"", "no last chunk");
        assert_eq!(app.report(), "closed");
        let line = daemon.wait_for_requests(number).remove(number - 1);
        let told = (&line["status_code"], &line["denied"], &line["aborted"]);
        assert_eq!(told, (&200.into(), &label.into(), &label.into()), "{line}");
        assert!(line["why"].as_str().is_some_and(|why| !why.contains("upstream")), "{line}");
    }

    let mut connection = connect(&daemon, "h2");
    connection.send(request(1, 0, "POST", "/", &[])).unwrap();
    await_frame(&mut connection, |frame| frame.stream == 1 && frame.kind == DATA);
    drop(connection);
    assert_eq!(app.report(), "closed");
    let line = daemon.wait_for_requests(3).remove(2);
    assert_ne!(line["aborted"], "upstream_broke", "{line}");
}
