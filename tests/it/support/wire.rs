//! Below HTTP: an app that is one script per connection, and the frames of HTTP/2.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Connection, DEADLINE};

/// An app at the level of bytes. What its scripts report is waited for.
pub struct RawApp {
    addr: SocketAddr,
    reports: Mutex<Receiver<String>>,
}

impl RawApp {
    /// Runs `script` for every connection, with its number from 0 and a place for reports.
    pub fn start(
        script: impl Fn(TcpStream, usize, &Sender<String>) + Send + Clone + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let (sender, reports) = channel();
        std::thread::spawn(move || {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept() else { return };
                stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
                let (script, sender) = (script.clone(), sender.clone());
                std::thread::spawn(move || script(stream, number, &sender));
            }
        });
        Self { addr, reports: Mutex::new(reports) }
    }

    pub fn address(&self) -> String {
        self.addr.to_string()
    }

    /// The next report of any script.
    pub fn report(&self) -> String {
        self.reports.lock().unwrap().recv_timeout(DEADLINE).expect("a report of the app")
    }

    /// The reports so far that nobody has waited for.
    pub fn reported(&self) -> Vec<String> {
        self.reports.lock().unwrap().try_iter().collect()
    }
}

/// The bytes of one head, the empty line included, and whatever came with it. Empty at the end.
pub fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads to the end, of whatever kind, and returns how many bytes came before it.
pub fn drain(stream: &mut impl Read) -> usize {
    let mut buffer = vec![0; 64 * 1024];
    let mut all = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => all += read,
            _ => return all,
        }
    }
}

/// One frame of HTTP/2 (RFC 9113 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The preface and an empty SETTINGS.
pub fn preface() -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat()
}

/// HEADERS of a request to `app.localhost`, every field a literal (RFC 7541 §6.2.2).
pub fn request(stream: u32, flags: u8, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "app.localhost"),
        (":path", path),
    ];
    let mut block = Vec::new();
    for (name, value) in pseudo.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("below 127"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, flags | END_HEADERS, stream, &block)
}

/// The next frame.
pub fn read_frame(from: &mut Connection) -> io::Result<Frame> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let [a, b, c, kind, flags, s, t, u, v] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    from.read_exact(&mut payload)?;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes([s, t, u, v]), payload })
}

/// The next frame that `wanted` accepts; what comes before it is forgotten.
pub fn await_frame(from: &mut Connection, wanted: impl Fn(&Frame) -> bool) -> Frame {
    loop {
        let frame = read_frame(from).expect("the awaited frame");
        if wanted(&frame) {
            return frame;
        }
    }
}

/// Every frame until the connection ends.
pub fn frames(from: &mut Connection) -> Vec<Frame> {
    std::iter::from_fn(|| read_frame(from).ok()).collect()
}

/// Writes everything; that the other side has gone is its right.
pub fn send(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}
