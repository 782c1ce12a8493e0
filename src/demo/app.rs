//! The small app behind `palisade demo`: pages, a form, streams, sockets, and ways to fail.
//!
//! Promises: everything it keeps is in one [`App`]; it holds no body in memory, either way.
//! Refuses: nothing that a proxy may want to pass on, within the bounds below.
//! Bounds: a slow answer takes at most [`SLOW_MAX_S`] seconds, a form [`FORM_BYTES_MAX`] bytes.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Form, Query, Request, State};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use http::{HeaderMap, StatusCode, header};
use minijinja::{Value, context};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::fail::{self, Doors, Link};
use super::pages::{self, Pages, View};
use super::{bodies, live};

const SLOW_MAX_S: u64 = 20;
const SLOW_DEFAULT_S: u64 = 3;
const FORM_BYTES_MAX: usize = 64 * 1024;

/// How long open answers may go on after the app was told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What the pages tell their reader to type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The command that trusts the local authority.
    pub trust: String,
}

/// Position of the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    Off,
    On,
    Hang,
    Close,
}

impl Broken {
    pub const ALL: [Self; 4] = [Self::Off, Self::On, Self::Hang, Self::Close];

    /// As in `/fail/{word}`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Hang => "hang",
            Self::Close => "close",
        }
    }

    /// What the app does in this position.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Off => "everything works",
            Self::On => "every page answers 500",
            Self::Hang => "requests are taken and never answered",
            Self::Close => "connections close without an answer",
        }
    }
}

/// Everything the app knows.
#[derive(Debug)]
pub struct App {
    pub pages: Pages,
    story: Story,
    broken: watch::Sender<Broken>,
    stop: watch::Receiver<bool>,
    /// WebSocket messages sent back since start.
    pub echoed: AtomicU64,
    /// WebSockets open now, the counters' own not included.
    pub open: AtomicU64,
}

impl App {
    /// # Errors
    /// When a built-in template is not valid, which a test rules out.
    pub fn new(story: Story, stop: watch::Receiver<bool>) -> Result<Self, minijinja::Error> {
        Ok(Self {
            pages: Pages::new()?,
            story,
            broken: watch::Sender::new(Broken::Off),
            stop,
            echoed: AtomicU64::new(0),
            open: AtomicU64::new(0),
        })
    }

    pub fn broken(&self) -> Broken {
        *self.broken.borrow()
    }

    pub fn set_broken(&self, broken: Broken) {
        self.broken.send_replace(broken);
    }

    /// Waits until the switch stands elsewhere.
    pub async fn leaves(&self, position: Broken) {
        let mut broken = self.broken.subscribe();
        // The sender lives as long as the app, so that this ends only with a new position.
        let _ = broken.wait_for(|now| *now != position).await;
    }

    /// True once the app is to end.
    pub fn stop(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    /// The app's own error page.
    pub fn error(&self, status: StatusCode, headers: &HeaderMap, message: &str) -> Response {
        let heading = match status {
            StatusCode::INTERNAL_SERVER_ERROR => "The app failed",
            StatusCode::NOT_FOUND => "No such page",
            _ => status.canonical_reason().unwrap_or("That did not work"),
        };
        let body = context! {
            status => status.as_u16(),
            heading,
            message,
            request_id => pages::text(headers, "x-request-id"),
        };
        let view = View { template: "error.html", title: heading, path: "", body };
        (status, self.pages.page(view, headers, self.broken())).into_response()
    }

    /// An answer nobody is meant to see, on a connection that ends.
    pub fn closing(&self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, [(header::CONNECTION, "close")]).into_response()
    }

    fn show(&self, view: View<'_>, headers: &HeaderMap) -> Response {
        self.pages.page(view, headers, self.broken()).into_response()
    }
}

/// Every address of the app.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/form", get(form).post(form_sent))
        .route("/script", get(|state, headers| still(state, headers, "script.html", "/script")))
        .route(
            "/websocket",
            get(|state, headers| still(state, headers, "websocket.html", "/websocket")),
        )
        .route("/stream", get(|state, headers| still(state, headers, "stream.html", "/stream")))
        .route("/slow", get(slow))
        .route("/ws", any(live::echo))
        .route("/ws/count", any(live::count))
        .route("/events", get(live::events))
        .route("/headers", any(echo_headers))
        .route("/download", get(bodies::download))
        .route("/upload", post(bodies::upload))
        .route("/fail", get(fail::page))
        .route("/fail/{mode}", post(fail::switch))
        .route("/demo.css", get(|| asset("text/css; charset=utf-8", pages::STYLESHEET)))
        .route("/mark.svg", get(|| asset("image/svg+xml", pages::MARK)))
        .fallback(missing)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), fail::interrupt))
        .with_state(app)
}

/// Serves the app until `stop` turns true, and then for at most two seconds more.
///
/// # Errors
/// When the listener fails, or a built-in template is not valid.
pub async fn serve(
    listener: TcpListener,
    story: Story,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let app = App::new(story, stop.clone()).map_err(io::Error::other)?;
    let service = router(Arc::new(app)).into_make_service_with_connect_info::<Link>();
    let mut told = stop.clone();
    let server = axum::serve(Doors::new(listener), service).with_graceful_shutdown(async move {
        stopped(&mut told).await;
    });
    tokio::select! {
        outcome = server.into_future() => outcome,
        () = async { stopped(&mut stop).await; tokio::time::sleep(GRACE).await } => Ok(()),
    }
}

/// A sender that went away counts as a word to stop.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn home(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let body = pages::home(&headers, &app.story);
    app.show(View { template: "home.html", title: "Home", path: "/", body }, &headers)
}

/// A page that says the same to everybody.
async fn still(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    template: &'static str,
    path: &'static str,
) -> Response {
    let title = match path {
        "/script" => "Inline script",
        "/websocket" => "WebSocket",
        _ => "Events",
    };
    app.show(View { template, title, path, body: context! {} }, &headers)
}

async fn form(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let view = View { template: "form.html", title: "Form", path: "/form", body: context! {} };
    app.show(view, &headers)
}

async fn form_sent(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let received: Value =
        fields.into_iter().map(|(name, value)| context! { name, value }).collect();
    let body = context! { received, forwarded => pages::forwarded(&headers) };
    app.show(View { template: "form.html", title: "Received", path: "/form", body }, &headers)
}

#[derive(Debug, Deserialize)]
struct Slow {
    /// Seconds.
    s: Option<u64>,
}

async fn slow(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(asked): Query<Slow>,
) -> Response {
    let seconds = asked.s.unwrap_or(SLOW_DEFAULT_S).min(SLOW_MAX_S);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let body = context! { seconds };
    app.show(View { template: "slow.html", title: "Slow", path: "/slow", body }, &headers)
}

/// The request as the app saw it: method, target, version, peer, and every field in order of arrival
/// under its lower-case name.
async fn echo_headers(request: Request) -> Json<serde_json::Value> {
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str()).or_default().push(value);
    }
    let peer = request.extensions().get::<ConnectInfo<Link>>().map(|link| link.0.peer.as_str());
    Json(json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "peer": peer,
        "headers": headers,
    }))
}

async fn asset(kind: &'static str, content: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content).into_response()
}

async fn missing(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.error(StatusCode::NOT_FOUND, &headers, "The demo app has nothing at this address.")
}
