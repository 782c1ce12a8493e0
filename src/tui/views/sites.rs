//! 3: sites with their upstreams and certificates, and one site in full: what is known of each upstream, how long the
//! certificate lasts, when and why the next one is fetched, and why the last attempt failed, in the CA's words.
//!
//! Bounds: the first [`LISTED_MAX`] sites by name; until these are there, the ones that the status has.

mod upstreams;

use std::sync::Arc;

use crate::base::timestamp::unix_s;
use crate::base::words::{expiry, soon};
use crate::ops::api::page::PageQuery;
use crate::ops::api::upstreams::UpstreamStatus;
use crate::ops::api::{CertificateInfo, CertificateState, SiteStatus};
use crate::ops::client::{Client, ClientError};

use super::super::data::{Data, Document};
use super::super::event::Mutation;
use super::super::glyphs;
use super::super::page::Page;
use super::super::sample::Say;
use super::super::table::{Cell, Column, Fact, Narrow, Row, Table, Width};
use super::super::theme::{Look, Tone};
use super::{About, Act, Fetch, View};

pub struct Sites;

/// What is asked for every time, in at most [`PAGES_MAX`] pages.
const LISTED_MAX: usize = 2_000;
const PAGES_MAX: usize = 8;

/// Every site, or the first of very many, and what is known of their upstreams.
struct Listed {
    sites: Vec<SiteStatus>,
    upstreams: Vec<UpstreamStatus>,
}

/// The sites that the view shows.
pub fn listed(data: &Data) -> &[SiteStatus] {
    let own = data.document::<Listed>(NAME).map(|listed| listed.sites.as_slice());
    let told = || data.status.as_ref().map_or(&[][..], |status| &status.sites);
    own.filter(|own| !own.is_empty()).unwrap_or_else(told)
}

/// How many more there are.
pub fn unlisted(data: &Data) -> usize {
    let total = data.status.as_ref().map_or(0, |status| status.sites_total);
    total.saturating_sub(listed(data).len())
}

async fn all(client: &Client) -> Result<Document, ClientError> {
    let (mut sites, mut query) = (Vec::new(), PageQuery::default());
    for _ in 0..PAGES_MAX {
        let page = client.sites(&query).await?;
        sites.extend(page.items);
        query.after = page.next;
        if query.after.is_none() || sites.len() >= LISTED_MAX {
            break;
        }
    }
    sites.truncate(LISTED_MAX);
    Ok(Arc::new(Listed { sites, upstreams: upstreams::all(client).await? }))
}

/// What a test or a fuzzer shows in place of a daemon's answers: upstreams, beside the sites of its status.
pub fn sample(say: Say<'_>) -> Document {
    Arc::new(Listed { sites: Vec::new(), upstreams: upstreams::sample(say) })
}

const NAME: &str = "sites";

/// A certificate that nobody renews needs attention from here on.
const SOON_S: i64 = 14 * 86_400;
/// A renewal that should have been so long ago is late.
const OVERDUE_S: i64 = -3_600;
const LIFE_CELLS: u16 = 10;

const COLUMNS: [Column; 7] = [
    Column::new("SITE", Width::Share(18), 0),
    Column::new("STATE", Width::Cells(5), 0),
    Column::new("SOURCE", Width::Cells(8), 4),
    Column::new("EXPIRES", Width::Cells(16), 0),
    Column::new("LEFT", Width::Cells(LIFE_CELLS), 3),
    Column::new("RENEWS", Width::Cells(10), 2),
    Column::new("UPSTREAM", Width::Share(12), 1),
];

const ACTS: [Act; 1] = [Act {
    key: 'r',
    word: "renew",
    more: "order the certificate of this site anew",
    mutation: |site| Mutation::RenewCertificate { site: site.to_owned() },
    unfit: not_ordered,
}];

/// Only what palisade orders can be ordered anew.
fn not_ordered(data: &Data, id: &str) -> Option<String> {
    let site = listed(data).iter().find(|site| site.name == id)?;
    let why = match site.certificate.source.as_str() {
        "local" => "not renewed by hand: it is of the local CA, palisade does that itself",
        "files" => "not ordered: it is from files; replace them, palisade takes the new ones",
        "imported" => "not ordered: it was imported; bring the next with palisade cert import",
        _ => return None,
    };
    Some(why.to_owned())
}

impl View for Sites {
    fn about(&self) -> About {
        About {
            number: Some(3),
            name: NAME,
            title: "Sites & certificates",
            help: "Every site with what is left of its certificate's life, and how many of its upstreams are up. Enter shows what is known of each upstream, names, issuer, the next renewal and why the last attempt failed.",
        }
    }

    fn table(&self, data: &Data, look: Look) -> Table {
        let sites = listed(data).iter();
        let empty = match &data.status {
            Some(_) => "no site is configured".into(),
            None => "waiting for the daemon".into(),
        };
        Table { columns: &COLUMNS, rows: sites.map(|site| row(site, look)).collect(), empty }
    }

    fn page(&self, data: &Data, id: &str, width: u16, look: Look) -> Option<Page> {
        let site = listed(data).iter().find(|site| site.name == id)?;
        let mut page = Page::new(&site.name, id, width, look);
        page.facts = facts(site);
        let (tone, word, why) = standing(site);
        page.field("state", tone, &format!("{word}  {why}"));
        if !site.also.is_empty() {
            page.field("also", Tone::Plain, &site.also.join(", "));
        }
        let known = data.document::<Listed>(NAME).map_or(&[][..], |listed| &listed.upstreams);
        upstreams::section(&mut page, site, known);
        page.blank();
        certificate(&mut page, &site.certificate);
        failure(&mut page, &site.certificate);
        Some(page)
    }

    fn fetch(&self) -> Option<Fetch> {
        Some(|client| Box::pin(all(client)))
    }

    fn acts(&self) -> &'static [Act] {
        &ACTS
    }
}

fn facts(site: &SiteStatus) -> Vec<Narrow> {
    vec![(Fact::Site, site.name.clone())]
}

/// How a certificate is, in a word and in a few.
#[must_use]
pub fn verdict(info: &CertificateInfo) -> (Tone, &'static str, String) {
    let left = info.expires_in_s;
    let overdue = info.renewal.as_ref().is_some_and(|renewal| renewal.in_s < OVERDUE_S);
    let (tone, word, why) = match (info.state, left) {
        (CertificateState::Missing, _) | (_, None) => {
            (Tone::Bad, "FAIL", "no certificate, handshakes are refused".to_owned())
        }
        (_, Some(left)) if left <= 0 => (Tone::Bad, "FAIL", expiry(left)),
        (CertificateState::StandIn, _) => {
            (Tone::Warn, "WARN", "a certificate of the local CA stands in".to_owned())
        }
        (_, Some(left)) if info.failure.is_some() => {
            (Tone::Warn, "WARN", format!("the last attempt failed; {} left", expiry(left)))
        }
        (_, Some(left)) if overdue => {
            (Tone::Warn, "WARN", format!("the renewal is overdue; {} left", expiry(left)))
        }
        (_, Some(left)) if left < SOON_S && info.renewal.is_none() => {
            (Tone::Warn, "WARN", format!("expires in {} and nothing renews it", expiry(left)))
        }
        (_, Some(left)) => (Tone::Good, "OK", format!("{} left", expiry(left))),
    };
    match &info.activity {
        Some(activity) => (tone, word, format!("{why}; {activity}")),
        None => (tone, word, why),
    }
}

/// How a site is, in a word and in a few: the worse of its certificate and its upstreams.
#[must_use]
pub fn standing(site: &SiteStatus) -> (Tone, &'static str, String) {
    let (tone, word, why) = verdict(&site.certificate);
    let all = site.upstreams.len();
    let (out_tone, out_word, out) = match (all, site.upstreams_out) {
        (_, 0) => return (tone, word, why),
        (1, _) => (Tone::Bad, "FAIL", "its upstream is out".to_owned()),
        (all, out) if out < all => (Tone::Warn, "WARN", format!("{out} of {all} upstreams out")),
        (all, _) => (Tone::Bad, "FAIL", format!("all {all} upstreams are out")),
    };
    if urgency(word) < urgency(out_word) {
        return (tone, word, format!("{why}; {out}"));
    }
    let also = if word == "OK" { String::new() } else { format!("; {why}") };
    (out_tone, out_word, format!("{out}{also}"))
}

/// Most urgent first.
#[must_use]
pub fn urgency(word: &str) -> u8 {
    match word {
        "FAIL" => 0,
        "WARN" => 1,
        _ => 2,
    }
}

/// What is left of the certificate's life, as a bar; nothing where it is not known.
#[must_use]
pub fn life(info: &CertificateInfo, cells: u16, look: Look) -> String {
    let from = info.not_before.as_deref().and_then(unix_s);
    let until = info.not_after.as_deref().and_then(unix_s);
    let (Some(from), Some(until), Some(left)) = (from, until, info.expires_in_s) else {
        return String::new();
    };
    let positive = |seconds: i64| u64::try_from(seconds).unwrap_or(0);
    glyphs::gauge(positive(left), positive(until - from), cells, look.charset)
}

fn row(site: &SiteStatus, look: Look) -> Row {
    let info = &site.certificate;
    let (tone, word, _) = standing(site);
    let (of_certificate, ..) = verdict(info);
    let expires = info.expires_in_s.map_or_else(
        || Cell::toned(Tone::Bad, "none"),
        |left| Cell { tone: of_certificate, order: Some(left), text: expiry(left) },
    );
    let well = of_certificate == Tone::Good;
    let expires = if well { Cell { tone: Tone::Plain, ..expires } } else { expires };
    let renews = info.renewal.as_ref().map_or_else(
        || Cell::toned(Tone::Quiet, "-"),
        |renewal| Cell { order: Some(renewal.in_s), ..Cell::new(in_words(renewal.in_s)) },
    );
    let cells = vec![
        Cell::new(more(&site.name, site.also.len())),
        Cell::toned(tone, word),
        Cell::new(&info.source),
        expires,
        Cell::toned(Tone::Chart, life(info, LIFE_CELLS, look)),
        renews,
        upstreams::cell(site),
    ];
    Row { id: site.name.clone(), cells, facts: facts(site) }
}

/// `app.example.com +2`
#[must_use]
pub fn more(first: &str, others: usize) -> String {
    if others == 0 { first.to_owned() } else { format!("{first} +{others}") }
}

/// `in 33 d`, `due`
fn in_words(in_s: i64) -> String {
    if in_s <= 0 { "due".into() } else { format!("in {}", soon(in_s)) }
}

fn certificate(page: &mut Page, info: &CertificateInfo) {
    page.heading("Certificate");
    page.field("names", Tone::Plain, &info.names.join(", "));
    page.field("source", Tone::Plain, &info.source);
    if let Some(path) = &info.path {
        page.field("file", Tone::Plain, path);
    }
    if let Some(issuer) = &info.issuer {
        page.field("issuer", Tone::Plain, issuer);
    }
    if let (Some(from), Some(until)) = (&info.not_before, &info.not_after) {
        page.field("valid", Tone::Plain, &format!("{from} to {until}"));
        let left = info.expires_in_s.map(expiry).unwrap_or_default();
        page.field("left", Tone::Plain, &format!("{}  {left}", life(info, 30, page.look())));
    }
    if let Some(renewal) = &info.renewal {
        let text = format!("{} ({}): {}", in_words(renewal.in_s), renewal.at, renewal.why);
        page.field("next", Tone::Plain, &text);
    }
    if let Some(activity) = &info.activity {
        page.field("now", Tone::Strong, activity);
    }
    if let Some(sha256) = &info.sha256 {
        page.field("sha256", Tone::Quiet, sha256);
    }
}

fn failure(page: &mut Page, info: &CertificateInfo) {
    let Some(failure) = &info.failure else { return };
    let attempts = match failure.attempts {
        1 => "1 failed attempt".to_owned(),
        several => format!("{several} failed attempts"),
    };
    let next = failure.retry_in_s.map_or(String::new(), |s| match s {
        ..=0 => ", the next one is due".into(),
        s => format!(", the next one in {}", soon(s)),
    });
    page.blank();
    page.heading("Last attempt");
    page.field("WARN", Tone::Warn, &format!("failed at {}; {attempts}{next}", failure.at));
    let kind = failure.kind.as_deref().map_or(String::new(), |kind| format!("{kind} - "));
    page.field("CA says", Tone::Plain, &format!("{kind}{}", failure.detail));
    page.field("likely", Tone::Strong, &failure.likely);
    page.field("try", Tone::Plain, &failure.next);
}
