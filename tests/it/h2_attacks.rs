//! HTTP/2 clients that attack: resets, floods, blocks without end, windows that stay shut, and everything that is no
//! HTTP/2 (promises 8, 12, 15, 16, 17). A good client beside them is served all the time.

use std::net::TcpStream;
use std::sync::mpsc::Sender;

use crate::support::h2_raw::{
    CONTINUATION, ENHANCE_YOUR_CALM, End, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, Fate, H2, NO_ERROR,
    PING, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, bare, beside, block, field, integer,
};
use crate::support::wire::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, RawApp, SETTINGS, WINDOW_UPDATE,
    drain, frame, head, preface, request, send,
};
use crate::support::{Daemon, Upstream, deadline, left};

/// Answers `/good` and whatever says so; holds everything else until its connection is closed, and reports that.
fn holds(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    loop {
        let seen = head(&mut stream);
        if seen.is_empty() {
            return;
        }
        if !seen.contains(" /good ") {
            let _ = reports.send("begun".into());
            drain(&mut stream);
            let _ = reports.send("cut".into());
            return;
        }
        send(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

fn site(app: &str, more: &str) -> Daemon {
    Daemon::start(&format!("[timeout]\n{more}\n[site.\"app.localhost\"]\nupstream = \"{app}\""))
}

/// Requests that the app began, once each of them has been cut.
fn begun_and_cut(app: &RawApp) -> usize {
    let (mut begun, mut cut) = (0, 0);
    let ends = deadline();
    loop {
        for report in app.reported() {
            *(if report == "begun" { &mut begun } else { &mut cut }) += 1;
        }
        if begun == cut {
            return begun;
        }
        assert!(!left(ends).is_zero(), "{begun} begun, {cut} cut");
        std::thread::yield_now();
    }
}

/// Waits until nobody is connected.
fn let_go(daemon: &Daemon) {
    let ends = deadline();
    while daemon.status()["connections"]["open"] != 0 {
        assert!(!left(ends).is_zero(), "{}", daemon.status());
    }
}

fn counted(daemon: &Daemon, reason: &str) -> u64 {
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let name = format!("palisade_connections_ended_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
    count.unwrap_or_else(|| panic!("{metrics}")).parse().expect("a count")
}

/// Resident memory of the daemon.
fn resident_kib(daemon: &Daemon) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", daemon.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

fn rst(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

#[test]
fn a_rapid_reset_ends_the_connection_after_few_requests() {
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), "");
    beside(&daemon, || {
        let mut client = H2::connect(&daemon);
        let both = |stream| [request(stream, END_STREAM, "GET", "/", &[]), rst(stream)].concat();
        let all: Vec<u8> = (0..10_000).flat_map(|n| both(2 * n + 1)).collect();
        let _ = client.send(&all);
        assert_eq!(client.end().goaway(), Some(ENHANCE_YOUR_CALM));
    });
    let begun = begun_and_cut(&app);
    assert!(begun <= 600, "{begun} requests reached the app");
    let_go(&daemon);
}

/// Has requests begin at the app and then `undo`es them, until the connection ends; how many the app has begun.
///
/// Every one is at the app before it is undone, so each costs something and nothing is told from what was read together.
fn begin_and_undo(daemon: &Daemon, app: &RawApp, undo: impl Fn(u32) -> Vec<u8>) -> (u32, End) {
    const AT_ONCE: u32 = 50;
    let mut client = H2::connect(daemon);
    for batch in 0..200 {
        let streams = (0..AT_ONCE).map(|n| 2 * (AT_ONCE * batch + n) + 1);
        let requests = streams.clone().flat_map(|s| request(s, END_STREAM, "GET", "/", &[]));
        client.send(requests.collect::<Vec<u8>>());
        (0..AT_ONCE).for_each(|_| assert_eq!(app.report(), "begun"));
        client.send(streams.flat_map(&undo).collect::<Vec<u8>>());
        (0..AT_ONCE).for_each(|_| assert_eq!(app.report(), "cut"));
        if let Err(end) = client.is_alive() {
            return (AT_ONCE * (batch + 1), end);
        }
    }
    panic!("10000 requests were undone");
}

#[test]
fn resets_of_requests_that_the_app_has_seen_have_a_budget_and_cancel_its_work() {
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), "");
    let (begun, end) = beside(&daemon, || begin_and_undo(&daemon, &app, rst));
    assert_eq!(end.goaway(), Some(ENHANCE_YOUR_CALM), "after {begun}");
    assert_eq!(counted(&daemon, "h2_resets"), 1);
    let line = daemon.wait_for_event("http2_connection_ended");
    assert_eq!((&line["client"], &line["reason"]), (&"127.0.0.1".into(), &"h2_resets".into()));
    assert!(line["next"].is_string() && line["more"] == 0, "{line}");
    assert!(begun >= 500, "no browser is ended after {begun}");
    let_go(&daemon);
}

#[test]
fn making_the_server_reset_has_a_budget_and_cancels_the_apps_work() {
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), "");
    let overflow = |stream| window(stream, u32::MAX >> 1);
    let (begun, end) = beside(&daemon, || begin_and_undo(&daemon, &app, overflow));
    assert_eq!(end.goaway(), Some(ENHANCE_YOUR_CALM), "after {begun}");
    assert!((500..=600).contains(&begun), "http2.local_reset_max is 500; ended after {begun}");
    let_go(&daemon);
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

#[test]
fn every_way_to_make_the_server_reset_ends_with_the_connection() {
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), "");
    let whole = |stream| request(stream, END_STREAM, "GET", "/", &[]);
    let half = |stream| request(stream, 0, "POST", "/", &[]);
    let length = |stream| request(stream, 0, "POST", "/", &[("content-length", "1")]);
    let itself = |s: u32| frame(PRIORITY, 0, s, &[&s.to_be_bytes()[..], &[1]].concat());
    let trailers = |s| frame(HEADERS, END_HEADERS, s, &block(&[("x", "y")]));
    type Way<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>, u32);
    let ways: &[Way<'_>] = &[
        (
            "overflow",
            &|s| [whole(s), window(s, 1), window(s, u32::MAX >> 1)].concat(),
            ENHANCE_YOUR_CALM,
        ),
        ("no increment", &|s| [whole(s), window(s, 0)].concat(), PROTOCOL_ERROR),
        ("data behind the end", &|s| [whole(s), frame(DATA, 0, s, b"x")].concat(), PROTOCOL_ERROR),
        ("a head behind the end", &|s| [whole(s), whole(s)].concat(), PROTOCOL_ERROR),
        ("trailers that do not end", &|s| [half(s), trailers(s)].concat(), PROTOCOL_ERROR),
        (
            "half a priority",
            &|s| [whole(s), frame(PRIORITY, 0, s, &[0; 4])].concat(),
            PROTOCOL_ERROR,
        ),
        ("its own parent", &|s| [half(s), itself(s)].concat(), ENHANCE_YOUR_CALM),
        ("too long", &|s| [length(s), frame(DATA, 1, s, b"xyz")].concat(), ENHANCE_YOUR_CALM),
        ("illegal", &|s| request(s, 1, "GET", "/", &[("connection", "x")]), ENHANCE_YOUR_CALM),
    ];
    beside(&daemon, || {
        for (name, way, code) in ways {
            let mut client = H2::connect(&daemon);
            let all: Vec<u8> = (0..5000).flat_map(|n| way(2 * n + 1)).collect();
            let _ = client.send(all);
            assert_eq!(client.end().goaway(), Some(*code), "{name}");
            let begun = begun_and_cut(&app);
            assert!(begun <= 700, "{name}: {begun} requests reached the app");
        }
    });
    let_go(&daemon);
}

#[test]
fn floods_of_frames_end_the_connection_and_take_no_memory() {
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), "");
    let open = || request(1, 0, "POST", "/", &[]);
    let begun = |payload: &[u8]| frame(HEADERS, END_STREAM, 1, payload);
    let floods: &[(&str, Vec<u8>, Vec<u8>)] = &[
        ("ping", vec![], frame(PING, 0, 0, &[7; 8])),
        ("ping answers", vec![], frame(PING, 1, 0, &[7; 8])),
        ("settings", vec![], frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("settings answers", vec![], frame(SETTINGS, 1, 0, &[])),
        ("priority", vec![], frame(PRIORITY, 0, 5, &[0, 0, 0, 3, 9])),
        ("windows", vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", vec![], frame(77, 0, 0, b"unknown")),
        ("empty data", open(), frame(DATA, 0, 1, &[])),
        ("padded data", open(), frame(DATA, 8, 1, &[3, 0, 0, 0])),
        ("tiny data", open(), frame(DATA, 0, 1, b"x")),
        ("empty continuation", begun(&[]), frame(CONTINUATION, 0, 1, &[])),
        ("tiny continuation", begun(&[0]), frame(CONTINUATION, 0, 1, &[0])),
        (
            "large continuation",
            begun(&[]),
            frame(CONTINUATION, 0, 1, &field(b"x", &[b'y'; 16_000])),
        ),
        (
            "unfinished continuation",
            begun(&[0, 127, 255, 255, 127]),
            frame(CONTINUATION, 0, 1, &[b'x'; 16_000]),
        ),
    ];
    beside(&daemon, || {
        let before = resident_kib(&daemon);
        for (name, first, flood) in floods {
            let mut client = H2::connect(&daemon);
            client.send(first);
            client.flood(flood, 20_000);
            let code = if *name == "settings answers" { PROTOCOL_ERROR } else { ENHANCE_YOUR_CALM };
            assert_eq!(client.end().goaway(), Some(code), "{name}");
        }
        // Two of them alone send 320 MB each.
        let grown = resident_kib(&daemon).saturating_sub(before);
        assert!(grown < 24 * 1024, "{grown} KiB");
    });
    // The header blocks, two kinds of bodies and the answers to nothing are hyper's to end.
    assert!(counted(&daemon, "h2_control_frames") >= 6);
    begun_and_cut(&app);
    let_go(&daemon);
}

#[test]
fn header_blocks_that_unpack_to_too_much_are_refused() {
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), "");
    let get = block(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "app.localhost"),
        (":path", "/good"),
    ]);
    let headers = |stream, block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, stream, block);
    // One entry of the dynamic table, and references to it.
    let mut bomb = get.clone();
    bomb.push(0x40);
    integer(&mut bomb, 7, 0, 1);
    bomb.push(b'x');
    integer(&mut bomb, 7, 0, 3900);
    bomb.extend([b'y'; 3900]);
    let small_bomb = [&bomb[..], &[0xbe; 6]].concat();
    bomb.extend([0xbe; 12_000]);
    let mut grown = Vec::new();
    integer(&mut grown, 5, 0x20, 1 << 20);
    let large = [get.clone(), field(b"x", &[b'y'; 16_300])].concat();
    let larger = [get.clone(), field(b"x", &[b'y'; 8000]), field(b"z", &[b'y'; 8350])].concat();
    let broken = Fate::Ended(Some(PROTOCOL_ERROR));
    beside(&daemon, || {
        let before = resident_kib(&daemon);
        for (name, bytes, fate) in [
            ("large", headers(1, &large), Fate::Answered(431)),
            (
                "two large",
                [
                    frame(HEADERS, END_STREAM, 1, &larger[..16_000]),
                    frame(CONTINUATION, END_HEADERS, 1, &larger[16_000..]),
                ]
                .concat(),
                Fate::Answered(431),
            ),
            ("small bomb", headers(1, &small_bomb), Fate::Answered(431)),
            ("bomb", headers(1, &bomb), Fate::Ended(Some(ENHANCE_YOUR_CALM))),
            ("table beyond its bound", headers(1, &[grown, get.clone()].concat()), broken),
            (
                "sizes back and forth",
                headers(1, &[&[0x20, 0x3f, 0xe1, 0x1f].repeat(4000), &get[..]].concat()),
                Fate::Answered(200),
            ),
            ("size after a field", headers(1, &[&get[..], &[0x20]].concat()), broken),
            ("index 0", headers(1, &[&get[..], &[0x80]].concat()), broken),
            ("index beyond the table", headers(1, &[&get[..], &[0xff, 0x7f]].concat()), broken),
            ("integer without end", headers(1, &[&get[..], &[0xff; 40]].concat()), broken),
            (
                "huffman padding",
                headers(1, &[&get[..], &[0, 1, b'x', 0x81, 0x00]].concat()),
                broken,
            ),
            ("unfinished", headers(1, &get[..get.len() - 1]), broken),
        ] {
            let mut client = H2::connect(&daemon);
            client.send(&bytes);
            assert_eq!(client.fate(1), fate, "{name}");
        }
        // Unpacked, one bomb is 47 MB.
        let grown = resident_kib(&daemon).saturating_sub(before);
        assert!(grown < 24 * 1024, "{grown} KiB");
    });
    let_go(&daemon);
}

/// A name, the fields of a request, and what becomes of it.
type OddRequest = (&'static str, Vec<(&'static str, &'static str)>, Fate);

fn odd_requests(reset: Fate, ended: Fate) -> Vec<OddRequest> {
    let (m, s, a, p) =
        ((":method", "GET"), (":scheme", "https"), (":authority", "app.localhost"), (":path", "/"));
    vec![
        ("good", vec![m, s, a, p], Fate::Answered(200)),
        ("host alone", vec![m, s, p, ("host", "app.localhost")], Fate::Answered(200)),
        ("host twice the same", vec![m, s, a, p, ("host", "app.localhost")], Fate::Answered(200)),
        ("pseudo after field", vec![m, s, a, ("x", "y"), p], reset),
        ("method twice", vec![m, m, s, a, p], reset),
        ("path twice", vec![m, s, a, p, p], reset),
        ("authority twice", vec![m, s, a, a, p], reset),
        ("no method", vec![s, a, p], reset),
        ("no scheme", vec![m, a, p], reset),
        ("no path", vec![m, s, a], reset),
        ("no authority", vec![m, s, p], Fate::Answered(400)),
        ("status", vec![m, s, a, p, (":status", "200")], reset),
        ("unknown pseudo", vec![m, s, a, p, (":x", "y")], ended),
        ("empty path", vec![m, s, a, (":path", "")], reset),
        ("no slash", vec![m, s, a, (":path", "x")], reset),
        ("absolute path", vec![m, s, a, (":path", "https://other/")], reset),
        ("space in path", vec![m, s, a, (":path", "/a b")], reset),
        ("fragment", vec![m, s, a, (":path", "/a#b")], Fate::Answered(200)),
        ("star", vec![m, s, a, (":path", "*")], Fate::Answered(400)),
        (
            "star with options",
            vec![(":method", "OPTIONS"), s, a, (":path", "*")],
            Fate::Answered(200),
        ),
        ("empty method", vec![(":method", ""), s, a, p], ended),
        ("method space", vec![(":method", "GET /x HTTP/1.1"), s, a, p], ended),
        ("scheme http", vec![m, (":scheme", "http"), a, p], Fate::Answered(200)),
        ("scheme odd", vec![m, (":scheme", "a b"), a, p], reset),
        ("other host", vec![m, s, a, p, ("host", "other.localhost")], Fate::Answered(400)),
        (
            "two hosts",
            vec![m, s, p, ("host", "app.localhost"), ("host", "other.localhost")],
            Fate::Answered(400),
        ),
        ("userinfo", vec![m, s, (":authority", "me@app.localhost"), p], Fate::Answered(400)),
        ("authority path", vec![m, s, (":authority", "app.localhost/x"), p], reset),
        ("connect", vec![(":method", "CONNECT"), a], Fate::Answered(405)),
        ("connect path", vec![(":method", "CONNECT"), s, a, p], reset),
        (
            "extended connect",
            vec![(":method", "CONNECT"), (":protocol", "websocket"), s, a, p],
            reset,
        ),
        ("protocol with get", vec![m, (":protocol", "websocket"), s, a, p], reset),
        ("te trailers", vec![m, s, a, p, ("te", "trailers")], Fate::Answered(200)),
        ("te", vec![m, s, a, p, ("te", "gzip")], reset),
        ("connection", vec![m, s, a, p, ("connection", "close")], reset),
        ("keep-alive", vec![m, s, a, p, ("keep-alive", "x")], reset),
        ("proxy-connection", vec![m, s, a, p, ("proxy-connection", "x")], reset),
        ("transfer-encoding", vec![m, s, a, p, ("transfer-encoding", "chunked")], reset),
        ("length without body", vec![m, s, a, p, ("content-length", "5")], reset),
        ("two lengths", vec![m, s, a, p, ("content-length", "0"), ("content-length", "1")], reset),
        ("length no number", vec![m, s, a, p, ("content-length", "+0")], reset),
        ("uppercase", vec![m, s, a, p, ("X", "y")], ended),
        ("lf", vec![m, s, a, p, ("x", "a\nb")], ended),
        ("cr", vec![m, s, a, p, ("x", "a\rb")], ended),
        ("nul", vec![m, s, a, p, ("x", "a\0b")], ended),
        ("lf path", vec![m, s, a, (":path", "/a\nb")], reset),
        ("empty name", vec![m, s, a, p, ("", "x")], ended),
        ("colon name", vec![m, s, a, p, ("a:b", "x")], ended),
        ("space name", vec![m, s, a, p, ("a b", "x")], ended),
        ("space value", vec![m, s, a, p, ("x", " a ")], Fate::Answered(200)),
    ]
}

#[test]
fn requests_that_are_none_are_refused_one_by_one() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    let (reset, ended) = (Fate::Reset(PROTOCOL_ERROR), Fate::Ended(Some(PROTOCOL_ERROR)));
    let mut served = 0;
    for (name, fields, fate) in &odd_requests(reset, ended) {
        let mut client = H2::connect(&daemon);
        client.send(bare(1, fields));
        assert_eq!(client.fate(1), *fate, "{name}");
        // Whoever keeps the connection can use it.
        client.get(3, "/");
        let next = if *fate == ended { Fate::Ended(None) } else { Fate::Answered(200) };
        assert_eq!(client.fate(3), next, "{name}");
        served += usize::from(*fate == Fate::Answered(200)) + usize::from(*fate != ended);
    }
    assert_eq!(app.requests().len(), served, "nothing that was refused has reached the app");
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    let get = |stream| request(stream, END_STREAM, "GET", "/", &[]);
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("even stream", get(2), PROTOCOL_ERROR),
        ("stream 0", get(0), PROTOCOL_ERROR),
        ("decreasing", [get(5), get(3)].concat(), PROTOCOL_ERROR),
        ("data on 0", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("data on idle", frame(DATA, 0, 9, b"x"), PROTOCOL_ERROR),
        ("reset of idle", rst(9), PROTOCOL_ERROR),
        ("reset of 0", rst(0), PROTOCOL_ERROR),
        ("window of idle", frame(WINDOW_UPDATE, 0, 9, &[0, 0, 0, 1]), PROTOCOL_ERROR),
        ("zero window of 0", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 0]), PROTOCOL_ERROR),
        ("window overflow", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), FLOW_CONTROL_ERROR),
        ("window short", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]), PROTOCOL_ERROR),
        ("settings on stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL_ERROR),
        ("settings odd", frame(SETTINGS, 0, 0, &[0; 5]), PROTOCOL_ERROR),
        ("settings ack payload", frame(SETTINGS, 1, 0, &[0; 6]), PROTOCOL_ERROR),
        ("settings window", frame(SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255]), PROTOCOL_ERROR),
        ("settings frame", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), PROTOCOL_ERROR),
        ("settings push", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 9]), PROTOCOL_ERROR),
        ("ping on stream", frame(PING, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("ping short", frame(PING, 0, 0, &[0; 7]), PROTOCOL_ERROR),
        ("goaway on stream", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("push", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), PROTOCOL_ERROR),
        ("continuation alone", frame(CONTINUATION, END_HEADERS, 1, &[]), PROTOCOL_ERROR),
        (
            "frame in block",
            [frame(HEADERS, END_STREAM, 1, &[]), frame(PING, 0, 0, &[0; 8])].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "other continuation",
            [frame(HEADERS, END_STREAM, 1, &[]), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
            PROTOCOL_ERROR,
        ),
        ("oversized", frame(DATA, 0, 1, &[0; 16_385]), FRAME_SIZE_ERROR),
        ("oversized settings", frame(SETTINGS, 0, 0, &[0; 16_386]), FRAME_SIZE_ERROR),
        ("padding", frame(HEADERS, END_HEADERS | 8, 1, &[9, 0]), PROTOCOL_ERROR),
    ];
    for (name, bytes, code) in cases {
        let mut client = H2::connect(&daemon);
        client.send(&bytes);
        client.send(get(7));
        assert_eq!(client.fate(7), Fate::Ended(Some(code)), "{name}");
    }
    let_go(&daemon);
}

#[test]
fn what_is_odd_but_no_attack_is_served() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "");
    let get = |stream| request(stream, END_STREAM, "GET", "/", &[]);
    let trailers = |fields: &[(&str, &str)]| {
        let post = request(1, 0, "POST", "/", &[]);
        [post, frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))].concat()
    };
    // Trailers end the body. Pseudo-headers among them are dropped by the library below hyper, and reach nobody.
    for (fields, fate) in [
        ([("x", "y")], Fate::Answered(200)),
        ([(":path", "/evil")], Fate::Answered(200)),
        ([("connection", "x")], Fate::Reset(PROTOCOL_ERROR)),
    ] {
        let mut client = H2::connect(&daemon);
        client.send(trailers(&fields));
        assert_eq!(client.fate(1), fate, "{fields:?}");
        client.send(get(7));
        assert_eq!(client.fate(7), Fate::Answered(200), "{fields:?}");
    }
    assert!(app.requests().iter().all(|seen| seen.target() == "/" && !seen.head.contains("evil")));
    // A client that says GOAWAY may still be answered, and ask.
    let mut client = H2::connect(&daemon);
    client.send([frame(GOAWAY, 0, 0, &[0; 8]), get(1)].concat());
    assert_eq!(client.fate(1), Fate::Answered(200));
}

#[test]
fn what_does_not_begin_as_http2_is_closed() {
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), "head = \"300ms\"\nkeep_alive = \"1h\"");
    let http1 = b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n".to_vec();
    for bytes in [http1, vec![0xff; 100], preface()[..10].to_vec()] {
        let mut client = H2::silent(&daemon);
        client.send(&bytes);
        client.end();
    }
    let_go(&daemon);
    assert_eq!(app.connections(), 0);
}

#[test]
fn a_header_block_that_does_not_end_is_cut_although_its_connection_is_busy() {
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), "head = \"300ms\"\nkeep_alive = \"1h\"");
    let begun: [&[u8]; 3] = [
        &frame(HEADERS, END_STREAM, 3, &[]),
        // Not even its own frame ends.
        &request(3, END_STREAM, "GET", "/", &[])[..20],
        &[frame(HEADERS, END_STREAM, 3, &[]), frame(CONTINUATION, 0, 3, &[])].concat(),
    ];
    beside(&daemon, || {
        for (number, begun) in (1..).zip(begun) {
            let mut client = H2::connect(&daemon);
            client.get(1, "/");
            assert_eq!(app.report(), "begun");
            client.send(begun);
            assert_eq!(client.end().goaway(), Some(ENHANCE_YOUR_CALM));
            assert_eq!(app.report(), "cut");
            assert_eq!(counted(&daemon, "h2_half_head"), number);
        }
    });
    let line = daemon.wait_for_event("http2_connection_ended");
    assert_eq!(line["reason"], "h2_half_head", "{line}");
    let_go(&daemon);
}

#[test]
fn pings_and_settings_keep_no_connection_open() {
    let silent = RawApp::start(holds);
    let daemon = Daemon::start(&format!(
        "[timeout]\nkeep_alive = \"600ms\"\nfirst_byte = \"200ms\"\n[site.\"app.localhost\"]\nupstream = \"{}\"\n\
         breaker = \"off\"",
        silent.address()
    ));
    let mut client = H2::connect(&daemon);
    let mut clock = daemon.http1();
    // Five each second and no more: what ends this is not the budget.
    let goodbye = loop {
        client.send([frame(SETTINGS, 0, 0, &[]), window(0, 1)].concat());
        match client.is_alive() {
            Ok(()) => {}
            Err(end) => break end,
        }
        if clock.get("app.localhost", "/clock").is_err() {
            clock = daemon.http1();
        }
    };
    assert_eq!(goodbye.goaway().unwrap_or(NO_ERROR), NO_ERROR);
    assert_eq!(counted(&daemon, "h2_control_frames"), 0);
}

#[test]
fn an_http2_client_that_stays_after_its_goaway_holds_up_no_stop() {
    let app = Upstream::text("ok");
    // Whoever waits for the grace time here waits for longer than the test does.
    let daemon = site(&app.address(), "grace = \"1h\"");
    let mut client = H2::connect(&daemon);
    client.get(1, "/");
    assert_eq!(client.fate(1), Fate::Answered(200));
    daemon.sigterm();
    client.wait(|frame| frame.kind == GOAWAY);
    // It answers nothing, and does not leave either.
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(daemon.wait_for_event("stopped")["connections_cut"], 0);
}

#[test]
fn answers_wait_for_their_window_and_arrive_when_it_opens() {
    let app = Upstream::text("0123456789");
    let daemon = site(&app.address(), "");
    let mut client = H2::connect(&daemon);
    beside(&daemon, || {
        client.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
        let streams = (0..100).map(|n| 2 * n + 1);
        for stream in streams.clone() {
            client.get(stream, "/");
        }
        for _ in streams.clone() {
            let first = client.wait(|frame| frame.stream != 0);
            assert_eq!(first.kind, HEADERS, "no byte of an answer without a window");
        }
        // One byte each, then the rest.
        client.send(streams.clone().flat_map(|stream| window(stream, 1)).collect::<Vec<u8>>());
        for _ in streams.clone() {
            assert_eq!(client.wait(|frame| frame.kind == DATA).payload, b"0");
        }
        client.send(streams.clone().flat_map(|stream| window(stream, 100)).collect::<Vec<u8>>());
        for _ in streams {
            assert_eq!(
                client.wait(|frame| frame.kind == DATA && !frame.payload.is_empty()).payload,
                b"123456789"
            );
        }
    });
}
