//! The loops behind the sockets and the ops address.
//!
//! Promises: a client that sends nothing, or reads nothing, gives its place back after a known time; an event stream
//! may go on for as long as its client reads it.
//! Bounds: 64 connections at a time each, one request per connection, 16 KiB and 64 fields of head, 10 s for it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch::Receiver;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::caller::Door;
use super::control::Control;
use super::patience::Patience;
use super::router::router;
use crate::sys;

const CONNECTIONS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;
/// The control socket: long enough for an order at a slow CA, whose outcome is waited for.
const CONTROL: Times = Times { head: Duration::from_secs(10), whole: Duration::from_secs(300) };
/// The ops address, where anybody may connect. Whoever shows a token that counts has the time of the control socket from
/// then on.
const OPS: Times = Times { head: Duration::from_secs(10), whole: Duration::from_secs(30) };
/// What is under way when the daemon stops.
const GRACE: Duration = Duration::from_secs(2);
/// Between attempts while the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a Unix socket until `stop` turns true (or its sender is gone), then ends what is under way.
pub async fn serve_unix(
    listener: UnixListener,
    door: Door,
    control: Arc<dyn Control>,
    stop: Receiver<bool>,
) {
    let routes = router(door, control);
    let mut desk = Desk::new(stop, CONTROL);
    while let Some(place) = desk.place().await {
        match desk.unless_stopped(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => {
                // Where the kernel does not say who it is, every call is refused.
                let peer = sys::peer::of(&stream).ok();
                let routes = peer
                    .map_or_else(|| routes.clone(), |peer| routes.clone().layer(Extension(peer)));
                desk.serve(stream, routes, place);
            }
            Some(Err(error)) => pause(&error).await,
        }
    }
    desk.close().await;
}

/// Serves the ops address until `stop` turns true (or its sender is gone), then ends what is under way.
pub async fn serve_ops(listener: TcpListener, control: Arc<dyn Control>, stop: Receiver<bool>) {
    let routes = router(Door::Ops, control);
    let mut desk = Desk::new(stop, OPS);
    while let Some(place) = desk.place().await {
        match desk.unless_stopped(listener.accept()).await {
            None => break,
            Some(Ok((stream, _))) => desk.serve(stream, routes.clone(), place),
            Some(Err(error)) => pause(&error).await,
        }
    }
    desk.close().await;
}

/// A client that left before it was accepted is nothing; out of descriptors, trying at once would spin.
async fn pause(error: &io::Error) {
    if error.kind() != io::ErrorKind::ConnectionAborted {
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Times {
    /// Accepted to the end of the request head.
    head: Duration,
    /// Accepted to closed.
    whole: Duration,
}

/// The connections of one listener.
struct Desk {
    places: Arc<Semaphore>,
    tasks: JoinSet<()>,
    stop: Receiver<bool>,
    times: Times,
}

impl Desk {
    fn new(stop: Receiver<bool>, times: Times) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { places, tasks: JoinSet::new(), stop, times }
    }

    /// Waits for a free place, so that clients beyond the bound wait in the kernel's queue. `None`: stopping.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        while self.tasks.try_join_next().is_some() {} // a panic has ended its own connection and nothing else
        let free = Arc::clone(&self.places).acquire_owned();
        self.unless_stopped(free).await?.ok()
    }

    async fn unless_stopped<F: Future>(&mut self, work: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => None,
            output = work => Some(output),
        }
    }

    fn serve<S>(&mut self, stream: S, routes: Router, place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut stop, times) = (self.stop.clone(), self.times);
        self.tasks.spawn(async move {
            let patience = Patience::default();
            let talk = converse(stream, routes, times.head, &mut stop, patience.clone());
            let mut talk = pin!(talk);
            let mut time = times.whole;
            while tokio::time::timeout(time, talk.as_mut()).await.is_err() {
                time = if patience.became_known() && times.whole < CONTROL.whole {
                    CONTROL.whole
                } else if patience.was_renewed() {
                    times.whole
                } else {
                    break;
                };
            }
            drop(place);
        });
    }

    async fn close(mut self) {
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, ended).await;
        self.tasks.shutdown().await;
    }
}

/// One request and its answer. Errors are the client's: it left, or it spoke no HTTP and hyper has answered.
async fn converse<S>(
    stream: S,
    routes: Router,
    head: Duration,
    stop: &mut Receiver<bool>,
    patience: Patience,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(patience.clone());
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .keep_alive(false)
        .half_close(true) // a client that closes its side early still gets a whole reload
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
