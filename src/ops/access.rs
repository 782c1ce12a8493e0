//! The calls about who may do what.

use axum::Extension;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::Uri;

use super::api::access::{CreateToken, EnrollTotp, TotpCode, WhoAmI};
use super::basic::{Segment, named, taken};
use super::caller::Caller;
use super::control::Daemon;
use super::live::page_query;
use super::router::{answer, refuse};

/// `GET /v1/whoami`
pub(super) async fn whoami(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let (name, role, scopes) = (caller.name(), caller.role, caller.scopes);
    answer(Ok(WhoAmI { name, role, scopes, totp: daemon.wants_factor() }))
}

/// `GET /v1/tokens`
pub(super) async fn tokens(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    answer(page_query(&uri).map(|query| daemon.tokens(&query)))
}

/// `POST /v1/tokens`
pub(super) async fn create_token(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    match taken::<CreateToken>(request.into_body()).await {
        Ok(wanted) => answer(daemon.create_token(&caller, wanted).await),
        Err(problem) => refuse(&problem),
    }
}

/// `POST /v1/tokens/{id}/revoke`
pub(super) async fn revoke_token(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    id: Segment,
) -> Response {
    match named(id) {
        Ok(id) => answer(daemon.revoke_token(&caller, &id).await),
        Err(problem) => refuse(&problem),
    }
}

/// `GET /v1/totp`
pub(super) async fn factors(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    answer(page_query(&uri).map(|query| daemon.factors(&query)))
}

/// `POST /v1/totp`
pub(super) async fn enroll(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    match taken::<EnrollTotp>(request.into_body()).await {
        Ok(wanted) => answer(daemon.enroll(&caller, &wanted.name).await),
        Err(problem) => refuse(&problem),
    }
}

/// `POST /v1/totp/{name}/activate`
pub(super) async fn activate(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    name: Segment,
    request: Request,
) -> Response {
    let name = match named(name) {
        Ok(name) => name,
        Err(problem) => return refuse(&problem),
    };
    match taken::<TotpCode>(request.into_body()).await {
        Ok(TotpCode { code }) => answer(daemon.activate(&caller, &name, &code).await),
        Err(problem) => refuse(&problem),
    }
}

/// `POST /v1/totp/{name}/remove`
pub(super) async fn remove_factor(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    name: Segment,
) -> Response {
    match named(name) {
        Ok(name) => answer(daemon.remove_factor(&caller, &name).await),
        Err(problem) => refuse(&problem),
    }
}

/// `POST /v1/elevation`
pub(super) async fn elevate(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Response {
    match taken::<TotpCode>(request.into_body()).await {
        Ok(TotpCode { code }) => answer(daemon.elevate(&caller, &code).await),
        Err(problem) => refuse(&problem),
    }
}
