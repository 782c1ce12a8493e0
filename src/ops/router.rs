//! Which request gets which answer, at each door.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::api::{API_HEADER, API_VERSION, Problem, VERSION_HEADER};
use super::auth;
use super::caller::Door;
use super::calls::{CALLS, Call};
use super::control::Daemon;
use super::gate::admit;
use super::openapi::Document;

/// Names the call in its answer.
const ID_HEADER: &str = "x-request-id";

/// Everything that is answered at a door.
pub fn router(door: Door, control: Daemon) -> Router {
    let mut routes = Router::new();
    for call in CALLS.iter().filter(|call| call.doors.contains(&door)) {
        let gate = Gate { daemon: Arc::clone(&control), call, door };
        let serve = (call.serve)().route_layer(middleware::from_fn_with_state(gate, enter));
        routes = routes.route(call.path, serve);
    }
    routes
        .fallback(unknown_call)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(no_web_page))
        .layer(middleware::map_response(stamp))
        .layer(Extension(door))
        .layer(Extension(Document::default()))
        .with_state(control)
}

/// What stands before a call.
#[derive(Clone)]
struct Gate {
    daemon: Daemon,
    call: &'static Call,
    door: Door,
}

/// Gives a call its id, its caller and its whole body; or refuses it.
async fn enter(Shared(gate): Shared<Gate>, request: Request, next: Next) -> Response {
    let request_id = gate.daemon.request_id();
    let header = HeaderValue::from_str(&request_id);
    let admitted = admit(&*gate.daemon, gate.call, gate.door, request, &request_id).await;
    let mut response = match admitted {
        Ok(request) => next.run(request).await,
        Err(problem) => refuse(&Problem { request_id: Some(request_id), ..problem }),
    };
    if let Ok(header) = header {
        response.headers_mut().insert(ID_HEADER, header);
    }
    response
}

/// What every answer carries, refusals included.
async fn stamp(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(API_HEADER, HeaderValue::from_static(API_VERSION));
    headers.insert(VERSION_HEADER, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn no_web_page(request: Request, next: Next) -> Response {
    match auth::no_web_page(request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(problem) => refuse(&problem),
    }
}

pub(super) fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    let mut response =
        (status, kind, serde_json::to_vec(problem).unwrap_or_default()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"palisade\"");
        response.headers_mut().insert(http::header::WWW_AUTHENTICATE, scheme);
    }
    response
}

pub(super) fn answer<T: serde::Serialize>(outcome: Result<T, Problem>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(problem) => refuse(&problem),
    }
}

async fn unknown_call(Extension(door): Extension<Door>) -> Response {
    let detail = match door {
        Door::Ops => {
            "there is nothing at this path; try /health, /readyz or /metrics, or a call of /v1/openapi.json"
        }
        Door::Control => "this daemon does not know the call; is the command a newer palisade?",
        Door::App => "there is nothing at this path of the app's socket; try POST /v1/activity",
    };
    refuse(&Problem::new(404, "Not Found", detail))
}

async fn method_not_allowed() -> Response {
    refuse(&Problem::new(405, "Method Not Allowed", "this path answers another method"))
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
