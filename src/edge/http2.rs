//! HTTP/2 on one client connection, with a deadline for whatever waits for the client.
//!
//! Promises: an idle connection gets a GOAWAY and then the end, whatever else it sends; a header block that does not end
//! ends the connection; a response that the client gives no window for ends; floods of frames end at `h2_watch`.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;

use super::conn::Conn;
use super::h2_io::{Line, WatchedIo};
use super::h2_watch::Excess;
use super::io::{ClientIo, Stream};
use super::timers::{Deadline, Stall};
use super::{http1, request};
use crate::telemetry::{Ended, Level};

/// What one HTTP/2 stream holds for a client that does not read; hyper's own 400 KiB make 40 MB of 100 streams.
const STREAM_SEND_MAX: usize = 64 * 1024;

/// How long an idle HTTP/2 client has to answer a GOAWAY.
const GOODBYE: Duration = Duration::from_secs(5);

/// The same while a stop or other clients wait for its place.
const GOODBYE_HURRIED: Duration = Duration::from_secs(1);

/// Between two looks at a connection that is not idle yet.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs the exchanges of HTTP/2 connections on the worker that owns the connection, and ends one whose client does not
/// take its response: a closed window stalls a stream without stalling the socket.
#[derive(Clone)]
struct LocalExecutor(Rc<Conn>);

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        let stall = Rc::new(Stall::new(self.0.worker.timers.deadline()));
        spawn_local(StreamTask { future, conn: Rc::clone(&self.0), stall });
    }
}

pin_project_lite::pin_project! {
    /// One exchange of an HTTP/2 connection, with the deadline that its response body arms.
    struct StreamTask<F> {
        #[pin]
        future: F,
        conn: Rc<Conn>,
        stall: Rc<Stall>,
    }
}

impl<F: Future> Future for StreamTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let outer = this.conn.stream_stall.replace(Some(Rc::clone(this.stall)));
        let ended = this.future.poll(cx).is_ready();
        this.conn.stream_stall.replace(outer);
        if ended || this.stall.expired(cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

pub(super) async fn serve(conn: Rc<Conn>, stream: Stream) {
    let line = Line::new(&conn);
    let end = Box::pin(exchanges(&conn, stream, &line)).await;
    let shard = &conn.worker.shard;
    let excess = match line.excess() {
        Some(Excess::Control) => Some(Ended::ControlFrames),
        Some(Excess::Resets) => Some(Ended::Resets),
        None if end == End::HalfHead => Some(Ended::HalfHead),
        None => None,
    };
    let stream = match excess {
        Some(why) => {
            shard.ended(why);
            complain(&conn, why);
            line.scold().await
        }
        // hyper has said why; closing over what still comes would take that back.
        None if end == End::Broken => line.take_stream(),
        None => None,
    };
    if let Some(stream) = stream {
        http1::linger(&conn, stream).await;
    }
}

/// Tells the log whose connection ended, and why.
fn complain(conn: &Conn, ended: Ended) {
    let worker = &conn.worker;
    let Some(more) = worker.flood_complaints.more(worker.timers.now_ms()) else { return };
    let (why, next) = match ended {
        Ended::Resets => ("it took back more requests than any page has", PERHAPS_A_FAULT),
        Ended::HalfHead => (
            "a header block did not end within timeout.head",
            "nothing, unless the client is one of yours: then look at its network, or raise timeout.head",
        ),
        _ => ("it sent more frames that are no requests than a client needs", PERHAPS_A_FAULT),
    };
    worker.shared.log.event(Level::Warn, "http2_connection_ended", |line| {
        line.text("client", conn.client.text.to_str().unwrap_or_default())
            .text("reason", ended.name())
            .text("why", why)
            .number("more", more)
            .text("next", next);
    });
}

const PERHAPS_A_FAULT: &str = "nothing, unless the client is one of yours: then it has a fault; a firewall can keep out who comes again and again";

/// How the exchanges of a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client or hyper closed it.
    Closed,
    /// The client broke the rules, or the stream failed.
    Broken,
    /// A header block did not end in time.
    HalfHead,
    /// It was told to go, and stayed, or cannot go on.
    Cut,
}

async fn exchanges(conn: &Rc<Conn>, stream: Stream, line: &Rc<Line>) -> End {
    let view = conn.worker.view();
    let limits = view.policy.settings.http2.clone();
    drop(view);
    let window = |bytes: crate::base::units::Bytes| u32::try_from(bytes.0).unwrap_or(u32::MAX >> 1);
    let service = {
        let conn = Rc::clone(conn);
        // Boxed: hyper moves the future of an exchange several times on its way into a task.
        service_fn(move |request| Box::pin(request::serve(&conn, request)))
    };
    let client = ClientIo::new(stream, Rc::clone(conn));
    let mut http = http2::Builder::new(LocalExecutor(Rc::clone(conn)))
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(window(limits.stream_window))
        .initial_connection_window_size(window(limits.connection_window))
        .max_header_list_size(window(limits.header_list_max))
        .max_pending_accept_reset_streams(limits.pending_reset_max)
        .max_local_error_reset_streams(limits.local_reset_max)
        .max_send_buf_size(STREAM_SEND_MAX)
        .serve_connection(TokioIo::new(WatchedIo::new(client, Rc::clone(line))), service);
    let mut clock = Clock::new(conn);
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut http).poll(cx) {
            return Poll::Ready(if result.is_ok() { End::Closed } else { End::Broken });
        }
        match clock.look(conn, line, cx) {
            Look::Wait => Poll::Pending,
            Look::End(end) => Poll::Ready(end),
            Look::Leave => {
                Pin::new(&mut http).graceful_shutdown();
                Pin::new(&mut http).poll(cx).map(|_| End::Closed)
            }
        }
    })
    .await
}

/// What is due on a connection.
enum Look {
    Wait,
    /// Say GOAWAY, and go on with what is in flight.
    Leave,
    End(End),
}

/// Until when a connection may do what it is doing: hyper has no timer for any of it.
struct Clock {
    head: Duration,
    keep_alive: Duration,
    head_due: Deadline,
    /// Since when the client has been told to go, and how long it has to do so.
    leaving: Option<(u64, Duration)>,
}

impl Clock {
    fn new(conn: &Conn) -> Self {
        let timeouts = conn.worker.timeouts();
        conn.deadline.arm(timeouts.keep_alive);
        Self {
            head: timeouts.head,
            keep_alive: timeouts.keep_alive,
            head_due: conn.worker.timers.deadline(),
            leaving: None,
        }
    }

    fn look(&mut self, conn: &Conn, line: &Line, cx: &Context<'_>) -> Look {
        if conn.poisoned.get() {
            return Look::End(End::Cut);
        }
        if self.half_head(conn, line, cx) {
            return Look::End(End::HalfHead);
        }
        let idle = conn.idle_for();
        let due = conn.deadline.expired(cx);
        let Some((since_ms, goodbye)) = self.leaving else {
            // Only a response counts: PING, SETTINGS and WINDOW_UPDATE keep nothing open.
            let timed_out = due && !conn.is_busy() && idle >= self.keep_alive;
            let early = conn.worker.draining.get() || conn.shed.get();
            if timed_out || early {
                let goodbye = if early { GOODBYE_HURRIED } else { GOODBYE };
                self.leaving = Some((conn.worker.timers.now_ms(), goodbye));
                wait(conn, goodbye, cx);
                return Look::Leave;
            }
            if due {
                wait(conn, self.keep_alive.saturating_sub(idle).max(LOOK_AGAIN), cx);
            }
            return Look::Wait;
        };
        let told = Duration::from_millis(conn.worker.timers.now_ms().saturating_sub(since_ms));
        if due && !conn.is_busy() && told.min(idle) >= goodbye {
            return Look::End(End::Cut);
        }
        if due {
            wait(conn, LOOK_AGAIN, cx);
        }
        Look::Wait
    }

    /// Whether a header block has been waited for for too long.
    fn half_head(&self, conn: &Conn, line: &Line, cx: &Context<'_>) -> bool {
        let Some(since_ms) = line.block_since_ms() else {
            self.head_due.disarm();
            return false;
        };
        let waited = Duration::from_millis(conn.worker.timers.now_ms().saturating_sub(since_ms));
        self.head_due.arm(self.head.saturating_sub(waited));
        self.head_due.expired(cx)
    }
}

/// Arms the deadline of a connection, and sees to it that its task hears of it.
fn wait(conn: &Conn, after: Duration, cx: &Context<'_>) {
    conn.deadline.arm(after);
    let _ = conn.deadline.expired(cx);
}
