//! The body of `GET /v1/events`: one JSON object per line, for as long as the client takes them.
//!
//! Promises: something at least every five seconds; whoever may watch no more sees nothing from then on. Bounds: 64 events are written at a time, and only when the client
//! has room for them; what waits meanwhile is bounded by the subscription.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use super::api::live::{Event, LogLine, RequestSeen, StateChange, Step};
use super::patience::Patience;
use crate::telemetry::events::{self, Hub, Item, Seen, Subscription};

/// Between two lines.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Events in one frame.
const FRAME_EVENTS_MAX: usize = 64;

/// The events of one subscription.
pub(super) struct EventBody {
    hub: Arc<Hub>,
    subscription: Subscription,
    patience: Patience,
    /// Whether the client may go on.
    may: Box<dyn Fn() -> bool + Send>,
    greeted: bool,
    silence: Pin<Box<Sleep>>,
}

impl EventBody {
    pub fn new(
        hub: Arc<Hub>,
        subscription: Subscription,
        (patience, may): (Patience, Box<dyn Fn() -> bool + Send>),
    ) -> Self {
        let silence = Box::pin(sleep(SILENCE_MAX));
        Self { hub, subscription, patience, may, greeted: false, silence }
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Asked before anything is shown, and every five seconds at least.
        if !(self.may)() {
            return Poll::Ready(None);
        }
        self.patience.renew();
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.greeted, true) {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            write(&mut lines, &Event::Hello { version, now_ms: self.hub.now_ms() });
        }
        while lines.is_empty() {
            match self.subscription.poll_take(cx, FRAME_EVENTS_MAX) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(taken)) => {
                    if taken.dropped > 0 {
                        write(&mut lines, &Event::Dropped { count: taken.dropped });
                    }
                    let events = taken.items.into_iter().filter_map(event);
                    events.for_each(|event| write(&mut lines, &event));
                }
                Poll::Pending => {
                    ready!(self.silence.as_mut().poll(cx));
                    write(&mut lines, &Event::Alive { now_ms: self.hub.now_ms() });
                }
            }
        }
        self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
        Poll::Ready(Some(Ok(Frame::data(lines.into()))))
    }
}

/// A type of ours always is JSON; if it was not, its line would be left out.
fn write(lines: &mut Vec<u8>, event: &Event) {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, event) {
        Ok(()) => lines.push(b'\n'),
        Err(_) => lines.truncate(before),
    }
}

fn event(item: Item) -> Option<Event> {
    Some(match item {
        Item::Request(seen) => Event::Request(Box::new(request(Arc::unwrap_or_clone(seen)))),
        Item::Line(line) => Event::Log(log_line(line.0, &line.1)?),
        Item::Sampling(one_in) => Event::Sampling { one_in },
        Item::State(changed) => {
            let changed = Arc::unwrap_or_clone(changed);
            Event::State(StateChange {
                at_ms: millis(changed.at),
                what: changed.what.into(),
                subject: changed.subject,
                text: changed.text,
            })
        }
    })
}

fn request(seen: Seen) -> RequestSeen {
    RequestSeen {
        id: seen.id,
        at_ms: millis(seen.at),
        site: seen.site,
        route: seen.route,
        method: seen.method,
        path: seen.path,
        protocol: seen.protocol.into(),
        status: seen.status,
        duration_us: seen.duration_us,
        response_bytes: seen.response_bytes,
        client_ip: seen.client_ip,
        upstream: seen.upstream,
        upstream_us: seen.upstream_us,
        denied: seen.denied,
        why: seen.why,
        aborted: seen.aborted,
        steps: seen.steps.into_iter().map(shown_step).collect(),
    }
}

/// A step as the API has it.
#[must_use]
pub fn shown_step(step: events::Step) -> Step {
    Step {
        name: step.name.into(),
        outcome: step.outcome.word().into(),
        note: step.note.into_owned(),
    }
}

/// A line as the log wrote it: its own fields first, the rest as it stands.
fn log_line(at_ms: i64, bytes: &[u8]) -> Option<LogLine> {
    let mut fields: std::collections::BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(bytes).ok()?;
    fields.remove("timestamp");
    let mut text = |name: &str| match fields.remove(name) {
        Some(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    Some(LogLine { at_ms, level: text("level"), event: text("event"), fields })
}

fn millis(unix: Duration) -> i64 {
    i64::try_from(unix.as_millis()).unwrap_or(i64::MAX)
}
