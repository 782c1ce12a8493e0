//! Lists of the overview: sites first, then what the tail tells, then what became different.

use std::collections::BTreeMap;

use crate::base::timestamp::time_of_day;
use crate::base::words::{count, micros, upstreams};
use crate::ops::api::SiteStatus;
use crate::ops::api::live::RequestSeen;

use super::super::super::canvas::Canvas;
use super::super::super::data::Data;
use super::super::super::glyphs;
use super::super::super::table::{Fact, Narrow, Row};
use super::super::super::theme::Tone;
use super::super::{Scene, requests, sites as certificates};

/// Returns the lines it took.
pub fn sites(scene: &Scene<'_>, canvas: &mut Canvas<'_>, y: u16) -> u16 {
    let Some(status) = &scene.data.status else { return 0 };
    let about = |site: &&SiteStatus| {
        scene.narrow.iter().all(|(fact, value)| *fact != Fact::Site || *value == site.name)
    };
    let mut found: Vec<_> = status.sites.iter().filter(about).collect();
    let mut elsewhere = status.sites_total.saturating_sub(status.sites.len());
    if !scene.narrow.is_empty() {
        elsewhere = 0;
        if found.is_empty() {
            found = certificates::listed(scene.data).iter().filter(about).collect();
        }
    }
    let room = canvas.height().saturating_sub(y + 5);
    let shown = usize::from(room.min(canvas.height() / 5).max(1));
    // The ones that need attention stand first: a screen has no room for all.
    found.sort_by_key(|site| certificates::urgency(certificates::standing(site).1));
    let hidden = found.len().saturating_sub(shown) + elsewhere;
    let note = if hidden > 0 { format!("{hidden} more: 3") } else { String::new() };
    canvas.rule(y, "Sites", &note);
    let name_cells = 30.min(canvas.width() / 3);
    for (line, site) in (y + 1..).zip(found.iter().take(shown)) {
        let (tone, word, why) = certificates::standing(site);
        canvas.put(
            1,
            line,
            name_cells,
            Tone::Plain,
            &certificates::more(&site.name, site.also.len()),
        );
        let x = name_cells + 2;
        canvas.put(x, line, 5, tone, word);
        let bar = certificates::life(&site.certificate, 8, scene.look);
        canvas.put(x + 6, line, 8, Tone::Chart, &bar);
        let x = canvas.spans(
            x + 15,
            line,
            &[(Tone::Plain, format!("{}, {why}", site.certificate.source))],
        );
        if !site.upstreams.is_empty() {
            let words = upstreams(&site.upstreams, site.upstreams_out);
            let wide = u16::try_from(words.len()).unwrap_or(u16::MAX);
            if x + 2 + wide < canvas.width() {
                canvas.right(canvas.width() - 2, line, Tone::Quiet, &words);
            }
        }
    }
    let lines = u16::try_from(found.len().min(shown)).unwrap_or(0);
    1 + lines.max(1)
}

/// What became different, at the bottom where there is room. Returns the lines it took.
pub fn changes(scene: &Scene<'_>, canvas: &mut Canvas<'_>, y: u16, rest: u16) -> u16 {
    let found = u16::try_from(scene.data.changes.len()).unwrap_or(u16::MAX);
    let rows = found.min(rest.saturating_sub(6)).min(5);
    if rows == 0 {
        return 0;
    }
    let top = y + rest - rows - 1;
    canvas.rule(top, "Changes", "");
    for (line, change) in (top + 1..=top + rows).zip(&scene.data.changes) {
        let at = time_of_day(change.at_ms.div_euclid(1_000));
        let subject =
            change.subject.as_deref().map_or(String::new(), |subject| format!("{subject}: "));
        canvas.spans(
            1,
            line,
            &[
                (Tone::Quiet, format!("{at}  ")),
                (Tone::Plain, format!("{:<12}", change.what)),
                (Tone::Plain, format!(" {subject}{}", change.text)),
            ],
        );
    }
    rows + 1
}

/// The requests of the tail that the narrowing leaves.
fn tail<'a>(data: &'a Data, narrow: &'a [Narrow]) -> impl Iterator<Item = &'a RequestSeen> {
    let wanted = move |request: &&RequestSeen| {
        let row = Row { facts: requests::facts(request), ..Row::default() };
        narrow.is_empty() || row.meets(narrow)
    };
    data.requests.iter().map(AsRef::as_ref).filter(wanted)
}

pub fn refused(scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::new();
    let mut all = 0_u64;
    for request in tail(scene.data, scene.narrow) {
        all += 1;
        if let Some(denied) = &request.denied {
            *by_reason.entry(denied).or_default() += 1;
        }
    }
    canvas.rule(0, &format!("Refused of the last {}", count(all)), "");
    let mut found: Vec<(&str, u64)> = by_reason.into_iter().collect();
    found.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    if found.is_empty() {
        let words = match &scene.data.tail_fault {
            Some(why) => format!("no live tail: {why}"),
            None => "none".into(),
        };
        canvas.line(1, 1, Tone::Quiet, &words);
    }
    let top = found.first().map_or(0, |(_, times)| *times);
    let rows: Vec<_> = found.iter().map(|(name, n)| (*name, count(*n), *n)).collect();
    bars(canvas, &rows, top);
}

pub fn slowest(scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
    let mut by_route: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for request in tail(scene.data, scene.narrow) {
        if let Some(name) = request.route.as_deref().or(request.site.as_deref()) {
            by_route.entry(name).or_default().push(request.duration_us);
        }
    }
    canvas.rule(0, "Slowest routes, p95", "");
    let p95 = |mut times: Vec<u64>| {
        times.sort_unstable();
        times.get(times.len() * 95 / 100).or(times.last()).copied().unwrap_or(0)
    };
    let mut found: Vec<(&str, u64)> =
        by_route.into_iter().map(|(name, times)| (name, p95(times))).collect();
    found.sort_by_key(|(_, us)| std::cmp::Reverse(*us));
    if found.is_empty() {
        canvas.line(1, 1, Tone::Quiet, "nothing yet");
    }
    let top = found.first().map_or(0, |(_, us)| *us);
    let rows: Vec<_> = found.iter().map(|(name, us)| (*name, micros(*us), *us)).collect();
    bars(canvas, &rows, top);
}

/// A name, its number, and a bar beside it.
fn bars(canvas: &mut Canvas<'_>, rows: &[(&str, String, u64)], top: u64) {
    let bar_cells = (canvas.width() / 4).min(20);
    let name_cells = canvas.width().saturating_sub(bar_cells + 12);
    for (y, (name, number, value)) in (1..canvas.height()).zip(rows) {
        canvas.put(1, y, name_cells, Tone::Plain, name);
        canvas.right(name_cells + 9, y, Tone::Plain, number);
        let bar = glyphs::bar(*value, top, bar_cells, canvas.charset());
        canvas.put(name_cells + 11, y, bar_cells, Tone::Chart, &bar);
    }
}
