//! One connection to the app, driven by whoever uses it.
//!
//! hyper wants its connection polled by a task of its own. Polling it from the exchange that uses it saves a task,
//! two wake-ups and a queue per request; an idle connection is polled by nobody, and looked at before it is used.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::record::Record;
use crate::edge::body::RequestBody;

/// A stream to the app.
#[derive(Debug)]
pub enum UpstreamStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream to the app that remembers what was written.
struct Recording {
    stream: UpstreamStream,
    record: Record,
}

/// A connection with an HTTP/1.1 client on it.
pub struct Link {
    pub sender: SendRequest<RequestBody>,
    /// `None` once discarded.
    connection: Option<Connection<TokioIo<Recording>, RequestBody>>,
    /// It must not be polled again.
    ended: bool,
    /// The head of the exchange, where it may be sent again.
    pub record: Record,
}

impl Link {
    /// Puts an HTTP/1.1 client on `stream`.
    ///
    /// # Errors
    /// None that hyper documents; it returns one if that changes.
    pub async fn new(stream: UpstreamStream) -> hyper::Result<Box<Self>> {
        let record = Record::default();
        let recording = Recording { stream, record: record.clone() };
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(READ_MAX)
            .handshake(TokioIo::new(recording))
            .await?;
        Ok(Box::new(Self { sender, connection: Some(connection), ended: false, record }))
    }

    /// Moves bytes both ways. Returns whether the connection is still there.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.connection {
            Some(connection) if !self.ended => {
                self.ended = Pin::new(connection).poll(cx).is_ready();
                !self.ended
            }
            _ => false,
        }
    }

    /// Closes the connection. A request that was queued and never begun comes back to whoever waits for its answer.
    pub fn discard(&mut self) {
        self.connection = None;
    }

    /// True when another request may be sent: the last exchange is over in both directions, the peer has neither
    /// closed nor sent anything that nobody asked for.
    pub fn is_clean(&mut self) -> bool {
        if !self.ended && self.sender.is_ready() {
            // hyper asks for the next request only when the last exchange is over; it looks at the socket again
            // before it writes one.
            return true;
        }
        self.is_alive()
    }

    /// As `is_clean`, with a look at the socket.
    pub fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx) && self.sender.is_ready()
    }

    /// The bare stream and what was read from it beyond the response head, after a 101.
    pub fn into_stream(self) -> Option<(UpstreamStream, bytes::Bytes)> {
        let parts = self.connection?.into_parts();
        Some((parts.io.into_inner().stream, parts.read_buf))
    }
}

/// Longest response head, and the most that is read ahead of a client that reads slowly.
const READ_MAX: usize = 64 * 1024;

impl AsyncRead for Recording {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Recording {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = written {
            self.record.wrote(buf.get(..bytes).unwrap_or_default());
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            // A head without a body comes as a list of one; send(2) is cheaper than writev(2), and only such a head is
            // ever recorded.
            [one] => self.poll_write(cx, one),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
