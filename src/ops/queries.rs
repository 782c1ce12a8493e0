//! What may stand in the query of a call, for the OpenAPI document.
//!
//! Promises: the names and bounds are those that the handlers obey; a test asks for each.

use super::api::audit::RECORDS_MAX;
use super::api::page::ITEMS_MAX;

/// A value in the query of a call.
pub(super) struct Parameter {
    pub name: &'static str,
    pub about: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// What the value is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// Unix milliseconds, which may be before 1970.
    TimeMs,
    /// One of these.
    Word(&'static [&'static str]),
    /// Some of these, joined by commas.
    Words(&'static [&'static str]),
    /// `404` or `4xx`
    Status,
    Address,
    /// The name may come several times, with a text each.
    Texts,
}

const fn parameter(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, about, kind, required: false }
}

impl Parameter {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// Of every list but the audit log.
pub(super) const PAGE: &[Parameter] = &[
    parameter("after", Kind::Text, "Items behind this one: `next` of the page before"),
    parameter("limit", Kind::Whole(1, ITEMS_MAX as u64), "Most items, which is also the default"),
];

pub(super) const EVENTS: &[Parameter] = &[
    parameter("kinds", Kind::Words(&["request", "log", "state"]), "Only these kinds of events"),
    parameter("site", Kind::Text, "Requests of this site"),
    parameter("route", Kind::Text, "Requests of this route"),
    parameter("ip", Kind::Address, "Requests of this client"),
    parameter("status", Kind::Status, "Requests with this status: `404` or `4xx`"),
    parameter("path", Kind::Text, "Requests whose path begins like this"),
    parameter("denied", Kind::Text, "Requests refused for this reason, named as in the metrics"),
    parameter("slower_us", Kind::Whole(0, u64::MAX), "Requests that took longer, in microseconds"),
];

pub(super) const HISTORY: &[Parameter] = &[parameter(
    "resolution",
    Kind::Word(&["1s", "10s", "1m"]),
    "Length of a point: 10 minutes of `1s`, 2 hours of `10s`, 24 hours of `1m`",
)
.required()];

pub(super) const EXPLAIN: &[Parameter] = &[
    parameter("url", Kind::Text, "What would be asked for, with https:// or http://").required(),
    parameter("method", Kind::Text, "How; GET unless it is named"),
    parameter("ip", Kind::Address, "Where it would come from; 127.0.0.1 unless it is named"),
    parameter("header", Kind::Texts, "A header field of it, `name:value`"),
];

pub(super) const AUDIT: &[Parameter] = &[
    parameter("after", Kind::Whole(0, u64::MAX), "Records behind this number"),
    parameter(
        "before",
        Kind::Whole(0, u64::MAX),
        "Records before this number, the newest first; with `after` down to that one",
    ),
    parameter(
        "limit",
        Kind::Whole(1, RECORDS_MAX as u64),
        "Most records, which is also the default",
    ),
    parameter("action", Kind::Text, "`config.reload`, or `config` for all of these"),
    parameter("actor", Kind::Text, "A user, a token, a client's address, or `system`"),
    parameter("subject", Kind::Text, "What was changed"),
    parameter("since_ms", Kind::TimeMs, "Not before this time, in Unix milliseconds"),
    parameter("until_ms", Kind::TimeMs, "Not after this time, in Unix milliseconds"),
    parameter("text", Kind::Text, "Stands anywhere in the record, in upper or lower case"),
];
