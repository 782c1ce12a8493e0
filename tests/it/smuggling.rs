//! The corpus of requests that two parsers could read differently, over both doors, whole and in pieces, with a victim
//! behind each (promises 10, 11, 13, 14, 19, 21). The notation is told in `tests/fixtures/http/README.md`.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use crate::support::notation::unescaped;
use crate::support::wire::{END_STREAM, HEADERS, await_frame, request as h2_request};
use crate::support::{Connection, Daemon, Link, Seen, Upstream, plain};

const HOST: &str = "Host: app.localhost\r\n";

/// One case of the corpus.
#[derive(Debug, Default)]
struct Case {
    name: String,
    send: Vec<u8>,
    /// Status, and the reason in the log where palisade refuses.
    answers: Vec<(u16, Option<String>)>,
    app: Vec<Vec<u8>>,
    guarded: Vec<Vec<u8>>,
    open: bool,
    /// Too long to be sent byte by byte.
    whole: bool,
    /// The plain port redirects it: routes are looked at later.
    redirected: bool,
}

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/http").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if word == "case" {
            cases.push(Case { name: rest.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a case first");
        match word {
            "send" => case.send.extend(unescaped(rest)),
            "answer" => {
                let (status, label) = match rest.split_once(' ') {
                    Some((status, label)) => (status, Some(label.to_owned())),
                    None => (rest, None),
                };
                case.answers.push((status.parse().unwrap(), label));
            }
            "app" => case.app.push(unescaped(rest)),
            "guarded" => case.guarded.push(unescaped(rest)),
            "open" => case.open = true,
            "whole" => case.whole = true,
            "redirected" => case.redirected = true,
            _ => panic!("{file}: {line}"),
        }
    }
    cases
}

/// What palisade says to every app, and what is different each time.
fn is_own(name: &str) -> bool {
    name.starts_with("x-forwarded-")
        || matches!(
            name,
            "forwarded" | "x-request-id" | "traceparent" | "content-length" | "transfer-encoding"
        )
}

/// What an app has seen, in the notation of the corpus: request line, further fields, body. The framing must be one.
fn told(seen: &Seen) -> Vec<u8> {
    let mut framing = 0;
    let mut fields = Vec::new();
    for line in seen.head.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a field");
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        framing += usize::from(matches!(name.as_str(), "content-length" | "transfer-encoding"));
        let asked = name == "host" && value == "app.localhost";
        if !is_own(&name) && !asked {
            fields.push(format!("{name}={value} "));
        }
    }
    assert!(framing <= 1, "{}", seen.head);
    assert_eq!(seen.fields("host").len(), 1, "{}", seen.head);
    fields.sort();
    let line = format!("{} {} {}[", seen.method(), seen.target(), fields.concat());
    [line.as_bytes(), &seen.body, b"]"].concat()
}

/// Says back what it was asked, so that everybody knows whose answer it is.
fn echo(seen: &Seen, link: &mut Link) {
    let body = [seen.method(), " ", seen.target(), " "].concat().into_bytes();
    link.answer("200 OK", &[], [body, seen.body.clone()].concat());
}

struct Site {
    app: Upstream,
    guarded: Upstream,
    daemon: Daemon,
}

impl Site {
    fn new() -> Self {
        let (app, guarded) = (Upstream::start(echo), Upstream::start(echo));
        let daemon = Daemon::start(&format!(
            "[site.\"app.localhost\"]\nupstream = \"{}\"\n\
             [site.\"app.localhost\".route.\"/admin\"]\nupstream = \"{}\"\n\
             [site.\"app.localhost\".route.\"/objects\"]\nencoded_slashes = \"pass\"\n",
            app.address(),
            guarded.address()
        ));
        Self { app, guarded, daemon }
    }

    /// Another client asks for its own page and gets it.
    fn victim(&self, number: &str, on: Option<&mut Connection>) {
        let path = format!("/victim/{number}");
        let answer = match on {
            Some(connection) => connection.get("app.localhost", &path).unwrap(),
            None => self.daemon.http1().get("app.localhost", &path).unwrap(),
        };
        assert_eq!(
            (answer.status, answer.text()),
            (200, format!("GET {path} ")),
            "the victim's page"
        );
    }

    fn log(&self, request_id: &str, label: &str) {
        let line = self.daemon.wait_for_line(|line| line["request_id"] == request_id);
        assert_eq!(line["denied"], label, "{line}");
        assert!(line["why"].as_str().is_some_and(|why| !why.is_empty()), "{line}");
    }

    fn play(&self, case: &Case, number: usize, pieces: &[&[u8]], how: &str) {
        let name = format!("{} ({how})", case.name);
        let before = (self.app.requests().len(), self.guarded.requests().len());
        let mut connection = self.daemon.http1();
        for piece in pieces {
            let _ = connection.send(piece);
        }
        if !case.open {
            let _ = connection.send(format!("GET /smuggled HTTP/1.1\r\n{HOST}\r\n"));
        }
        let method =
            String::from_utf8_lossy(&case.send).split(' ').next().unwrap_or_default().to_owned();
        for (status, label) in &case.answers {
            let answer =
                connection.answer(&method).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(answer.status, *status, "{name}: {}", answer.head);
            assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{name}");
            if let Some(label) = label {
                self.log(answer.field("x-request-id").expect(&name), label);
            }
        }
        if case.open {
            self.victim(&format!("{number}/same"), Some(&mut connection));
        } else {
            assert_eq!(String::from_utf8_lossy(&connection.rest()), "", "{name}: closed");
        }
        if how == "whole" {
            self.victim(&format!("{number}/other"), None);
        }
        let seen = |app: &Upstream, before: usize| {
            let seen = app.requests().into_iter().skip(before);
            let seen = seen.filter(|seen| !seen.target().starts_with("/victim"));
            seen.map(|seen| String::from_utf8_lossy(&told(&seen)).into_owned()).collect::<Vec<_>>()
        };
        let wanted = |requests: &[Vec<u8>]| {
            requests
                .iter()
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&self.app, before.0), wanted(&case.app), "{name}");
        assert_eq!(seen(&self.guarded, before.1), wanted(&case.guarded), "{name}");
    }

    /// On the plain port, where nothing but refusals differs from a redirect.
    fn play_plain(&self, case: &Case) {
        let Some((status, Some(label))) = case.answers.first() else { return };
        if label == "method" {
            return; // a redirect comes first
        }
        let mut stream = plain(self.daemon.http()).unwrap();
        let _ = stream.write_all(&case.send);
        let _ = stream.write_all(format!("GET /smuggled HTTP/1.1\r\n{HOST}\r\n").as_bytes());
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{}: {head:?}", case.name);
        }
        // A fault in a body comes behind the head, which was redirected before.
        let status = if label == "bad_chunk" || case.redirected { 308 } else { *status };
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{}: {head}", case.name);
        if !case.open {
            let mut rest = String::new();
            let _ = reader.read_to_string(&mut rest);
            assert!(!rest.contains("HTTP/1.1"), "{}: {rest}", case.name);
        }
    }
}

/// Pieces of random sizes; the seed is printed with whatever fails.
fn pieces(bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut state = seed | 1;
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let most = if bytes.len() > 1000 { 4000 } else { 40 };
        let size = usize::try_from(state >> 33).unwrap() % most + 1;
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

fn play(file: &str) {
    let site = Site::new();
    let seed = RandomState::new().build_hasher().finish();
    let all = cases(file);
    assert!(all.len() > 20, "{file}");
    for (number, case) in all.iter().enumerate() {
        site.play(case, number, &[&case.send], "whole");
        if !case.whole && case.send.len() < 2000 {
            let bytes: Vec<&[u8]> = case.send.chunks(1).collect();
            site.play(case, number, &bytes, "byte by byte");
        }
        site.play(case, number, &pieces(&case.send, seed), &format!("in pieces, seed {seed}"));
        site.play_plain(case);
    }
    let requests = site.app.requests();
    assert!(requests.iter().all(|seen| !seen.target().contains("smuggled")), "{requests:#?}");
}

#[test]
fn nobody_disagrees_about_the_end_of_a_body() {
    play("framing.txt");
}

#[test]
fn nobody_disagrees_about_chunks() {
    play("chunks.txt");
}

#[test]
fn nobody_disagrees_about_lines_and_fields() {
    play("lines.txt");
}

#[test]
fn nobody_disagrees_about_targets_hosts_and_paths() {
    play("targets.txt");
}

#[test]
fn http2_paths_are_settled_like_those_of_http1() {
    let site = Site::new();
    let mut connection = site.daemon.http2();
    let paths =
        ["/x/../%61dmin?q", "//admin/y", "/admin/../z", "/x/..;/admin", "/a%2fb", "/?%zz", "*"];
    for (stream, path) in (1..).step_by(2).zip(paths) {
        connection.send(h2_request(stream, END_STREAM, "GET", path, &[])).unwrap();
        await_frame(&mut connection, |frame| frame.stream == stream && frame.kind == HEADERS);
    }
    let targets = |app: &Upstream| {
        app.requests().iter().map(|seen| seen.target().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(targets(&site.guarded), ["/admin?q", "//admin/y"]);
    assert_eq!(targets(&site.app), ["/z"]);
    let refused = site.daemon.wait_for_requests(7);
    assert_eq!(refused.iter().filter(|line| line["denied"] == "bad_path").count(), 4);
}

#[test]
fn a_client_that_wants_json_is_refused_in_json() {
    let site = Site::new();
    let mut connection = site.daemon.http1();
    let bad = "GET /a HTTP/1.1\r\nAccept: application/json\r\nHost : x\r\n\r\n";
    connection.send(bad).unwrap();
    let answer = connection.answer("GET").unwrap();
    assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{}", answer.head);
    let line = site.daemon.wait_for_requests(1).remove(0);
    assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("GET"), Some("/a")));
    // What could not be read is not made up.
    let mut connection = site.daemon.http1();
    connection.send("\u{1}\r\n\r\n").unwrap();
    assert_eq!(connection.answer("GET").unwrap().status, 400);
    let line = site.daemon.wait_for_requests(2).remove(1);
    assert_eq!((line["method"].as_str(), line["path"].as_str()), (Some("-"), Some("-")));
}

#[test]
fn early_bytes_of_a_tunnel_are_not_judged_however_they_come() {
    let app = Upstream::start(|_, link| {
        link.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let mut all = Vec::new();
        while !all.ends_with(b"\xff\0\r\n!") {
            let some = link.receive();
            if some.is_empty() {
                return;
            }
            all.extend(some);
        }
        link.send([&all[..], b"."].concat());
        link.close();
    });
    let daemon = Daemon::site("app.localhost", &app.address());
    let handshake = format!(
        "GET /ws HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let bytes = [handshake.as_bytes(), b"\x01\nno: http\xff\0\r\n!"].concat();
    for pieces in [vec![&bytes[..]], bytes.chunks(1).collect(), bytes.chunks(7).collect()] {
        let mut connection = daemon.http1();
        for piece in pieces {
            connection.send(piece).unwrap();
        }
        assert_eq!(connection.answer("GET").unwrap().status, 101);
        let mut back = vec![0; 16];
        connection.read_exact(&mut back).unwrap();
        assert_eq!(back, b"\x01\nno: http\xff\0\r\n!.");
    }
}
