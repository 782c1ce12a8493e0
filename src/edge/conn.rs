//! One client connection: handshake, HTTP/1.1 or HTTP/2, idle, parked, tunnel, end.
//!
//! Promises: the handshake has its own deadline (8); heads and idle connections end at theirs (17); a connection that
//! is idle for a second keeps only its TLS stream. A panic ends this connection and no other.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::accept::{Arrival, Role};
use super::crowd::Seat;
use super::identity::Identity;
use super::inspect::{Gate, Refused};
use super::io::{Prefixed, Stream};
use super::timers::{Deadline, Stall};
use super::tunnel::Tunnel;
use super::worker::{View, Worker};
use super::{announced, http1, http2, tls};
use crate::base::{ClientIp, Denial, Host, Said, unmapped};

/// How long a connection that has asked for nothing yet is waited for when the worker drains.
const FRESH: Duration = Duration::from_secs(1);

/// Requests that one HTTP/2 client has in flight while every place for a connection is taken.
const STREAMS_WHEN_FULL: u32 = 8;

/// What the requests of one connection share.
pub struct Conn {
    pub worker: Rc<Worker>,
    /// The other end of the socket, or whom a proxy there announced (`listen.proxy_protocol_from`).
    pub peer: IpAddr,
    /// That proxy.
    pub announced_by: Option<IpAddr>,
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
    /// How much of a response hyper has been given ahead of the socket.
    pub(super) ahead: Ahead,
    /// Between which parts of HTTP/1 the last byte fell that was read.
    pub(super) wire: Cell<Wire>,
    /// HTTP/1 heads that went on to hyper, and requests that began.
    heads_in: Cell<u64>,
    heads_out: Cell<u64>,
    /// A refused head, and the number of the request that stands in for it.
    refused: RefCell<Option<(u64, Box<Refused>)>>,
    /// The rule that a request body broke.
    pub(super) body_fault: Cell<Option<&'static str>>,
    /// A request panicked: nothing more is served here.
    pub(super) poisoned: Cell<bool>,
    /// Idle, and asked to make room for others.
    pub(super) shed: Cell<bool>,
    seat: Seat,
    /// A request has begun here.
    served: Cell<bool>,
    pub(super) last_active_ms: Cell<u64>,
    pub(super) deadline: Deadline,
    host: RefCell<Option<Rc<HostEntry>>>,
    /// Of the HTTP/2 stream that is being polled: when its client must have taken some of its response, and how fast.
    pub stream_stall: RefCell<Option<Rc<Stall>>>,
    /// Set by a request that became a tunnel.
    pub tunnel: RefCell<Option<Tunnel>>,
}

/// What hyper holds of a response of HTTP/1 and the socket has not taken. hyper by itself takes as much as the longest
/// head has room for, from an app that is faster than the client.
#[derive(Default)]
pub(super) struct Ahead {
    bytes: Cell<usize>,
    waiting: Cell<Option<Waker>>,
}

impl Ahead {
    /// More than this waits until the socket has taken what there is.
    const MAX: usize = 16 * 1024;

    pub fn add(&self, bytes: usize) {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
    }

    /// Ready when there is room for another frame.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.bytes.get() < Self::MAX {
            return Poll::Ready(());
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// The socket has taken everything.
    pub fn flushed(&self) {
        self.bytes.set(0);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// What the last byte that came from an HTTP/1 client was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// The end of a request, or nothing yet.
    Between,
    /// Part of a head that has not ended.
    HalfHead,
    /// Behind a request that may become a tunnel.
    Held,
    /// Part of a body, or of what is not read any more.
    Inside,
}

/// A client address with the texts that are made of it.
#[derive(Debug, Clone)]
pub struct Client {
    pub ip: ClientIp,
    pub text: HeaderValue,
}

impl Client {
    pub fn of(ip: ClientIp) -> Self {
        // Addresses are visible ASCII.
        let text = HeaderValue::try_from(ip.to_string()).unwrap_or(HeaderValue::from_static(""));
        Self { ip, text }
    }
}

/// The last host of a connection, and what was worked out for it.
#[derive(Debug)]
pub struct HostEntry {
    generation: u64,
    authority: Box<[u8]>,
    pub site: usize,
    /// `Host` for the app, where it has none.
    pub value: HeaderValue,
    /// What the app is told, of this connection's own client.
    pub identity: Rc<Identity>,
}

impl Conn {
    fn new(worker: Rc<Worker>, opening: Opening) -> Rc<Self> {
        let view = worker.view();
        let trusted = &view.policy.settings.listen.trusted_proxies;
        let ip = trusted.resolve(opening.whose.peer, Said::Nothing);
        let deadline = worker.timers.deadline();
        let conn = Rc::new(Self {
            peer: opening.whose.peer,
            announced_by: opening.whose.announced_by,
            tls: opening.tls,
            http2: opening.http2,
            sni: opening.sni,
            local: opening.local,
            client: Client::of(ip),
            exchanges: Cell::new(0),
            bodies_open: Cell::new(0),
            unread: Cell::new(false),
            flushed: Cell::new(true),
            ahead: Ahead::default(),
            wire: Cell::new(Wire::Between),
            heads_in: Cell::new(0),
            heads_out: Cell::new(0),
            refused: RefCell::new(None),
            body_fault: Cell::new(None),
            poisoned: Cell::new(false),
            shed: Cell::new(false),
            seat: worker.crowd.seat(),
            served: Cell::new(false),
            stream_stall: RefCell::default(),
            last_active_ms: Cell::new(worker.timers.now_ms()),
            deadline,
            host: RefCell::new(None),
            tunnel: RefCell::new(None),
            worker,
        });
        conn.seat.taken_by(&conn);
        conn
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
        let identity = Rc::new(Identity::new(&self.client, &value, self.tls));
        let entry =
            Rc::new(HostEntry { generation, authority: authority.into(), site, value, identity });
        *self.host.borrow_mut() = Some(Rc::clone(&entry));
        entry
    }

    /// It is idle: what was worked out for its requests is worked out again for the next one.
    pub(super) fn forget_host(&self) {
        *self.host.borrow_mut() = None;
    }

    /// Called by the stream when it has read something: what the gate made of it.
    pub(super) fn saw(&self, gate: &mut Gate) {
        self.heads_in.set(self.heads_in.get() + gate.passed());
        if let Some(refused) = gate.refused() {
            // The stand-in is a head like any other.
            self.heads_in.set(self.heads_in.get() + 1);
            *self.refused.borrow_mut() = Some((self.heads_in.get(), refused));
        }
        self.wire.set(match gate {
            gate if gate.is_between() => Wire::Between,
            gate if gate.has_half_head() => Wire::HalfHead,
            gate if gate.is_held() => Wire::Held,
            _ => Wire::Inside,
        });
    }

    /// The refused head that the request that has just begun stands in for.
    pub(super) fn take_refused(&self) -> Option<Box<Refused>> {
        let number = self.heads_out.get();
        let mut refused = self.refused.borrow_mut();
        refused.take_if(|(stand_in, _)| *stand_in == number).map(|(_, refused)| refused)
    }

    /// Bytes of a next request have come.
    pub(super) fn head_begun(&self) -> bool {
        self.wire.get() == Wire::HalfHead || self.heads_in.get() > self.heads_out.get()
    }

    /// Whether a request that asked for an upgrade is over and the connection still speaks HTTP.
    pub(super) fn upgrade_is_over(&self) -> bool {
        self.wire.get() == Wire::Held
            && self.exchanges.get() == 0
            && self.heads_in.get() == self.heads_out.get()
            && self.tunnel.borrow().is_none()
    }

    /// A request begins.
    pub fn begin(&self) {
        self.exchanges.set(self.exchanges.get() + 1);
        if self.has_many_streams() {
            self.worker.shared.caps.begin_beyond();
        }
        self.heads_out.set(self.heads_out.get() + 1);
        self.unread.set(false);
        self.served.set(true);
    }

    /// Its response has ended.
    pub fn end(&self) {
        if self.has_many_streams() {
            self.worker.shared.caps.end_beyond();
        }
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        self.last_active_ms.set(self.worker.timers.now_ms());
        if std::thread::panicking() {
            self.poisoned.set(true);
            self.deadline.arm(Duration::ZERO);
        }
    }

    /// Since the last response ended.
    pub(super) fn idle_for(&self) -> Duration {
        let now_ms = self.worker.timers.now_ms();
        Duration::from_millis(now_ms.saturating_sub(self.last_active_ms.get()))
    }

    /// Opened a moment ago and about to send its first request, which no drain may refuse.
    pub(super) fn is_fresh(&self) -> bool {
        !self.served.get() && self.idle_for() < FRESH
    }

    /// Nothing is asked for, or about to be: it may make room. What an HTTP/2 client has begun shows after its GOAWAY.
    pub(super) fn is_idle(&self) -> bool {
        let begun = !self.http2 && (self.head_begun() || self.wire.get() != Wire::Between);
        !self.is_busy() && !begun && !self.unread.get() && !self.is_fresh()
    }

    /// Whether one stream more may begin: while every place for a connection is taken, or as many streams more than
    /// connections, a client gets its share and no more. Each stream may cost a connection to an app.
    pub(super) fn admit_stream(&self) -> Result<(), Denial> {
        let caps = &self.worker.shared.caps;
        let refused = self.has_many_streams() && (caps.is_full() || caps.has_too_many_beyond());
        if refused { Err(Denial::Overloaded) } else { Ok(()) }
    }

    const fn has_many_streams(&self) -> bool {
        self.http2 && self.exchanges.get() > STREAMS_WHEN_FULL
    }

    /// A body that broke off may have broken a rule.
    pub(super) fn of_body(&self, denial: Denial) -> Denial {
        match (denial, self.body_fault.get()) {
            (Denial::BodyBroken, Some(rule)) => Denial::BadChunk { rule },
            (denial, _) => denial,
        }
    }

    /// Makes room.
    pub(super) fn leave(&self) {
        self.shed.set(true);
        self.deadline.fire();
    }

    pub(super) fn is_busy(&self) -> bool {
        self.exchanges.get() > 0 || self.bodies_open.get() > 0
    }
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy)]
struct Whose {
    /// At the other end of the socket, or announced by who is there.
    peer: IpAddr,
    announced_by: Option<IpAddr>,
}

/// What is known of a connection before its first request.
struct Opening {
    whose: Whose,
    local: Option<IpAddr>,
    tls: bool,
    http2: bool,
    sni: Option<Host>,
}

/// Serves one connection from accept to close.
pub async fn serve(worker: Rc<Worker>, arrival: Arrival) {
    // Dropped last: the count covers the whole life of the connection.
    let Arrival { stream, peer, role, announced, mut permit } = arrival;
    let Ok(mut tcp) = tokio::net::TcpStream::from_std(stream) else { return };
    let mut whose = Whose { peer: peer.ip(), announced_by: None };
    if announced {
        let client = match Box::pin(announced::read(&worker, &mut tcp, peer.ip())).await {
            Some(announced) => announced,
            None => return,
        };
        if let Some(client) = client {
            if permit.settle(client).is_err() {
                return;
            }
            whose = Whose { peer: client, announced_by: Some(peer.ip()) };
        }
    }
    match role {
        Role::Https => Box::pin(serve_tls(worker, tcp, whose)).await,
        Role::Http => Box::pin(serve_plain(worker, tcp, whose)).await,
    }
    drop(permit);
}

async fn serve_plain(worker: Rc<Worker>, tcp: tokio::net::TcpStream, whose: Whose) {
    let opening = Opening { whose, local: None, tls: false, http2: false, sni: None };
    let conn = Conn::new(worker, opening);
    http1::serve(conn, Stream::Plain(Prefixed::new(tcp, Vec::new()))).await;
}

async fn serve_tls(worker: Rc<Worker>, tcp: tokio::net::TcpStream, whose: Whose) {
    // Boxed, so that what the handshake needs is freed when it is over.
    let Some(secured) = Box::pin(tls::handshake(&worker, tcp, whose.peer)).await else { return };
    let opening =
        Opening { whose, local: secured.local, tls: true, http2: secured.http2, sni: secured.sni };
    let conn = Conn::new(worker, opening);
    let stream = Stream::Tls(secured.stream);
    if conn.http2 {
        Box::pin(http2::serve(conn, stream)).await;
    } else {
        http1::serve(conn, stream).await;
    }
    drop(secured.permit);
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
