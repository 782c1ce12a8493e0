//! One connection to the app, driven by whoever uses it.
//!
//! Polling it from the exchange that uses it needs no task, no wake-ups between tasks and no queue; an idle connection
//! is polled by nobody, and looked at before it is used. Both directions move whenever it is polled, so a response
//! may come, and even end, while its request is still being written.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request;
use http::response::Parts;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncReadExt;

use super::fault::Fault;
use super::incoming::{Incoming, Piece};
use super::outgoing::{Outgoing, SendError};
use super::stream::UpstreamStream;
use super::target::Target;
use crate::edge::body::RequestBody;
use crate::edge::identity::Own;
use crate::ports::handshake::alert;

/// A connection with an HTTP/1.1 client on it.
pub struct Link {
    stream: UpstreamStream,
    outgoing: Outgoing,
    incoming: Incoming,
    /// The app takes nothing more. What it still says counts.
    deaf: bool,
    pub target: Target,
}

impl Link {
    /// `version`: that of the addresses of its upstream, read before it was opened.
    pub fn new(stream: UpstreamStream, version: u64) -> Box<Self> {
        let target = Target::of(&stream, version);
        Box::new(Self {
            stream,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            deaf: false,
            target,
        })
    }

    /// The next exchange: `poll_head` writes the request and waits for the answer.
    pub fn begin(&mut self, head: request::Parts, own: Own<'_>, body: RequestBody) {
        self.outgoing.begin(&head, own, body);
        self.incoming.begin(head.method == http::Method::HEAD, head.headers);
    }

    /// Takes over the exchange that `before` has begun in vain.
    pub fn repeat(&mut self, before: &mut Self) {
        std::mem::swap(&mut self.outgoing, &mut before.outgoing);
        self.outgoing.rewind();
        self.incoming.begin_as(&mut before.incoming);
    }

    /// Whether the exchange, of which no answer came, may be had on another connection.
    pub const fn may_repeat(&self) -> bool {
        self.incoming.is_untouched() && self.outgoing.may_repeat()
    }

    /// Writes the request, and waits for the head of its response.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Parts, Fault>> {
        self.write(cx)?;
        loop {
            if let Some(head) = self.incoming.head()? {
                return Poll::Ready(Ok(head));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// The next frame of the response's body; goes on writing the request if there is anything left of it.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.write(cx)?;
        loop {
            match self.incoming.body()? {
                Piece::Frame(frame) => return Poll::Ready(Some(Ok(frame))),
                Piece::End => return Poll::Ready(None),
                Piece::More => ready!(self.poll_fill(cx))?,
            }
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if self.deaf || self.outgoing.is_done() {
            return Ok(());
        }
        match self.outgoing.poll_write(&mut self.stream, cx) {
            Poll::Ready(Err(SendError::Body)) => Err(Fault::RequestBody),
            Poll::Ready(Err(SendError::Socket)) => {
                self.deaf = true;
                Ok(())
            }
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    /// Nothing more of the request goes out. Where something is missing, the connection serves no other.
    pub fn stop_sending(&mut self) {
        if !self.outgoing.is_done() {
            self.deaf = true;
            self.outgoing.finish();
        }
    }

    /// Reads once. After a failed write a close may be a reset, so it proves nothing about the length of a body.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let count = {
            let read = pin!(self.stream.read_buf(self.incoming.room()));
            ready!(read.poll(cx))
        };
        Poll::Ready(match count {
            Ok(0) => self.incoming.closed(!self.deaf),
            Ok(count) => {
                self.incoming.filled(count);
                Ok(())
            }
            Err(error) => match (self.incoming.closed(false), alert(&error)) {
                (Err(Fault::Closed), Some(alert)) => Err(Fault::Alert(alert)),
                (ended, _) => ended,
            },
        })
    }

    /// The whole response has been handed out.
    pub const fn is_over(&self) -> bool {
        self.incoming.is_over()
    }

    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// True when another request may be sent as far as the last exchange is concerned: it is over in both directions,
    /// and nothing came that nobody asked for (promise 13).
    pub fn is_clean(&self) -> bool {
        !self.deaf && self.outgoing.is_done() && self.incoming.is_clean()
    }

    /// As `is_clean`, with a look at the socket.
    pub fn is_alive(&mut self) -> bool {
        self.is_clean() && self.stream.is_quiet()
    }

    /// The exchange is over: what belongs to it goes.
    pub fn finish(&mut self) {
        self.outgoing.finish();
    }

    /// Nobody has needed it for a while: its buffers go too.
    pub fn rest(&mut self) {
        self.outgoing = Outgoing::default();
        self.incoming.rest();
    }

    /// The bare stream and what was read from it beyond the response head, after a 101.
    pub fn into_stream(self) -> (UpstreamStream, Bytes) {
        (self.stream, self.incoming.into_rest())
    }
}
