//! Answers that go on: WebSockets and server-sent events.
//!
//! Promises: an echo comes back as it was sent, text as text and bytes as bytes; an event leaves the
//! app when it happens. All of it ends within a second of the word to stop.
//! Bounds: a WebSocket message is at most [`MESSAGE_BYTES_MAX`] bytes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Frame;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::app::{App, stopped};

const MESSAGE_BYTES_MAX: usize = 1 << 20;
const TICK: Duration = Duration::from_secs(1);

/// `/ws`: every message comes back.
pub async fn echo(State(app): State<Arc<App>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(|socket| async move {
        app.open.fetch_add(1, Ordering::Relaxed);
        echo_until_closed(&app, socket).await;
        app.open.fetch_sub(1, Ordering::Relaxed);
    })
}

async fn echo_until_closed(app: &App, mut socket: WebSocket) {
    let mut stop = app.stop();
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = stopped(&mut stop) => return,
        };
        match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                if socket.send(message).await.is_err() {
                    return;
                }
                app.echoed.fetch_add(1, Ordering::Relaxed);
            }
            // Pings are answered, and the closing handshake is finished, by the library.
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}

/// `/ws/count`: what the app counts, at once and then every second.
pub async fn count(State(app): State<Arc<App>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(|socket| async move {
        count_until_closed(&app, socket).await;
    })
}

async fn count_until_closed(app: &App, mut socket: WebSocket) {
    let mut stop = app.stop();
    let mut ticks = ticks();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let seen = json!({
                    "echoed": app.echoed.load(Ordering::Relaxed),
                    "open": app.open.load(Ordering::Relaxed),
                });
                if socket.send(Message::Text(seen.to_string().into())).await.is_err() {
                    return;
                }
            }
            message = socket.recv() => {
                if !matches!(message, Some(Ok(_))) {
                    return;
                }
            }
            () = stopped(&mut stop) => return,
        }
    }
}

/// `GET /events`: one event at once and one every second. A client that comes back goes on counting
/// where it was.
pub async fn events(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let events = Events {
        next: last.map_or(1, |last: u64| last.saturating_add(1)),
        began: Instant::now(),
        ticks: ticks(),
        stop: app.stop(),
    };
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (head, Body::new(events)).into_response()
}

fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// A body that never ends by itself.
#[derive(Debug)]
struct Events {
    next: u64,
    began: Instant,
    ticks: Interval,
    stop: watch::Receiver<bool>,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(self.ticks.poll_tick(cx));
        if *self.stop.borrow() {
            return Poll::Ready(None);
        }
        let (id, after_ms) = (self.next, self.began.elapsed().as_millis());
        self.next = self.next.saturating_add(1);
        let event =
            format!("id: {id}\nevent: tick\ndata: {{\"n\":{id},\"after_ms\":{after_ms}}}\n\n");
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}
