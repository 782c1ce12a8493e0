//! The app's own words where a page stands for them: read on behind the page, and kept under the id of the request.
//!
//! Promises: the client waits for none of it; an answer that is read to its end gives its connection back to the pool.
//! Bounds: [`BODY_BYTES_MAX`] of a body, then its connection ends; one `timeout.between_bytes` for all of it, so that an
//! app that drips holds nothing; [`READ_BEHIND_MAX`] at once and worker, those beyond are kept without a body.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::response::Parts;
use tokio::task::spawn_local;

use super::body::{Body, BodyError};
use super::timers::Deadline;
use super::trip::Trip;
use super::upstream::UpstreamBody;
use super::worker::Worker;
use crate::telemetry::events::cut;
use crate::telemetry::originals::{BODY_BYTES_MAX, End, Original, fields};

/// Bodies that one worker reads behind pages at a time.
const READ_BEHIND_MAX: u32 = 32;

/// Keeps the answer of the app that the client of `trip` does not get.
pub(super) fn keep(trip: &Trip, head: &Parts, body: Body) {
    let worker = &trip.conn.worker;
    let mut original = original(trip, head);
    let reading = body.into_upstream().map(|body| (Seat::take(worker), body));
    let Some((seat, mut body)) = reading.filter(|(_, body)| !body.is_end_stream()) else {
        return worker.shared.originals.hand_over(original);
    };
    let Some(seat) = seat else {
        original.end = End::Crowded;
        return worker.shared.originals.hand_over(original);
    };
    // An upload that goes on is of no use to an app that has failed.
    body.stop_sending();
    let deadline = worker.timers.deadline();
    deadline.arm(trip.view.policy.settings.timeout.between_bytes);
    spawn_local(async move {
        original.end = poll_fn(|cx| read(&mut body, &deadline, &mut original.body, cx)).await;
        original.body.shrink_to_fit();
        drop(body); // its connection, unless the pool has it
        seat.0.shared.originals.hand_over(original);
    });
}

fn original(trip: &Trip, head: &Parts) -> Box<Original> {
    Box::new(Original {
        id: trip.id_text().to_owned(),
        at: trip.arrived_unix,
        site: trip.site().map(|site| site.name.to_string()).unwrap_or_default(),
        route: trip.route().map(|route| route.name.clone()),
        method: trip.method.to_string(),
        path: cut(trip.path()),
        status: head.status.as_u16(),
        upstream: trip.upstream.as_deref().map(str::to_owned),
        upstream_us: trip.answered.and_then(|took| u64::try_from(took.as_micros()).ok()),
        fields: fields(&head.headers),
        body: Vec::new(),
        end: End::Whole,
    })
}

/// Takes what comes, until the body ends or enough of it is there.
fn read(
    body: &mut UpstreamBody,
    deadline: &Deadline,
    kept: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<End> {
    loop {
        let frame = match body.poll(cx) {
            Poll::Pending if deadline.expired(cx) => return Poll::Ready(End::Slow),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(End::Whole),
            Poll::Ready(Some(Err(BodyError::UpstreamIdle))) => return Poll::Ready(End::Slow),
            Poll::Ready(Some(Err(_))) => return Poll::Ready(End::Broke),
            Poll::Ready(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let room = BODY_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return Poll::Ready(End::Cut);
        }
    }
}

/// One of the places of a worker for reading behind a page.
struct Seat(Rc<Worker>);

impl Seat {
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let taken = worker.read_behind.get();
        if taken >= READ_BEHIND_MAX {
            return None;
        }
        worker.read_behind.set(taken + 1);
        Some(Self(Rc::clone(worker)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.read_behind.set(self.0.read_behind.get().saturating_sub(1));
    }
}
