//! One client connection: handshake, HTTP/1.1 or HTTP/2, idle, parked, tunnel, end.
//!
//! Promises: the handshake has its own deadline (8); heads and idle connections end at theirs (17); a connection that
//! is idle for a second keeps only its TLS stream. A panic ends this connection and no other.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::task::spawn_local;

use super::accept::{Arrival, Role};
use super::io::{ClientIo, Prefixed, Readable, Stream};
use super::request;
use super::timers::Deadline;
use super::tls;
use super::tunnel::Tunnel;
use super::worker::{View, Worker};
use crate::base::{ClientIp, Host, unmapped};

/// An idle connection is parked after this long.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// How long a connection that has asked for nothing yet is waited for when the worker drains.
const FRESH: Duration = Duration::from_secs(1);

/// How long a client that still sends may go on after its answer, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);

/// What one HTTP/2 stream holds for a client that does not read; hyper's own 400 KiB make 40 MB of 100 streams.
const STREAM_SEND_MAX: usize = 64 * 1024;

/// How long an idle HTTP/2 client has to answer a GOAWAY.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the requests of one connection share.
pub struct Conn {
    pub worker: Rc<Worker>,
    pub peer: IpAddr,
    pub tls: bool,
    pub http2: bool,
    /// The name that the TLS handshake asked for; `None` if it asked for none.
    pub sni: Option<Host>,
    /// Where the client connected to.
    local: Option<IpAddr>,
    /// The client, unless a trusted proxy says who it is.
    pub client: Client,
    /// Exchanges whose response has not ended.
    pub exchanges: Cell<u32>,
    /// Request bodies that were not read to their end.
    pub bodies_open: Cell<u32>,
    /// A request body was left unread: its rest may still come, so the connection cannot be parked.
    pub unread: Cell<bool>,
    /// Everything written has reached the socket.
    pub flushed: Cell<bool>,
    /// Bytes of a next request have come while none was in flight.
    head_begun: Cell<bool>,
    /// A request panicked: nothing more is served here.
    poisoned: Cell<bool>,
    /// A request has begun here.
    served: Cell<bool>,
    last_active_ms: Cell<u64>,
    deadline: Deadline,
    host: RefCell<Option<Rc<HostEntry>>>,
    /// Of the HTTP/2 stream that is being polled: when its client must have taken some of its response.
    pub stream_stall: RefCell<Option<Rc<Deadline>>>,
    /// Set by a request that became a tunnel.
    pub tunnel: RefCell<Option<Tunnel>>,
}

/// A client address with the texts that are made of it.
#[derive(Debug, Clone)]
pub struct Client {
    pub ip: ClientIp,
    pub text: HeaderValue,
}

/// The last host of a connection, and what was worked out for it.
#[derive(Debug)]
pub struct HostEntry {
    generation: u64,
    authority: Box<[u8]>,
    pub site: usize,
    /// `Host` and `X-Forwarded-Host` for the app.
    pub value: HeaderValue,
    /// `Forwarded` for the app (RFC 7239), for this connection's own client.
    pub forwarded: HeaderValue,
}

impl Conn {
    fn new(worker: Rc<Worker>, opening: Opening) -> Option<Rc<Self>> {
        let view = worker.view();
        let trusted = &view.policy.settings.listen.trusted_proxies;
        let ip = trusted.resolve(opening.peer, std::iter::empty());
        let text = HeaderValue::from_str(&ip.to_string()).ok()?;
        let deadline = worker.timers.deadline();
        Some(Rc::new(Self {
            peer: opening.peer,
            tls: opening.tls,
            http2: opening.http2,
            sni: opening.sni,
            local: opening.local,
            client: Client { ip, text },
            exchanges: Cell::new(0),
            bodies_open: Cell::new(0),
            unread: Cell::new(false),
            flushed: Cell::new(true),
            head_begun: Cell::new(false),
            poisoned: Cell::new(false),
            served: Cell::new(false),
            stream_stall: RefCell::default(),
            last_active_ms: Cell::new(worker.timers.now_ms()),
            deadline,
            host: RefCell::new(None),
            tunnel: RefCell::new(None),
            worker,
        }))
    }

    /// The site that the handshake chose, in the policy of `view`.
    pub fn sni_site_in(&self, view: &View) -> Option<usize> {
        match &self.sni {
            Some(name) => view.policy.find(name),
            None => view.policy.find_by_address(self.local?),
        }
    }

    pub fn remembered_host(&self, generation: u64, authority: &[u8]) -> Option<Rc<HostEntry>> {
        let entry = self.host.borrow();
        let entry = entry.as_ref()?;
        (entry.generation == generation && *entry.authority == *authority).then(|| Rc::clone(entry))
    }

    pub fn remember_host(
        &self,
        generation: u64,
        authority: &[u8],
        text: &str,
        site: usize,
    ) -> Rc<HostEntry> {
        // `text` parsed as a host, so both are visible ASCII.
        let value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
        let forwarded = super::forwarded::forwarded(self.client.ip.addr(), text, self.tls);
        let entry =
            Rc::new(HostEntry { generation, authority: authority.into(), site, value, forwarded });
        *self.host.borrow_mut() = Some(Rc::clone(&entry));
        entry
    }

    /// Called by the stream when it has read something.
    pub fn bytes_arrived(&self) {
        if self.exchanges.get() == 0 && self.bodies_open.get() == 0 {
            self.head_begun.set(true);
        }
    }

    /// A request begins.
    pub fn begin(&self) {
        self.exchanges.set(self.exchanges.get() + 1);
        self.head_begun.set(false);
        self.unread.set(false);
        self.served.set(true);
    }

    /// Its response has ended.
    pub fn end(&self) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        self.last_active_ms.set(self.worker.timers.now_ms());
        if std::thread::panicking() {
            self.poisoned.set(true);
            self.deadline.arm(Duration::ZERO);
        }
    }

    /// Since the last response ended.
    fn idle_for(&self) -> Duration {
        let now_ms = self.worker.timers.now_ms();
        Duration::from_millis(now_ms.saturating_sub(self.last_active_ms.get()))
    }

    /// Opened a moment ago and about to send its first request, which no drain may refuse.
    fn is_fresh(&self) -> bool {
        !self.served.get() && self.idle_for() < FRESH
    }

    fn is_busy(&self) -> bool {
        self.exchanges.get() > 0 || self.bodies_open.get() > 0
    }
}

/// What is known of a connection before its first request.
struct Opening {
    peer: IpAddr,
    local: Option<IpAddr>,
    tls: bool,
    http2: bool,
    sni: Option<Host>,
}

/// Serves one connection from accept to close.
pub async fn serve(worker: Rc<Worker>, arrival: Arrival) {
    // Dropped last: the count covers the whole life of the connection.
    let Arrival { stream, peer, role, permit } = arrival;
    let Ok(tcp) = tokio::net::TcpStream::from_std(stream) else { return };
    match role {
        Role::Https => Box::pin(serve_tls(worker, tcp, peer)).await,
        Role::Http => Box::pin(serve_plain(worker, tcp, peer)).await,
    }
    drop(permit);
}

async fn serve_plain(worker: Rc<Worker>, tcp: tokio::net::TcpStream, peer: SocketAddr) {
    let opening = Opening { peer: peer.ip(), local: None, tls: false, http2: false, sni: None };
    if let Some(conn) = Conn::new(worker, opening) {
        serve_http1(conn, Stream::Plain(Prefixed::new(tcp, Vec::new()))).await;
    }
}

async fn serve_tls(worker: Rc<Worker>, tcp: tokio::net::TcpStream, peer: SocketAddr) {
    // Boxed, so that what the handshake needs is freed when it is over.
    let Some(secured) = Box::pin(tls::handshake(&worker, tcp, peer.ip())).await else { return };
    let opening = Opening {
        peer: peer.ip(),
        local: secured.local,
        tls: true,
        http2: secured.http2,
        sni: secured.sni,
    };
    let Some(conn) = Conn::new(worker, opening) else { return };
    let stream = Stream::Tls(secured.stream);
    if conn.http2 {
        Box::pin(serve_http2(conn, stream)).await;
    } else {
        serve_http1(conn, stream).await;
    }
    drop(secured.permit);
}

/// How a stretch of HTTP/1 ended.
enum Stretch {
    /// The connection is over.
    Closed,
    /// The answer is written and the write side closed, but the client may still be sending.
    Unread(Stream),
    /// Idle for a second and with nothing in the air.
    Idle(Stream),
    /// Idle but for the beginning of a next head, which was read together with something before it.
    HalfHead(Stream, bytes::Bytes),
    Tunnel(Stream, Tunnel, bytes::Bytes),
}

/// Alternates between waiting for bytes with the stream alone, and HTTP/1.
async fn serve_http1(conn: Rc<Conn>, mut stream: Stream) {
    let keep_alive = conn.worker.timeouts().keep_alive;
    let mut ahead = bytes::Bytes::new();
    conn.deadline.arm(keep_alive);
    loop {
        if ahead.is_empty() {
            match wait_for_bytes(&conn, &mut stream).await {
                Waited::Bytes => {}
                // The client has said goodbye or gone: an answer would only be met by a reset.
                Waited::Gone => return,
                Waited::Enough => {
                    let _ = close(&conn, stream).await;
                    return;
                }
            }
        }
        // Boxed: a parked connection holds none of this.
        match Box::pin(http1_stretch(&conn, stream, std::mem::take(&mut ahead))).await {
            Stretch::Closed => return,
            Stretch::Unread(stream) => {
                Box::pin(linger(&conn, stream)).await;
                return;
            }
            Stretch::Idle(idle) => {
                stream = idle;
                conn.deadline.arm(keep_alive.saturating_sub(PARK_AFTER));
            }
            Stretch::HalfHead(idle, begun) => {
                stream = idle;
                ahead = begun;
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
            if conn.deadline.expired(cx) || (conn.worker.draining.get() && !conn.is_fresh()) =>
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
async fn linger(conn: &Conn, mut stream: Stream) {
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

async fn http1_stretch(conn: &Rc<Conn>, stream: Stream, ahead: bytes::Bytes) -> Stretch {
    let limits = conn.worker.view().policy.settings.http.clone();
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
        .max_buf_size(limits.head_max.as_usize())
        .serve_connection(TokioIo::new(ClientIo::new(stream, ahead, Rc::clone(conn))), service);
    let mut clock = Http1Clock::new(conn);
    let ended = poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut http).poll(cx) {
            return Poll::Ready(if result.is_ok() { Ended::Finished } else { Ended::Broken });
        }
        // A head that has begun is waited for; its answer says `Connection: close`.
        if conn.worker.draining.get() && !conn.head_begun.get() && !conn.is_fresh() {
            Pin::new(&mut http).graceful_shutdown();
            if let Poll::Ready(_done) = Pin::new(&mut http).poll(cx) {
                return Poll::Ready(Ended::Finished);
            }
        }
        clock.check(conn, cx)
    })
    .await;
    let parts = http.into_parts();
    let stream = parts.io.into_inner().stream;
    let tunnel = conn.tunnel.borrow_mut().take();
    match (ended, tunnel) {
        (Ended::Finished, Some(tunnel)) => Stretch::Tunnel(stream, tunnel, parts.read_buf),
        (Ended::Finished, None) if conn.unread.get() => Stretch::Unread(stream),
        (Ended::Park, _) if parts.read_buf.is_empty() => Stretch::Idle(stream),
        (Ended::Park, _) => Stretch::HalfHead(stream, parts.read_buf),
        _ => Stretch::Closed,
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
        } else if conn.head_begun.get() {
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
            Phase::Idle if conn.flushed.get() && !conn.unread.get() => Poll::Ready(Ended::Park),
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

async fn serve_http2(conn: Rc<Conn>, stream: Stream) {
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
        .serve_connection(
            TokioIo::new(ClientIo::new(stream, bytes::Bytes::new(), Rc::clone(&conn))),
            service,
        );
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
            conn.deadline.arm(keep_alive.saturating_sub(idle).max(PARK_AFTER));
            let _ = conn.deadline.expired(cx);
        }
        Poll::Pending
    })
    .await;
}

/// Writes `bytes` to a client that is not worth more than one try, and closes.
pub async fn last_words(mut tcp: tokio::net::TcpStream, bytes: &[u8]) {
    if tcp.write_all(bytes).await.is_ok() {
        let _ = poll_fn(|cx| Pin::new(&mut tcp).poll_shutdown(cx)).await;
    }
}

/// Whether `peer` is a proxy whose word about the client counts.
pub fn is_trusted(view: &View, peer: IpAddr) -> bool {
    view.policy.settings.listen.trusted_proxies.contains(unmapped(peer))
}
