//! A client of HTTP/2 that sends any frame whatsoever, and tells how it was received.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::wire::{
    END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, RST_STREAM, await_frame, frame, preface,
    read_frame, request,
};
use super::{Connection, Daemon};

pub const PRIORITY: u8 = 2;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection after its handshake.
pub struct H2 {
    inner: Connection,
}

/// Everything that came until the end of a connection.
#[derive(Debug)]
pub struct End {
    pub frames: Vec<Frame>,
}

fn code(frame: &Frame, at: usize) -> u32 {
    let bytes = frame.payload[at..at + 4].try_into().expect("four bytes");
    u32::from_be_bytes(bytes)
}

impl End {
    /// The code of the last GOAWAY.
    pub fn goaway(&self) -> Option<u32> {
        let last = self.frames.iter().rev().find(|frame| frame.kind == GOAWAY)?;
        Some(code(last, 4))
    }
}

/// What became of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was answered with this status, or another that stands in no static table (0).
    Answered(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// The connection ended, with the code of its GOAWAY.
    Ended(Option<u32>),
}

impl H2 {
    /// Nothing is said yet.
    pub fn silent(daemon: &Daemon) -> Self {
        let inner = daemon.client().alpn(&["h2"]).connect(daemon.https(), "app.localhost").unwrap();
        assert_eq!(inner.protocol().as_deref(), Some("h2"));
        Self { inner }
    }

    /// With preface and SETTINGS.
    pub fn connect(daemon: &Daemon) -> Self {
        let mut client = Self::silent(daemon);
        assert!(client.send(preface()));
        client
    }

    /// Whether the server still listens.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.inner.send(bytes).is_ok()
    }

    /// Sends the same `times` over, or until the server has had enough.
    pub fn flood(&mut self, bytes: &[u8], times: usize) {
        let many = bytes.repeat(100);
        for _ in 0..times.div_ceil(100) {
            if !self.send(&many) {
                return;
            }
        }
    }

    /// GET of `path` on a stream.
    pub fn get(&mut self, stream: u32, path: &str) -> bool {
        self.send(request(stream, END_STREAM, "GET", path, &[]))
    }

    /// The next frame; `None` at the end.
    pub fn next(&mut self) -> Option<Frame> {
        read_frame(&mut self.inner).ok()
    }

    /// The next frame that is wanted.
    pub fn wait(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        await_frame(&mut self.inner, wanted)
    }

    /// Waits for the first word about a stream.
    pub fn fate(&mut self, stream: u32) -> Fate {
        let mut goaway = None;
        while let Some(frame) = self.next() {
            match frame.kind {
                HEADERS if frame.stream == stream => return Fate::Answered(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Fate::Reset(code(&frame, 0)),
                GOAWAY => goaway = Some(code(&frame, 4)),
                _ => {}
            }
        }
        Fate::Ended(goaway)
    }

    /// Sends a PING and reads up to its answer; all that came where there is none.
    pub fn is_alive(&mut self) -> Result<(), End> {
        self.send(frame(PING, 0, 0, b"alive?  "));
        let mut frames = Vec::new();
        while let Some(frame) = self.next() {
            if frame.kind == PING && frame.flags == 1 && frame.payload == b"alive?  " {
                return Ok(());
            }
            frames.push(frame);
        }
        Err(End { frames })
    }

    /// Reads to the end of the connection.
    pub fn end(mut self) -> End {
        End { frames: std::iter::from_fn(|| self.next()).collect() }
    }
}

/// The status of a response: the static table of RFC 7541, or a literal with an indexed name (8 to 14).
fn status(block: &[u8]) -> u16 {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [indexed @ 0x88..=0x8e, ..] => STATIC[usize::from(indexed - 0x88)],
        // A literal, plain or with Huffman's code, in which digits have five or six bits.
        [0x48..=0x4e | 0x08..=0x0e, length, rest @ ..] => {
            let text = &rest[..usize::from(length & 0x7f)];
            let text = if length & 0x80 == 0 { text.to_vec() } else { digits(text) };
            String::from_utf8_lossy(&text).parse().unwrap_or_default()
        }
        _ => 0,
    }
}

/// Digits in the code of RFC 7541, appendix B: '0' to '2' have five bits, '3' to '9' six.
fn digits(bytes: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> =
        bytes.iter().flat_map(|byte| (0..8).map(move |n| byte >> (7 - n) & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number * 2 + bit);
    let mut rest = bits.as_slice();
    let mut text = Vec::new();
    while rest.len() >= 5 {
        let five = number(&rest[..5]);
        if five < 3 {
            text.push(b'0' + five);
            rest = &rest[5..];
        } else if rest.len() >= 6 && (25..=31).contains(&number(&rest[..6])) {
            text.push(b'3' + number(&rest[..6]) - 25);
            rest = &rest[6..];
        } else {
            break;
        }
    }
    text
}

/// A field as a literal that is not indexed, however long.
pub fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        integer(&mut block, 7, 0, text.len());
        block.extend_from_slice(text);
    }
    block
}

/// An integer of RFC 7541 §5.1 behind `first`.
pub fn integer(to: &mut Vec<u8>, bits: u32, first: u8, value: usize) {
    let most = (1 << bits) - 1;
    if value < most {
        to.push(first | u8::try_from(value).expect("small"));
        return;
    }
    to.push(first | u8::try_from(most).expect("small"));
    let mut rest = value - most;
    while rest >= 128 {
        to.push(u8::try_from(rest % 128).expect("small") | 128);
        rest /= 128;
    }
    to.push(u8::try_from(rest).expect("small"));
}

/// The block of these fields.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// HEADERS of these fields alone, and nothing behind them.
pub fn bare(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

/// Runs `attack` while a good client asks again and again on one connection, and is answered each time.
pub fn beside<T>(daemon: &Daemon, attack: impl FnOnce() -> T) -> T {
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = daemon.client().alpn(&["http/1.1"]);
    std::thread::scope(|scope| {
        let good = scope.spawn(|| {
            let mut good = client.connect(daemon.https(), "app.localhost").unwrap();
            loop {
                // Looked at before: one request more is sent when the attack is over.
                let last = over.load(Ordering::SeqCst);
                let answer = good.get("app.localhost", "/good").expect("the good client's answer");
                assert_eq!(answer.status, 200, "{}", answer.head);
                answered.fetch_add(1, Ordering::SeqCst);
                if last {
                    return;
                }
            }
        });
        while answered.load(Ordering::SeqCst) == 0 && !good.is_finished() {
            std::thread::yield_now();
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        over.store(true, Ordering::SeqCst);
        good.join().expect("the good client");
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
