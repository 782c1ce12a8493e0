//! One request, from first byte to last, in the order that things happen.
//!
//! Promises: every step may refuse, only `deny` answers; the response leaves through `respond`, whoever made it;
//! nothing here waits on anything but the client and the app.

use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;

use http::{Request, Response};
use hyper::body::{Body as _, Incoming};

use super::body::Body;
use super::conn::Conn;
use super::trip::Trip;
use super::{action, challenge, deny, forwarded, proxy, respond, route, tunnel};
use crate::base::Denial;
use crate::guard::intake;

pub(super) fn serve(
    conn: &Rc<Conn>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
    let (head, body) = request.into_parts();
    let mut trip = Trip::start(conn, &head); // id, arrival: everything later can be correlated
    let refused = conn.take_refused(); // this request may only stand in for one that nobody got to see
    async move {
        let bodiless = body.is_end_stream() && refused.is_none();
        let outcome = match refused {
            Some(refused) => Err(trip.stands_in_for(*refused)),
            None => answer(&mut trip, head, body).await,
        };
        let response = outcome.unwrap_or_else(|denial| {
            trip.conn.unread.set(!bodiless); // a refused client may still be sending
            let denial = trip.conn.of_body(denial);
            deny::answer(&mut trip, &denial)
        });
        Ok(respond::finish(trip, response)) // headers, then metrics and the log line when the body ends
    }
}

async fn answer(
    trip: &mut Trip,
    mut head: http::request::Parts,
    body: Incoming,
) -> Result<Response<Body>, Denial> {
    if let Some(client) = forwarded::client(trip, &head.headers) {
        trip.client = client; // whoever is behind the trusted proxies
    }
    let host = route::site(&trip.view, &trip.conn, &head)?; // SNI and Host agree, or 421 before any work is spent
    trip.host = Some(Rc::clone(&host));
    let policy = Rc::clone(&trip.view);
    let site = policy.policy.site(host.site).ok_or(Denial::UnknownHost)?;
    let path = route::settle_path(&mut head, || route::slashes(site))?; // one form for every spelling, before anything looks at it
    trip.settled(&path, &head);
    if let Some(answer) = challenge::http(trip, &host) {
        return Ok(answer); // a CA asks whether the name is ours, on whichever port it arrives
    }
    if !trip.conn.tls {
        return respond::redirect_to_https(trip, &host); // the plain port has nothing else to say
    }
    let matched = path.matched(head.uri.path());
    trip.route = route::route(site, &head, matched);
    route::keeps_slashes(site, trip.route, matched)?; // unless this route says that its app takes them for what they are
    trip.conn.admit_stream()?; // when no connection more is taken, a client's many streams are what goes next
    proxy::admit(&policy.policy, &head)?; // sizes and methods that no app should see
    intake::check(site.intake_of(trip.route()), &head, !body.is_end_stream())?; // what the app was meant to take
    let upgrade = tunnel::wanted(site, &head)?; // a WebSocket from a foreign page ends here
    let identity = forwarded::prepare(trip, &mut head, &host); // hop-by-hop out, identity in
    action::reserve(trip)?; // last: what is always recorded does not begin without a place for its record
    let response = if upgrade {
        tunnel::open(trip, head, &identity).await?
    } else {
        proxy::forward(trip, head, &identity, body).await?
    };
    let response = deny::hidden(trip, response); // where the app's own words about its errors are nobody's business
    if trip.place.is_none() {
        return Ok(response);
    }
    Ok(Box::pin(action::recorded(trip, response)).await) // rare: not part of every request's future
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F>(_: impl Fn(&Rc<Conn>, Request<Incoming>) -> F) -> usize {
        size_of::<F>()
    }

    /// HTTP/2 moves the future of every exchange into a task of its own: its size is paid per request.
    #[test]
    fn the_future_of_an_exchange_stays_small() {
        let bytes = size_of_future(serve);
        assert!(bytes <= 2560, "{bytes} bytes");
        let body = size_of::<Body>();
        assert!(body <= 256, "{body} bytes");
    }
}
