//! The chunked coding of a response body (RFC 9112 §7.1), read strictly.
//!
//! Refuses: sizes that are no plain hexadecimal number, lines that end with LF alone, chunks that are not followed by
//! CRLF. Bounds: the first line of a chunk with its extensions, the trailers. Extensions are ignored.

use bytes::{Buf, Bytes, BytesMut};
use http::header::HeaderMap;
use http::{HeaderName, HeaderValue};

use super::fault::Fault;
use crate::edge::trailers::may_follow;

/// Longest first line of a chunk.
pub const LINE_MAX: usize = 1024;
pub const TRAILERS_MAX: usize = 16 * 1024;
const TRAILER_FIELDS_MAX: usize = 64;

/// Reads one body.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    /// Bytes of this chunk that are still to come.
    left: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data,
    DataEnd,
    Trailers,
    Done,
}

/// What the next bytes are.
#[derive(Debug)]
pub enum Step {
    /// More bytes are needed.
    More,
    Data(Bytes),
    /// The last of the body.
    Trailers(HeaderMap),
    End,
}

impl Chunked {
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes the next piece off the front of `bytes`.
    ///
    /// # Errors
    /// When the coding is broken; there is no way to read on after that.
    pub fn next(&mut self, bytes: &mut BytesMut) -> Result<Step, Fault> {
        loop {
            match self.state {
                State::Size => {
                    let Some(length) = line(bytes)? else { return Ok(Step::More) };
                    self.left = size(bytes.get(..length).unwrap_or_default())?;
                    bytes.advance(length + 2);
                    self.state = if self.left == 0 { State::Trailers } else { State::Data };
                }
                State::Data if bytes.is_empty() => return Ok(Step::More),
                State::Data => return Ok(Step::Data(self.data(bytes))),
                State::DataEnd => match bytes.get(..2) {
                    None if bytes.first().is_none_or(|byte| *byte == b'\r') => {
                        return Ok(Step::More);
                    }
                    Some(b"\r\n") => {
                        bytes.advance(2);
                        self.state = State::Size;
                    }
                    _ => return Err(Fault::Chunk),
                },
                State::Trailers => return self.trailers(bytes),
                State::Done => return Ok(Step::End),
            }
        }
    }

    fn data(&mut self, bytes: &mut BytesMut) -> Bytes {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let data = bytes.split_to(length).freeze();
        self.left -= length as u64;
        if self.left == 0 {
            self.state = State::DataEnd;
            // The end usually comes together with the last chunk: known at once, it leaves in one piece.
            const END: &[u8] = b"\r\n0\r\n\r\n";
            if bytes.starts_with(END) {
                bytes.advance(END.len());
                self.state = State::Done;
            }
        }
        data
    }

    fn trailers(&mut self, bytes: &mut BytesMut) -> Result<Step, Fault> {
        if bytes.starts_with(b"\r\n") {
            bytes.advance(2);
            self.state = State::Done;
            return Ok(Step::End);
        }
        let window = bytes.get(..TRAILERS_MAX.min(bytes.len())).unwrap_or_default();
        let end = window.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
        if bare_lf(window.get(..end.unwrap_or(window.len())).unwrap_or_default()) {
            return Err(Fault::Trailers);
        }
        let Some(end) = end else {
            return if bytes.len() >= TRAILERS_MAX { Err(Fault::Trailers) } else { Ok(Step::More) };
        };
        let section = bytes.split_to(end).freeze();
        self.state = State::Done;
        let trailers = fields(&section)?;
        Ok(if trailers.is_empty() { Step::End } else { Step::Trailers(trailers) })
    }
}

/// The length of the first line without its CRLF, once it is complete.
fn line(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let window = bytes.get(..LINE_MAX.min(bytes.len())).unwrap_or_default();
    match memchr::memchr(b'\n', window) {
        Some(end) if end > 0 && window.get(end - 1) == Some(&b'\r') => Ok(Some(end - 1)),
        Some(_) => Err(Fault::Chunk),
        None if bytes.len() >= LINE_MAX => Err(Fault::Chunk),
        None => Ok(None),
    }
}

/// The size of a chunk, of which blanks and extensions may follow.
fn size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    // Sixteen digits are what a `u64` holds.
    if digits.is_empty() || digits.len() > 16 {
        return Err(Fault::Chunk);
    }
    let extension = rest.trim_ascii_start();
    let clean = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if !rest.iter().all(clean) || !(extension.is_empty() || extension.starts_with(b";")) {
        return Err(Fault::Chunk);
    }
    Ok(digits.iter().fold(0, |sum, digit| {
        let digit = char::from(*digit).to_digit(16).unwrap_or_default();
        sum << 4 | u64::from(digit)
    }))
}

fn bare_lf(bytes: &[u8]) -> bool {
    let mut before = 0;
    bytes.iter().any(|byte| {
        let bare = *byte == b'\n' && before != b'\r';
        before = *byte;
        bare
    })
}

/// What a trailer must not say is left out: it would change what was already sent on.
fn fields(section: &Bytes) -> Result<HeaderMap, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    let parsed = httparse::parse_headers(section, &mut fields);
    let Ok(httparse::Status::Complete((_, fields))) = parsed else { return Err(Fault::Trailers) };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::Trailers)?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(field.value));
        let value = value.map_err(|_| Fault::Trailers)?;
        if may_follow(&name) {
            trailers.append(name, value);
        }
    }
    Ok(trailers)
}
