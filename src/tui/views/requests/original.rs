//! What the app said to a request whose client got a page: asked for by the id of the request under the cursor.
//!
//! Bounds: the last [`KNOWN_MAX`] of them, each asked for [`TRIES_MAX`] times at most, since most errors are not hidden
//! and one that is gets there a moment after its request.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::RequestId;
use crate::base::words::size;
use crate::ops::api::errors::{HiddenBody, HiddenErrorDetail};
use crate::ops::api::live::RequestSeen;
use crate::ops::client::{Client, ClientError};

use super::super::super::data::{Data, Document};
use super::super::super::page::Page;
use super::super::super::theme::Tone;
use super::super::Want;

const KNOWN_MAX: usize = 16;
const TRIES_MAX: u8 = 3;

/// What the daemon answered about one request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub id: String,
    pub told: Told,
}

#[derive(Debug, Clone)]
pub enum Told {
    Kept(Arc<HiddenErrorDetail>),
    Nothing,
    /// Whoever looks may not see it.
    Refused,
}

/// What is known of some requests, the latest answer first.
#[derive(Debug, Clone, Default)]
struct Known(VecDeque<(Answer, u8)>);

/// Asks for one. That nothing is kept is an answer, and so is a refusal.
pub(super) async fn fetch(client: &Client, want: Want) -> Result<Document, ClientError> {
    let Want::One(id) = want else { return Ok(Arc::new(Known::default())) };
    let id = id.to_string();
    let told = match client.error(&id).await {
        Ok(detail) => Told::Kept(Arc::new(detail)),
        Err(ClientError::Refused(problem)) if problem.status == 403 => Told::Refused,
        Err(ClientError::Refused(_)) => Told::Nothing,
        Err(error) => return Err(error),
    };
    Ok(Arc::new(Answer { id, told }) as Document)
}

/// Whether there may be more about the request under the cursor than is known.
pub(super) fn want(data: &Data, view: &'static str, cursor: Option<&str>) -> Want {
    let request = data.requests.iter().find(|request| cursor == Some(request.id.as_str()));
    let failed = |request: &&Arc<RequestSeen>| {
        request.status >= 500 && request.denied.is_none() && request.upstream.is_some()
    };
    let Some(request) = request.filter(failed) else { return Want::Nothing };
    let settled = match known(data, view, &request.id) {
        Some((Answer { told: Told::Nothing, .. }, tries)) => *tries >= TRIES_MAX,
        Some(_) => true,
        None => false,
    };
    match RequestId::parse(&request.id) {
        Some(id) if !settled => Want::One(id),
        _ => Want::Nothing,
    }
}

pub(super) fn keep(before: Option<&(dyn Any + Send + Sync)>, new: &Document) -> Document {
    let before = before.and_then(|known| known.downcast_ref::<Known>());
    let mut known = before.cloned().unwrap_or_default();
    let Some(answer) = new.downcast_ref::<Answer>() else { return Arc::new(known) };
    let same = |(other, _): &(Answer, u8)| other.id == answer.id;
    let tries = known.0.iter().find(|one| same(one)).map_or(0, |(_, tries)| *tries);
    known.0.retain(|one| !same(one));
    known.0.push_front((answer.clone(), tries.saturating_add(1)));
    known.0.truncate(KNOWN_MAX);
    Arc::new(known)
}

fn known<'a>(data: &'a Data, view: &'static str, id: &str) -> Option<&'a (Answer, u8)> {
    data.document::<Known>(view)?.0.iter().find(|(answer, _)| answer.id == id)
}

/// What is known goes below the way of the request.
pub(super) fn show(page: &mut Page, data: &Data, view: &'static str, id: &str) {
    match known(data, view, id).map(|(answer, _)| &answer.told) {
        None | Some(Told::Nothing) => {}
        Some(Told::Refused) => {
            page.blank();
            let text =
                "What the app said, where hide_errors kept it, is shown to the role operator.";
            page.text(Tone::Quiet, text);
        }
        Some(Told::Kept(detail)) => {
            page.blank();
            page.heading("What the app said; the client got a page");
            for field in &detail.fields {
                let value = field.value.as_deref().unwrap_or("(a secret, not kept)");
                page.text(Tone::Plain, &format!("{}: {value}", field.name));
            }
            body(page, &detail.body, detail.error.body_bytes);
        }
    }
}

fn body(page: &mut Page, body: &HiddenBody, bytes: u64) {
    if !matches!(body.kind.as_str(), "text" | "none") {
        page.text(Tone::Quiet, &format!("A {} body of {}, not shown.", body.kind, size(bytes)));
    }
    if let Some(why) = &body.incomplete {
        page.text(Tone::Warn, &format!("The body is not whole: {why}."));
    }
    let Some(text) = &body.text else { return };
    page.blank();
    for line in text.lines() {
        page.text(Tone::Plain, line);
    }
}

#[cfg(test)]
#[path = "original_tests.rs"]
mod tests;
