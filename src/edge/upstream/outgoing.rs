//! A request on its way to the app: its head as bytes, its body as it comes.
//!
//! Promises: framing is made here and nowhere else (11); a head and a small body leave in one write; large frames are
//! not copied. Bounds: [`GATHER_MAX`] bytes are gathered before they are written.

use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::Method;
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::PathAndQuery;
use http_body::Body;
use tokio::io::AsyncWrite;

use crate::edge::body::{BodyError, RequestBody};
use crate::edge::identity::{self, Own};

/// What is gathered of small frames before they are written.
const GATHER_MAX: usize = 16 * 1024;
/// A larger frame is written from where it is.
const COPIED_MAX: usize = 4 * 1024;

/// The writing side of a connection. The body is a parameter for the tests' sake.
#[derive(Default)]
pub struct Outgoing<B = RequestBody> {
    /// The head and small frames. Kept after it was written where it may be sent again.
    bytes: Vec<u8>,
    written: usize,
    /// Written behind `bytes`, and `tail` behind it.
    large: Bytes,
    tail: &'static [u8],
    body: B,
    framing: Framing,
    /// May be sent again although the app may have seen it (RFC 9110 §9.2.2, promise 23).
    repeatable: bool,
    /// Some of it was handed to the system.
    begun: bool,
    /// Some of it may still be held by TLS.
    held: bool,
}

/// What of the body is still to be written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Framing {
    #[default]
    Done,
    Length(u64),
    Chunked,
}

/// Why a request could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The client's body failed; its own record says how.
    Body,
    /// The app does not take it.
    Socket,
}

impl<B> Outgoing<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Default + Unpin,
{
    /// Turns a request into bytes, to be written by `poll_write`.
    pub fn begin(&mut self, head: &Parts, own: Own<'_>, body: B) {
        self.framing = framing(&body);
        self.repeatable = self.framing == Framing::Done && is_idempotent(&head.method);
        self.bytes.clear();
        self.rewind();
        line(&mut self.bytes, &head.method, head.uri.path_and_query());
        for (name, value) in &head.headers {
            // Whatever the client said about the framing was about its own connection.
            if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
                identity::line(&mut self.bytes, name, value);
            }
        }
        own.write(&mut self.bytes);
        let asked = expects_length(&head.method, &head.headers);
        end_head(&mut self.bytes, self.framing, asked);
        self.body = body;
        self.settle();
    }

    /// Writes it all once more, to another connection.
    pub const fn rewind(&mut self) {
        self.written = 0;
        self.begun = false;
        self.held = false;
    }

    /// Whether it may be sent to another connection after this one has ended without a word.
    pub const fn may_repeat(&self) -> bool {
        self.repeatable || !self.begun
    }

    /// The whole request was written.
    pub fn is_done(&self) -> bool {
        self.framing == Framing::Done && self.unwritten() == 0 && !self.held
    }

    /// Forgets the request, and gives back more memory than most requests need.
    pub fn finish(&mut self) {
        self.body = B::default();
        self.bytes.clear();
        self.bytes.shrink_to(GATHER_MAX);
        self.rewind();
    }

    /// Writes what there is, then waits for more of the body, until all is written.
    pub fn poll_write<S>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.is_done() {
            let gathered = self.gather(cx).map_err(|_| SendError::Body)?;
            ready!(self.poll_flush(stream, cx)).map_err(|_| SendError::Socket)?;
            ready!(gathered);
        }
        Poll::Ready(Ok(()))
    }

    fn unwritten(&self) -> usize {
        self.bytes.len().saturating_sub(self.written) + self.large.len() + self.tail.len()
    }

    /// Takes what has come of the body. Ready when it has ended or the buffers are full.
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.written > 0 && self.unwritten() == 0 && self.framing != Framing::Done {
            self.bytes.clear();
            self.written = 0;
        }
        while self.framing != Framing::Done
            && self.large.is_empty()
            && self.tail.is_empty()
            && self.bytes.len() < GATHER_MAX
        {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(frame) => {
                    // Trailers of a request are not passed on: the app was promised none.
                    if let Ok(data) = frame?.into_data() {
                        self.add(data)?;
                    }
                    self.settle();
                }
                None if self.framing == Framing::Chunked => {
                    self.end_chunks();
                    self.body = B::default();
                }
                // Less came than was said.
                None => return Poll::Ready(Err(BodyError::Broken)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn add(&mut self, data: Bytes) -> Result<(), BodyError> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(BodyError::Broken)?;
            }
            Framing::Chunked => {
                // Writing to a vector cannot fail.
                let _ = write!(self.bytes, "{:x}\r\n", data.len());
                self.tail = b"\r\n";
            }
            Framing::Done => return Err(BodyError::Broken),
        }
        if data.len() <= COPIED_MAX {
            self.bytes.extend_from_slice(&data);
            self.bytes.extend_from_slice(std::mem::take(&mut self.tail));
        } else {
            self.large = data;
        }
        Ok(())
    }

    /// Notes the end of the body as soon as it is known.
    fn settle(&mut self) {
        match self.framing {
            Framing::Length(0) => self.framing = Framing::Done,
            Framing::Chunked if self.body.is_end_stream() => self.end_chunks(),
            _ => {}
        }
        if self.framing == Framing::Done && self.body.is_end_stream() {
            self.body = B::default();
        }
    }

    fn end_chunks(&mut self) {
        self.framing = Framing::Done;
        if self.tail.is_empty() {
            self.bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            self.tail = b"\r\n0\r\n\r\n";
        }
    }

    fn poll_flush<S>(&mut self, stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while self.unwritten() > 0 {
            let bytes = self.bytes.get(self.written..).unwrap_or_default();
            let stream = Pin::new(&mut *stream);
            // send(2) is cheaper than writev(2).
            let wrote = if self.large.is_empty() && self.tail.is_empty() {
                stream.poll_write(cx, bytes)
            } else if bytes.is_empty() && self.tail.is_empty() {
                stream.poll_write(cx, &self.large)
            } else {
                let parts = [bytes, &self.large, self.tail].map(IoSlice::new);
                stream.poll_write_vectored(cx, &parts)
            };
            let count = ready!(wrote)?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.begun = true;
            self.held = true;
            self.wrote(count);
        }
        if self.held {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.held = false;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, count: usize) {
        let small = count.min(self.bytes.len().saturating_sub(self.written));
        self.written += small;
        let large = (count - small).min(self.large.len());
        self.large.advance(large);
        let tail = (count - small - large).min(self.tail.len());
        self.tail = self.tail.get(tail..).unwrap_or_default();
    }
}

fn framing(body: &impl Body) -> Framing {
    if body.is_end_stream() {
        return Framing::Done;
    }
    body.size_hint().exact().map_or(Framing::Chunked, Framing::Length)
}

/// Methods that may be had twice (RFC 9110 §9.2.2).
pub const fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Whether a request without a body says so: those that usually have one do (RFC 9110 §8.6).
fn expects_length(method: &Method, headers: &HeaderMap) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
        || headers.contains_key(CONTENT_LENGTH)
}

fn line(bytes: &mut Vec<u8>, method: &Method, target: Option<&PathAndQuery>) {
    let target = target.map_or("/", PathAndQuery::as_str);
    bytes.extend_from_slice(method.as_str().as_bytes());
    bytes.push(b' ');
    if !target.starts_with(['/', '*']) {
        bytes.push(b'/');
    }
    bytes.extend_from_slice(target.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
}

fn end_head(bytes: &mut Vec<u8>, framing: Framing, expected: bool) {
    match framing {
        // Writing to a vector cannot fail.
        Framing::Length(length) => drop(write!(bytes, "content-length: {length}\r\n")),
        Framing::Chunked => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Done if expected => bytes.extend_from_slice(b"content-length: 0\r\n"),
        Framing::Done => {}
    }
    bytes.extend_from_slice(b"\r\n");
}
