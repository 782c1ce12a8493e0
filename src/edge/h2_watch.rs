//! What an HTTP/2 client sends, seen frame by frame in front of hyper: how much of it is work that is not a request.
//!
//! Promises: a client whose control frames or resets go beyond a generous budget is told of before hyper sees them
//! (promises 15, 16); a header block that has begun and not ended is known with its age (17). Reads only the nine bytes
//! in front of each frame (RFC 9113 §4.1), whatever pieces they come in, and allocates nothing. Refuses nothing for its
//! form: that is hyper's part.

/// The client's preface (RFC 9113 §3.4).
const PREFACE_LEN: u8 = 24;

/// Control frames at once, and more for each second. nghttp2 allows 1000 and 33 for what it counts.
const CONTROL_BURST: u64 = 1000;
const CONTROL_PER_S: u64 = 100;

/// RST_STREAM at once, and more for each second: a page that is left takes back 100 requests at most.
const RESET_BURST: u64 = 500;
const RESET_PER_S: u64 = 33;

/// Each of these many bytes that are written pay for one control frame: a client that reads must open its window.
const BYTES_PER_CONTROL: u64 = 1024;

/// Control frames that a request pays for, of clients that say its priority.
const CONTROL_PER_REQUEST: u64 = 2;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, and frames that nobody knows.
    Control,
    /// RST_STREAM.
    Resets,
}

/// Counts the frames of one connection.
#[derive(Debug)]
pub struct Watch {
    at: At,
    /// Since when a header block, or the preface, has been waited for.
    block_since_ms: Option<u64>,
    /// The frame that is being read ends its block.
    ends_block: bool,
    /// The highest stream that the client has opened.
    last_stream: u32,
    control: Bucket,
    resets: Bucket,
    excess: Option<Excess>,
}

/// What the next byte belongs to.
#[derive(Debug)]
enum At {
    Preface { left: u8 },
    Head { bytes: [u8; 9], have: usize },
    Payload { left: usize },
}

const NEXT_HEAD: At = At::Head { bytes: [0; 9], have: 0 };

impl Watch {
    #[must_use]
    pub const fn new(now_ms: u64) -> Self {
        Self {
            at: At::Preface { left: PREFACE_LEN },
            block_since_ms: None,
            ends_block: false,
            last_stream: 0,
            control: Bucket::new(CONTROL_BURST, CONTROL_PER_S, now_ms),
            resets: Bucket::new(RESET_BURST, RESET_PER_S, now_ms),
            excess: None,
        }
    }

    /// Takes the next bytes of the client.
    ///
    /// # Errors
    /// What there is too much of; for good.
    pub fn see(&mut self, mut bytes: &[u8], now_ms: u64) -> Result<(), Excess> {
        while !bytes.is_empty() && self.excess.is_none() {
            bytes = self.step(bytes, now_ms);
        }
        self.excess.map_or(Ok(()), Err)
    }

    /// So much was written to the client.
    pub fn wrote(&mut self, bytes: usize) {
        self.control.pay_in(bytes as u64 * SCALE / BYTES_PER_CONTROL);
    }

    /// Since when a header block, or the preface, has begun and not ended.
    #[must_use]
    pub const fn block_since_ms(&self) -> Option<u64> {
        self.block_since_ms
    }

    /// The highest stream that the client has opened, for a GOAWAY.
    #[must_use]
    pub const fn last_stream(&self) -> u32 {
        self.last_stream
    }

    fn step<'a>(&mut self, bytes: &'a [u8], now_ms: u64) -> &'a [u8] {
        match &mut self.at {
            At::Preface { left } => {
                let taken = bytes.len().min(usize::from(*left));
                *left = left.saturating_sub(u8::try_from(taken).unwrap_or(PREFACE_LEN));
                self.block_since_ms.get_or_insert(now_ms);
                if *left == 0 {
                    self.block_since_ms = None;
                    self.at = NEXT_HEAD;
                }
                bytes.get(taken..).unwrap_or_default()
            }
            At::Head { bytes: head, have } => {
                let room = head.get_mut(*have..).unwrap_or_default();
                let taken = bytes.len().min(room.len());
                for (to, from) in room.iter_mut().zip(bytes) {
                    *to = *from;
                }
                *have += taken;
                if *have == head.len() {
                    let head = *head;
                    self.frame(head, now_ms);
                }
                bytes.get(taken..).unwrap_or_default()
            }
            At::Payload { left } => {
                let taken = bytes.len().min(*left);
                *left -= taken;
                if *left == 0 {
                    self.payload_ended();
                }
                bytes.get(taken..).unwrap_or_default()
            }
        }
    }

    fn frame(&mut self, head: [u8; 9], now_ms: u64) {
        let [a, b, c, kind, flags, s, t, u, v] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let stream = u32::from_be_bytes([s, t, u, v]) & (u32::MAX >> 1);
        self.at = At::Payload { left: length };
        self.ends_block = false;
        match kind {
            HEADERS | CONTINUATION => {
                self.block_since_ms.get_or_insert(now_ms);
                self.ends_block = flags & END_HEADERS != 0;
                if kind == HEADERS {
                    self.last_stream = self.last_stream.max(stream);
                    self.control.pay_in(CONTROL_PER_REQUEST * SCALE);
                }
            }
            RST_STREAM if !self.resets.take(now_ms) => self.excess = Some(Excess::Resets),
            RST_STREAM => {}
            DATA if length > 0 || flags & END_STREAM != 0 => {}
            _ if !self.control.take(now_ms) => self.excess = Some(Excess::Control),
            _ => {}
        }
        if length == 0 {
            self.payload_ended();
        }
    }

    const fn payload_ended(&mut self) {
        self.at = NEXT_HEAD;
        if self.ends_block {
            self.block_since_ms = None;
        }
    }
}

/// Thousandths, so that a bucket fills by the millisecond.
const SCALE: u64 = 1000;

/// Tokens that come back with time.
#[derive(Debug)]
struct Bucket {
    /// In thousandths.
    tokens: u64,
    most: u64,
    per_s: u64,
    filled_ms: u64,
}

impl Bucket {
    const fn new(burst: u64, per_s: u64, now_ms: u64) -> Self {
        Self { tokens: burst * SCALE, most: burst * SCALE, per_s, filled_ms: now_ms }
    }

    fn pay_in(&mut self, thousandths: u64) {
        self.tokens = self.tokens.saturating_add(thousandths).min(self.most);
    }

    fn take(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = now_ms;
        self.pay_in(passed.saturating_mul(self.per_s));
        let enough = self.tokens >= SCALE;
        self.tokens = self.tokens.saturating_sub(SCALE);
        enough
    }
}

#[cfg(test)]
#[path = "h2_watch_tests.rs"]
mod tests;
