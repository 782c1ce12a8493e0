//! What the inspector costs per request: `cargo bench --bench inspect`.
//!
//! Bounds: about a second of one core; no file, no socket.
#![expect(clippy::print_stdout, reason = "shows its figures to whoever runs it")]

use std::hint::black_box;

use palisade::edge::inspect::{Gate, Limits};
use palisade::ports::Clock;
use palisade::ports::system::SystemClock;

const LIMITS: Limits = Limits { head_max: 65_536, fields_max: 100, uri_max: 8192 };
const ROUNDS: u32 = 200_000;

/// What a browser sends for a page.
const BROWSER: &str = "GET /articles/2026/a-page-about-something?from=start&n=3 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Cookie: session=3f9c1f5e0b7a4d6c8e2f1a0b9c8d7e6f; theme=dark\r\n\
    Connection: keep-alive\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\r\n";
const SMALL: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

fn main() {
    let upload = format!(
        "POST /upload HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        format!("2000\r\n{}\r\n", "x".repeat(0x2000)).repeat(8)
    );
    for (name, bytes) in
        [("small GET", SMALL), ("browser's GET", BROWSER), ("64 KiB in 8 chunks", &upload)]
    {
        let mut gate = Gate::new(LIMITS);
        let start = SystemClock.now();
        for _ in 0..ROUNDS {
            black_box(gate.look(black_box(bytes.as_bytes())));
        }
        let ns = start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS);
        println!("{name}, {} bytes whole: {ns:.0} ns", bytes.len());
    }
    let start = SystemClock.now();
    let mut gate = Gate::new(LIMITS);
    for _ in 0..ROUNDS / 20 {
        gate.look(black_box(BROWSER.as_bytes().first_chunk::<1>().unwrap_or(b"G")));
        for byte in BROWSER.as_bytes().iter().skip(1) {
            gate.add(black_box(&[*byte]));
        }
        gate.took(black_box(gate.ready().len()));
    }
    let ns = start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS / 20);
    println!("browser's GET byte by byte: {ns:.0} ns");
}
