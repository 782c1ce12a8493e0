//! `[acme]`: which authority certificates come from, and how control over a name is proven to it.
//!
//! Refuses: a directory that is not reached over TLS; an authority without the account binding that it asks for.

use super::read::{Cx, Fault, Section, nearest, table};
use super::settings::{Listen, Site, TlsSource};
use super::wire::{Node, Value};
use super::{defaults, secret_ref, values};
use crate::base::Host;
use crate::work::acme::settings::{Acme, ChallengeKind, Directory, Eab};

const CHALLENGES: [ChallengeKind; 2] = [ChallengeKind::TlsAlpn01, ChallengeKind::Http01];

/// Authorities that only take accounts bound to one at their web site: `zerossl.com/documentation/acme`,
/// `cloud.google.com/certificate-manager/docs/public-ca`.
const BOUND: [&str; 2] = ["zerossl", "google"];

/// The section, with every default resolved.
pub(super) fn acme(cx: &mut Cx, top: &mut Section<'_>) -> Acme {
    let mut section = top.section(cx, "acme", "acme");
    let before = cx.report.errors();
    let directory = section.value(cx, "directory", known(defaults::ACME_DIRECTORY), directory);
    let staging = match section.optional(cx, "staging", staging) {
        Some(staging) => staging,
        None if directory.name == defaults::ACME_DIRECTORY => Some(known(defaults::ACME_STAGING)),
        None => None,
    };
    if let (true, Some(entry)) =
        (staging.as_ref() == Some(&directory), section.entry(cx, "staging"))
        && cx.report.errors() == before
    {
        let label = "name another one, or write staging = \"none\"";
        cx.error(&entry.node.place, "a rehearsal at the real directory is none", label);
    }
    let contact = section.optional(cx, "contact", contact);
    let ca_file = section.optional(cx, "ca_file", values::path);
    let challenges = challenges(cx, &mut section);
    let eab = eab(cx, &mut section, &directory);
    let profile = section.optional(cx, "profile", |node| values::text(node).map(str::to_owned));
    section.finish(cx);
    Acme { directory, staging, contact, ca_file, challenges, eab, profile }
}

/// What must hold between `[acme]` and the rest, if any site uses it.
pub(super) fn cross_check(
    cx: &mut Cx,
    top: &mut Section<'_>,
    acme: &Acme,
    (listen, sites): (&Listen, &[Site]),
) {
    // What is no table was reported when it was read.
    let entry = top.entry(cx, "acme");
    if entry.is_some_and(|entry| !matches!(entry.node.value, Value::Table(_))) {
        return;
    }
    let used = sites.iter().any(|site| matches!(site.tls, TlsSource::Acme { .. }));
    let mut section = top.section(cx, "acme", "acme");
    if let Some(entry) = section.entry(cx, "challenges")
        && used
        && acme.challenges == [ChallengeKind::Http01]
        && listen.http.is_empty()
    {
        let message = "http-01 is answered on the plain port, and listen.http is empty";
        cx.error(&entry.node.place, message, "add \"tls-alpn-01\", or give listen.http an address");
    }
}

/// The directory with this name; the table has every name this is called with.
fn known(name: &str) -> Directory {
    let url = defaults::ACME_DIRECTORIES.iter().find(|(known, _)| *known == name);
    Directory { name: name.to_owned(), url: url.map_or("", |(_, url)| url).to_owned() }
}

fn directory(node: &Node) -> Result<Directory, Fault> {
    let text = values::text(node)?;
    let names = || defaults::ACME_DIRECTORIES.iter().map(|(name, _)| *name);
    if let Some((name, _)) =
        defaults::ACME_DIRECTORIES.iter().find(|(name, url)| [*name, *url].contains(&text))
    {
        return Ok(known(name));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let label = match nearest(text, names()) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => {
                let names: Vec<&str> = names().collect();
                format!("known: {}; or write the https URL of a directory", names.join(", "))
            }
        };
        return Err(Fault::new(format!("\"{text}\" is no ACME directory"), label));
    };
    if !scheme.eq_ignore_ascii_case("https") {
        // RFC 8555 §6.1
        let message = "an ACME directory is reached over TLS only";
        return Err(Fault::new(message, format!("write \"https://{rest}\"")));
    }
    let uri = text.parse::<http::Uri>().ok();
    let authority = uri.as_ref().and_then(http::Uri::authority);
    match authority {
        Some(authority)
            if !authority.as_str().contains('@')
                && Host::from_authority(authority.as_str()).is_ok() =>
        {
            Ok(Directory { name: text.to_owned(), url: text.to_owned() })
        }
        _ => Err(Fault::new(
            format!("\"{text}\" is no URL of a directory"),
            "write it as \"https://ca.example.com/acme/directory\"",
        )),
    }
}

/// A directory, or none.
fn staging(node: &Node) -> Result<Option<Directory>, Fault> {
    match &node.value {
        Value::Text(text) if text.is_empty() || text == "none" => Ok(None),
        _ => directory(node).map(Some),
    }
}

fn contact(node: &Node) -> Result<String, Fault> {
    let text = values::text(node)?;
    if let Some(address) = text.strip_prefix("mailto:") {
        let label = format!("write \"{address}\"");
        return Err(Fault::new("a contact is written without mailto:", label));
    }
    let fits = text.split_once('@').is_some_and(|(user, domain)| {
        // More than one address, or parameters, would end up in the URL (RFC 8555 §7.3).
        let plain = |b: u8| b.is_ascii_graphic() && !b",;?%<>\"()@".contains(&b);
        !user.is_empty()
            && user.bytes().all(plain)
            && domain.parse::<Host>().is_ok_and(|host| host.ip().is_none() && !host.is_wildcard())
    });
    if fits {
        return Ok(text.to_owned());
    }
    let message = format!("\"{text}\" is no mail address");
    Err(Fault::new(message, "write it as \"ops@example.com\""))
}

fn challenges(cx: &mut Cx, section: &mut Section<'_>) -> Vec<ChallengeKind> {
    let Some(list) = section.list(cx, "challenges", challenge) else { return CHALLENGES.to_vec() };
    if let Some(entry) = section.entry(cx, "challenges")
        && entry.node.is_empty_list()
    {
        let label = "write challenges = [\"tls-alpn-01\", \"http-01\"] or remove the line";
        cx.error(&entry.node.place, "without a challenge nothing can be proven", label);
    }
    let mut kinds = Vec::new();
    for (kind, place) in list {
        if kinds.contains(&kind) {
            cx.error(&place, format!("\"{}\" is listed twice", kind.word()), "remove one");
        }
        kinds.push(kind);
    }
    if kinds.is_empty() { CHALLENGES.to_vec() } else { kinds }
}

fn challenge(node: &Node) -> Result<ChallengeKind, Fault> {
    let text = values::text(node)?;
    CHALLENGES.into_iter().find(|kind| kind.word() == text).ok_or_else(|| {
        if text.to_ascii_lowercase().starts_with("dns") {
            let label = "write \"tls-alpn-01\" or \"http-01\"";
            return Fault::new("DNS challenges are not available in this version", label);
        }
        let label = match nearest(text, CHALLENGES.map(ChallengeKind::word)) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => "write \"tls-alpn-01\" or \"http-01\"".to_owned(),
        };
        Fault::new(format!("\"{text}\" is no challenge"), label)
    })
}

fn eab(cx: &mut Cx, section: &mut Section<'_>, directory: &Directory) -> Option<Eab> {
    const WRITE: &str = "eab = { kid = \"…\", hmac = { file = \"/etc/palisade/eab\" } }";
    let Some(entry) = section.entry(cx, "eab") else {
        if let (true, Some(entry)) =
            (BOUND.contains(&directory.name.as_str()), section.entry(cx, "directory"))
        {
            let message = format!("{} wants an account made at its web site", directory.name);
            cx.missing(&entry.node.place, message, format!("add: {WRITE}"));
        }
        return None;
    };
    let mut eab = Section::new("acme.eab", table(cx, entry)?);
    let kid = eab.optional(cx, "kid", |node| values::text(node).map(str::to_owned));
    let hmac_entry = eab.entry(cx, "hmac");
    let hmac = hmac_entry.and_then(|entry| secret_ref::read(cx, entry, "acme.eab.hmac"));
    for (key, missing) in [("kid", eab.entry(cx, "kid").is_none()), ("hmac", hmac_entry.is_none())]
    {
        if missing {
            cx.missing(&entry.key_place, format!("`eab` names no {key}"), format!("write {WRITE}"));
        }
    }
    eab.finish(cx);
    Some(Eab { kid: kid?, hmac: hmac? })
}
