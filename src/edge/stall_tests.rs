//! A client that reads one HTTP/2 stream and lets another drip, with a clock that the test turns.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use super::sample::{self, Client, Edge};
use crate::ports::fake::FakeClock;

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
/// What the client lets a stream send at a time.
const WINDOW: u32 = 10;

/// An app that answers `/slow` with chunks as long as the window, without end, and everything else with `ok`.
fn app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read) = stream.read(&mut buffer) {
                    if read == 0 {
                        return;
                    }
                    if !buffer[..read].starts_with(b"GET /slow ") {
                        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        stream.write_all(ok).expect("sent");
                        continue;
                    }
                    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                    stream.write_all(head).expect("sent");
                    while stream.write_all(b"a\r\n0123456789\r\n").is_ok() {}
                }
            });
        }
    });
    addr
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "app.localhost"),
        (":path", path),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(1, 5, stream, &block)
}

/// Kind and stream of the next frame that is DATA or RST_STREAM.
fn next(client: &mut Client) -> (u8, u32) {
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).expect("a frame");
        let [a, b, c, kind, _, s, t, u, v] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        client.read_exact(&mut payload).expect("its payload");
        if matches!(kind, DATA | RST_STREAM) {
            return (kind, u32::from_be_bytes([s, t, u, v]));
        }
    }
}

#[test]
fn a_stream_that_drips_beside_a_fast_one_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(FakeClock::at(Duration::from_secs(1_795_292_266)));
    let sites = format!("[site.\"app.localhost\"]\nupstream = \"{}\"\n", app());
    let places = Arc::new(sample::NoActions);
    let edge = Edge::start_with(dir.path(), ("app.localhost", &sites), clock.clone(), places);
    let mut client = sample::client(edge.https, &edge.roots, "app.localhost", &["h2"]);
    let settings = [&[0, 4][..], &WINDOW.to_be_bytes()].concat();
    let begin =
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &settings), get(1, "/slow")];
    client.write_all(&begin.concat()).expect("sent");
    assert_eq!(next(&mut client), (DATA, 1));
    let mut rounds = 0;
    for fast in (3..).step_by(2) {
        clock.advance(Duration::from_secs(29));
        // A request tells the worker what time it is, and gets its answer.
        client.write_all(&get(fast, "/fast")).expect("sent");
        assert_eq!(next(&mut client), (DATA, fast));
        client.write_all(&frame(8, 0, 1, &WINDOW.to_be_bytes())).expect("sent");
        rounds += 1;
        match next(&mut client) {
            (RST_STREAM, 1) => break,
            more => assert_eq!(more, (DATA, 1), "in round {rounds}"),
        }
        assert!(rounds < 10, "it goes on at a third of a byte a second");
    }
    assert!(rounds > 1, "nobody is judged before 30 s of waiting");
    drop(client);
    let log = edge.stop(dir.path());
    assert!(log.contains("\"aborted\":\"client_slow\""), "{log}");
}
