//! What only tests and the fuzzer touch: what becomes of a request's head on its way to the app, with the functions
//! of the request path and without a connection.

use std::net::IpAddr;

use http::HeaderValue;
use http::header::HeaderMap;
use http::request::Parts;

use super::conn::Client;
use super::identity::{Identity, Own};
use super::{forwarded, route};
use crate::base::path::EncodedSlashes;
use crate::base::{Denial, Host, TrustedProxies};

/// Whom a request came from, and how.
#[derive(Debug)]
pub struct Came<'a> {
    pub peer: IpAddr,
    pub trusted: &'a TrustedProxies,
    pub tls: bool,
    pub http2: bool,
}

/// The client behind the peer, as `resolve` reads the fields of the request.
#[must_use]
pub fn client(came: &Came<'_>, headers: &HeaderMap) -> IpAddr {
    forwarded::resolve(came.trusted, came.peer, headers).addr()
}

/// Turns the head that came into the head that goes to the app, under the request id `id`.
///
/// # Errors
/// It names no host, or two.
pub fn to_app(came: &Came<'_>, head: &mut Parts, id: &HeaderValue) -> Result<(), Denial> {
    let ip = forwarded::resolve(came.trusted, came.peer, &head.headers);
    let authority =
        String::from_utf8(route::authority(head)?.to_vec()).map_err(|_| Denial::BadHost)?;
    Host::from_authority(&authority).map_err(|_| Denial::BadHost)?;
    let host = HeaderValue::from_str(&authority).map_err(|_| Denial::BadHost)?;
    route::settle_path(head, EncodedSlashes::default)?;
    let target = head.uri.path_and_query().cloned();
    forwarded::clean(head, target.as_ref(), &host, came.http2);
    let identity = Identity::new(&Client::of(ip), &host, came.tls);
    Own { identity: &identity, id, trace: None }.append_to(&mut head.headers);
    Ok(())
}
