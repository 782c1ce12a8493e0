//! A DNS server on loopback that says what a test tells it to, and counts what it is asked (RFC 1035 §4, UDP only).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use super::{deadline, left};

const A: u16 = 1;
const AAAA: u16 = 28;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// What it says about all names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Answers,
    /// SERVFAIL.
    Fails,
    /// Nothing at all.
    Silent,
}

#[derive(Debug)]
struct State {
    names: HashMap<String, (Vec<IpAddr>, u32)>,
    mood: Mood,
    /// Questions for addresses of version 4, by name.
    asked: HashMap<String, usize>,
}

pub struct Dns {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Knows no name.
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("bound");
        let state = State { names: HashMap::new(), mood: Mood::Answers, asked: HashMap::new() };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, stopped) = (Arc::clone(&shared), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut packet) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let answer = answer(&packet[..length], &mut theirs.0.lock().unwrap());
                theirs.1.notify_all();
                if let Some(answer) = answer {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, shared, stop, thread: Some(thread) }
    }

    /// For `dns.servers`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `name` is at these addresses, and that holds for `ttl_s`.
    pub fn set(&self, name: &str, addresses: &[&str], ttl_s: u32) {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        self.change(|state| drop(state.names.insert(name.to_owned(), (addresses, ttl_s))));
    }

    /// There is no such name any more.
    pub fn remove(&self, name: &str) {
        self.change(|state| drop(state.names.remove(name)));
    }

    pub fn fail(&self) {
        self.change(|state| state.mood = Mood::Fails);
    }

    pub fn fall_silent(&self) {
        self.change(|state| state.mood = Mood::Silent);
    }

    pub fn answer_again(&self) {
        self.change(|state| state.mood = Mood::Answers);
    }

    /// How often `name` was asked for so far.
    pub fn asked(&self, name: &str) -> usize {
        self.shared.0.lock().unwrap().asked.get(name).copied().unwrap_or(0)
    }

    /// Waits until `name` was asked for so often in all.
    pub fn wait_until_asked(&self, name: &str, times: usize) {
        let ends = deadline();
        let mut state = self.shared.0.lock().unwrap();
        while state.asked.get(name).copied().unwrap_or(0) < times {
            let wait = left(ends);
            assert!(!wait.is_zero(), "{name} was to be asked for {times} times: {state:?}");
            state = self.shared.1.wait_timeout(state, wait).unwrap().0;
        }
    }

    /// Waits until `name` was asked for so often from now on; the answers to all but the last have come by then.
    pub fn wait_for_questions(&self, name: &str, times: usize) {
        self.wait_until_asked(name, self.asked(name) + times);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().unwrap());
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let waker = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let _ = waker.send_to(b"end", self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to one question, if there is to be one.
fn answer(packet: &[u8], state: &mut State) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] != 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..end]).to_lowercase());
        at = end;
    }
    let (name, question) = (labels.join("."), &packet[12..at + 5]);
    let kind = u16::from_be_bytes([packet[at + 1], packet[at + 2]]);
    if kind == A {
        *state.asked.entry(name.clone()).or_default() += 1;
    }
    let (code, addresses, ttl_s) = match (state.mood, state.names.get(&name)) {
        (Mood::Silent, _) => return None,
        (Mood::Fails, _) => (SERVFAIL, Vec::new(), 0),
        (Mood::Answers, None) => (NXDOMAIN, Vec::new(), 0),
        (Mood::Answers, Some((addresses, ttl_s))) => (0, addresses.clone(), *ttl_s),
    };
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(ip), A) => Some(ip.octets().to_vec()),
            (IpAddr::V6(ip), AAAA) => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    let count = u8::try_from(records.len()).expect("few");
    // The id of the question; a response, recursion desired and available.
    let mut out = vec![packet[0], packet[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    out.extend_from_slice(question);
    for record in records {
        let length = u8::try_from(record.len()).expect("short");
        // The name is the one of the question.
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&ttl_s.to_be_bytes());
        out.extend_from_slice(&[0, length]);
        out.extend_from_slice(&record);
    }
    Some(out)
}
