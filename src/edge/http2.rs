//! HTTP/2 on one client connection, with a deadline for whatever waits for the client.
//!
//! Promises: an idle connection gets a GOAWAY and then the end; a response that the client gives no window for ends.

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
use super::io::{ClientIo, Stream};
use super::request;
use super::timers::Deadline;

/// What one HTTP/2 stream holds for a client that does not read; hyper's own 400 KiB make 40 MB of 100 streams.
const STREAM_SEND_MAX: usize = 64 * 1024;

/// How long an idle HTTP/2 client has to answer a GOAWAY.
const GOODBYE: Duration = Duration::from_secs(5);

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
        let stall = Rc::new(self.0.worker.timers.deadline());
        spawn_local(StreamTask { future, conn: Rc::clone(&self.0), stall });
    }
}

pin_project_lite::pin_project! {
    /// One exchange of an HTTP/2 connection, with the deadline that its response body arms.
    struct StreamTask<F> {
        #[pin]
        future: F,
        conn: Rc<Conn>,
        stall: Rc<Deadline>,
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
    let view = conn.worker.view();
    let limits = view.policy.settings.http2.clone();
    let keep_alive = view.policy.settings.timeout.keep_alive;
    drop(view);
    let window = |bytes: crate::base::units::Bytes| u32::try_from(bytes.0).unwrap_or(u32::MAX >> 1);
    let service = {
        let conn = Rc::clone(&conn);
        // Boxed: hyper moves the future of an exchange several times on its way into a task.
        service_fn(move |request| Box::pin(request::serve(&conn, request)))
    };
    let mut http = http2::Builder::new(LocalExecutor(Rc::clone(&conn)))
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(window(limits.stream_window))
        .initial_connection_window_size(window(limits.connection_window))
        .max_header_list_size(window(limits.header_list_max))
        .max_pending_accept_reset_streams(limits.pending_reset_max)
        .max_local_error_reset_streams(limits.local_reset_max)
        .max_send_buf_size(STREAM_SEND_MAX)
        .serve_connection(TokioIo::new(ClientIo::new(stream, Rc::clone(&conn))), service);
    let mut leaving = false;
    conn.deadline.arm(keep_alive);
    poll_fn(|cx| {
        if Pin::new(&mut http).poll(cx).is_ready() || conn.poisoned.get() {
            return Poll::Ready(());
        }
        let idle = conn.idle_for();
        let due = conn.deadline.expired(cx);
        let timed_out = due && !conn.is_busy() && idle >= keep_alive;
        if timed_out && leaving {
            // It was told to go, and stayed.
            return Poll::Ready(());
        }
        if !leaving && (timed_out || conn.worker.draining.get()) {
            leaving = true;
            Pin::new(&mut http).graceful_shutdown();
            if Pin::new(&mut http).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            conn.deadline.arm(GOODBYE);
            let _ = conn.deadline.expired(cx);
        } else if due {
            conn.deadline.arm(keep_alive.saturating_sub(idle).max(LOOK_AGAIN));
            let _ = conn.deadline.expired(cx);
        }
        Poll::Pending
    })
    .await;
}
