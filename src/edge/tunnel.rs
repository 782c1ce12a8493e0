//! WebSockets: the handshake is checked and passed on, then bytes go both ways (promise 22).
//!
//! Refuses: upgrades to anything else, and handshakes from pages of other sites unless the site allows them. The
//! tunnel opens only after the app's own 101.

use std::rc::Rc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, ORIGIN, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Response, StatusCode, Version};

use super::body::{Body, RequestBody};
use super::conn::Conn;
use super::identity::Identity;
use super::io::{ClientIo, Stream};
use super::lease::Course;
use super::proxy;
use super::respond;
use super::trip::Trip;
use super::upstream::{UpstreamStream, Visit};
use crate::base::{Denial, Host};
use crate::config::settings::{Origins, Site};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// An app's side of a tunnel, waiting for the 101 to be sent to the client.
pub struct Tunnel {
    upstream: UpstreamStream,
    early: bytes::Bytes,
    /// The app has it in flight while it is open.
    visit: Visit,
}

/// Whether the request asks for a WebSocket, and may.
pub(super) fn wanted(site: &Site, head: &Parts) -> Result<bool, Denial> {
    let Some(protocol) = head.headers.get(UPGRADE) else { return Ok(false) };
    if !connection_says_upgrade(&head.headers) {
        return Ok(false);
    }
    if has_body(&head.headers) || head.version != Version::HTTP_11 {
        // A handshake is an HTTP/1.1 request without a body (RFC 6455 §4.1); this is some other request.
        return Ok(false);
    }
    if !protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
        // Clients offer h2c to anybody; who ignores an upgrade answers as if it was not there (RFC 9110 §7.8).
        return Ok(false);
    }
    if head.method != Method::GET {
        return Err(Denial::MethodNotSupported);
    }
    match head.headers.get(ORIGIN) {
        Some(origin) if !is_allowed(site, origin, head.headers.get(HOST)) => {
            let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            Err(Denial::ForeignOrigin { origin })
        }
        _ => Ok(true),
    }
}

/// Whether the head of an HTTP/1.1 request announces a body (RFC 9112 §6.3).
pub(super) fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

fn connection_says_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")))
}

/// A browser always sends `Origin` with a WebSocket; what sends none is no browser, and no page misuses it.
fn is_allowed(site: &Site, origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let Origins::SiteAnd(others) = &site.origins else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let origin = origin.to_ascii_lowercase();
    if others.contains(&origin) {
        return true;
    }
    let Some(authority) = origin.strip_prefix("https://") else { return false };
    // The very host and port that was asked for, or another name of the same site on the standard port.
    if host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
        return true;
    }
    authority.parse::<Host>().is_ok_and(|name| site.names().any(|own| *own == name))
}

/// Asks the app for the WebSocket on a connection of its own, and prepares the tunnel if it agrees.
pub(super) async fn open(
    trip: &mut Trip,
    mut head: Parts,
    identity: &Identity,
) -> Result<Response<Body>, Denial> {
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, WEBSOCKET);
    let mut course = Course::begin(trip)?;
    let mut leased = course.lease_new(trip).await?;
    if !leased.link.is_whole() {
        return Err(Denial::NoWebSocket { upstream: leased.pool().label.to_string() });
    }
    let exchange = proxy::Exchange::start(trip, None);
    leased.link.begin(head, trip.own(identity), RequestBody::Empty);
    let mut head = loop {
        match exchange.run(&mut leased).await {
            Ok(head) => break head,
            Err(failure) => {
                Box::pin(course.again(trip, &mut leased, &exchange, failure)).await?;
            }
        }
    };
    course.answered(trip, &mut leased);
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(proxy::stream_back(trip, exchange, leased, head));
    }
    respond::strip(&mut head.headers);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, WEBSOCKET);
    let stream = leased.link.into_stream();
    let (upstream, early) =
        stream.ok_or(Denial::Internal { what: "a 101 without a connection" })?;
    *trip.conn.tunnel.borrow_mut() = Some(Tunnel { upstream, early, visit: leased.visit });
    Ok(Response::from_parts(head, Body::empty()))
}

impl Tunnel {
    /// Copies both ways until both sides have ended, one has failed, or the worker has drained.
    pub(super) async fn run(self, conn: &Rc<Conn>, client: Stream, from_client: bytes::Bytes) {
        use tokio::io::AsyncWriteExt;
        let Self { mut upstream, early, visit: _visit } = self;
        let mut client = ClientIo::new(client, Rc::clone(conn));
        conn.exchanges.set(conn.exchanges.get() + 1);
        let copied = async {
            client.write_all(&early).await?;
            client.flush().await?;
            upstream.write_all(&from_client).await?;
            tokio::io::copy_bidirectional(&mut client, &mut upstream).await
        };
        let _ = copied.await;
        conn.exchanges.set(conn.exchanges.get().saturating_sub(1));
    }
}
