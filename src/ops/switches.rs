//! The calls about runtime switches.

use axum::Extension;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use http::Uri;

use super::api::Problem;
use super::api::switches::SetCapability;
use super::basic::{Segment, named, taken};
use super::caller::Caller;
use super::control::Daemon;
use super::live::page_query;
use super::router::{answer, refuse};
use crate::base::Capability;

/// `GET /v1/capabilities`
pub(super) async fn list(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    answer(page_query(&uri).map(|query| {
        let mut all = daemon.capabilities();
        all.sort_by_key(|capability| capability.name.key());
        query.of(all, |capability| capability.name.key())
    }))
}

/// `POST /v1/capabilities/{name}`
pub(super) async fn set(
    Shared(daemon): Shared<Daemon>,
    Extension(caller): Extension<Caller>,
    name: Segment,
    request: Request,
) -> Response {
    let name = match named(name).and_then(|name| known(&name)) {
        Ok(name) => name,
        Err(problem) => return refuse(&problem),
    };
    match taken::<SetCapability>(request.into_body()).await {
        Ok(wanted) => answer(daemon.set_capability(&caller, name, wanted).await),
        Err(problem) => refuse(&problem),
    }
}

fn known(name: &str) -> Result<Capability, Problem> {
    Capability::of_key(name).ok_or_else(|| {
        let all = Capability::ALL.map(Capability::key).join(", ");
        Problem::new(404, format!("There is no capability {name}"), format!("there are {all}"))
    })
}
