//! What comes from the app on one connection: responses out of bytes, however they were split. No I/O in here.
//!
//! Promises: a body that breaks off is a fault and never an end (24); bytes that belong to no response make the
//! connection unusable (13). Bounds: the head, interim responses, and the buffer: what was asked to be read.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::HeaderMap;
use http::response::Parts;
use http_body::{Frame, SizeHint};

use super::chunked::{Chunked, Step};
use super::fault::Fault;
use super::head::{self, Framing, INTERIM_MAX, Search};

/// What is read at once, at first and at most.
const READ_MIN: usize = 8 * 1024;
const READ_MAX: usize = 64 * 1024;

/// The reading side of a connection.
#[derive(Debug)]
pub struct Incoming {
    bytes: BytesMut,
    room: Room,
    stage: Stage,
    search: Search,
    interim: u8,
    to_head: bool,
    /// The connection may serve another exchange, as far as this response says.
    keep_alive: bool,
    /// Something has come since the request began.
    touched: bool,
    /// An empty map with room, for the fields of the next response.
    spare: HeaderMap,
}

#[derive(Debug)]
enum Stage {
    Head,
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Over,
}

/// The next piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// More bytes are needed.
    More,
    Frame(Frame<Bytes>),
    End,
}

impl Default for Incoming {
    fn default() -> Self {
        Self {
            bytes: BytesMut::new(),
            room: Room::default(),
            stage: Stage::Over,
            search: Search::default(),
            interim: 0,
            to_head: false,
            keep_alive: true,
            touched: false,
            spare: HeaderMap::new(),
        }
    }
}

impl Incoming {
    /// A request goes out; its response is next. `to_head` says that it is a HEAD, `spare` is a map to be filled.
    pub fn begin(&mut self, to_head: bool, mut spare: HeaderMap) {
        spare.clear();
        self.spare = spare;
        self.to_head = to_head;
        self.stage = Stage::Head;
        self.search = Search::default();
        self.interim = 0;
        self.keep_alive = true;
        self.touched = false;
    }

    /// As `begin`, for the request that `before` has had no answer to.
    pub fn begin_as(&mut self, before: &mut Self) {
        self.begin(before.to_head, std::mem::take(&mut before.spare));
    }

    /// Where to read to: never without room, never with more than is read at once.
    pub fn room(&mut self) -> &mut BytesMut {
        if self.bytes.capacity() - self.bytes.len() < self.room.next {
            self.bytes.reserve(self.room.next);
        }
        &mut self.bytes
    }

    /// `count` bytes were read into `room`.
    pub fn filled(&mut self, count: usize) {
        self.touched = true;
        self.room.filled(count);
    }

    /// The head of the final response (or a 101), once it is there.
    ///
    /// # Errors
    /// When it is no response, or one that contradicts itself.
    pub fn head(&mut self) -> Result<Option<Parts>, Fault> {
        while !self.bytes.is_empty() {
            let Some(length) = self.search.end(&self.bytes)? else { return Ok(None) };
            self.search = Search::default();
            let bytes = head::take(&mut self.bytes, length);
            let spare = std::mem::take(&mut self.spare);
            let mut head = head::parse(&bytes, self.to_head, spare)?;
            let status = head.parts.status;
            if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                self.interim += 1;
                if self.interim > INTERIM_MAX {
                    return Err(Fault::InterimFlood);
                }
                head.parts.headers.clear();
                self.spare = head.parts.headers;
                continue;
            }
            self.keep_alive = head.keep_alive && status != StatusCode::SWITCHING_PROTOCOLS;
            self.stage = match head.framing {
                Framing::None | Framing::Length(0) => Stage::Over,
                Framing::Length(length) => Stage::Length(length),
                Framing::Chunked => Stage::Chunked(Chunked::default()),
                Framing::UntilClose => Stage::UntilClose,
            };
            return Ok(Some(head.parts));
        }
        Ok(None)
    }

    /// The next piece of the body, as a part of what was read: nothing is copied.
    ///
    /// # Errors
    /// When its coding is broken.
    pub fn body(&mut self) -> Result<Piece, Fault> {
        match &mut self.stage {
            // Asked too early: there is no body before a head.
            Stage::Head => Err(Fault::CutHead),
            Stage::Over => Ok(Piece::End),
            Stage::Chunked(chunked) => {
                let step = chunked.next(&mut self.bytes)?;
                if chunked.is_done() {
                    self.stage = Stage::Over;
                }
                Ok(match step {
                    Step::More => Piece::More,
                    Step::Data(data) => Piece::Frame(Frame::data(data)),
                    Step::Trailers(trailers) => Piece::Frame(Frame::trailers(trailers)),
                    Step::End => Piece::End,
                })
            }
            Stage::Length(_) | Stage::UntilClose if self.bytes.is_empty() => Ok(Piece::More),
            Stage::UntilClose => Ok(Piece::Frame(Frame::data(self.bytes.split().freeze()))),
            Stage::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(self.bytes.len());
                *left -= length as u64;
                if *left == 0 {
                    self.stage = Stage::Over;
                }
                Ok(Piece::Frame(Frame::data(self.bytes.split_to(length).freeze())))
            }
        }
    }

    /// The app has closed its side. `in_order` says that nothing went wrong with the connection before.
    ///
    /// # Errors
    /// When something was still to come.
    pub fn closed(&mut self, in_order: bool) -> Result<(), Fault> {
        self.keep_alive = false;
        match self.stage {
            Stage::Over => Ok(()),
            Stage::UntilClose if in_order => {
                self.stage = Stage::Over;
                Ok(())
            }
            Stage::Head if !self.touched => Err(Fault::Closed),
            Stage::Head => Err(Fault::CutHead),
            _ => Err(Fault::CutBody),
        }
    }

    /// Not one byte has come since the request began.
    pub const fn is_untouched(&self) -> bool {
        !self.touched
    }

    /// The whole response has been handed out.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Over, and nothing says that the connection is not to be used again.
    pub fn is_clean(&self) -> bool {
        self.is_over() && self.keep_alive && self.bytes.is_empty()
    }

    /// What is known of the rest of the body.
    pub fn size_hint(&self) -> SizeHint {
        match self.stage {
            Stage::Over => SizeHint::with_exact(0),
            Stage::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::new(),
        }
    }

    /// Gives the buffer back while nothing is expected.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() {
            *self = Self { keep_alive: self.keep_alive, ..Self::default() };
        }
    }

    /// What came behind the head.
    pub fn into_rest(self) -> Bytes {
        self.bytes.freeze()
    }
}

/// How much to read at once: more after a read that filled everything, less after two that needed less than half.
#[derive(Debug)]
struct Room {
    next: usize,
    shrink: bool,
}

impl Default for Room {
    fn default() -> Self {
        Self { next: READ_MIN, shrink: false }
    }
}

impl Room {
    fn filled(&mut self, count: usize) {
        if count >= self.next {
            self.next = (self.next * 2).min(READ_MAX);
            self.shrink = false;
        } else if count >= self.next / 2 {
            self.shrink = false;
        } else if self.shrink {
            self.next = (self.next / 2).max(READ_MIN);
            self.shrink = false;
        } else {
            self.shrink = true;
        }
    }
}
