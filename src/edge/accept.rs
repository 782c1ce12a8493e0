//! One thread accepts for all listeners and hands each connection to the least busy worker.
//!
//! Promises: a slow client never delays an accept; before connections are refused, idle ones are closed (18); running
//! out of file descriptors pauses, never spins; what is in the kernel's queue when a listener closes is still accepted.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::net::SocketFlags;
use tokio::time::Instant;

use super::caps::{Permit, Refusal};
use super::crowd::{Load, Need};
use super::worker::{Inbox, Shared};
use crate::telemetry::Level;

/// How long to wait when the system has no descriptor or memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// Between two searches for idle connections because of refusals.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Idle connections that are closed then.
const FILES_FREED: usize = 64;
/// Between two lines in the log about it.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// Accepts in a row before other listeners get a turn.
const BATCH: usize = 64;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    Https,
    Http,
}

impl Role {
    /// The word in `[listen]` and on screens.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// A socket that connections come from.
#[derive(Debug)]
pub struct Listener {
    pub role: Role,
    /// As bound: port 0 has become a real one.
    pub addr: SocketAddr,
    pub socket: TcpListener,
}

/// A connection on its way to a worker.
pub struct Arrival {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub role: Role,
    /// The peer is a proxy that says first whose connection this is (`listen.proxy_protocol_from`).
    pub announced: bool,
    /// Gives the caps and the worker's count back when dropped.
    pub permit: ArrivalPermit,
}

/// Counts one connection in the caps and at its worker.
pub struct ArrivalPermit {
    caps: Permit,
    load: Arc<Load>,
}

impl ArrivalPermit {
    /// As [`Permit::settle`].
    ///
    /// # Errors
    /// The cap that was met.
    pub fn settle(&mut self, client: IpAddr) -> Result<(), Refusal> {
        self.caps.settle(client)
    }
}

impl Drop for ArrivalPermit {
    fn drop(&mut self) {
        self.load.open.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Command {
    Add(Listener),
    /// Accept what is waiting there, then close it.
    Remove(SocketAddr),
    /// Accept what is waiting anywhere, then end.
    Stop,
}

/// The running acceptor.
pub struct Acceptor {
    commands: mpsc::Sender<Command>,
    waker: UnixStream,
    thread: JoinHandle<()>,
}

impl Acceptor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no descriptor or thread for it.
    pub fn start(
        listeners: Vec<Listener>,
        shared: Arc<Shared>,
        inboxes: Vec<Inbox>,
    ) -> io::Result<Self> {
        for listener in &listeners {
            listener.socket.set_nonblocking(true)?;
        }
        let (waker, wakened) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        wakened.set_nonblocking(true)?;
        let (commands, receiver) = mpsc::channel();
        let (complained, asked) = (Cell::new(None), Cell::new(None));
        let mut accepting =
            Accepting { listeners, shared, inboxes, receiver, wakened, complained, asked };
        let thread = std::thread::Builder::new()
            .name("accept".into())
            .spawn(move || while accepting.turn() {})?;
        Ok(Self { commands, waker, thread })
    }

    /// Accepts on one more listener.
    ///
    /// # Errors
    /// When the listener cannot be made non-blocking.
    pub fn add(&self, listener: Listener) -> io::Result<()> {
        listener.socket.set_nonblocking(true)?;
        self.tell(Command::Add(listener));
        Ok(())
    }

    /// Stops accepting on one.
    pub fn remove(&self, addr: SocketAddr) {
        self.tell(Command::Remove(addr));
    }

    /// Stops accepting, and returns when everything that was waiting has been handed over.
    pub fn stop(self) {
        self.tell(Command::Stop);
        let _ = self.thread.join();
    }

    fn tell(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            // A full pipe wakes as well as one byte does.
            let _ = (&self.waker).write(&[1]);
        }
    }
}

struct Accepting {
    listeners: Vec<Listener>,
    shared: Arc<Shared>,
    inboxes: Vec<Inbox>,
    receiver: mpsc::Receiver<Command>,
    wakened: UnixStream,
    /// When the log last heard that nothing can be accepted.
    complained: Cell<Option<Instant>>,
    /// When a refusal last had the workers look for idle connections.
    asked: Cell<Option<Instant>>,
}

impl Accepting {
    /// Waits for something to do and does it. False when told to stop.
    fn turn(&mut self) -> bool {
        let mut fds = vec![PollFd::new(&self.wakened, PollFlags::IN)];
        fds.extend(self.listeners.iter().map(|l| PollFd::new(&l.socket, PollFlags::IN)));
        if rustix::event::poll(&mut fds, None).is_err() {
            // A signal; look again.
            return true;
        }
        let told = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        let ready: Vec<bool> = fds.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for (listener, ready) in self.listeners.iter().zip(ready) {
            if ready && let Err(error) = self.accept_some(listener, BATCH) {
                self.failed(&error);
            }
        }
        !told || self.obey()
    }

    fn obey(&mut self) -> bool {
        let mut sink = [0; 64];
        let _ = self.wakened.read(&mut sink);
        while let Ok(command) = self.receiver.try_recv() {
            match command {
                Command::Add(listener) => self.listeners.push(listener),
                Command::Remove(addr) => {
                    let (gone, kept) = std::mem::take(&mut self.listeners)
                        .into_iter()
                        .partition(|l| l.addr == addr);
                    self.listeners = kept;
                    self.close(gone);
                }
                Command::Stop => {
                    let all = std::mem::take(&mut self.listeners);
                    self.close(all);
                    return false;
                }
            }
        }
        true
    }

    fn close(&self, listeners: Vec<Listener>) {
        for listener in listeners {
            let _ = self.accept_some(&listener, usize::MAX);
        }
    }

    fn accept_some(&self, listener: &Listener, most: usize) -> io::Result<()> {
        for _ in 0..most {
            match accept_one(&listener.socket) {
                Ok((fd, peer)) => self.hand_over(listener.role, fd, peer),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    // The client left before it was accepted.
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::InvalidData => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    fn hand_over(&self, role: Role, fd: OwnedFd, peer: SocketAddr) {
        let announced = {
            let policy = self.shared.policy.load();
            policy.settings.listen.proxy_protocol_from.contains(peer.ip())
        };
        let caps = &self.shared.caps;
        let admitted = if announced { caps.admit_unknown() } else { caps.admit(peer.ip()) };
        // Who is refused has the workers look for idle connections, too, but not each time: it is a look at all.
        if admitted.is_ok() || self.may_ask() {
            self.make_room(Need::Places, caps.idle_unwanted());
        }
        let Ok(caps) = admitted else { return };
        let mut inboxes: Vec<&Inbox> = self.inboxes.iter().collect();
        inboxes.sort_by_key(|inbox| inbox.load.open.load(Ordering::Relaxed));
        let Some(first) = inboxes.first() else { return };
        first.load.open.fetch_add(1, Ordering::Relaxed);
        let permit = ArrivalPermit { caps, load: Arc::clone(&first.load) };
        let mut arrival = Arrival { stream: TcpStream::from(fd), peer, role, announced, permit };
        for inbox in inboxes {
            if !Arc::ptr_eq(&inbox.load, &arrival.permit.load) {
                inbox.load.open.fetch_add(1, Ordering::Relaxed);
                arrival.permit.load.open.fetch_sub(1, Ordering::Relaxed);
                arrival.permit.load = Arc::clone(&inbox.load);
            }
            match inbox.arrivals.try_send(arrival) {
                Ok(()) => return,
                Err(full_or_closed) => arrival = full_or_closed.into_inner(),
            }
        }
        self.shared.caps.refuse(Refusal::Busy);
    }

    fn may_ask(&self) -> bool {
        let now = self.shared.clock.now();
        let lately = |at: Instant| now.saturating_duration_since(at) < ASK_EVERY;
        if self.asked.get().is_some_and(lately) {
            return false;
        }
        self.asked.set(Some(now));
        true
    }

    /// Has every worker close its share of `count` idle connections.
    fn make_room(&self, need: Need, count: usize) {
        if count == 0 {
            return;
        }
        let open = |inbox: &Inbox| inbox.load.open.load(Ordering::Relaxed);
        let all = self.inboxes.iter().map(open).sum::<usize>().max(1);
        for inbox in &self.inboxes {
            let share = (count * open(inbox)).div_ceil(all);
            if share > 0 {
                inbox.load.ask(need, share);
            }
        }
    }

    fn failed(&self, error: &io::Error) {
        self.make_room(Need::Files, FILES_FREED);
        std::thread::sleep(EXHAUSTED_PAUSE);
        let now = self.shared.clock.now();
        let lately = |at: Instant| now.saturating_duration_since(at) < COMPLAIN_EVERY;
        if self.complained.get().is_some_and(lately) {
            return;
        }
        self.complained.set(Some(now));
        self.shared.log.event(Level::Error, "accept_failed", |line| {
            line.text("why", &error.to_string())
                .text("next", "raise LimitNOFILE of the service, or lower connections.total");
        });
    }
}

/// The descriptor comes non-blocking and close-on-exec from the one system call.
fn accept_one(listener: &TcpListener) -> io::Result<(OwnedFd, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (fd, peer) = rustix::net::acceptfrom_with(listener.as_fd(), flags)?;
    let peer = peer.and_then(|addr| SocketAddr::try_from(addr).ok());
    peer.map(|peer| (fd, peer)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
