//! Who makes a call on the control socket: by the kernel's word, with an id that the audit log and the answer share.

use axum::extract::{Request, State as Shared};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderValue;

use super::api::Problem;
use super::router::{Daemon, refuse};
use crate::base::audit::{Actor, By, Source};
use crate::sys;

/// Names the call in its answer.
const ID_HEADER: &str = "x-request-id";

/// The user at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer(pub u32);

/// A call that changes something, and who wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub uid: u32,
    /// Name of the user, if it has one.
    pub user: Option<String>,
    pub request_id: String,
}

impl Caller {
    /// As the audit log has it.
    #[must_use]
    pub fn by(&self) -> By {
        By {
            actor: Actor::Uid { uid: self.uid, user: self.user.clone() },
            source: Source::Control,
            request_id: Some(self.request_id.clone()),
        }
    }
}

/// Gives a call its id and its caller. Nothing is answered to nobody.
pub(super) async fn name_call(
    Shared(daemon): Shared<Daemon>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(Peer(uid)) = request.extensions().get::<Peer>().copied() else {
        return refuse(&Problem::new(403, "Forbidden", "it is not known who is asking"));
    };
    let request_id = daemon.request_id();
    let header = HeaderValue::from_str(&request_id);
    let user = sys::users::name(uid);
    request.extensions_mut().insert(Caller { uid, user, request_id });
    let mut response = next.run(request).await;
    if let Ok(header) = header {
        response.headers_mut().insert(ID_HEADER, header);
    }
    response
}
