//! A hundred reloads under load (promises 22, 58): the connections of a site that none of them changes live from the
//! first to the last, and every request on them is answered.
//!
//! Nothing here waits for time: a reload comes when every client has had its answers since the one before.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use crate::support::h2_raw::H2;
use crate::support::wire::{DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM, WINDOW_UPDATE, frame};
use crate::support::{Daemon, Link, Seen, Upstream, deadline, left};

const RELOADS: usize = 100;
/// Every so many the file is broken.
const BROKEN_EVERY: usize = 10;
/// Answers that every client gets between two reloads.
const ANSWERS: usize = 3;

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Says back what it was asked; on `/ws`, whatever it is sent.
fn echo(seen: &Seen, link: &mut Link) {
    if seen.target() != "/ws" {
        link.answer("200 OK", &[], seen.target());
        return;
    }
    link.send(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    loop {
        let some = link.receive();
        if some.is_empty() {
            return;
        }
        link.send(some);
    }
}

/// The file before reload `number`: as it was, another app for another site, one upstream more or less for a third.
fn file(app: &str, number: usize) -> String {
    let unchanged = format!("[site.\"app.localhost\"]\nupstream = \"{app}\"\n");
    let port = 1 + number / 4 % 2;
    let other = format!("[site.\"other.localhost\"]\nupstream = \"127.0.0.1:{port}\"\n");
    let more = if number % 4 < 2 { "" } else { ", \"127.0.0.1:4\"" };
    let third = format!("[site.\"third.localhost\"]\nupstream = [\"127.0.0.1:3\"{more}]\n");
    let broken = if is_broken(number) { "upsteam = \"127.0.0.1:5\"\n" } else { "" };
    format!("{unchanged}{other}{third}{broken}")
}

const fn is_broken(number: usize) -> bool {
    number % BROKEN_EVERY == BROKEN_EVERY - 1
}

/// One client: asks and asks on its one connection until it is told to stop, and counts its answers.
struct Clients<'a> {
    daemon: &'a Daemon,
    stop: AtomicBool,
}

impl Clients<'_> {
    fn goes_on(&self, answers: &AtomicUsize) -> bool {
        answers.fetch_add(1, Ordering::SeqCst);
        !self.stop.load(Ordering::SeqCst)
    }

    fn http1(&self, name: &str, answers: &AtomicUsize) {
        let mut connection = self.daemon.http1();
        for number in 0.. {
            let path = format!("/{name}/{number}");
            let answer = connection.get("app.localhost", &path).expect("the connection stays");
            assert_eq!((answer.status, answer.text()), (200, path), "{}", answer.head);
            assert_eq!(answer.field("connection"), None, "nobody is sent away");
            if !self.goes_on(answers) {
                return;
            }
        }
    }

    fn http2(&self, name: &str, answers: &AtomicUsize) {
        let mut connection = H2::connect(self.daemon);
        // Room for every answer of this test.
        assert!(connection.send(frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes())));
        for number in 0.. {
            let (stream, path) = (2 * number + 1, format!("/{name}/{number}"));
            assert!(connection.get(stream, &path), "the connection stays");
            let (mut body, mut head) = (Vec::new(), false);
            loop {
                let frame = connection.next().expect("the connection stays");
                assert!(![GOAWAY, RST_STREAM].contains(&frame.kind), "{frame:?}");
                if frame.stream != stream {
                    continue;
                }
                match frame.kind {
                    // A status 200 is one byte of the static table (RFC 7541, appendix A).
                    HEADERS => {
                        assert_eq!(frame.payload.first(), Some(&0x88), "200");
                        head = true;
                    }
                    DATA => body.extend_from_slice(&frame.payload),
                    _ => {}
                }
                if frame.flags & END_STREAM != 0 {
                    break;
                }
            }
            assert!(
                head && body == path.as_bytes(),
                "{path}: {:?}",
                String::from_utf8_lossy(&body)
            );
            if !self.goes_on(answers) {
                return;
            }
        }
    }

    fn websocket(&self, name: &str, answers: &AtomicUsize) {
        let mut connection = self.daemon.http1();
        connection.send(HANDSHAKE).unwrap();
        assert_eq!(connection.answer("GET").unwrap().status, 101);
        for number in 0.. {
            let word = format!("{name} {number}.");
            connection.send(&word).expect("the tunnel stays");
            assert_eq!(connection.read_until(".").expect("the tunnel stays"), word);
            if !self.goes_on(answers) {
                return;
            }
        }
    }
}

/// Returns when every client has had its answers; a client that has ended fails the test.
fn let_them_ask(answers: &[AtomicUsize], running: &[ScopedJoinHandle<'_, ()>]) {
    let now = |one: &AtomicUsize| one.load(Ordering::SeqCst);
    let wanted: Vec<usize> = answers.iter().map(|one| now(one) + ANSWERS).collect();
    let ends = deadline();
    while answers.iter().zip(&wanted).any(|(one, wanted)| now(one) < *wanted) {
        assert!(!running.iter().any(ScopedJoinHandle::is_finished), "a client has ended");
        assert!(!left(ends).is_zero(), "{answers:?}, wanted {wanted:?}");
        std::thread::yield_now();
    }
}

/// Tells the clients to stop also when the test fails: they would be waited for otherwise.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_hundred_reloads_cut_no_connection_of_an_unchanged_site() {
    let app = Upstream::start(echo);
    let daemon = Daemon::start(&file(&app.address(), 0));
    let clients = Clients { daemon: &daemon, stop: AtomicBool::new(false) };
    let answers: [AtomicUsize; 6] = Default::default();
    let [first, second, third, fourth, fifth, sixth] = &answers;
    let mut refused = 0;
    std::thread::scope(|scope| {
        let stops = Stops(&clients.stop);
        let running = [
            scope.spawn(|| clients.http1("a", first)),
            scope.spawn(|| clients.http1("b", second)),
            scope.spawn(|| clients.http2("c", third)),
            scope.spawn(|| clients.http2("d", fourth)),
            scope.spawn(|| clients.websocket("e", fifth)),
            scope.spawn(|| clients.websocket("f", sixth)),
        ];
        for number in 0..RELOADS {
            let_them_ask(&answers, &running);
            daemon.place().configure(&file(&app.address(), number));
            let exit = daemon.cli(&["reload"]);
            let code = if is_broken(number) { 78 } else { 0 };
            assert_eq!(exit.code, code, "reload {number}: {exit:?}");
            refused += usize::from(is_broken(number));
        }
        let_them_ask(&answers, &running);
        drop(stops);
        running.into_iter().for_each(|client| client.join().expect("a client that was served"));
    });
    assert_eq!(refused, RELOADS / BROKEN_EVERY);
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains(&format!("palisade_reloads_refused_total {refused}\n")), "{metrics}");
    let served: usize = answers[..4].iter().map(|one| one.load(Ordering::SeqCst)).sum();
    let lines = daemon.wait_for_requests(served);
    let failed: Vec<_> = lines
        .iter()
        .filter(|line| !matches!(line["status_code"].as_u64(), Some(200 | 101)))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
}
