//! What is taken in: `body_max`, `methods` and `content_types` of a site or a route, and its
//! `hide_errors` and `encoded_slashes`.

use super::read::{Cx, Fault, Section};
use super::settings::RouteMatch;
use super::values;
use super::wire::{Node, Value};
use crate::base::path::EncodedSlashes;
use crate::guard::intake::settings::{BodyMax, Intake, MediaRange};

/// The word for no limit.
const OFF: &str = "off";

/// What is written, and of `around` what is not.
pub(super) fn intake(cx: &mut Cx, section: &mut Section<'_>, around: &Intake) -> Intake {
    let body_max = section.value(cx, "body_max", around.body_max, body_max);
    let methods = section.list(cx, "methods", method);
    let hide_errors = section.value(cx, "hide_errors", around.hide_errors, values::boolean);
    let slashes = section.value(cx, "encoded_slashes", around.encoded_slashes, encoded_slashes);
    let content_types = section.list(cx, "content_types", media_range);
    for key in ["methods", "content_types"] {
        if let Some(entry) = section.entry(cx, key)
            && entry.node.is_empty_list()
        {
            cx.error(&entry.node.place, "the list is empty", "remove the line to allow all");
        }
    }
    Intake {
        body_max,
        methods: methods.map_or_else(|| around.methods.clone(), |list| complete(bare(list))),
        content_types: content_types.map_or_else(|| around.content_types.clone(), bare),
        hide_errors,
        encoded_slashes: slashes,
    }
}

/// Warns of a route that matches methods only that it then refuses.
pub(super) fn all_refused(
    cx: &mut Cx,
    section: &mut Section<'_>,
    matcher: &RouteMatch,
    intake: &Intake,
) {
    let allowed = |method: &String| intake.methods.contains(method);
    if let Some(entry) = section.entry(cx, "methods")
        && !intake.methods.is_empty()
        && !matcher.methods.is_empty()
        && !matcher.methods.iter().any(allowed)
    {
        let message = "every request that this route matches is refused";
        let label = "match.method chooses the route, methods refuses what is not listed";
        cx.warn(&entry.node.place, message, label);
    }
}

/// A size, or `"off"`.
pub(super) fn body_max(node: &Node) -> Result<BodyMax, Fault> {
    match &node.value {
        Value::Text(text) if text == OFF => Ok(BodyMax::Off),
        Value::Bool(false) => {
            Err(Fault::new("expected a size, found true or false", "write \"off\" for no limit"))
        }
        _ => values::size(node, 0..=u64::MAX).map(BodyMax::Limit),
    }
}

fn encoded_slashes(node: &Node) -> Result<EncodedSlashes, Fault> {
    if let Value::Bool(pass) = node.value {
        let label = format!("write \"{}\"", if pass { "pass" } else { "refuse" });
        return Err(Fault::new("encoded slashes are refused or passed", label));
    }
    match values::text(node)? {
        "refuse" => Ok(EncodedSlashes::Refuse),
        "pass" => Ok(EncodedSlashes::Pass),
        other => Err(Fault::new(
            format!("\"{other}\" is neither \"refuse\" nor \"pass\""),
            "write \"pass\" where the app takes %2F as part of a name",
        )),
    }
}

fn method(node: &Node) -> Result<String, Fault> {
    values::method(node)
}

fn media_range(node: &Node) -> Result<MediaRange, Fault> {
    let text = values::text(node)?;
    MediaRange::parse(text).ok_or_else(|| {
        let label = match text.split_once(';') {
            Some((essence, _)) => format!("parameters do not count: \"{}\"", essence.trim()),
            None => "write it as \"application/json\" or \"image/*\"".to_owned(),
        };
        Fault::new(format!("\"{text}\" is no media type"), label)
    })
}

fn bare<T: PartialEq, P>(list: Vec<(T, P)>) -> Vec<T> {
    let mut known = Vec::with_capacity(list.len());
    for (one, _) in list {
        if !known.contains(&one) {
            known.push(one);
        }
    }
    known
}

/// Who answers GET answers HEAD (RFC 9110 §9.1).
fn complete(mut methods: Vec<String>) -> Vec<String> {
    let has = |name: &str| methods.iter().any(|method| method == name);
    if has("GET") && !has("HEAD") {
        methods.push("HEAD".to_owned());
    }
    methods
}
