//! One HTTP/2 connection to an app, shared by the exchanges of a worker.
//!
//! Promises: a connection that the app wants to end (GOAWAY) gets no further exchange and goes on with those it has; one
//! that does not answer a PING ends, and so does one on which clients have left many exchanges. Bounds: exchanges at once
//! ([`STREAMS_MAX`], or fewer if the app says so), exchanges that are broken off ([`RESETS_MAX`]), what an app may send ahead
//! of a client that does not read ([`STREAM_WINDOW`]) and for the connection itself ([`TURN_MAX`]), heads, and what waits
//! to be written.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::head::HEAD_MAX;
use super::heard::{Ear, Heard};
use super::silence::{Due, LOOK, Silence};
use super::strand::Strand;
use super::stream::UpstreamStream;
use super::target::Target;

/// Exchanges at once on one connection; for more there is another.
pub const STREAMS_MAX: usize = 128;
/// What one exchange may hold for a client that does not read.
pub const STREAM_WINDOW: u32 = 128 * 1024;
/// All exchanges may stall without holding up another.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX as u32;
/// What one exchange may hold for an app that does not read.
const SEND_MAX: usize = 64 * 1024;
/// Exchanges that may be broken off on one connection before the next ones go to another. Servers end a connection with
/// many resets, and the exchanges of everybody on it (CVE-2023-44487): no client may bring that about for the others.
pub const RESETS_MAX: u32 = 64;
/// What is on its way for an exchange that was broken off is expected for so long: the library counts what it does not
/// expect, and ends the connection in the end.
const LATE: Duration = Duration::from_secs(30);
/// Broken off at once: those that were counted, and whatever was under way then.
const LATE_MAX: usize = RESETS_MAX as usize + STREAMS_MAX;
/// Bytes that are read before others have their turn. What an app says for the connection itself has no window.
const TURN_MAX: usize = 64 * 1024;
/// Looks at a connection that nobody needs, before it ends whether or not the app has taken the last words.
const PARTING_LOOKS: u32 = 2;

/// A connection, and the way to begin an exchange on it.
pub struct Multiplexed {
    sender: SendRequest<Bytes>,
    line: Rc<Line>,
    tls: bool,
    idle_since_ms: Option<u64>,
    pub target: Target,
}

/// What a connection and its exchanges know of each other.
#[derive(Debug, Default)]
pub struct Line {
    pub exchanges: Cell<usize>,
    /// Bytes that have come.
    heard: Cell<u64>,
    /// It did not answer a PING.
    pub mute: Cell<bool>,
    /// Exchanges that were broken off here.
    pub resets: Cell<u32>,
    /// Bytes that have come in this turn.
    turn: Cell<usize>,
}

impl Multiplexed {
    /// Begins to speak HTTP/2 on a stream; from now on a task of this worker drives it. `version`: as for
    /// [`super::link::Link::new`].
    ///
    /// # Errors
    /// When the stream takes nothing.
    pub async fn open(stream: UpstreamStream, version: u64) -> io::Result<Self> {
        let target = Target::of(&stream, version);
        let tls = matches!(stream, UpstreamStream::Tls(_));
        let line = Rc::<Line>::default();
        let heard = Heard { stream, ear: Rc::clone(&line) };
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_MAX as u32)
            .max_send_buffer_size(SEND_MAX)
            .max_concurrent_reset_streams(LATE_MAX)
            .reset_stream_duration(LATE)
            .handshake(heard)
            .await
            .map_err(|error| error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()))?;
        spawn_local(drive(connection, Rc::clone(&line)));
        Ok(Self { sender, line, tls, idle_since_ms: None, target })
    }

    /// Whether it may still be used, as far as has been heard.
    pub fn is_open(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(self.sender.poll_ready(&mut cx), Poll::Ready(Ok(())))
    }

    /// Whether it takes another exchange now.
    pub fn has_room(&self) -> bool {
        self.line.resets.get() < RESETS_MAX
            && self.exchanges() < self.sender.current_max_send_streams().min(STREAMS_MAX)
    }

    /// Nothing is under way, and nothing more ever will be.
    pub fn is_spent(&self) -> bool {
        self.exchanges() == 0 && !self.has_room()
    }

    /// Exchanges under way.
    pub fn exchanges(&self) -> usize {
        self.line.exchanges.get()
    }

    /// A place for one exchange.
    pub fn strand(&mut self) -> Box<Strand> {
        self.idle_since_ms = None;
        Strand::new(self.sender.clone(), Rc::clone(&self.line), self.tls)
    }

    /// Whether it is to be kept: it has been of use within `idle_max_ms`, and is open.
    pub fn look(&mut self, now_ms: u64, idle_max_ms: u64) -> bool {
        if self.exchanges() > 0 {
            self.idle_since_ms = None;
            return self.is_open();
        }
        let since_ms = *self.idle_since_ms.get_or_insert(now_ms);
        now_ms.saturating_sub(since_ms) < idle_max_ms && !self.is_spent() && self.is_open()
    }
}

/// Runs a connection until it is closed: by the app, or because nobody needs it any more, or because it is dead.
async fn drive(mut connection: Connection<Heard<Rc<Line>>, Bytes>, line: Rc<Line>) {
    let mut ping = connection.ping_pong();
    let (mut silence, mut parting) = (Silence::default(), 0);
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll_fn(|cx| {
        line.turn.set(0);
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(()); // its exchanges have heard why
        }
        while looks.poll_tick(cx).is_ready() {
            // This task and its stream are the last who know of it.
            parting += u32::from(Rc::strong_count(&line) <= 2);
            if parting > PARTING_LOOKS {
                return Poll::Ready(());
            }
            match silence.look(line.heard.get(), line.exchanges.get()) {
                Due::Nothing => {}
                Due::Ask => {
                    if let Some(ping) = &mut ping {
                        let _ = ping.send_ping(h2::Ping::opaque()); // one may be under way: as good
                    }
                }
                Due::GiveUp => {
                    line.mute.set(true);
                    return Poll::Ready(());
                }
            }
        }
        if let Some(ping) = &mut ping {
            let _ = ping.poll_pong(cx); // that something came is what counts
        }
        Poll::Pending
    })
    .await;
}

impl Ear for Rc<Line> {
    fn hear(&mut self, bytes: &[u8]) {
        self.turn.set(self.turn.get().saturating_add(bytes.len()));
        self.heard.set(self.heard.get().saturating_add(bytes.len() as u64));
    }

    fn has_enough(&self) -> bool {
        self.turn.get() >= TURN_MAX
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use tokio::io::{AsyncRead, ReadBuf};

    use super::*;

    #[tokio::test]
    async fn what_an_app_says_at_once_is_read_in_turns_with_what_others_say() {
        let (near, far) = UnixStream::pair().expect("a pair");
        far.writable().await.expect("open");
        let mut written = 0;
        while let Ok(count) = far.try_write(&[0; 4096]) {
            written += count;
        }
        assert!(written > TURN_MAX, "more than one turn: {written}");
        near.readable().await.expect("open");
        let line = Rc::<Line>::default();
        let mut heard = Heard { stream: UpstreamStream::Unix(near), ear: Rc::clone(&line) };
        let mut turns = 0;
        while line.heard.get() < written as u64 {
            let before = line.heard.get();
            line.turn.set(0);
            turns += 1;
            poll_fn(|cx| {
                let mut buffer = [0; 4096];
                let mut buffer = ReadBuf::new(&mut buffer);
                while Pin::new(&mut heard).poll_read(cx, &mut buffer).is_ready() {
                    buffer.clear();
                }
                Poll::Ready(())
            })
            .await;
            assert!(line.heard.get() - before <= TURN_MAX as u64);
        }
        assert!(turns >= 2, "{turns}");
    }
}
