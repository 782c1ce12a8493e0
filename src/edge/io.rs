//! The byte stream of a client connection, as hyper sees it: TLS or plain, with bytes that were read ahead put back
//! in front, with HTTP/1 inspected on its way in, and with a deadline for clients that do not read.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::conn::Conn;
use super::inspect::{Gate, Limits, Wants};
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

/// The stream with its bookkeeping: whether everything written is flushed, what of HTTP/1 has come, and whether the
/// client still reads.
pub struct ClientIo {
    pub stream: Stream,
    /// `None`: what comes is not HTTP/1.
    gate: Option<Gate>,
    conn: Rc<Conn>,
    stall: Deadline,
    pace: Pace,
}

impl ClientIo {
    /// For anything but HTTP/1.
    pub fn new(stream: Stream, conn: Rc<Conn>) -> Self {
        let stall = conn.worker.timers.deadline();
        Self { stream, gate: None, conn, stall, pace: Pace::default() }
    }

    /// For HTTP/1 from the beginning of a head on.
    pub fn inspected(stream: Stream, conn: Rc<Conn>, limits: Limits) -> Self {
        Self { gate: Some(Gate::new(limits)), ..Self::new(stream, conn) }
    }

    /// The stream, and what was read behind a request that has become a tunnel.
    pub fn into_parts(self) -> (Stream, Vec<u8>) {
        (self.stream, self.gate.map(Gate::into_held).unwrap_or_default())
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

impl Stream {
    fn poll_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
            Self::Plain(plain) => Pin::new(plain).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, gate, conn, .. } = &mut *self;
        let Some(gate) = gate else { return stream.poll_some(cx, buf) };
        if conn.upgrade_is_over() {
            gate.release();
            conn.saw(gate);
        }
        loop {
            let ready = gate.ready();
            if !ready.is_empty() {
                let taken = ready.len().min(buf.remaining());
                buf.put_slice(ready.get(..taken).unwrap_or_default());
                gate.took(taken);
                conn.saw(gate);
                return Poll::Ready(Ok(()));
            }
            match gate.wants() {
                Wants::Direct => {
                    let before = buf.filled().len();
                    ready!(stream.poll_some(cx, buf))?;
                    let come = buf.filled().get(before..).unwrap_or_default();
                    if come.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    let pass = gate.look(come);
                    buf.set_filled(before + pass);
                    conn.saw(gate);
                    if pass > 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Wants::More(room) => {
                    // hyper's buffer is only borrowed: what waits is none of hyper's business yet.
                    let mut part = buf.take(room);
                    if part.remaining() == 0 {
                        return Poll::Pending;
                    }
                    ready!(stream.poll_some(cx, &mut part))?;
                    if part.filled().is_empty() {
                        // The end; behind an upgrade it is not told before its time, since hyper would end the exchange.
                        let early = gate.is_held() && gate.kept_bytes() > 0;
                        return if early { Poll::Pending } else { Poll::Ready(Ok(())) };
                    }
                    gate.add(part.filled());
                    conn.saw(gate);
                }
                Wants::Silence => return Poll::Pending,
                Wants::Fault(rule) => {
                    conn.body_fault.set(Some(rule));
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, rule)));
                }
            }
        }
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
                self.conn.ahead.flushed();
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
