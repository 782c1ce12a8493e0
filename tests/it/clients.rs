//! Clients as they are in the world: many at once, large bodies, load generators, WebSockets.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::support::{Daemon, Service, Upstream, digest, palisade, peer, python};

/// Bytes that differ from place to place and from `seed` to `seed`.
fn pattern(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.truncate(bytes);
    all
}

#[test]
fn a_hundred_downloads_at_once_arrive_whole() {
    const BYTES: usize = 500_000;
    let app = Upstream::start(|seen, link| {
        let number = seen.target().rsplit('/').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        link.answer("200 OK", &[], pattern(number, BYTES));
    });
    let daemon = Daemon::site("app.localhost", &app.address());
    for (protocol, dir) in [("--http1.1", "h1"), ("--http2", "h2")] {
        fs::create_dir(daemon.place().path(dir)).unwrap();
        let target = daemon.place().path(dir).join("#1").display().to_string();
        let answer = daemon.curl(&[
            protocol,
            "--parallel",
            "--parallel-immediate",
            "--parallel-max",
            "100",
            "https://app.localhost/file/[1-100]",
            "--output",
            &target,
        ]);
        assert_eq!(answer.exit, 0, "{answer:?}");
        for number in 1..=100 {
            let got = fs::read(daemon.place().path(dir).join(number.to_string())).unwrap();
            assert_eq!(digest(&got), digest(&pattern(number, BYTES)), "{protocol} {number}");
        }
    }
    let lines = daemon.wait_for_requests(200);
    assert!(lines.iter().all(|line| line["response_bytes"] == BYTES), "{:?}", lines.last());
}

/// The most memory that the process has ever had, in KiB (proc(5)).
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn large_file(path: &Path, megabytes: usize) -> u64 {
    let block = pattern(7, 1_000_000);
    let mut file = BufWriter::new(File::create(path).unwrap());
    for _ in 0..megabytes {
        file.write_all(&block).unwrap();
    }
    file.flush().unwrap();
    digest(&fs::read(path).unwrap())
}

#[test]
fn an_upload_of_100_mb_streams_through_in_little_memory() {
    let app = Upstream::start(|seen, link| {
        link.answer("200 OK", &[], format!("{} {}", seen.body_bytes, seen.body_digest));
    });
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\nbody_max = \"off\"\n",
        app.address()
    ));
    let path = daemon.place().path("upload");
    let sum = large_file(&path, 100);
    let file = path.display().to_string();
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 200);
    let before = peak_kib(daemon.pid());
    for protocol in ["--http1.1", "--http2"] {
        let answer = daemon.curl(&[protocol, "--upload-file", &file, "https://app.localhost/"]);
        assert_eq!(answer.text(), format!("100000000 {sum}"), "{protocol}: {}", answer.errors);
    }
    let grown = peak_kib(daemon.pid()) - before;
    assert!(grown < 20 * 1024, "memory grew by {grown} KiB");
}

#[test]
fn a_download_of_100_mb_streams_through_in_little_memory() {
    let block = pattern(7, 1_000_000);
    let app = Upstream::start(move |_, link| {
        link.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        for _ in 0..100 {
            link.send(&block);
        }
    });
    let daemon = Daemon::site("app.localhost", &app.address());
    let before = peak_kib(daemon.pid());
    let path = daemon.place().path("download").display().to_string();
    let answer = daemon.curl(&["--output", &path, "https://app.localhost/"]);
    assert_eq!(answer.exit, 0, "{answer:?}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 100_000_000);
    let grown = peak_kib(daemon.pid()) - before;
    assert!(grown < 20 * 1024, "memory grew by {grown} KiB");
}

#[test]
fn a_load_generator_gets_only_2xx() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let url = format!("https://app.localhost:{}/", daemon.https().port());
    let to = format!("--connect-to={}", daemon.https());
    for more in [&["-m", "10"][..], &["--h1"]] {
        let mut load = peer("h2load", "apt-get install nghttp2-client");
        let exit = palisade(load.args(["-n", "2000", "-c", "10"]).args(more).args([&to, &url]));
        assert_eq!(exit.code, 0, "{exit:?}");
        assert!(exit.out.contains("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{}", exit.out);
        assert!(exit.out.contains("0 failed, 0 errored, 0 timeout"), "{}", exit.out);
    }
    let lines = daemon.wait_for_requests(4000);
    assert_eq!(lines.len(), 4000, "one line per request");
    let mut ids: Vec<&str> = lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4000, "each request has its own id");
}

/// The echo app of Python, and a daemon in front of it.
fn echo(more: &str) -> (Service, Daemon) {
    let app = Service::start(&mut python(include_str!("support/echo.py")));
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:{}\"\n{more}",
        app.first_line
    ));
    (app, daemon)
}

fn talk(daemon: &Daemon, origin: &str) -> String {
    let mut client = python(include_str!("support/talk.py"));
    client.arg(daemon.https().port().to_string()).arg(daemon.root()).arg(origin);
    let exit = palisade(&mut client);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit.out.trim().to_owned()
}

#[test]
fn a_websocket_carries_texts_bytes_pings_and_the_close_code() {
    let (_app, daemon) = echo("");
    assert_eq!(talk(&daemon, ""), "closed-4001");
    let own = format!("https://app.localhost:{}", daemon.https().port());
    assert_eq!(talk(&daemon, &own), "closed-4001");
    let line = daemon.wait_for_requests(2).remove(0);
    assert_eq!((line["path"].as_str(), line["status_code"].as_u64()), (Some("/echo"), Some(101)));
}

#[test]
fn a_page_of_another_site_gets_no_websocket_unless_it_is_named() {
    let (_app, daemon) = echo("websocket_origins = [\"https://shop.example.com\"]");
    assert_eq!(talk(&daemon, "https://evil.example"), "refused-403");
    assert_eq!(talk(&daemon, "null"), "refused-403");
    assert_eq!(talk(&daemon, "https://shop.example.com"), "closed-4001");
    let line = daemon.wait_for_line(|line| line["status_code"] == 403);
    assert_eq!(line["denied"], "foreign_origin", "{line}");
    assert!(line["why"].as_str().unwrap().contains("https://evil.example"), "{line}");
}

#[test]
fn a_websocket_stays_open_across_a_reload() {
    let (_app, daemon) = echo("");
    let mut socket = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    socket
        .send(
            "GET /echo HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let answer = socket.answer("GET").unwrap();
    assert_eq!(answer.status, 101, "{}", answer.head);
    // RFC 6455 §1.3: the answer to exactly this key.
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for _ in 0..2 {
        // One masked text frame "hi" with a mask of zeros, and the same back without one.
        socket.send([0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).unwrap();
        assert_eq!(socket.read_until("hi").unwrap().as_bytes().last(), Some(&b'i'));
        daemon.reload();
    }
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let app = Upstream::start(|_, link| link.answer("426 Upgrade Required", &[], "no"));
    let daemon = Daemon::site("app.localhost", &app.address());
    let answer = daemon.curl(&[
        "--http1.1",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "https://app.localhost/",
    ]);
    assert_eq!((answer.status, answer.text().as_str()), (426, "no"));
    assert_eq!(answer.field("x-frame-options"), Some("SAMEORIGIN"));
}
