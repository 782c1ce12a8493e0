//! The calls about answers that clients did not get.

use axum::extract::State as Shared;
use axum::response::Response;
use http::Uri;

use super::api::Problem;
use super::api::errors::{HiddenBody, HiddenError, HiddenErrorDetail, HiddenField};
use super::api::page::{ITEMS_MAX, Page, PageQuery};
use super::basic::{Segment, named};
use super::control::Daemon;
use super::live::page_query;
use super::router::answer;
use crate::base::RequestId;
use crate::telemetry::originals::{
    AGE_MAX, BODY_BYTES_MAX, End, KEPT_BYTES_MAX, KEPT_MAX, Original,
};

/// `GET /v1/errors`
pub(super) async fn list(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    answer(page_query(&uri).map(|query| {
        let all = daemon.originals().newest_first();
        newest_first(&query, all.iter().map(|original| row(original)))
    }))
}

/// `GET /v1/errors/{id}`
pub(super) async fn one(Shared(daemon): Shared<Daemon>, id: Segment) -> Response {
    answer(named(id).and_then(|id| {
        let found = daemon.originals().get(&id.to_ascii_lowercase());
        found.map(|original| whole(&original)).ok_or_else(|| unknown(&id))
    }))
}

/// A page of what is sorted by its ids, the highest first. The rows are small: a page ends by their number.
fn newest_first(query: &PageQuery, rows: impl Iterator<Item = HiddenError>) -> Page<HiddenError> {
    let limit = query.limit.unwrap_or(ITEMS_MAX).clamp(1, ITEMS_MAX);
    let after = query.after.as_deref();
    let mut rest = rows.filter(|row| after.is_none_or(|after| row.id.as_str() < after));
    let items: Vec<HiddenError> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| items.last().map(|last| last.id.clone()));
    Page { items, next }
}

fn unknown(id: &str) -> Problem {
    if RequestId::parse(id).is_none() {
        let id = crate::base::cut(id, 64);
        let detail = format!(
            "{id} is no request id; one is 36 characters as 01938f7e-5b3a-7c1e-9d55-0f2b6f0a4c11: the page has it, the \
             field X-Request-ID of the answer, and request_id in the log"
        );
        return Problem::new(404, "There is no such request", detail);
    }
    let id = crate::base::cut(id, 64);
    let (hours, mib) = (AGE_MAX.as_secs() / 3600, KEPT_BYTES_MAX / (1024 * 1024));
    let detail = format!(
        "an answer is kept where `hide_errors` replaced its body, until palisade restarts, for {hours} hours at most \
         and while there are no more than {KEPT_MAX} or {mib} MiB; look for {id} in palisade's own log, and into \
         the app's log at that time"
    );
    Problem::new(404, "Nothing is kept of this request", detail)
}

fn row(original: &Original) -> HiddenError {
    HiddenError {
        id: original.id.clone(),
        at_ms: i64::try_from(original.at.as_millis()).unwrap_or(i64::MAX),
        site: original.site.clone(),
        route: original.route.clone(),
        method: original.method.clone(),
        path: original.path.clone(),
        status: original.status,
        upstream: original.upstream.clone(),
        upstream_us: original.upstream_us,
        body_bytes: original.body.len() as u64,
    }
}

fn whole(original: &Original) -> HiddenErrorDetail {
    let fields = original.fields.iter();
    let fields = fields
        .map(|field| HiddenField { name: field.name.clone(), value: field.value.clone() })
        .collect();
    let incomplete = match original.end {
        End::Whole => None,
        End::Cut => {
            Some(format!("it has more than the {} KiB that are kept", BODY_BYTES_MAX / 1024))
        }
        End::Broke => Some("the app's connection broke before its end".to_owned()),
        End::Slow => Some("the rest did not come within timeout.between_bytes".to_owned()),
        End::Crowded => Some("too many errors were being read at that moment".to_owned()),
    };
    let (kind, text) = body(original);
    let body = HiddenBody { kind: kind.to_owned(), text, incomplete };
    HiddenErrorDetail { error: row(original), fields, body }
}

/// What the body is, and its text where it is one.
fn body(original: &Original) -> (&'static str, Option<String>) {
    if original.body.is_empty() {
        return ("none", None);
    }
    let said = |wanted: &str| {
        let field = original.fields.iter().find(|field| field.name == wanted);
        field.and_then(|field| field.value.as_deref()).unwrap_or_default().trim()
    };
    if !matches!(said("content-encoding"), "" | "identity") {
        return ("compressed", None);
    }
    let says_text = says_text(said("content-type"));
    match std::str::from_utf8(&original.body) {
        Ok(text) if says_text || !text.contains('\0') => ("text", Some(text.to_owned())),
        // Cut in the middle of a character, or in a character set of old.
        Err(error) if says_text || error.error_len().is_none() => {
            ("text", Some(String::from_utf8_lossy(&original.body).into_owned()))
        }
        Ok(_) | Err(_) => ("binary", None),
    }
}

fn says_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/") || kind.ends_with("json") || kind.ends_with("xml")
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
