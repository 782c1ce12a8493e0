//! Answers to a CA that asks whether a name is ours, on both ports. Never reaches the app.
//!
//! A request whose path is no challenge pays for comparing the beginning of its path and nothing else.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::body::Body;
use super::conn::HostEntry;
use super::tls;
use super::trip::Trip;
use crate::base::Host;
use crate::work::acme::challenges::{ALPN, HTTP_PREFIX};

/// The answer to an HTTP-01 question (RFC 8555 §8.3). `None`: it is none, or none that is waited for, and then the
/// app may know it: it may have an ACME client of its own.
pub(super) fn http(trip: &Trip, host: &HostEntry) -> Option<Response<Body>> {
    let token = trip.path().strip_prefix(HTTP_PREFIX)?;
    if trip.method != Method::GET {
        return None;
    }
    let name = Host::from_authority(host.value.to_str().ok()?).ok()?;
    let authorization = trip.conn.worker.shared.challenges.http(&name, token)?;
    let mut response = Response::new(Body::full(authorization.as_bytes().to_vec()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// Whether a hello is a TLS-ALPN-01 question: it offers that protocol alone (RFC 8737 §3).
pub(super) fn asked_by(alpn: &[Vec<u8>]) -> bool {
    matches!(alpn, [only] if *only == ALPN)
}

/// For one handshake with the validation certificate: TLS 1.2 or later, this protocol alone, nothing to resume.
pub(super) fn config(key: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
    let mut config = ServerConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
