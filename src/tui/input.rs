//! Keys from the terminal, read on a thread of their own.
//!
//! Promises: a terminal that is gone ends the thread, and the dashboard hears of it. Reads for itself, since the reader
//! of the terminal library loses keys that come together with a resize, and spins on a terminal that has hung up.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use super::decode::Decoder;
use super::event::Event;

/// After an escape with nothing behind it for so long it was the key.
const ESCAPE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// What comes from the terminal.
#[derive(Debug)]
pub enum Input {
    Event(Event),
    /// Pasted text: for a prompt, never for a view.
    Paste(String),
    Gone(String),
}

/// Starts the thread. It ends with the terminal or with the first key that nobody wants.
pub fn start() -> mpsc::Receiver<Input> {
    let (to, from) = mpsc::channel(256);
    std::thread::spawn(move || {
        let why = match read(&to) {
            Ok(()) => "it has closed its input".to_owned(),
            Err(error) => error.to_string(),
        };
        let _ = to.blocking_send(Input::Gone(why)); // nobody wants it: the dashboard has ended
    });
    from
}

enum Woken {
    Input,
    Quiet,
    Gone,
}

fn read(to: &mpsc::Sender<Input>) -> io::Result<()> {
    let stdin = io::stdin();
    let mut decoder = Decoder::default();
    let mut bytes = [0; 1024];
    loop {
        let inputs = match wait(&stdin, decoder.waits())? {
            Woken::Gone => return Ok(()),
            Woken::Quiet => decoder.settle().into_iter().collect(),
            Woken::Input => match rustix::io::read(&stdin, &mut bytes) {
                Ok(0) => return Ok(()),
                Ok(count) => decoder.take(bytes.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => continue,
                Err(error) => return Err(error.into()),
            },
        };
        for input in inputs {
            if to.blocking_send(input).is_err() {
                return Ok(());
            }
        }
    }
}

fn wait(stdin: &impl AsFd, briefly: bool) -> io::Result<Woken> {
    let mut polled = [PollFd::new(stdin, PollFlags::IN)];
    loop {
        match poll(&mut polled, briefly.then_some(&ESCAPE)) {
            Ok(0) => return Ok(Woken::Quiet),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    let told = polled.iter().fold(PollFlags::empty(), |all, fd| all | fd.revents());
    Ok(if told.intersects(gone) { Woken::Gone } else { Woken::Input })
}
