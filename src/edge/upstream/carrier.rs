//! What carries one exchange with the app: a connection of its own, or its part of a shared one.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{request, response};
use http_body::{Frame, SizeHint};

use super::fault::Fault;
use super::link::Link;
use super::strand::Strand;
use super::stream::UpstreamStream;
use crate::edge::body::RequestBody;
use crate::edge::identity::Own;

pub enum Carrier {
    Http1(Box<Link>),
    Http2(Box<Strand>),
}

impl Carrier {
    /// The exchange: `poll_head` writes the request and waits for the answer.
    pub fn begin(&mut self, head: request::Parts, own: Own<'_>, body: RequestBody) {
        match self {
            Self::Http1(link) => link.begin(head, own, body),
            Self::Http2(strand) => strand.begin(head, own, body),
        }
    }

    /// Takes over the exchange that `before` has begun in vain; false where the two speak differently, and nothing has
    /// happened then.
    #[must_use]
    pub fn repeat(&mut self, before: &mut Self) -> bool {
        match (self, before) {
            (Self::Http1(link), Self::Http1(before)) => link.repeat(before),
            (Self::Http2(strand), Self::Http2(before)) => strand.repeat(before),
            _ => return false,
        }
        true
    }

    /// Whether the exchange, of which no answer came, may be had on another connection.
    pub fn may_repeat(&self) -> bool {
        match self {
            Self::Http1(link) => link.may_repeat(),
            Self::Http2(strand) => strand.may_repeat(),
        }
    }

    /// Writes the request, and waits for the head of its response.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<response::Parts, Fault>> {
        match self {
            Self::Http1(link) => link.poll_head(cx),
            Self::Http2(strand) => strand.poll_head(cx),
        }
    }

    /// The next frame of the response's body; goes on writing the request if there is anything left of it.
    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match self {
            Self::Http1(link) => link.poll_body(cx),
            Self::Http2(strand) => strand.poll_body(cx),
        }
    }

    /// Nothing more of the request goes out.
    pub fn stop_sending(&mut self) {
        match self {
            Self::Http1(link) => link.stop_sending(),
            Self::Http2(strand) => strand.stop_sending(),
        }
    }

    /// The whole response has been handed out.
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Http1(link) => link.is_over(),
            Self::Http2(strand) => strand.is_over(),
        }
    }

    pub fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(link) => link.size_hint(),
            Self::Http2(strand) => strand.size_hint(),
        }
    }

    /// The bare stream and what was read from it beyond the response head, after a 101; `None` for a part of a shared
    /// connection, on which nothing else can be spoken.
    pub fn into_stream(self) -> Option<(UpstreamStream, Bytes)> {
        match self {
            Self::Http1(link) => Some(link.into_stream()),
            Self::Http2(_) => None,
        }
    }

    /// Whether `into_stream` has a stream.
    pub const fn is_whole(&self) -> bool {
        matches!(self, Self::Http1(_))
    }
}
