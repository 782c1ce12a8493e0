//! The call of the app about its own users.

use axum::Extension;
use axum::extract::{Request, State as Shared};
use axum::response::Response;

use super::api::activity::Activity;
use super::basic::taken;
use super::caller::Caller;
use super::control::Daemon;
use super::router::{answer, refuse};

/// `POST /v1/activity`
pub(super) async fn record(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    match taken::<Activity>(request.into_body()).await {
        Ok(activity) => answer(daemon.activity(&caller, activity).await),
        Err(problem) => refuse(&problem),
    }
}
