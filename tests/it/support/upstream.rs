//! An app that does as it is told and remembers what it was asked: HTTP/1.1 on plain threads.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::http::{field, read_body, read_head};
use super::{deadline, left};

/// A body is kept up to here; its length and digest cover all of it.
const KEPT_BYTES: usize = 1 << 20;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Counts connections from 0, in the order of their arrival.
    pub connection: usize,
    /// The exact bytes, first line to the empty line.
    pub head: String,
    pub body: Vec<u8>,
    pub body_bytes: u64,
    /// [`digest`] of the body.
    pub body_digest: u64,
}

impl Seen {
    pub fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// Every value of a field, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
    }
}

/// For comparing large bodies; not for keeping.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.chunks(4096).for_each(|chunk| hasher.write(chunk));
    hasher.finish()
}

/// The same over pieces of any size.
pub struct Digest {
    hasher: DefaultHasher,
    pending: Vec<u8>,
}

impl Digest {
    pub fn new() -> Self {
        Self { hasher: DefaultHasher::new(), pending: Vec::new() }
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        let whole = self.pending.len() / 4096 * 4096;
        self.pending.drain(..whole).as_slice().chunks(4096).for_each(|c| self.hasher.write(c));
    }

    pub fn finish(mut self) -> u64 {
        if !self.pending.is_empty() {
            self.hasher.write(&self.pending);
        }
        self.hasher.finish()
    }
}

/// The connection of a request that wants an answer.
pub struct Link {
    stream: Stream,
    open: bool,
}

impl Link {
    /// Sends bytes as they are. That the other side has gone is its right.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
    }

    /// A whole response with `Content-Length`.
    pub fn answer(&mut self, status: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send([head.as_bytes(), body].concat());
    }

    /// No further request is read from this connection.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// What the other side sends next, on a connection that speaks something else by now; empty at its end.
    pub fn receive(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 64 * 1024];
        let read = self.stream.read(&mut buffer).unwrap_or(0);
        buffer.truncate(read);
        buffer
    }
}

pub struct Upstream {
    at: At,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    requests: Vec<Seen>,
    accepted: usize,
    open: BTreeMap<usize, Stream>,
    faults: Vec<String>,
}

type Script = dyn Fn(&Seen, &mut Link) + Send + Sync;

impl Upstream {
    /// Listens on a free port of loopback.
    pub fn start(script: impl Fn(&Seen, &mut Link) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    /// Listens where another one did before.
    pub fn start_at(
        address: &str,
        script: impl Fn(&Seen, &mut Link) + Send + Sync + 'static,
    ) -> Self {
        Self::at(address, script).expect("a free port")
    }

    /// Listens on this address, if nobody else does.
    pub fn at(
        address: &str,
        script: impl Fn(&Seen, &mut Link) + Send + Sync + 'static,
    ) -> Option<Self> {
        let listener = TcpListener::bind(address).ok()?;
        let at = At::Tcp(listener.local_addr().expect("bound"));
        let accept = move || {
            let (stream, _) = listener.accept()?;
            // What was sent is at the other side, whatever was sent before it.
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        };
        Some(Self::run(at, accept, Arc::new(script)))
    }

    pub fn unix(path: &Path, script: impl Fn(&Seen, &mut Link) + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let accept = move || listener.accept().map(|(stream, _)| Stream::Unix(stream));
        Self::run(At::Unix(path.to_owned()), accept, Arc::new(script))
    }

    /// Answers everything with this.
    pub fn text(body: &'static str) -> Self {
        Self::start(move |_, link| {
            link.answer("200 OK", &[("Content-Type", "text/plain; charset=utf-8")], body);
        })
    }

    /// Gives the answer of a path, byte for byte, and `ok` to everything else.
    pub fn raw<T: Into<String>>(answers: impl IntoIterator<Item = (&'static str, T)>) -> Self {
        let answers: Vec<(&str, String)> =
            answers.into_iter().map(|(path, bytes)| (path, bytes.into())).collect();
        Self::start(move |seen, link| {
            match answers.iter().find(|(path, _)| *path == seen.target()) {
                Some((_, bytes)) => link.send(bytes),
                None => link.answer("200 OK", &[], "ok"),
            }
        })
    }

    /// As `upstream` of a site.
    pub fn address(&self) -> String {
        match &self.at {
            At::Tcp(addr) => addr.to_string(),
            At::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.state.lock().unwrap().requests.clone()
    }

    /// The one request there has been.
    pub fn only_request(&self) -> Seen {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests[0].clone()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().accepted
    }

    /// Waits until `count` requests have arrived in all, and returns them.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Seen> {
        let ends = deadline();
        let mut state = self.shared.state.lock().unwrap();
        while state.requests.len() < count {
            let wait = left(ends);
            assert!(!wait.is_zero(), "{count} requests awaited, seen: {:#?}", state.requests);
            state = self.shared.changed.wait_timeout(state, wait).unwrap().0;
        }
        state.requests.clone()
    }

    /// Closes the door: later connections are refused.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        match &self.at {
            At::Tcp(addr) => drop(connect(*addr)),
            At::Unix(path) => drop(UnixStream::connect(path)),
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.shared.state.lock().unwrap().open.values() {
            stream.shut();
        }
    }

    fn run(
        at: At,
        accept: impl Fn() -> io::Result<Stream> + Send + 'static,
        script: Arc<Script>,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while let Ok(stream) = accept() {
                if theirs.stop.load(Ordering::SeqCst) {
                    return;
                }
                let connection = theirs.begin(&stream);
                let (shared, script) = (Arc::clone(&theirs), Arc::clone(&script));
                std::thread::spawn(move || {
                    if let Err(error) = serve(stream, connection, &shared, &*script) {
                        let fault = format!("connection {connection}: {error}");
                        shared.state.lock().unwrap().faults.push(fault);
                    }
                    shared.state.lock().unwrap().open.remove(&connection);
                    shared.changed.notify_all();
                });
            }
        });
        Self { at, shared, thread: Some(thread) }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let state = self.shared.state.lock().unwrap_or_else(|e| e.into_inner());
            eprintln!("app at {}: {:#?} {:?}", self.address(), state.requests, state.faults);
        }
    }
}

impl Shared {
    fn begin(&self, stream: &Stream) -> usize {
        let mut state = self.state.lock().unwrap();
        let connection = state.accepted;
        state.accepted += 1;
        state.open.insert(connection, stream.clone());
        self.changed.notify_all();
        connection
    }
}

fn serve(
    stream: Stream,
    connection: usize,
    shared: &Arc<Shared>,
    script: &Script,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.clone());
    let mut link = Link { stream: stream.clone(), open: true };
    while link.open {
        let Some(head) = read_head(&mut reader)? else { break };
        let head = String::from_utf8_lossy(&head).into_owned();
        let (mut body, mut body_bytes, mut all) = (Vec::new(), 0, Digest::new());
        read_body(&mut reader, &head, false, |bytes| {
            let room = KEPT_BYTES - body.len();
            body.extend_from_slice(&bytes[..bytes.len().min(room)]);
            body_bytes += bytes.len() as u64;
            all.add(bytes);
        })?;
        let seen = Seen { connection, head, body, body_bytes, body_digest: all.finish() };
        shared.state.lock().unwrap().requests.push(seen.clone());
        shared.changed.notify_all();
        script(&seen, &mut link);
    }
    stream.shut();
    Ok(())
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn shut(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Clone for Stream {
    fn clone(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a descriptor")),
            Self::Unix(stream) => Self::Unix(stream.try_clone().expect("a descriptor")),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the test is the client")]
fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(addr)
}
