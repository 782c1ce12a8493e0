//! Actions: requests of a route with `audit`. Each gets a record in the audit log.
//!
//! Promises: no action is asked of the app without a place for its record; the answer of the app leaves once the record
//! is on disk; one that ends without an answer is recorded all the same, and nobody waits for that.
//! Refuses: a request whose record has no place now, or whose client has too many of them; query strings, fields and bodies in records.
//! Bounds: an answer that is there is held back for [`PATIENCE`] at most: keeping it for longer would not undo what the
//! app has done. Its record is kept by whoever took it, and written as soon as that is possible.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::Response;

use super::body::Body;
use super::trip::Trip;
use crate::base::audit::{Actor, By, Intent, Source};
use crate::base::{Denial, IpKey};
use crate::ports::actions::NoPlace;
use crate::telemetry::Level;

/// How long an answer waits for its record.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Takes a place for the record of a request, if it is an action.
pub(super) fn reserve(trip: &mut Trip) -> Result<(), Denial> {
    if trip.action().is_none() {
        return Ok(());
    }
    let place = trip.conn.worker.shared.actions.reserve(IpKey::of(trip.client.ip.addr()));
    trip.place = Some(place.map_err(|why| match why {
        NoPlace::Now(why) => Denial::NotRecordable { why },
        NoPlace::Client => Denial::TooManyActions,
    })?);
    Ok(())
}

/// Hands the answer of the app on once its record is on disk.
pub(super) async fn recorded(trip: &mut Trip, response: Response<Body>) -> Response<Body> {
    let Some(place) = trip.place.take() else { return response };
    let Some(intent) = intent(trip, response.status().as_u16()) else { return response };
    let mut record = place.record(intent);
    let deadline = trip.conn.worker.timers.deadline();
    deadline.arm(PATIENCE);
    let in_time = poll_fn(|cx| match Pin::new(&mut record).poll(cx) {
        Poll::Ready(written) => Poll::Ready(written.is_ok()),
        Poll::Pending if deadline.expired(cx) => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    });
    if !in_time.await {
        say_late(trip);
    }
    response
}

/// A request has ended: an action that has no record yet gets it now.
pub(super) fn ended(trip: &mut Trip) {
    let Some(place) = trip.place.take() else { return };
    if let Some(intent) = intent(trip, trip.status) {
        drop(place.record(intent));
    }
}

fn intent(trip: &Trip, status: u16) -> Option<Intent> {
    let client = trip.client.text.to_str().unwrap_or_default();
    let by = By {
        actor: Actor::Client { ip: client.to_owned(), user: None },
        source: Source::Edge,
        request_id: Some(trip.id_text().to_owned()),
        confirmed: None,
    };
    let now_ms = trip.conn.worker.shared.clock.unix().as_millis();
    let mut intent = Intent::new(number(now_ms), by, &trip.action()?.of_route())
        .on(trip.path())
        .after("method", trip.method.as_str())
        .after("status", i64::from(status))
        .after("latency_ms", number(trip.elapsed().as_millis()));
    if let Some(site) = trip.site() {
        intent = intent.after("site", site.name.as_str());
    }
    if let Some(route) = trip.route() {
        intent = intent.after("route", route.name.as_str());
    }
    if let Some(aborted) = trip.aborted {
        intent = intent.after("aborted", aborted);
    }
    Some(match trip.denied {
        Some(label) => intent.refused(trip.why.as_deref().unwrap_or(label)),
        None => intent,
    })
}

fn number(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn say_late(trip: &Trip) {
    let action = trip.action().map(|action| action.of_route()).unwrap_or_default();
    trip.conn.worker.shared.log.event(Level::Error, "action_recorded_late", |line| {
        line.text("action", &action)
            .text("request_id", trip.id_text())
            .text("why", "its record was not on disk in time; the app's answer was handed on")
            .text(
                "next",
                "see `palisade status`; it is kept in memory and written when the state can be",
            );
    });
}
