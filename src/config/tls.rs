//! Where a site's certificate comes from: `tls` as written, or what its names ask for.
//!
//! Refuses: names that the source can never certify, so that no order is placed that must fail.

use super::read::{Cx, Fault, Section, nearest};
use super::secret_ref;
use super::settings::TlsSource;
use super::source::Place;
use super::values;
use super::wire::{Entry, Node, Table, Value};
use crate::base::Host;
use crate::work::acme::settings::Acme;

const FILES: &str = "tls = { cert = \"/etc/palisade/site.pem\", key = \"/etc/palisade/site.key\" }";
const WORDS: [&str; 3] = ["acme", "local", "imported"];

/// A name of the site and where it stands.
type Name<'a> = (&'a Host, &'a Place);

pub(super) fn tls(
    cx: &mut Cx,
    section: &mut Section<'_>,
    names: &[Name<'_>],
    acme: &Acme,
) -> TlsSource {
    let Some(entry) = section.entry(cx, "tls") else { return by_names(cx, names) };
    if let Value::Table(table) = &entry.node.value {
        return files(cx, entry, table).unwrap_or(TlsSource::Local);
    }
    match word_or_list(&entry.node, cx.flags) {
        Ok(source) => {
            if let TlsSource::Acme { .. } = source {
                orderable(cx, names, acme);
            }
            source
        }
        Err(fault) => {
            cx.error(&entry.node.place, fault.message, fault.label);
            TlsSource::Local
        }
    }
}

/// Without `tls`: the local CA for local names, ACME for all others.
fn by_names(cx: &mut Cx, names: &[Name<'_>]) -> TlsSource {
    let local = |(name, _): &&Name<'_>| name.is_local();
    if names.iter().all(|name| local(&name)) {
        return TlsSource::Local;
    }
    if let Some((name, place)) = names.iter().find(local) {
        let message = format!("{name} is local and other names of the site are public");
        let label = "write tls = \"local\", or make it a site of its own";
        cx.missing(place, message, label);
    }
    if let Some((name, place)) = names.iter().find(|(name, _)| name.is_wildcard()) {
        let message = format!("{name} needs a certificate: {NO_WILDCARDS}");
        let label = if cx.flags {
            "add --tls local for a certificate of the built-in local CA; certificate files need a configuration file"
                .to_owned()
        } else {
            format!("add: {FILES}, or tls = \"local\"")
        };
        cx.missing(place, message, label);
    }
    TlsSource::Acme { stand_in: false }
}

const NO_WILDCARDS: &str = "wildcards take a DNS challenge, which this version does not have";

/// Reports the names that no authority would certify with the challenges there are.
fn orderable(cx: &mut Cx, names: &[Name<'_>], acme: &Acme) {
    // A private authority may know names that no public one does.
    let public = acme.ca_file.is_none() && acme.directory.name != acme.directory.url;
    for (name, place) in names {
        let why = if name.is_wildcard() {
            NO_WILDCARDS
        } else if name.ip().is_some() {
            "ACME certificates for addresses are not available in this version"
        } else if public && name.is_local() {
            "no public authority certifies local names"
        } else {
            continue;
        };
        let label = if cx.flags { "use --tls local" } else { "use certificate files or \"local\"" };
        cx.error(place, format!("{name} cannot have a certificate from ACME: {why}"), label);
    }
}

fn word_or_list(node: &Node, flags: bool) -> Result<TlsSource, Fault> {
    let Value::List(nodes) = &node.value else { return source(node, flags) };
    let sources = nodes.iter().map(|node| source(node, flags)).collect::<Result<Vec<_>, _>>()?;
    match sources.as_slice() {
        [only] => Ok(only.clone()),
        [TlsSource::Acme { .. }, TlsSource::Local] => Ok(TlsSource::Acme { stand_in: true }),
        _ => Err(Fault::new(
            "this is no list of sources of certificates",
            "write [\"acme\", \"local\"]: the local CA stands in until the first certificate is there",
        )),
    }
}

fn source(node: &Node, flags: bool) -> Result<TlsSource, Fault> {
    let write = if flags {
        "write local, acme or imported; certificate files need a configuration file".to_owned()
    } else {
        format!("write \"acme\", \"local\", \"imported\" or {FILES}")
    };
    let Ok(word) = values::text(node) else {
        let message = format!("expected a word or a table, found {}", node.kind());
        return Err(Fault::new(message, write));
    };
    match word {
        "local" => Ok(TlsSource::Local),
        "acme" => Ok(TlsSource::Acme { stand_in: false }),
        "imported" => Ok(TlsSource::Imported),
        _ => Err(Fault::new(
            format!("\"{word}\" is no source of certificates"),
            nearest(word, WORDS).map_or(write, |known| format!("did you mean \"{known}\"?")),
        )),
    }
}

fn files(cx: &mut Cx, entry: &Entry, table: &Table) -> Option<TlsSource> {
    let mut section = Section::new("site.*.tls", table);
    let cert = section.optional(cx, "cert", values::path);
    let key_entry = section.entry(cx, "key");
    let key = key_entry.and_then(|entry| secret_ref::read(cx, entry, "site.*.tls.key"));
    for (missing, what) in
        [(section.entry(cx, "cert").is_none(), "cert"), (key_entry.is_none(), "key")]
    {
        if missing {
            let label = format!(
                "add {what} = \"/etc/palisade/site.{}\"",
                if what == "cert" { "pem" } else { "key" }
            );
            cx.missing(&entry.key_place, format!("`tls` names no {what}"), label);
        }
    }
    section.finish(cx);
    Some(TlsSource::Files { cert: cert?, key: key? })
}
