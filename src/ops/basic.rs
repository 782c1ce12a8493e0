//! The calls about the daemon as a whole and its certificates, and what all calls are read with.

use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::Uri;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use super::api::{BODY_BYTES_MAX, Health, Problem, Signal, State, Status, body};
use super::caller::Caller;
use super::calls::OPENMETRICS;
use super::control::Daemon;
use super::live::page_query;
use super::router::{answer, refuse};

/// For the body of a call, which comes from the same machine.
const BODY_TIME: Duration = Duration::from_secs(10);
/// For an order at a CA, which validates every name and may be slow at each step.
const RENEW_TIME: Duration = Duration::from_secs(270);

pub(super) async fn status(Shared(daemon): Shared<Daemon>) -> Response {
    answer(Ok(daemon.status()))
}

/// `GET /v1/sites`
pub(super) async fn sites(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    answer(page_query(&uri).map(|query| daemon.sites(&query)))
}

/// `GET /v1/upstreams`
pub(super) async fn upstreams(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    answer(page_query(&uri).map(|query| daemon.upstreams(&query)))
}

/// `GET /v1/certificates`
pub(super) async fn certificates(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    answer(page_query(&uri).map(|query| daemon.certificates(&query)))
}

pub(super) async fn local_ca(Shared(daemon): Shared<Daemon>) -> Response {
    answer(daemon.local_ca())
}

pub(super) async fn reload(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
) -> Response {
    answer(daemon.reload(&caller).await)
}

/// The attempt goes on when its time here is over; only the answer comes without its outcome.
pub(super) async fn renew(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    site: Segment,
) -> Response {
    let site = match named(site) {
        Ok(site) => site,
        Err(problem) => return refuse(&problem),
    };
    match timeout(RENEW_TIME, daemon.renew_certificate(&caller, &site)).await {
        Ok(outcome) => answer(outcome),
        Err(_) => {
            let detail = format!(
                "the attempt for {site} is still under way; palisade cert list shows how it ends"
            );
            refuse(&Problem::new(504, "Still under way", detail))
        }
    }
}

pub(super) async fn import(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    site: Segment,
    request: Request,
) -> Response {
    let site = match named(site) {
        Ok(site) => site,
        Err(problem) => return refuse(&problem),
    };
    match taken(request.into_body()).await {
        Ok(import) => answer(daemon.import_certificate(&caller, &site, import).await),
        Err(problem) => refuse(&problem),
    }
}

/// A name in the path of a call, or why there is none: it need not be text.
pub(super) type Segment = Result<Path<String>, PathRejection>;

pub(super) fn named(segment: Segment) -> Result<String, Problem> {
    let Path(name) = segment.map_err(|_| {
        Problem::new(400, "Bad Request", "the name in the path of the call is not UTF-8")
    })?;
    Ok(name)
}

/// The bytes of a body.
pub(super) async fn whole(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let whole = timeout(BODY_TIME, Limited::new(body, bytes_max).collect());
    match whole.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("the body is larger than {} KiB", bytes_max >> 10);
            Err(Problem::new(413, "Content Too Large", detail))
        }
        Ok(Err(_)) => Err(Problem::new(400, "Bad Request", "the body ended too early")),
        Err(_) => Err(Problem::new(408, "Request Timeout", "the body did not arrive")),
    }
}

/// The body of a call. A refusal never repeats it: it may hold a private key.
pub(super) async fn taken<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = whole(body, BODY_BYTES_MAX).await?;
    body::read(&bytes).map_err(|why| Problem::new(400, "Bad Request", why))
}

pub(super) async fn rotate(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
) -> Response {
    answer(daemon.rotate_keys(&caller).await)
}

pub(super) async fn health(Shared(daemon): Shared<Daemon>) -> Response {
    let Status { state, version, uptime_s, .. } = daemon.status();
    let status = match state {
        State::Starting => "starting",
        State::Ready => "ok",
        State::Draining => "draining",
    };
    answer(Ok(Health { status: status.into(), version, uptime_s }))
}

pub(super) async fn live() -> Response {
    answer(Ok(Signal { status: "ok".into() }))
}

pub(super) async fn ready(Shared(daemon): Shared<Daemon>) -> Response {
    match daemon.readiness() {
        Ok(()) => answer(Ok(Signal { status: "ready".into() })),
        Err(reasons) => refuse(&Problem::new(503, "Not ready", reasons.join("; "))),
    }
}

pub(super) async fn metrics(Shared(daemon): Shared<Daemon>) -> Response {
    ([(CONTENT_TYPE, OPENMETRICS)], daemon.metrics()).into_response()
}
