//! The byte stream of a client connection, as hyper sees it: TLS or plain, with bytes that were read ahead put back
//! in front, and with a deadline for clients that do not read.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::conn::Conn;
use super::timers::{Deadline, Pace};

/// A TCP stream whose first bytes were read already.
#[derive(Debug)]
pub struct Prefixed {
    tcp: TcpStream,
    prefix: Vec<u8>,
    used: usize,
}

impl Prefixed {
    pub const fn new(tcp: TcpStream, prefix: Vec<u8>) -> Self {
        Self { tcp, prefix, used: 0 }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.tcp).poll_read(cx, buf);
        }
        let rest = self.prefix.get(self.used..).unwrap_or_default();
        let taken = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..taken).unwrap_or_default());
        self.used += taken;
        if self.used >= self.prefix.len() {
            self.prefix = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            // rustls hands over one record as a list of one; send(2) is cheaper than writev(2).
            [one] => Pin::new(&mut self.tcp).poll_write(cx, one),
            _ => Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// TLS or plain.
#[derive(Debug)]
pub enum Stream {
    Tls(Box<TlsStream<Prefixed>>),
    Plain(Prefixed),
}

impl Stream {
    /// Ready once there are bytes to read, or the end.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Readable>> {
        match self {
            Self::Tls(tls) => {
                let bytes = ready!(Pin::new(tls.as_mut()).poll_fill_buf(cx))?;
                Poll::Ready(Ok(if bytes.is_empty() { Readable::End } else { Readable::Bytes }))
            }
            Self::Plain(plain) if !plain.prefix.is_empty() => Poll::Ready(Ok(Readable::Bytes)),
            Self::Plain(plain) => {
                ready!(plain.tcp.poll_read_ready(cx))?;
                Poll::Ready(Ok(Readable::Bytes))
            }
        }
    }
}

impl Stream {
    /// Reads from the socket itself, below TLS, what nobody will look at.
    pub fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let below = match self {
            Self::Tls(tls) => tls.get_mut().0,
            Self::Plain(plain) => plain,
        };
        Pin::new(&mut below.tcp).poll_read(cx, sink)
    }
}

/// What [`Stream::poll_readable`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    Bytes,
    End,
}

/// The stream with its bookkeeping: whether everything written is flushed, whether a request head has begun, and
/// whether the client still reads.
pub struct ClientIo {
    pub stream: Stream,
    /// Read before, to be read again first.
    ahead: bytes::Bytes,
    conn: Rc<Conn>,
    stall: Deadline,
    pace: Pace,
}

impl ClientIo {
    pub fn new(stream: Stream, ahead: bytes::Bytes, conn: Rc<Conn>) -> Self {
        let stall = conn.worker.timers.deadline();
        Self { stream, ahead, conn, stall, pace: Pace::default() }
    }

    /// Accounts for a write that moved `result` bytes or none.
    fn written(
        &mut self,
        cx: &Context<'_>,
        result: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let timers = &self.conn.worker.timers;
        match result {
            Poll::Pending => {
                if !self.stall.is_armed() {
                    self.stall.arm(self.conn.worker.timeouts().write_idle);
                    self.pace.wait(timers.now_ms());
                }
                if self.stall.expired(cx) {
                    return Poll::Ready(Err(slow_reader()));
                }
                Poll::Pending
            }
            Poll::Ready(Ok(bytes)) => {
                if self.stall.is_armed() {
                    self.stall.disarm();
                    self.pace.moved(timers.now_ms(), bytes as u64);
                    if self.pace.too_slow(self.conn.worker.rate_min()) {
                        return Poll::Ready(Err(slow_reader()));
                    }
                }
                Poll::Ready(Ok(bytes))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

fn slow_reader() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client does not read what it asked for")
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(taken));
            self.conn.bytes_arrived();
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = match &mut self.stream {
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
            Stream::Plain(plain) => Pin::new(plain).poll_read(cx, buf),
        };
        if buf.filled().len() > before {
            self.conn.bytes_arrived();
        }
        result
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.conn.flushed.set(false);
        let result = match &mut self.stream {
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
            Stream::Plain(plain) => Pin::new(plain).poll_write(cx, buf),
        };
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.conn.flushed.set(false);
        let result = match &mut self.stream {
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
            Stream::Plain(plain) => Pin::new(plain).poll_write_vectored(cx, bufs),
        };
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tls(tls) => tls.is_write_vectored(),
            Stream::Plain(plain) => plain.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.stream {
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
            Stream::Plain(plain) => Pin::new(plain).poll_flush(cx),
        };
        match result {
            Poll::Pending => ready!(self.written(cx, Poll::Pending)).map(|_| ())?,
            Poll::Ready(Ok(())) => {
                self.conn.flushed.set(true);
                if self.stall.is_armed() {
                    ready!(self.written(cx, Poll::Ready(Ok(0)))).map(|_| ())?;
                }
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.stream {
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Stream::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
        };
        if result.is_pending() {
            ready!(self.written(cx, Poll::Pending)).map(|_| ())?;
        }
        result
    }
}
