//! The call of the app about its own users.

use axum::Extension;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};

use super::api::Problem;
use super::api::activity::{Activity, BODY_BYTES_MAX};
use super::basic::whole;
use super::caller::Caller;
use super::control::Daemon;
use super::router::{answer, refuse};

/// `POST /v1/activity`
pub(super) async fn record(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    let bytes = match whole(request.into_body(), BODY_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(problem) => return refuse(&problem),
    };
    let mut response = match Activity::read(&bytes) {
        Ok(activity) => answer(daemon.activity(&caller, activity).await),
        Err(wrong) => refuse(&Problem::new(400, "Bad Request", wrong.to_string())),
    };
    let later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    if later.contains(&response.status()) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
