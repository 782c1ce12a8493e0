//! The byte stream of an HTTP/2 connection on its way to hyper, with the watch over it, and what remains of it when
//! hyper has ended: a client is told why it has to go, and gets to read it.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::conn::Conn;
use super::h2_watch::{Excess, Watch};
use super::io::{ClientIo, Stream};

/// GOAWAY (RFC 9113 §6.8) without its payload.
const GOAWAY_HEAD: [u8; 9] = [0, 0, 8, 7, 0, 0, 0, 0, 0];
/// RFC 9113 §7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// What the connection and its byte stream share.
pub(super) struct Line {
    conn: Rc<Conn>,
    watch: RefCell<Watch>,
    excess: Cell<Option<Excess>>,
    /// The stream, once hyper has let go of it.
    returned: Cell<Option<ClientIo>>,
}

impl Line {
    pub fn new(conn: &Rc<Conn>) -> Rc<Self> {
        let now_ms = conn.worker.timers.now_ms();
        Rc::new(Self {
            conn: Rc::clone(conn),
            watch: RefCell::new(Watch::new(now_ms)),
            excess: Cell::new(None),
            returned: Cell::new(None),
        })
    }

    /// What hyper ended over, if the watch saw it.
    pub fn excess(&self) -> Option<Excess> {
        self.excess.get()
    }

    /// Since when a header block has been waited for.
    pub fn block_since_ms(&self) -> Option<u64> {
        self.watch.borrow().block_since_ms()
    }

    /// Tells the client that it is too much, where that can be told, and hands out the stream. To be called when hyper
    /// has let go of it.
    pub async fn scold(&self) -> Option<Stream> {
        let mut io = self.returned.take()?;
        // Half a frame may be on its way: then there is no place for another.
        if self.conn.flushed.get() {
            let last = self.watch.borrow().last_stream().to_be_bytes();
            let code = ENHANCE_YOUR_CALM.to_be_bytes();
            let goaway = [&GOAWAY_HEAD[..], &last, &code].concat();
            if io.write_all(&goaway).await.is_err() || io.shutdown().await.is_err() {
                return None;
            }
        }
        Some(io.stream)
    }

    /// The stream as hyper left it.
    pub fn take_stream(&self) -> Option<Stream> {
        Some(self.returned.take()?.stream)
    }
}

/// What hyper reads and writes.
pub(super) struct WatchedIo {
    io: Option<ClientIo>,
    line: Rc<Line>,
}

impl WatchedIo {
    pub const fn new(io: ClientIo, line: Rc<Line>) -> Self {
        Self { io: Some(io), line }
    }

    /// It is there until the drop.
    fn io(&mut self) -> io::Result<Pin<&mut ClientIo>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.line.watch.borrow_mut().wrote(*bytes);
        }
    }
}

impl Drop for WatchedIo {
    fn drop(&mut self) {
        self.line.returned.set(self.io.take());
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.io()?.poll_read(cx, buf))?;
        let come = buf.filled().get(before..).unwrap_or_default();
        let now_ms = self.line.conn.worker.timers.now_ms();
        let seen = self.line.watch.borrow_mut().see(come, now_ms);
        Poll::Ready(seen.map_err(|excess| {
            self.line.excess.set(Some(excess));
            buf.set_filled(before);
            io::Error::other("the client sends more than its share of frames")
        }))
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.io()?.poll_write(cx, buf);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.io()?.poll_write_vectored(cx, bufs);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }
}
