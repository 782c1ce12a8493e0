//! Which request gets which answer, on the control socket and on the ops address.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Shared};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::api::audit::{AuditMark, AuditPage, AuditQuery, AuditVerdict};
use super::api::live::{ExplainQuery, Explanation};
use super::api::{
    API_HEADER, API_VERSION, BODY_BYTES_MAX, CertificateInfo, Health, ImportCertificate,
    KeyRotation, LocalCa, Problem, Reloaded, State, Status,
};
use super::caller::{Caller, name_call};
use super::{audit, auth, live as moving};
use crate::telemetry::events::Hub;
use crate::telemetry::history::History;

/// For the body of a call, which comes from the same machine.
const BODY_TIME: Duration = Duration::from_secs(10);
/// For an order at a CA, which validates every name and may be slow at each step.
const RENEW_TIME: Duration = Duration::from_secs(270);

/// What the daemon offers to its operators; implemented by the composition root.
pub trait Control: Send + Sync + 'static {
    fn status(&self) -> Status;
    fn certificates(&self) -> Vec<CertificateInfo>;
    /// # Errors
    /// No site uses the local CA.
    fn local_ca(&self) -> Result<LocalCa, Problem>;
    /// Swaps whole or not at all; 422 when the configuration is refused. The future may be dropped at any
    /// `await` (the daemon stops, the client takes too long), so the swap itself must not await.
    fn reload<'a>(&'a self, caller: &'a Caller) -> Answer<'a, Reloaded>;
    /// Attempts the certificate of a site now and answers when the attempt has ended. Dropping the future does not
    /// end the attempt.
    fn renew_certificate<'a>(
        &'a self,
        caller: &'a Caller,
        site: &'a str,
    ) -> Answer<'a, CertificateInfo>;
    /// Takes a certificate made elsewhere.
    fn import_certificate<'a>(
        &'a self,
        caller: &'a Caller,
        site: &'a str,
        import: ImportCertificate,
    ) -> Answer<'a, CertificateInfo>;
    /// Seals every secret under a new data key.
    fn rotate_keys<'a>(&'a self, caller: &'a Caller) -> Answer<'a, KeyRotation>;
    /// A fresh id for a call.
    fn request_id(&self) -> String;
    /// # Errors
    /// The audit log cannot be read.
    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Problem>;
    /// Follows the whole audit log; may take seconds.
    ///
    /// # Errors
    /// It cannot be read; that it is broken is an answer.
    fn verify_audit(&self) -> Answer<'_, AuditVerdict>;
    /// A signed checkpoint for the last record.
    fn audit_checkpoint(&self) -> Answer<'_, AuditMark>;
    /// # Errors
    /// Why no traffic should be sent here, a sentence each.
    fn readiness(&self) -> Result<(), Vec<String>>;
    /// OpenMetrics text.
    fn metrics(&self) -> String;
    /// Where events come from.
    fn events(&self) -> &Arc<Hub>;
    fn history(&self) -> &History;
    /// What a request would meet.
    ///
    /// # Errors
    /// The query is no request.
    fn explain(&self, query: &ExplainQuery) -> Result<Explanation, Problem>;
}

/// What a call comes to: the answer, or the problem that the caller gets instead.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

pub(super) type Daemon = Arc<dyn Control>;

/// For admins, on the control socket.
pub fn control_router(control: Daemon) -> Router {
    let routes = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/reload", post(reload))
        .route("/v1/certificates", get(certificates))
        .route("/v1/certificates/{site}/renew", post(renew))
        .route("/v1/certificates/{site}/import", post(import))
        .route("/v1/crypto/rotate", post(rotate))
        .route("/v1/local-ca", get(local_ca))
        .route("/v1/events", get(moving::events))
        .route("/v1/history", get(moving::history))
        .route("/v1/explain", get(moving::explain))
        .route("/v1/audit", get(audit::page))
        .route("/v1/audit/verify", post(audit::verify))
        .route("/v1/audit/checkpoint", get(audit::checkpoint))
        .fallback(unknown_call)
        .layer(middleware::from_fn_with_state(Arc::clone(&control), name_call));
    finish(routes).with_state(control)
}

/// For monitors, on the ops address: nothing here changes anything or tells a secret.
pub fn ops_router(control: Daemon) -> Router {
    let routes = Router::new()
        .route("/health", get(health))
        .route("/healthz", get(live))
        .route("/api/_health/live", get(live))
        .route("/readyz", get(ready))
        .route("/api/_health/ready", get(ready))
        .route("/metrics", get(metrics));
    finish(routes.fallback(not_found).layer(middleware::from_fn(ops_guard))).with_state(control)
}

/// Answers every request with the same refusal.
pub(super) fn refusal_router(problem: Problem) -> Router {
    finish(Router::new().fallback(move || async move { refuse(&problem) }))
}

fn finish<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes.method_not_allowed_fallback(method_not_allowed).layer(middleware::map_response(stamp))
}

/// What every answer carries, refusals included.
async fn stamp(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(API_HEADER, HeaderValue::from_static(API_VERSION));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn ops_guard(request: Request, next: Next) -> Response {
    match auth::ops_request(request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(problem) => refuse(&problem),
    }
}

pub(super) fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(CONTENT_TYPE, "application/problem+json")];
    (status, kind, serde_json::to_vec(problem).unwrap_or_default()).into_response()
}

pub(super) fn answer<T: serde::Serialize>(outcome: Result<T, Problem>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(problem) => refuse(&problem),
    }
}

async fn not_found() -> Response {
    refuse(&Problem::new(
        404,
        "Not Found",
        "there is nothing at this path; try /health, /readyz or /metrics",
    ))
}

async fn unknown_call() -> Response {
    let detail = "this daemon does not know the call; is the command a newer palisade?";
    refuse(&Problem::new(404, "Not Found", detail))
}

async fn method_not_allowed() -> Response {
    refuse(&Problem::new(405, "Method Not Allowed", "this path answers another method"))
}

async fn status(Shared(daemon): Shared<Daemon>) -> Response {
    answer(Ok(daemon.status()))
}

async fn certificates(Shared(daemon): Shared<Daemon>) -> Response {
    answer(Ok(daemon.certificates()))
}

async fn local_ca(Shared(daemon): Shared<Daemon>) -> Response {
    answer(daemon.local_ca())
}

async fn reload(Shared(daemon): Shared<Daemon>, Extension(caller): Extension<Caller>) -> Response {
    answer(daemon.reload(&caller).await)
}

/// The attempt goes on when its time here is over; only the answer comes without its outcome.
async fn renew(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    site: Site,
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

async fn import(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    site: Site,
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

/// The site in the path of a call, or why there is none: it need not be text.
type Site = Result<Path<String>, PathRejection>;

fn named(site: Site) -> Result<String, Problem> {
    let Path(site) = site.map_err(|_| {
        let detail =
            "the name of the site in the path is not UTF-8; `palisade cert list` has the names";
        Problem::new(400, "Bad Request", detail)
    })?;
    Ok(site)
}

/// The body of a call. A refusal never repeats it: it may hold a private key.
async fn taken<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let whole = timeout(BODY_TIME, Limited::new(body, BODY_BYTES_MAX).collect());
    let bytes = match whole.await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("the body is larger than {} MiB", BODY_BYTES_MAX >> 20);
            return Err(Problem::new(413, "Content Too Large", detail));
        }
        Ok(Err(_)) => return Err(Problem::new(400, "Bad Request", "the body ended too early")),
        Err(_) => return Err(Problem::new(408, "Request Timeout", "the body did not arrive")),
    };
    let unread = "the body is not what this call takes; is the command another palisade?";
    serde_json::from_slice(&bytes).map_err(|_| Problem::new(400, "Bad Request", unread))
}

async fn rotate(Shared(daemon): Shared<Daemon>, Extension(caller): Extension<Caller>) -> Response {
    answer(daemon.rotate_keys(&caller).await)
}

async fn health(Shared(daemon): Shared<Daemon>) -> Response {
    let Status { state, version, uptime_s, .. } = daemon.status();
    let status = match state {
        State::Starting => "starting",
        State::Ready => "ok",
        State::Draining => "draining",
    };
    answer(Ok(Health { status: status.into(), version, uptime_s }))
}

async fn live() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

async fn ready(Shared(daemon): Shared<Daemon>) -> Response {
    match daemon.readiness() {
        Ok(()) => Json(serde_json::json!({ "status": "ready" })).into_response(),
        Err(reasons) => refuse(&Problem::new(503, "Not ready", reasons.join("; "))),
    }
}

async fn metrics(Shared(daemon): Shared<Daemon>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], daemon.metrics()).into_response()
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
