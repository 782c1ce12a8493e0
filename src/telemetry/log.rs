//! The log: JSON lines through one bounded channel to one writer thread.
//!
//! Promises: nobody waits for the log. When the channel is full, lines are dropped and counted, and the next line
//! that gets through is followed by one that says how many. Bounds: 128 chunks of at most about 52 KiB.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::events::Hub;
use super::json::Object;
use crate::base::timestamp::Stamp;
use crate::ports::Clock;

/// Chunks waiting for the writer thread.
const CHANNEL_CHUNKS: usize = 128;

/// How much a line matters; the word stands in its `level` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

enum Message {
    Lines { bytes: Vec<u8>, lines: u64 },
    Reopen,
    Flush(SyncSender<()>),
}

/// A handle that any thread may write through.
#[derive(Clone)]
pub struct Log {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    /// Whoever watches sees the events too.
    events: Option<Arc<Hub>>,
}

/// The writer thread; ends when every [`Log`] is gone.
pub struct Writer {
    thread: JoinHandle<()>,
}

impl Log {
    /// Opens `file` for appending (0640, made if missing), or standard output, and starts the writer thread.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not started.
    pub fn open(file: Option<&Path>, clock: Arc<dyn Clock>) -> io::Result<(Self, Writer)> {
        let sink = Sink::open(file)?;
        let (sender, receiver) = sync_channel(CHANNEL_CHUNKS);
        let dropped = Arc::new(AtomicU64::new(0));
        let log =
            Self { sender, dropped: Arc::clone(&dropped), clock: Arc::clone(&clock), events: None };
        let thread = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_all(&receiver, sink, &dropped, &*clock))?;
        Ok((log, Writer { thread }))
    }

    /// The same log, whose events also go to `events`.
    #[must_use]
    pub fn shown_by(self, events: Arc<Hub>) -> Self {
        Self { events: Some(events), ..self }
    }

    /// Writes one event. `fill` adds the fields that say on what, why, and what to do.
    pub fn event(&self, level: Level, event: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let mut bytes = Vec::with_capacity(256);
        let unix = self.clock.unix();
        write_event(&mut bytes, unix, level, event, fill);
        if let Some(events) = &self.events {
            events.line(unix, &bytes);
        }
        self.lines(bytes, 1);
    }

    /// Hands over whole lines. Returns at once, whether or not they fit.
    pub fn lines(&self, bytes: Vec<u8>, lines: u64) {
        match self.sender.try_send(Message::Lines { bytes, lines }) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(lines, Ordering::Relaxed);
            }
        }
    }

    /// Lines lost since start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Asks the writer to open its file again, as log rotation needs after it has moved the old one.
    pub fn reopen(&self) {
        let _ = self.sender.try_send(Message::Reopen);
    }

    /// Waits until everything handed over so far is written. For the end of the program.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.sender.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

impl Writer {
    /// Waits for the writer thread; returns once every [`Log`] is dropped.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

fn write_event(
    bytes: &mut Vec<u8>,
    unix: Duration,
    level: Level,
    event: &str,
    fill: impl FnOnce(&mut Object<'_>),
) {
    let mut stamp = Stamp::default();
    let mut object = Object::begin(bytes, stamp.millis(unix));
    object.text("level", level.word()).text("event", event);
    fill(&mut object);
    object.finish();
}

fn write_all(receiver: &Receiver<Message>, mut sink: Sink, dropped: &AtomicU64, clock: &dyn Clock) {
    let mut reported = 0;
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Lines { bytes, lines } => {
                if sink.write(&bytes).is_err() {
                    dropped.fetch_add(lines, Ordering::Relaxed);
                }
            }
            Message::Reopen => sink.reopen(),
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
        let total = dropped.load(Ordering::Relaxed);
        if total > reported {
            let mut bytes = Vec::new();
            write_event(&mut bytes, clock.unix(), Level::Warn, "log_lines_dropped", |line| {
                line.number("lines", total - reported).number("lines_since_start", total);
            });
            if sink.write(&bytes).is_ok() {
                reported = total;
            }
        }
    }
}

/// Where lines end up.
enum Sink {
    Stdout(io::Stdout),
    File { path: PathBuf, file: File },
}

impl Sink {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(io::stdout())) };
        Ok(Self::File { path: path.to_owned(), file: append(path)? })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(out) => {
                let mut out = out.lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Keeps the old file when the new one cannot be opened: a line in the wrong place beats a lost one.
    fn reopen(&mut self) {
        if let Self::File { path, file } = self
            && let Ok(new) = append(path)
        {
            *file = new;
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::fake::FakeClock;

    fn open(dir: &Path) -> (Log, Writer, PathBuf) {
        let path = dir.join("test.log");
        let clock = Arc::new(FakeClock::at(Duration::from_secs(1_795_292_266)));
        let (log, writer) = Log::open(Some(&path), clock).expect("a writable directory");
        (log, writer, path)
    }

    #[test]
    fn an_event_is_one_json_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, writer, path) = open(dir.path());
        log.event(Level::Warn, "something_happened", |line| {
            line.text("why", "a \"reason\"\u{1b}[31m");
        });
        log.flush();
        drop(log);
        writer.join();
        assert_eq!(
            std::fs::read_to_string(path).expect("the log"),
            concat!(
                "{\"timestamp\":\"2026-11-21T20:17:46.000Z\",\"level\":\"warn\",",
                "\"event\":\"something_happened\",\"why\":\"a \\\"reason\\\"\\u001b[31m\"}\n"
            )
        );
    }

    #[test]
    fn a_moved_file_is_opened_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, _writer, path) = open(dir.path());
        log.event(Level::Info, "first", |_| {});
        log.flush();
        std::fs::rename(&path, dir.path().join("test.log.1")).expect("a rename");
        log.reopen();
        log.event(Level::Info, "second", |_| {});
        log.flush();
        let text = std::fs::read_to_string(&path).expect("the new log");
        assert!(text.contains("second") && !text.contains("first"), "{text}");
    }

    #[test]
    fn lines_that_do_not_fit_are_counted_and_reported() {
        let (sender, receiver) = sync_channel(CHANNEL_CHUNKS);
        let clock = Arc::new(FakeClock::at(Duration::ZERO));
        let dropped = Arc::new(AtomicU64::new(0));
        let log = Log { sender, dropped: Arc::clone(&dropped), clock: clock.clone(), events: None };
        for _ in 0..CHANNEL_CHUNKS + 3 {
            log.lines(b"x\ny\n".to_vec(), 2);
        }
        assert_eq!(log.dropped(), 6);
        drop(log);
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("test.log");
        write_all(&receiver, Sink::open(Some(&path)).expect("a file"), &dropped, &*clock);
        let text = std::fs::read_to_string(path).expect("the log");
        assert_eq!(text.matches("x\ny\n").count(), CHANNEL_CHUNKS);
        assert!(text.contains("\"event\":\"log_lines_dropped\",\"lines\":6"), "{text}");
    }
}
