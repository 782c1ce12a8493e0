//! HTTP/1.1 on one client connection: parked, serving, lingering, closed.
//!
//! Promises: heads and idle connections end at their deadlines (17); a connection that is idle for a second keeps only
//! its TLS stream; an answer reaches a client that still sends.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;

use super::conn::{Conn, Wire};
use super::inspect::Limits;
use super::io::{ClientIo, Readable, Stream};
use super::request;
use super::tunnel::Tunnel;

/// An idle connection is parked after this long.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// How long a client that still sends may go on after its answer, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);

/// What hyper's buffer may hold beyond the longest head.
const ABOVE_HEAD_MAX: usize = 4096;

/// How a stretch of HTTP/1 ended.
enum Stretch {
    /// The connection is over.
    Closed,
    /// The answer is written and the write side closed, but the client may still be sending.
    Unread(Stream),
    /// Idle for a second and with nothing in the air.
    Idle(Stream),
    Tunnel(Stream, Tunnel, bytes::Bytes),
}

/// Alternates between waiting for bytes with the stream alone, and HTTP/1.
pub(super) async fn serve(conn: Rc<Conn>, mut stream: Stream) {
    let keep_alive = conn.worker.timeouts().keep_alive;
    conn.deadline.arm(keep_alive);
    loop {
        match wait_for_bytes(&conn, &mut stream).await {
            Waited::Bytes => {}
            // The client has said goodbye or gone: an answer would only be met by a reset.
            Waited::Gone => return,
            Waited::Enough => {
                let _ = close(&conn, stream).await;
                return;
            }
        }
        // Boxed: a parked connection holds none of this.
        match Box::pin(http1_stretch(&conn, stream)).await {
            Stretch::Closed => return,
            Stretch::Unread(stream) => {
                Box::pin(linger(&conn, stream)).await;
                return;
            }
            Stretch::Idle(idle) => {
                stream = idle;
                conn.forget_host();
                conn.deadline.arm(keep_alive.saturating_sub(PARK_AFTER));
            }
            Stretch::Tunnel(stream, tunnel, early) => {
                Box::pin(tunnel.run(&conn, stream, early)).await;
                return;
            }
        }
    }
}

/// How the wait for a request ended.
enum Waited {
    Bytes,
    Gone,
    /// The deadline has passed, or the worker drains.
    Enough,
}

async fn wait_for_bytes(conn: &Conn, stream: &mut Stream) -> Waited {
    poll_fn(|cx| match stream.poll_readable(cx) {
        Poll::Ready(Ok(Readable::Bytes)) => Poll::Ready(Waited::Bytes),
        Poll::Ready(_) => Poll::Ready(Waited::Gone),
        Poll::Pending
            if conn.deadline.expired(cx)
                || conn.shed.get()
                || (conn.worker.draining.get() && !conn.is_fresh()) =>
        {
            Poll::Ready(Waited::Enough)
        }
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Says goodbye (close_notify), and does not wait long for it to be heard.
async fn close(conn: &Conn, stream: Stream) -> std::io::Result<()> {
    let mut stream = stream;
    conn.deadline.arm(PARK_AFTER);
    poll_fn(|cx| {
        if conn.deadline.expired(cx) {
            return Poll::Ready(Ok(()));
        }
        match &mut stream {
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
            Stream::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
        }
    })
    .await
}

/// Reads and forgets what the client still sends, until it closes: closing over unread bytes resets the connection, and
/// a reset can overtake the answer.
pub(super) async fn linger(conn: &Conn, mut stream: Stream) {
    conn.deadline.arm(LINGER);
    let mut sink = vec![0; 16 * 1024];
    poll_fn(|cx| {
        for _ in 0..16 {
            if conn.deadline.expired(cx) {
                return Poll::Ready(());
            }
            let mut sink = tokio::io::ReadBuf::new(&mut sink);
            match stream.poll_discard(cx, &mut sink) {
                Poll::Ready(Ok(())) if !sink.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn http1_stretch(conn: &Rc<Conn>, stream: Stream) -> Stretch {
    let limits = limits(conn);
    let client = ClientIo::inspected(stream, Rc::clone(conn), limits);
    let service = {
        let conn = Rc::clone(conn);
        service_fn(move |request| request::serve(&conn, request))
    };
    let mut http = http1::Builder::new()
        // One buffer per write. Not `pipeline_flush`: it holds an answer back for as long as anything is unparsed behind
        // its request, and it takes the bound off the write buffer.
        .writev(false)
        .header_read_timeout(None)
        .max_headers(limits.fields_max)
        // The inspector has the last word on sizes: hyper would refuse without headers, id or a line in the log.
        .max_buf_size(limits.head_max + ABOVE_HEAD_MAX)
        .serve_connection(TokioIo::new(client), service);
    let mut clock = Http1Clock::new(conn);
    let mut released = false;
    let ended = poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut http).poll(cx) {
            return Poll::Ready(if result.is_ok() { Ended::Finished } else { Ended::Broken });
        }
        let over = conn.upgrade_is_over();
        if over && !released {
            // What was held behind it is to be read, and no socket will say so.
            cx.waker().wake_by_ref();
        }
        released = over;
        // A head that has begun is waited for; its answer says `Connection: close`.
        if conn.worker.draining.get() && !conn.head_begun() && !conn.is_fresh() {
            Pin::new(&mut http).graceful_shutdown();
            if let Poll::Ready(_done) = Pin::new(&mut http).poll(cx) {
                return Poll::Ready(Ended::Finished);
            }
        }
        clock.check(conn, cx)
    })
    .await;
    let parts = http.into_parts();
    let (stream, held) = parts.io.into_inner().into_parts();
    let tunnel = conn.tunnel.borrow_mut().take();
    match (ended, tunnel) {
        (Ended::Finished, Some(tunnel)) => Stretch::Tunnel(stream, tunnel, held.into()),
        (Ended::Finished, None) if conn.unread.get() => Stretch::Unread(stream),
        (Ended::Park, _) if parts.read_buf.is_empty() => Stretch::Idle(stream),
        _ => Stretch::Closed,
    }
}

fn limits(conn: &Conn) -> Limits {
    let view = conn.worker.view();
    let http = &view.policy.settings.http;
    Limits {
        head_max: http.head_max.as_usize(),
        fields_max: http.fields_max,
        uri_max: http.uri_max.as_usize(),
    }
}

/// Why a stretch of HTTP/1 is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Finished,
    Broken,
    Park,
    Timeout,
}

/// What an HTTP/1 connection is waiting for, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A request is in flight; its own deadlines count.
    Busy,
    /// A head has begun.
    Head,
    Idle,
}

struct Http1Clock {
    phase: Phase,
    head: Duration,
    keep_alive: Duration,
}

impl Http1Clock {
    fn new(conn: &Conn) -> Self {
        conn.deadline.disarm();
        let timeouts = conn.worker.timeouts();
        Self { phase: Phase::Busy, head: timeouts.head, keep_alive: timeouts.keep_alive }
    }

    fn check(&mut self, conn: &Conn, cx: &Context<'_>) -> Poll<Ended> {
        if conn.poisoned.get() {
            return Poll::Ready(Ended::Broken);
        }
        let phase = if conn.is_busy() {
            Phase::Busy
        } else if conn.head_begun() {
            Phase::Head
        } else {
            Phase::Idle
        };
        if phase != self.phase {
            self.phase = phase;
            match phase {
                Phase::Busy => conn.deadline.disarm(),
                Phase::Head => conn.deadline.arm(self.head),
                Phase::Idle => conn.deadline.arm(PARK_AFTER),
            }
        }
        if !conn.deadline.expired(cx) {
            return Poll::Pending;
        }
        match phase {
            Phase::Idle
                if conn.flushed.get() && !conn.unread.get() && conn.wire.get() == Wire::Between =>
            {
                Poll::Ready(Ended::Park)
            }
            Phase::Idle if conn.idle_for() >= self.keep_alive => Poll::Ready(Ended::Timeout),
            // Something is still in the air: the write deadline decides, or keep-alive.
            Phase::Idle => {
                conn.deadline.arm(PARK_AFTER);
                let _ = conn.deadline.expired(cx);
                Poll::Pending
            }
            Phase::Head => Poll::Ready(Ended::Timeout),
            Phase::Busy => Poll::Pending,
        }
    }
}
