//! Where the data comes from: a daemon behind the typed client, or a test's own.
//!
//! Promises: it never gives up: a daemon that is gone is asked again after 1, 2, 4, then every 8 seconds.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::ops::api::Status;
use crate::ops::api::access::WhoAmI;
use crate::ops::api::live::{self, EventsQuery, History};
use crate::ops::api::switches::SetCapability;
use crate::ops::client::{Client, ClientError, EventStream};

use super::data::Document;
use super::event::{Event, Granted, Lost, Mutation};
use super::table::{Fact, Narrow};
use super::views::{Fetch, FetchPart, VIEWS, Want};

/// What a question comes to.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, ClientError>> + Send + 'a>>;

/// The daemon, as the dashboard asks it.
pub trait Feed: Send + Sync + 'static {
    fn status(&self) -> Pending<'_, Status>;
    fn history(&self, resolution: &'static str) -> Pending<'_, History>;
    /// What happens from now on; of the requests only those that meet every narrowing.
    fn tail<'a>(&'a self, narrow: &'a [Narrow]) -> Pending<'a, Box<dyn Tail>>;
    fn document(&self, fetch: Fetch) -> Pending<'_, Document>;
    fn part(&self, fetch: FetchPart, want: Want) -> Pending<'_, Document>;
    /// Answers what was done, in a sentence.
    fn mutate<'a>(&'a self, mutation: &'a Mutation) -> Pending<'a, String>;
    /// Who this is to the daemon.
    fn whoami(&self) -> Pending<'_, WhoAmI>;
    /// Gives a code; what comes of it confirms mutations from then on.
    fn elevate<'a>(&'a self, code: &'a str) -> Pending<'a, Granted>;
    /// Confirms nothing any more.
    fn lower(&self);
}

/// The stream of events; `None` is its end.
pub trait Tail: Send {
    fn next(&mut self) -> Pending<'_, Option<live::Event>>;
}

impl Feed for Client {
    fn status(&self) -> Pending<'_, Status> {
        Box::pin(Self::status(self))
    }

    fn history(&self, resolution: &'static str) -> Pending<'_, History> {
        Box::pin(Self::history(self, resolution))
    }

    fn tail<'a>(&'a self, narrow: &'a [Narrow]) -> Pending<'a, Box<dyn Tail>> {
        Box::pin(async move {
            let stream = self.events(&query(narrow)).await?;
            Ok(Box::new(stream) as Box<dyn Tail>)
        })
    }

    fn document(&self, fetch: Fetch) -> Pending<'_, Document> {
        fetch(self)
    }

    fn part(&self, fetch: FetchPart, want: Want) -> Pending<'_, Document> {
        fetch(self, want)
    }

    fn mutate<'a>(&'a self, mutation: &'a Mutation) -> Pending<'a, String> {
        Box::pin(async move {
            match mutation {
                Mutation::Reload => {
                    let reloaded = self.reload().await?;
                    let mut text = format!("Generation {} is in force.", reloaded.generation);
                    for change in &reloaded.changes {
                        text.push('\n');
                        text.push_str(change);
                    }
                    Ok(text)
                }
                Mutation::RenewCertificate { site } => {
                    let now = self.renew_certificate(site).await?;
                    let until = now.not_after.as_deref().unwrap_or("an unknown time");
                    Ok(format!("{site} has a certificate until {until}."))
                }
                Mutation::SetCapability { name, mode } => {
                    let wanted = SetCapability { mode: *mode, for_s: None };
                    let now = self.set_capability(name, &wanted).await?;
                    Ok(format!("{name} is {} ({}).", now.mode.word(), now.decided_by()))
                }
            }
        })
    }

    fn whoami(&self) -> Pending<'_, WhoAmI> {
        Box::pin(Self::whoami(self))
    }

    fn elevate<'a>(&'a self, code: &'a str) -> Pending<'a, Granted> {
        Box::pin(async move {
            let elevated = Self::elevate(self, code).await?;
            Ok(Granted { for_ms: elevated.expires_in_s.saturating_mul(1_000) })
        })
    }

    fn lower(&self) {
        Self::lower(self);
    }
}

impl Tail for EventStream {
    fn next(&mut self) -> Pending<'_, Option<live::Event>> {
        Box::pin(Self::next(self))
    }
}

/// The daemon narrows too: of what one is looking for, a busy daemon then shows all and not a sample.
fn query(narrow: &[Narrow]) -> EventsQuery {
    let value = |wanted: Fact| {
        let found = narrow.iter().find(|(fact, _)| *fact == wanted);
        found.map(|(_, value)| value.clone())
    };
    EventsQuery {
        kinds: vec!["request".into(), "state".into()],
        site: value(Fact::Site),
        ip: value(Fact::Ip),
        status: value(Fact::Status),
        path: value(Fact::Path),
        ..EventsQuery::default()
    }
}

/// What is to be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    pub resolution: &'static str,
    /// Index in [`VIEWS`].
    pub view: usize,
    /// Which part of what the view shows.
    pub want: Want,
    /// Grows when something has changed: ask at once.
    pub news: u64,
}

/// Asks for status, history and the view's own data again and again, until nobody listens.
pub async fn ask(
    feed: Arc<dyn Feed>,
    to: mpsc::Sender<Event>,
    mut wanted: watch::Receiver<Ask>,
    rate: Duration,
) {
    let (mut failures, mut introduced) = (0, false);
    loop {
        let now = *wanted.borrow_and_update();
        let wait = match round(feed.as_ref(), now, &to, &mut introduced).await {
            Ok(()) => {
                failures = 0;
                rate
            }
            Err(error) => {
                let wait = backoff(failures);
                failures += 1;
                let lost = lost(&error);
                introduced &= !lost.gone;
                let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                if to.send(Event::Lost { lost, retry_ms }).await.is_err() {
                    return;
                }
                wait
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            changed = wanted.changed() => if changed.is_err() { return },
        }
    }
}

/// The first fault ends it: what the daemon cannot answer now it is asked again soon.
async fn round(
    feed: &dyn Feed,
    ask: Ask,
    to: &mpsc::Sender<Event>,
    introduced: &mut bool,
) -> Result<(), ClientError> {
    let status = feed.status().await?;
    let _ = to.send(Event::Status(Box::new(status))).await; // who no longer listens ends `ask` soon
    let history = match feed.history(ask.resolution).await {
        Ok(history) => Some(Box::new(history)),
        Err(ClientError::Refused(problem)) if problem.status == 404 => None,
        Err(error) => return Err(error),
    };
    let _ = to.send(Event::History(history)).await;
    if !*introduced {
        match feed.whoami().await {
            Ok(me) => drop(to.send(Event::Me(me)).await), // as above
            // An older daemon does not say. Whoever may do nothing hears so when asking for it.
            Err(ClientError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
        *introduced = true;
    }
    let Some(view) = VIEWS.get(ask.view) else { return Ok(()) };
    let name = view.about().name;
    if let Some(fetch) = view.fetch() {
        let document = feed.document(fetch).await?;
        let _ = to.send(Event::Document { view: name, document }).await;
    }
    if let Some(fetch) = view.fetch_part().filter(|_| ask.want != Want::Nothing) {
        let document = feed.part(fetch, ask.want).await?;
        let _ = to.send(Event::Document { view: name, document }).await;
    }
    Ok(())
}

/// Follows the stream of events, anew whenever it ends or is narrowed, until nobody listens.
pub async fn follow(
    feed: Arc<dyn Feed>,
    to: mpsc::Sender<Event>,
    mut narrow: watch::Receiver<Vec<Narrow>>,
) {
    let mut failures = 0;
    loop {
        let wanted = narrow.borrow_and_update().clone();
        let why = match feed.tail(&wanted).await {
            Ok(mut tail) => {
                failures = 0;
                tokio::select! {
                    why = pass_on(tail.as_mut(), &to) => why,
                    changed = narrow.changed() => match changed {
                        Ok(()) => continue,
                        Err(_) => return,
                    },
                }
            }
            Err(error) => one_line(&error),
        };
        if to.send(Event::TailLost { why }).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(backoff(failures)) => {}
            changed = narrow.changed() => if changed.is_err() { return },
        }
        failures += 1;
    }
}

/// Returns why it ended.
async fn pass_on(tail: &mut dyn Tail, to: &mpsc::Sender<Event>) -> String {
    loop {
        match tail.next().await {
            Ok(Some(event)) => {
                if to.send(Event::Live(event)).await.is_err() {
                    return "nobody listens".into();
                }
            }
            Ok(None) => return "the daemon ended it".into(),
            Err(error) => return one_line(&error),
        }
    }
}

const fn backoff(failures: u32) -> Duration {
    Duration::from_secs(if failures < 3 { 1 << failures } else { 8 })
}

/// The reason without what every one of them begins with: it has to fit beside other things in 80 columns.
fn lost(error: &ClientError) -> Lost {
    let place = |path: &std::path::Path| Some(path.display().to_string());
    match error {
        ClientError::Unreachable { path, why } => {
            Lost { why: why.clone(), place: place(path), gone: true }
        }
        ClientError::Silent { path, after_s } => {
            let why = format!("it does not answer within {after_s} s");
            Lost { why, place: place(path), gone: true }
        }
        ClientError::Cut { .. } => {
            Lost { why: "the connection was cut".into(), place: None, gone: true }
        }
        other => Lost { why: one_line(other), place: None, gone: false },
    }
}

/// The same in one sentence.
pub fn brief(error: &ClientError) -> String {
    match lost(error) {
        Lost { why, gone: true, .. } => format!("the daemon is gone: {why}"),
        Lost { why, .. } => why,
    }
}

/// A fault without the advice of the command line below its first line.
pub fn one_line(error: &ClientError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
