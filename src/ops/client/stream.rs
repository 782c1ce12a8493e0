//! The event stream as the client reads it.
//!
//! Promises: a daemon that says nothing at all for [`SILENCE_MAX`] is reported, not waited for. Bounds: a line of at
//! most [`LINE_BYTES_MAX`]; a refusal as every answer.

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::{ANSWER_BYTES_MAX, CALL_TIME, ClientError, Heard, asking, read, version};
use crate::ops::api::live::{Event, EventsQuery};

/// The daemon says something every five seconds.
pub const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Many times what an event can be.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// Events, one after the other. Dropping it ends the subscription.
pub struct EventStream {
    path: PathBuf,
    connection: Option<Driver>,
    body: Incoming,
    buffer: BytesMut,
    /// Up to here the buffer holds no line break.
    searched: usize,
    heard: Instant,
}

type Driver = Pin<Box<Connection<TokioIo<UnixStream>, Full<Bytes>>>>;

impl EventStream {
    /// Asks for the stream and waits for its head.
    pub(super) async fn open(
        (path, heard): (PathBuf, &Heard),
        stream: UnixStream,
        query: &EventsQuery,
    ) -> Result<Self, ClientError> {
        let silent = ClientError::Silent { path: path.clone(), after_s: CALL_TIME.as_secs() };
        let opening = Self::ask((path, heard), stream, query);
        timeout(CALL_TIME, opening).await.unwrap_or(Err(silent))
    }

    async fn ask(
        (path, heard): (PathBuf, &Heard),
        stream: UnixStream,
        query: &EventsQuery,
    ) -> Result<Self, ClientError> {
        let garbled = |error: hyper::Error| ClientError::Garbled(error.to_string());
        let request =
            asking(http::Method::GET, &format!("/v1/events{}", query_string(query)), Bytes::new())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(garbled)?;
        let mut connection = Some(Box::pin(connection));
        let response = drive(&mut connection, sender.send_request(request)).await;
        let (head, body) = response.map_err(garbled)?.into_parts();
        heard.hear(&head);
        version(&head)?;
        if head.status != http::StatusCode::OK {
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect();
            let body = drive(&mut connection, body).await;
            let body = body.map_err(|error| ClientError::Garbled(error.to_string()))?;
            // Anything but 200 is read as a problem, so this cannot be an answer.
            return match read::<Event>(&head, &body.to_bytes()) {
                Err(error) => Err(error),
                Ok(_) => Err(ClientError::Garbled("an answer in place of a stream".into())),
            };
        }
        let (buffer, heard) = (BytesMut::new(), Instant::now());
        Ok(Self { path, connection, body, buffer, searched: 0, heard })
    }

    /// The next event; `None` when the daemon has ended the stream, which it does when it stops. Events of kinds that
    /// this version does not know are passed over. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// The connection broke, the daemon fell silent, or what it says cannot be understood.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(line) = self.line()? {
                match understand(&line)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            let silent = self.heard + SILENCE_MAX;
            match timeout_at(silent, poll_fn(|cx| self.poll_more(cx))).await {
                Err(_) => {
                    let (path, after_s) = (self.path.clone(), SILENCE_MAX.as_secs());
                    return Err(ClientError::Silent { path, after_s });
                }
                Ok(Ok(true)) => self.heard = Instant::now(),
                Ok(Ok(false)) => return Ok(None),
                Ok(Err(error)) => {
                    let why = format!("the stream broke off: {error}");
                    return Err(ClientError::Unreachable { path: self.path.clone(), why });
                }
            }
        }
    }

    /// A whole line of what has come, if there is one.
    fn line(&mut self) -> Result<Option<Bytes>, ClientError> {
        let fresh = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            if self.searched > LINE_BYTES_MAX {
                return Err(ClientError::Garbled(format!("a line of over {LINE_BYTES_MAX} bytes")));
            }
            return Ok(None);
        };
        let line = self.buffer.split_to(self.searched + at).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        Ok(Some(line))
    }

    /// Reads on; false at the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, hyper::Error>> {
        poll_driver(&mut self.connection, cx);
        loop {
            return match std::task::ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => Poll::Ready(Ok(false)),
                Some(Err(error)) => Poll::Ready(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.buffer.extend_from_slice(&data);
                        Poll::Ready(Ok(true))
                    }
                    Err(_trailers) => continue,
                },
            };
        }
    }
}

/// Moves the bytes of the connection; its errors show in the body.
fn poll_driver(connection: &mut Option<Driver>, cx: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
        *connection = None;
    }
}

async fn drive<F: Future>(connection: &mut Option<Driver>, work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        poll_driver(connection, cx);
        work.as_mut().poll(cx)
    })
    .await
}

/// `None`: a kind of event that a newer daemon has.
fn understand(line: &[u8]) -> Result<Option<Event>, ClientError> {
    let error = match serde_json::from_slice(line) {
        Ok(event) => return Ok(Some(event)),
        Err(error) => error,
    };
    let known = ["hello", "request", "log", "state", "dropped", "sampling", "alive"];
    let kind = serde_json::from_slice::<serde_json::Value>(line).ok();
    let kind = kind.as_ref().and_then(|value| value.get("type")?.as_str());
    if kind.is_some_and(|kind| !known.contains(&kind)) {
        return Ok(None);
    }
    Err(ClientError::Garbled(error.to_string()))
}

/// `?site=…&status=…`, or nothing.
fn query_string(query: &EventsQuery) -> String {
    let slower = query.slower_us.map(|us| us.to_string());
    let kinds = (!query.kinds.is_empty()).then(|| query.kinds.join(","));
    super::query_string([
        ("kinds", kinds.as_deref()),
        ("site", query.site.as_deref()),
        ("route", query.route.as_deref()),
        ("ip", query.ip.as_deref()),
        ("status", query.status.as_deref()),
        ("path", query.path.as_deref()),
        ("denied", query.denied.as_deref()),
        ("slower_us", slower.as_deref()),
    ])
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
