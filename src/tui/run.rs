//! The loop: keys, data and time into the state, the state onto the screen.
//!
//! Promises: a key shows at once, whatever the daemon does; data waits its turn, at most 4 frames a second and on
//! average 8 KB a second; the dashboard ends by itself only when its terminal does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::event::{Effect, Event, Key, Mutation};
use super::feed::{self, Ask, Feed};
use super::input::{self, Input};
use super::popup::Popup;
use super::state::State;
use super::table::Narrow;
use super::terminal::Screen;
use super::theme::Look;
use super::views::Want;
use crate::ops::api::live;
use crate::ops::client::ClientError;

const FRAME_GAP: Duration = Duration::from_millis(250);
const BYTES_PER_S: u64 = 8_000;
/// Events that wait for the loop; the daemon counts what does not fit.
const EVENTS_MAX: usize = 512;

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Quit,
    /// Somebody ended the process.
    Signalled,
    /// The terminal went away, and why.
    TerminalGone(String),
}

/// Draws until it is ended.
///
/// # Errors
/// The terminal cannot be taken over.
pub async fn run(feed: Arc<dyn Feed>, look: Look, rate: Duration) -> io::Result<Ended> {
    let mut ends = Ends::listen()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut screen = Screen::open()?;
    let size = crossterm::terminal::size()?;
    let rate_ms = u64::try_from(rate.as_millis()).unwrap_or(u64::MAX);
    let state = State::new(look, size, rate_ms);
    let first = Ask { resolution: state.reach.resolution(), view: 0, want: Want::Newest, news: 0 };
    let (to, mut events) = mpsc::channel(EVENTS_MAX);
    let (ask, wanted) = watch::channel(first);
    let mut tasks = JoinSet::new();
    tasks.spawn(feed::ask(Arc::clone(&feed), to.clone(), wanted, rate));
    let (narrow, narrowed) = watch::channel(Vec::new());
    tasks.spawn(feed::follow(Arc::clone(&feed), to.clone(), narrowed));
    let mut desk = Desk { state, ask, narrow, feed, to, tasks, began: Instant::now() };
    let mut keys = input::start();
    let mut pace = Pace::default();
    let mut clock = interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace.drawn(screen.draw(&desk.state)?);
    loop {
        let woken = tokio::select! {
            biased;
            () = ends.wait() => return Ok(Ended::Signalled),
            input = keys.recv() => match input {
                Some(Input::Event(event)) => Some((true, desk.take(event))),
                Some(Input::Paste(text)) => Some((true, desk.paste(&text))),
                Some(Input::Gone(why)) => return Ok(Ended::TerminalGone(why)),
                None => return Ok(Ended::TerminalGone("its input has ended".into())),
            },
            _ = resized.recv() => {
                let (width, height) = crossterm::terminal::size()?;
                Some((true, desk.take(Event::Resize { width, height })))
            }
            Some(event) = events.recv() => {
                let mut told = desk.take(event);
                while let Ok(event) = events.try_recv() {
                    told.0 |= desk.take(event).0;
                }
                Some((false, told))
            }
            Some(Err(ended)) = desk.tasks.join_next() => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic), // nothing would come in any more
                Err(_) => None,
            },
            _ = clock.tick() => Some((false, desk.tick())),
            () = sleep_until(pace.next), if pace.waiting => None,
        };
        let drawn = match woken {
            None => true,
            Some((now, (changed, effect))) => {
                if let Some(effect) = effect
                    && desk.perform(effect, &mut screen)?
                {
                    return Ok(Ended::Quit);
                }
                pace.waiting |= changed;
                changed && (now || pace.next <= Instant::now())
            }
        };
        if drawn {
            match screen.draw(&desk.state) {
                Ok(bytes) => pace.drawn(bytes),
                Err(error) => return Ok(Ended::TerminalGone(error.to_string())),
            }
        }
    }
}

/// The state with everything it acts through.
struct Desk {
    state: State,
    ask: watch::Sender<Ask>,
    narrow: watch::Sender<Vec<Narrow>>,
    feed: Arc<dyn Feed>,
    to: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
    began: Instant,
}

type Told = (bool, Option<Effect>);

impl Desk {
    fn take(&mut self, event: Event) -> Told {
        let news = matches!(event, Event::Live(live::Event::State(_)) | Event::Done(_));
        let late = self.tick().0;
        let (changed, effect) = self.state.fold(event);
        let (resolution, view) = (self.state.reach.resolution(), self.state.at());
        let want = self.state.want();
        self.ask.send_if_modified(|ask| {
            let wanted = Ask { resolution, view, want, news: ask.news + u64::from(news) };
            std::mem::replace(ask, wanted) != wanted
        });
        self.narrow.send_if_modified(|narrow| {
            let modified = *narrow != self.state.narrow;
            narrow.clone_from(&self.state.narrow);
            modified
        });
        (changed || late, effect)
    }

    fn tick(&mut self) -> Told {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.state.fold(Event::Tick { now_ms })
    }

    /// Keys only where text is typed: what is pasted by mistake must not answer a question.
    fn paste(&mut self, text: &str) -> Told {
        if matches!(self.state.popups.last(), Some(Popup::Prompt(_) | Popup::Code(_))) {
            for c in text.chars().filter(|c| !c.is_control()) {
                self.take(Event::Key(Key::Char(c)));
            }
        }
        (true, None)
    }

    /// Returns whether it was the last thing to do.
    fn perform(&mut self, effect: Effect, screen: &mut Screen) -> io::Result<bool> {
        match effect {
            Effect::Quit => return Ok(true),
            Effect::Mutate(mutation) => self.mutate(mutation),
            Effect::WhoAmI => self.whoami(),
            Effect::Elevate(code) => self.elevate(code),
            Effect::Lower => self.feed.lower(),
            Effect::Copy(text) => screen.copy(&text)?,
            Effect::Mouse(on) => screen.mouse(on)?,
            Effect::Redraw => screen.forget()?,
        }
        Ok(false)
    }

    fn mutate(&mut self, mutation: Mutation) {
        let (feed, to) = (Arc::clone(&self.feed), self.to.clone());
        self.tasks.spawn(async move {
            let done = feed.mutate(&mutation).await;
            if done.as_ref().is_err_and(ClientError::wants_code) {
                feed.lower();
                let _ = to.send(Event::Lapsed).await; // as below
            }
            let done = done.map_err(|error| error.to_string());
            let _ = to.send(Event::Done(done)).await; // nobody listens: the dashboard has ended
        });
    }

    fn whoami(&mut self) {
        let (feed, to) = (Arc::clone(&self.feed), self.to.clone());
        self.tasks.spawn(async move {
            let me = feed.whoami().await.map_err(|error| feed::brief(&error));
            let _ = to.send(Event::Who(me)).await; // nobody listens: the dashboard has ended
        });
    }

    fn elevate(&mut self, code: String) {
        let (feed, to) = (Arc::clone(&self.feed), self.to.clone());
        self.tasks.spawn(async move {
            let elevated = feed.elevate(&code).await.map_err(|error| error.to_string());
            let _ = to.send(Event::Elevated(elevated)).await; // nobody listens: the dashboard has ended
        });
    }
}

/// When data may be drawn next.
struct Pace {
    next: Instant,
    waiting: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { next: Instant::now(), waiting: false }
    }
}

impl Pace {
    fn drawn(&mut self, bytes: u64) {
        let gap = Duration::from_millis(bytes.saturating_mul(1_000) / BYTES_PER_S).max(FRAME_GAP);
        (self.next, self.waiting) = (Instant::now() + gap, false);
    }
}

/// The signals that end a program.
struct Ends([Signal; 3]);

impl Ends {
    fn listen() -> io::Result<Self> {
        let on = |kind: SignalKind| signal(kind);
        let all =
            [on(SignalKind::terminate())?, on(SignalKind::hangup())?, on(SignalKind::interrupt())?];
        Ok(Self(all))
    }

    async fn wait(&mut self) {
        let Self([terminate, hangup, interrupt]) = self;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}
