//! The switch that breaks the demo app, and the connections it breaks.
//!
//! Promises: the switch, its page, the stylesheet and the mark always answer, whatever is broken.
//! Refuses: to be thrown from a page of another site.
//! Bounds: a hanging answer waits at most [`HANG_MAX`], and not beyond the end of the app.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum::serve::{IncomingStream, Listener};
use http::{HeaderMap, StatusCode};
use minijinja::context;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::app::{App, Broken};
use super::pages::View;

/// Longer than any deadline of a proxy in front.
const HANG_MAX: Duration = Duration::from_secs(300);

/// Connections the app accepts at once; further ones wait in the backlog.
const CONNECTIONS_MAX: usize = 2_000;

/// Paths that answer even while the app is broken.
const ALWAYS: [&str; 3] = ["/fail", "/demo.css", "/mark.svg"];

/// `GET /fail`
pub async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let broken = app.broken();
    let body = context! { mode => broken.word(), broken => broken.sentence() };
    let view = View { template: "fail.html", title: "Break the app", path: "/fail", body };
    app.pages.page(view, &headers, broken).into_response()
}

/// `POST /fail/{mode}`
pub async fn switch(
    State(app): State<Arc<App>>,
    Path(mode): Path<String>,
    headers: HeaderMap,
) -> Response {
    // A page elsewhere could post a form here; browsers say so in this header.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return app.error(StatusCode::FORBIDDEN, &headers, "The switch is worked from this app.");
    }
    let Some(broken) = Broken::ALL.into_iter().find(|broken| broken.word() == mode) else {
        return app.error(StatusCode::NOT_FOUND, &headers, "The switch has no such position.");
    };
    app.set_broken(broken);
    Redirect::to("/fail").into_response()
}

/// Stands before every handler and fails the way the switch says.
pub async fn interrupt(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if ALWAYS.contains(&path) || path.starts_with("/fail/") {
        return next.run(request).await;
    }
    match app.broken() {
        Broken::Off => next.run(request).await,
        Broken::On => app.error(
            StatusCode::INTERNAL_SERVER_ERROR,
            request.headers(),
            "The demo app was told to fail, and does. palisade passed its answer on.",
        ),
        Broken::Hang => {
            let healed = tokio::time::timeout(HANG_MAX, app.leaves(Broken::Hang)).await;
            if healed.is_ok() { next.run(request).await } else { app.closing() }
        }
        Broken::Close => {
            if let Some(ConnectInfo(link)) = request.extensions().get::<ConnectInfo<Link>>() {
                link.cut();
            }
            app.closing()
        }
    }
}

/// A handler's hold on the connection its request came over.
#[derive(Debug, Clone)]
pub struct Link {
    cut: Arc<AtomicBool>,
    pub peer: String,
}

impl Link {
    /// Makes the next write fail, so that the connection ends without an answer.
    fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, Doors>> for Link {
    fn connect_info(stream: IncomingStream<'_, Doors>) -> Self {
        Self { cut: Arc::clone(&stream.io().cut), peer: stream.remote_addr().to_string() }
    }
}

/// Accepts connections that can be cut, a bounded number of them.
#[derive(Debug)]
pub struct Doors {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Doors {
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl Listener for Doors {
    type Io = Door;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed, so that there always is a permit in the end.
        let permit = Arc::clone(&self.room).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Small answers must not wait for acknowledgements of earlier ones.
        let _ = stream.set_nodelay(true);
        (Door { stream, cut: Arc::default(), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// One accepted connection.
#[derive(Debug)]
pub struct Door {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Door {
    fn whole(&self) -> io::Result<()> {
        if self.cut.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl AsyncRead for Door {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Door {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.whole()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
