//! One request's record, from its first byte to the last byte of its response: what happened, for the metrics and
//! the log. It is written exactly once, when the record is dropped, however the request ends.

use std::rc::Rc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use tokio::time::Instant;

use super::body::BodyState;
use super::conn::{Client, Conn, HostEntry};
use super::identity::{Identity, Own};
use super::inspect::Refused;
use super::worker::View;
use super::{action, steps};
use crate::base::audit::ActionName;
use crate::base::path::Normal;
use crate::base::{Denial, REQUEST_ID_LEN, RequestId};
use crate::config::settings::{Route, Site};
use crate::guard::intake::settings::Intake;
use crate::ports::actions::Place;
use crate::telemetry::access::Entry;

/// Stands for what could not be read, in the log.
const UNREAD: &str = "-";

/// The status that is logged for a client that left before it was answered; the field's custom since nginx.
const CLIENT_LEFT: u16 = 499;

pub struct Trip {
    pub conn: Rc<Conn>,
    pub view: Rc<View>,
    pub arrived: Instant,
    pub arrived_unix: Duration,
    pub id: RequestId,
    pub id_text: [u8; REQUEST_ID_LEN],
    pub id_value: HeaderValue,
    /// `traceparent` for the app, once the head for it was made.
    pub trace: Option<HeaderValue>,
    pub method: Method,
    pub target: Option<PathAndQuery>,
    /// The target could not be read: the log has no path.
    unread: bool,
    /// What the path was matched as, where that is not what was sent.
    pub matched: Option<Box<str>>,
    /// For the form of a refusal.
    pub accept: Option<HeaderValue>,
    pub client: Client,
    pub host: Option<Rc<HostEntry>>,
    pub route: Option<usize>,
    pub status: u16,
    pub response_bytes: u64,
    pub upstream: Option<Rc<str>>,
    /// When the app's response head was there.
    pub answered: Option<Duration>,
    pub denied: Option<&'static str>,
    pub why: Option<String>,
    /// Of an action that has no record yet.
    pub place: Option<Box<dyn Place>>,
    /// Why the response did not reach its end, if it did not.
    pub aborted: Option<&'static str>,
    /// How far the request body has got, where there is one.
    pub upload: Option<Rc<BodyState>>,
}

impl Trip {
    /// Gives the request its id and arrival time.
    pub fn start(conn: &Rc<Conn>, head: &http::request::Parts) -> Box<Self> {
        let worker = &conn.worker;
        let arrived = worker.shared.clock.now();
        let arrived_unix = worker.unix_at(arrived);
        worker.timers.set_now(arrived);
        worker.requests.set(worker.requests.get() + 1);
        let (id, id_text, id_value) = worker.ids(|ids| {
            let id = ids.request_id(arrived_unix);
            let text = id.text();
            (id, text, ids.value(&text))
        });
        conn.begin();
        Box::new(Self {
            conn: Rc::clone(conn),
            view: worker.view(),
            arrived,
            arrived_unix,
            id,
            id_text,
            id_value: id_value.unwrap_or(HeaderValue::from_static("")),
            trace: None,
            method: head.method.clone(),
            target: head.uri.path_and_query().cloned(),
            unread: false,
            matched: None,
            accept: head.headers.get(http::header::ACCEPT).cloned(),
            client: conn.client.clone(),
            host: None,
            route: None,
            status: 0,
            response_bytes: 0,
            upstream: None,
            answered: None,
            denied: None,
            why: None,
            place: None,
            aborted: None,
            upload: None,
        })
    }

    /// Takes over what could be read of the request that was refused before anybody saw it.
    pub fn stands_in_for(&mut self, refused: Refused) -> Denial {
        self.method = refused.method.unwrap_or_else(unread_method);
        self.target = refused.target;
        self.unread = self.target.is_none();
        self.accept = refused.accept;
        refused.denial
    }

    /// What palisade says about it to the app.
    pub fn own<'a>(&'a self, identity: &'a Identity) -> Own<'a> {
        Own { identity, id: &self.id_value, trace: self.trace.as_ref() }
    }

    /// From here on the record has the path that the app gets.
    pub fn settled(&mut self, path: &Normal, head: &http::request::Parts) {
        match path {
            Normal::AsSent => {}
            Normal::Matched(path) => self.matched = Some(path.clone()),
            Normal::Rewritten(path) => {
                self.matched = Some(path.clone());
                self.target = head.uri.path_and_query().cloned();
            }
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.conn.worker.shared.clock.now().saturating_duration_since(self.arrived)
    }

    /// The id as text.
    pub fn id_text(&self) -> &str {
        std::str::from_utf8(&self.id_text).unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        let absent = if self.unread { UNREAD } else { "/" };
        self.target.as_ref().map_or(absent, PathAndQuery::path)
    }

    pub fn site(&self) -> Option<&Site> {
        self.view.policy.site(self.host.as_ref()?.site)
    }

    pub fn route(&self) -> Option<&Route> {
        self.site()?.routes.get(self.route?)
    }

    /// What the route takes in, or the site where no route matches.
    pub fn intake(&self) -> Option<&Intake> {
        Some(self.site()?.intake_of(self.route()))
    }

    /// What was wrong with the request body, if something was.
    pub fn upload_fault(&self) -> Option<Denial> {
        let denial = self.upload.as_ref()?.fault.get()?.refusal()?;
        Some(self.conn.of_body(denial))
    }

    /// What it is recorded as, if it is an action.
    pub fn action(&self) -> Option<&ActionName> {
        self.site()?.audit_of(self.route())
    }
}

impl Drop for Trip {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.status = 500;
            self.aborted = Some("panic");
        } else if self.status == 0 {
            self.status = CLIENT_LEFT;
            self.aborted = Some("client_left");
        }
        action::ended(self);
        let elapsed = self.elapsed();
        let latency_us = micros(elapsed);
        let worker = &self.conn.worker;
        worker.shard.request(self.status, latency_us);
        let entry = Entry {
            unix: self.arrived_unix.saturating_add(elapsed),
            request_id: &self.id_text,
            site: self.site().map(|site| site.name.as_str()),
            route: self.route().map(|route| route.name.as_str()),
            method: self.method.as_str(),
            path: self.path(),
            protocol: if self.conn.http2 { "h2" } else { "http/1.1" },
            status_code: self.status,
            latency_us,
            response_bytes: self.response_bytes,
            client_ip: self.client.text.to_str().unwrap_or_default(),
            upstream: self.upstream.as_deref(),
            upstream_us: self.answered.map(micros),
            tenant_id: None,
            user_id: None,
            denied: self.denied,
            why: self.why.as_deref(),
            aborted: self.aborted,
        };
        worker.access(|log| log.push(&entry));
        let events = &worker.shared.events;
        if events.requests_watched() {
            events.request(worker.index(), &entry, || steps::of(self));
        }
        self.conn.end();
    }
}

fn unread_method() -> Method {
    Method::from_bytes(UNREAD.as_bytes()).unwrap_or_default()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
