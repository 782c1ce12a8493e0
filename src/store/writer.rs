//! The one thread that writes: takes whatever waits, commits it at once, then answers everyone.
//!
//! Promises: an answer comes after the commit it speaks of is on disk; an operation that fails or panics takes no other
//! one with it; after an I/O error nothing is written until the file was opened again, checked, and has taken a probe
//! as heavy as what failed, which is tried by itself; nothing is acknowledged that went into a file that was moved away.
//! Bounds: [`BATCH_MAX`] operations per commit, [`QUEUE_MAX`] in the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use redb::Durability;
use tokio::time::Instant;

use super::database::{Fault, StateFile, Writing, panic_text};
use super::place::Place;
use super::receipt::Answer;
use super::{Health, OpenError, StoreError, state::Shared};

/// Writes that wait for the thread.
pub(super) const QUEUE_MAX: usize = 4096;
/// Operations in one transaction.
pub(super) const BATCH_MAX: usize = 256;
/// Between two attempts to open the file again; doubled after each that fails.
pub(super) const PAUSE_MIN: Duration = Duration::from_secs(1);
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Least and most bytes of the probe; a record may have 1 MiB.
const PROBE_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=1_000_000;

/// How the thread works; the shipped way is the default.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Anything but `Immediate` loses what was acknowledged: the crash test shows that it would notice.
    pub durability: Durability,
    pub retry: Retry,
}

/// When the thread tries to open the file again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    AfterPause,
    #[cfg(test)]
    WhenAsked,
}

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Immediate, retry: Retry::AfterPause }
    }
}

/// One operation with whoever waits for it. Runs again when another one of its transaction has failed.
pub(super) trait Task: Send {
    fn run(&mut self, writing: &Writing) -> Result<(), Fault>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// A [`Task`] made of a closure.
pub(super) struct Operation<T, F> {
    pub change: F,
    pub value: Option<T>,
    pub answer: Answer<T>,
}

impl<T: Send, F: FnMut(&Writing) -> Result<T, Fault> + Send> Task for Operation<T, F> {
    fn run(&mut self, writing: &Writing) -> Result<(), Fault> {
        self.value = Some((self.change)(writing)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, answer, .. } = *self;
        let result = outcome.and_then(|()| value.ok_or(StoreError::Closed));
        let _ = answer.send(result); // nobody may be waiting any more
    }
}

/// A look at the file itself.
pub(super) type Look = Box<dyn FnOnce(Result<StateFile, OpenError>) + Send>;

pub(super) enum Message {
    Do(Box<dyn Task>),
    /// Show the file as it is now; nothing is written meanwhile.
    Show(Look),
    /// Try to open the file again now; answered with the pause that would follow, none once it is well.
    #[cfg(test)]
    TryAgain(std::sync::mpsc::SyncSender<Option<Duration>>),
}

/// Why a batch was not committed.
enum Setback {
    /// This one failed; the others can go on without it.
    One(usize, StoreError),
    All(String),
    /// The file is well, and is not where it was: what is written into it would be lost.
    Away(String),
}

impl From<Fault> for Setback {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Broken(why) => Self::All(why),
            Fault::Refused(error) => Self::All(error.to_string()),
        }
    }
}

pub(super) struct Writer {
    pub shared: std::sync::Arc<Shared>,
    pub queue: Receiver<Message>,
    pub place: std::sync::Arc<dyn Place>,
    pub options: Options,
    /// Until the first change the file stays as it was found: a start may still be refused, for a wrong key say.
    pub touched: bool,
    /// While it refuses writes: when it tries to open the file again.
    pub retry_at: Option<Instant>,
    /// What the next failure starts with; back to the shortest only after a commit of real work.
    pub next_pause: Duration,
    /// Of the last batch that failed: the file has to take as much before it counts as writable.
    pub weight: usize,
    /// Came while a batch was gathered, and is next.
    pub held: Option<Message>,
}

impl Writer {
    /// Until every handle is gone and the queue is empty; then closes the file.
    pub fn run(mut self) {
        loop {
            match self.receive() {
                Ok(Message::Do(task)) if self.retry_at.is_some() => self.refuse(task),
                Ok(Message::Do(task)) => self.batch(task),
                Ok(Message::Show(look)) => self.show(look),
                #[cfg(test)]
                Ok(Message::TryAgain(answer)) => {
                    self.recover();
                    let now = self.shared.clock.now();
                    let _ = answer.send(self.retry_at.map(|at| at.duration_since(now)));
                }
                Err(RecvTimeoutError::Timeout) => self.recover(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        close(self.shared.take());
    }

    fn receive(&mut self) -> Result<Message, RecvTimeoutError> {
        if let Some(message) = self.held.take() {
            return Ok(message);
        }
        match (self.retry_at, self.options.retry) {
            (Some(at), Retry::AfterPause) => {
                let left = at.saturating_duration_since(self.shared.clock.now());
                self.queue.recv_timeout(left)
            }
            _ => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Whoever looks and panics hears nothing more.
    fn show(&self, look: Look) {
        let _ = catch_unwind(AssertUnwindSafe(|| look(StateFile::view(&*self.place))));
    }

    fn refuse(&self, task: Box<dyn Task>) {
        let why = match self.shared.health() {
            Health::Refusing { why, .. } => why,
            Health::Writable => "it is being opened again".into(),
        };
        task.answer(Err(StoreError::Unwritable { why }));
    }

    /// Commits `first` and whatever else waits.
    fn batch(&mut self, first: Box<dyn Task>) {
        let mut tasks = vec![first];
        while tasks.len() < BATCH_MAX
            && let Ok(message) = self.queue.try_recv()
        {
            match message {
                Message::Do(task) => tasks.push(task),
                other => {
                    self.held = Some(other);
                    break;
                }
            }
        }
        self.commit(tasks);
    }

    fn commit(&mut self, mut tasks: Vec<Box<dyn Task>>) {
        while !tasks.is_empty() {
            match self.attempt(&mut tasks) {
                Ok(()) => {
                    self.next_pause = PAUSE_MIN;
                    tasks.drain(..).for_each(|task| task.answer(Ok(())));
                }
                Err(Setback::One(at, error)) => tasks.remove(at).answer(Err(error)),
                Err(Setback::All(why)) => {
                    self.fail(&why);
                    tasks.drain(..).for_each(|task| self.refuse(task));
                }
                Err(Setback::Away(why)) => {
                    self.wait_for_file(why);
                    tasks.drain(..).for_each(|task| self.refuse(task));
                }
            }
        }
    }

    fn attempt(&mut self, tasks: &mut [Box<dyn Task>]) -> Result<(), Setback> {
        let away = |moved: OpenError| Setback::Away(moved.to_string());
        self.place.in_place().map_err(away)?;
        let file = self.shared.file();
        let Some(file) = file.as_ref() else {
            return Err(Setback::All("the file is not open".into()));
        };
        if !std::mem::replace(&mut self.touched, true) {
            file.accept()?;
        }
        let weight = &mut self.weight;
        let run = || {
            file.write(self.options.durability, |writing| {
                let outcome = run_all(tasks, writing);
                *weight = writing.weight();
                outcome
            })
        };
        let rows = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|panic| Err(Setback::All(panic_text(&*panic))))?;
        // Moved during the commit: it was written, but nobody finds it there.
        self.place.in_place().map_err(away)?;
        self.shared.committed(rows, file.disk().bytes());
        Ok(())
    }

    /// The file stays open and locked: put back, it is the one that was checked. A look costs nothing, so no pause grows.
    fn wait_for_file(&mut self, why: String) {
        self.retry_at = Some(self.shared.clock.now() + PAUSE_MIN);
        self.shared.unwritable(why);
    }

    /// Nothing more is written; readers get the file as it is on disk.
    fn fail(&mut self, why: &str) {
        let mut file = self.shared.file_mut();
        let why = shut(file.take(), why, &*self.place);
        // With its writes held: it can be read, and is not touched.
        *file = StateFile::open(&*self.place, true).ok();
        drop(file);
        self.retry_at = Some(self.shared.clock.now() + self.next_pause);
        self.next_pause = (self.next_pause * 2).min(PAUSE_MAX);
        self.shared.unwritable(why);
    }

    /// Lets the writes of the opened file through and commits a probe; if that works, the state is well.
    fn recover(&mut self) {
        if self.retry_at.is_none() {
            return;
        }
        if let Err(moved) = self.place.in_place() {
            return self.wait_for_file(moved.to_string());
        }
        match self.accept() {
            Ok(bytes) => {
                self.retry_at = None;
                self.shared.writable(bytes);
            }
            Err(why) => self.fail(&why),
        }
    }

    fn accept(&self) -> Result<u64, String> {
        let mut file = self.shared.file_mut();
        let open = match file.take() {
            Some(open) => open,
            None => StateFile::open(&*self.place, true).map_err(|error| error.to_string())?,
        };
        let open = file.insert(open);
        open.accept().map_err(words)?;
        let (at_s, bytes) = (self.shared.now_s(), self.weight);
        let bytes = bytes.clamp(*PROBE_BYTES.start(), *PROBE_BYTES.end());
        let probe = || {
            open.write(self.options.durability, |writing| writing.load(bytes))?;
            open.write(self.options.durability, |writing| {
                writing.unload()?;
                writing.probe(at_s)
            })
        };
        catch_unwind(AssertUnwindSafe(probe))
            .unwrap_or_else(|panic| Err(Fault::Broken(panic_text(&*panic))))
            .map_err(words)?;
        Ok(open.disk().bytes())
    }
}

fn run_all(tasks: &mut [Box<dyn Task>], writing: &Writing) -> Result<(), Setback> {
    for (at, task) in tasks.iter_mut().enumerate() {
        match catch_unwind(AssertUnwindSafe(|| task.run(writing))) {
            Ok(Ok(())) => {}
            Ok(Err(Fault::Refused(error))) => return Err(Setback::One(at, error)),
            Ok(Err(Fault::Broken(why))) => return Err(Setback::All(why)),
            Err(panic) => {
                let why = panic_text(&*panic);
                return Err(Setback::One(at, StoreError::Failed { why }));
            }
        }
    }
    Ok(())
}

fn words(fault: Fault) -> String {
    match fault {
        Fault::Broken(why) => why,
        Fault::Refused(error) => error.to_string(),
    }
}

/// Closes a file that has failed without writing to it. The sentence says what failed, and what helps.
fn shut(file: Option<StateFile>, why: &str, place: &dyn Place) -> String {
    let failure = file.as_ref().and_then(|file| {
        file.disk().shut();
        file.disk().failure()
    });
    close(file);
    super::health::sentence(failure.as_ref(), why, place.path())
}

/// A database that has panicked may do so again when it is dropped; the thread has to live on.
fn close(file: Option<StateFile>) {
    let _ = catch_unwind(AssertUnwindSafe(move || drop(file)));
}
