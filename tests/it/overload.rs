//! Too many connections: idle ones make room, then new ones are refused, and the control socket answers all the while
//! (promise 18).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Sender;

use crate::support::h2_raw::{Fate, H2};
use crate::support::wire::{RawApp, drain, head};
use crate::support::{Daemon, Upstream, deadline, left, plain};

fn site(app: &str, total: usize) -> Daemon {
    Daemon::start(&format!(
        "[connections]\ntotal = {total}\nper_ip = 10000\n[timeout]\nkeep_alive = \"1h\"\n\
         [site.\"app.localhost\"]\nupstream = \"{app}\""
    ))
}

/// A count of `/metrics`.
fn counted(daemon: &Daemon, name: &str) -> u64 {
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let count = metrics.lines().find_map(|line| line.strip_prefix(name));
    count.unwrap_or_else(|| panic!("no {name}: {metrics}")).trim().parse().expect("a count")
}

/// Asks on the plain port, and whether there was an answer.
fn asks(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
    head(stream).starts_with("HTTP/1.1 308")
}

#[test]
fn idle_connections_make_room_for_new_ones_the_oldest_first() {
    const TOTAL: usize = 2000;
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), TOTAL);
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..TOTAL + 300 {
        let mut stream = plain(daemon.http()).unwrap();
        assert!(asks(&mut stream), "number {number}");
        idle.push(stream);
    }
    // Control and new clients are served beside 2000 idle ones.
    let status = daemon.status();
    assert!(status["connections"]["open"].as_u64().unwrap() <= TOTAL as u64, "{status}");
    assert_eq!(status["connections"]["refused"], 0, "{status}");
    let mut new = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    assert_eq!(new.get("app.localhost", "/").unwrap().status, 200);
    assert!(counted(&daemon, "palisade_connections_ended_total{reason=\"crowded\"}") >= 300);
    // The oldest has gone, the newest has not.
    assert_eq!(idle[0].read(&mut [0; 1]).unwrap(), 0);
    assert!(asks(idle.last_mut().expect("there are some")));
}

/// Reports each request and never answers.
fn holds(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    if !head(&mut stream).is_empty() {
        let _ = reports.send("begun".into());
    }
    drain(&mut stream);
}

#[test]
fn new_connections_are_refused_when_nobody_is_idle() {
    const TOTAL: usize = 8;
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), TOTAL);
    let client = daemon.client().alpn(&["http/1.1"]);
    let mut busy: Vec<_> = (0..TOTAL)
        .map(|_| {
            let mut connection = client.connect(daemon.https(), "app.localhost").unwrap();
            connection.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
            assert_eq!(app.report(), "begun");
            connection
        })
        .collect();
    assert!(client.connect(daemon.https(), "app.localhost").is_err());
    assert_eq!(counted(&daemon, "palisade_connections_refused_total{cap=\"total\"}"), 1);
    assert_eq!(counted(&daemon, "palisade_connections_ended_total{reason=\"crowded\"}"), 0);
    assert_eq!(daemon.status()["connections"]["open"], TOTAL);
    // A place that is given up is there for the next one.
    drop(busy.pop());
    let ends = deadline();
    while client.connect(daemon.https(), "app.localhost").is_err() {
        assert!(!left(ends).is_zero(), "{}", daemon.status());
    }
}

#[test]
fn an_http2_client_gets_its_share_of_requests_while_every_place_is_taken() {
    const SHARE: u32 = 8;
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), 2);
    let mut client = H2::connect(&daemon);
    let begin = |client: &mut H2, streams: std::ops::Range<u32>| {
        for stream in streams {
            client.get(2 * stream + 1, "/");
            assert_eq!(app.report(), "begun");
        }
    };
    // With a place left there is no such share.
    begin(&mut client, 0..SHARE + 2);
    let mut other = daemon.http1();
    other.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    assert_eq!(app.report(), "begun");
    client.get(101, "/");
    assert_eq!(client.fate(101), Fate::Answered(503));
    assert_eq!(counted(&daemon, "palisade_denials_total{reason=\"overloaded\"}"), 1);
    drop(other);
    let ends = deadline();
    while daemon.status()["connections"]["open"] != 1 {
        assert!(!left(ends).is_zero(), "{}", daemon.status());
    }
    begin(&mut client, 60..61);
}

#[test]
fn requests_of_few_http2_clients_do_not_take_the_descriptors_of_everybody() {
    const SHARE: u32 = 8;
    const BEYOND: u32 = 100;
    let app = RawApp::start(holds);
    let daemon = site(&app.address(), 20);
    let begin = |client: &mut H2, streams: u32| {
        for stream in 0..streams {
            client.get(2 * stream + 1, "/");
            assert_eq!(app.report(), "begun");
        }
    };
    let (mut greedy, mut other) = (H2::connect(&daemon), H2::connect(&daemon));
    begin(&mut greedy, SHARE + 60);
    begin(&mut other, SHARE + BEYOND - 60);
    other.get(201, "/");
    assert_eq!(other.fate(201), Fate::Answered(503));
    // Who asks for little is answered all the while.
    begin(&mut H2::connect(&daemon), SHARE);
    drop(greedy);
    let ends = deadline();
    while daemon.status()["connections"]["open"] != 1 {
        assert!(!left(ends).is_zero(), "{}", daemon.status());
    }
    other.get(203, "/");
    assert_eq!(app.report(), "begun");
}

#[test]
fn idle_connections_make_room_when_there_are_no_descriptors() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let app = Upstream::text("ok");
    let daemon = site(&app.address(), 2000);
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        let mut stream = plain(daemon.http()).unwrap();
        assert!(asks(&mut stream));
        idle.push(stream);
    }
    // The lowest number that is free: no descriptor is given out any more.
    let fds: Vec<u64> = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid()))
        .unwrap()
        .map(|fd| fd.unwrap().file_name().to_string_lossy().parse().unwrap())
        .collect();
    let free = (0..).find(|number| !fds.contains(number));
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: free, maximum }).unwrap();
    let mut new = plain(daemon.http()).unwrap();
    assert!(asks(&mut new));
    daemon.wait_for_event("accept_failed");
    assert!(counted(&daemon, "palisade_connections_ended_total{reason=\"no_files\"}") >= 1);
    assert_eq!(idle[0].read(&mut [0; 1]).unwrap(), 0, "the oldest has gone");
    assert_eq!(daemon.status()["state"], "ready");
}
