//! 1: what needs attention, in words, then how much, how fast, how well.
//!
//! Rates and percentiles are of all requests, from the daemon's history; the lists at the bottom are of the tail, and
//! only they follow a narrowing.

use std::collections::BTreeMap;

use crate::base::timestamp::time_of_day;
use crate::base::words::{count, micros, percent, size};
use crate::ops::api::Level;
use crate::ops::api::live::{Point, RequestSeen};

use super::super::canvas::Canvas;
use super::super::data::Data;
use super::super::glyphs;
use super::super::page::Page;
use super::super::table::{Cell, Column, Fact, Narrow, Row, Table, Width};
use super::super::theme::{Look, Tone};
use super::{About, Scene, View, requests, sites};

pub struct Overview;

const COLUMNS: [Column; 2] =
    [Column::new("", Width::Cells(5), 0), Column::new("", Width::Share(20), 0)];

/// Numbers "now" are of so many seconds: one alone jumps about.
const NOW_S: u32 = 10;
const LABEL: u16 = 13;
/// Lines of the chart of requests; the second is for tall screens.
const CHART_ROWS: [u16; 2] = [3, 6];
const TALL: u16 = 32;

impl View for Overview {
    fn about(&self) -> About {
        About {
            number: Some(1),
            name: "overview",
            title: "Overview",
            help: "What needs attention first, then how much, how fast and how well. Rates and percentiles are of all requests; the lists at the bottom are of the last requests in the tail.",
        }
    }

    fn charts(&self) -> bool {
        true
    }

    fn table(&self, data: &Data, _look: Look) -> Table {
        let row = |(level, message): (Level, String)| {
            let (tone, word) = match level {
                Level::Fail => (Tone::Bad, "FAIL"),
                Level::Warn => (Tone::Warn, "WARN"),
            };
            let first = message.lines().next().unwrap_or_default().trim_end_matches(':');
            let cells = vec![Cell::toned(tone, word), Cell::new(first)];
            Row { cells, facts: Vec::new(), id: message }
        };
        let rows = data.attention().into_iter().map(row).collect();
        Table { columns: &COLUMNS, rows, empty: String::new() }
    }

    fn list_rows(&self, data: &Data, height: u16) -> (u16, u16) {
        let found = u16::try_from(data.attention().len()).unwrap_or(u16::MAX);
        (1, found.clamp(1, (height / 4).max(2)))
    }

    fn draw(&self, scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
        let (_, height) = self.list_rows(scene.data, canvas.height());
        attention(scene, canvas, height);
        let mut y = height + 1;
        y += traffic(scene, canvas, y);
        y += list_of_sites(scene, canvas, y);
        let rest = canvas.height().saturating_sub(y);
        let followed = scene.data.tailing || scene.data.tail_fault.is_some();
        let rest = rest.saturating_sub(changes(scene, canvas, y, rest));
        if rest >= 2 && followed {
            let half = canvas.width() / 2;
            let width = canvas.width() - half;
            refused(scene, &mut canvas.part(0, y, half, rest));
            slowest(scene, &mut canvas.part(half, y, width, rest));
        }
    }

    fn page(&self, data: &Data, id: &str, width: u16, look: Look) -> Option<Page> {
        let (level, message) = data.attention().into_iter().find(|(_, message)| message == id)?;
        let title = if level == Level::Fail { "FAIL" } else { "WARN" };
        let mut page = Page::new(title, id, width, look);
        page.text(Tone::Plain, &message);
        Some(page)
    }
}

fn attention(scene: &Scene<'_>, canvas: &mut Canvas<'_>, height: u16) {
    let list = scene.list;
    let hidden = list.rows.len().saturating_sub(usize::from(height));
    let note = if hidden > 0 { format!("{hidden} more") } else { String::new() };
    canvas.rule(0, "Attention", &note);
    if list.rows.is_empty() {
        match (&scene.data.status, list.table.rows.len()) {
            (None, _) => {
                canvas.line(1, 1, Tone::Quiet, "waiting for the daemon");
            }
            (Some(_), 0) => {
                canvas.spans(
                    1,
                    1,
                    &[
                        (Tone::Good, "OK   ".into()),
                        (Tone::Plain, " Nothing needs attention.".into()),
                    ],
                );
            }
            (Some(_), hidden) => {
                let text = format!("none of {hidden} passes the filter");
                canvas.line(1, 1, Tone::Quiet, &text);
            }
        }
    }
    let first = super::super::table::page(height, list.cursor);
    for (y, row) in (1..=height).zip(list.rows.iter().skip(first)) {
        if let [word, message] = row.cells.as_slice() {
            canvas.put(1, y, 5, word.tone, &word.text);
            canvas.line(7, y, message.tone, &message.text);
        }
        if list.cursor == Some(first + usize::from(y) - 1) {
            canvas.choose(y);
        }
    }
}

/// What the history says about some of its points together.
#[derive(Default)]
struct Sum {
    seconds: u64,
    requests: u64,
    errors_4xx: u64,
    errors_5xx: u64,
    denied: u64,
    p50_us: u64,
    p95_us: u64,
    p99_us: u64,
}

impl Sum {
    fn of((points, seconds): (&[Point], u32)) -> Self {
        let mut sum = Self { seconds: seconds.into(), ..Self::default() };
        for point in points {
            sum.requests += point.requests;
            sum.errors_4xx += point.responses_4xx;
            sum.errors_5xx += point.responses_5xx;
            sum.denied += point.denied;
        }
        // Percentiles do not add up; the one of the busiest point stands for its neighbours.
        if let Some(busiest) = points.iter().max_by_key(|point| point.requests) {
            (sum.p50_us, sum.p95_us, sum.p99_us) = (busiest.p50_us, busiest.p95_us, busiest.p99_us);
        }
        sum
    }
}

/// `1,284 /s`, `0.3 /s`
fn rate(events: u64, seconds: u64) -> String {
    match (events, seconds) {
        (_, 0) => "-".into(),
        (0, _) => "0 /s".into(),
        (events, seconds) if events < 10 * seconds => {
            let tenths = (events * 10).div_ceil(seconds);
            format!("{}.{} /s", tenths / 10, tenths % 10)
        }
        (events, seconds) => format!("{} /s", count(events / seconds)),
    }
}

/// Numbers at the left, their past at the right. Returns the lines it took.
fn traffic(scene: &Scene<'_>, canvas: &mut Canvas<'_>, y: u16) -> u16 {
    let history = scene.data.history.as_ref();
    let note = match (history, &scene.data.status) {
        (Some(_), _) => format!("last {}", scene.reach.words()),
        (None, Some(_)) => "this daemon keeps no history".into(),
        (None, None) => String::new(),
    };
    canvas.rule(y, "Traffic", &note);
    let points = history.map_or(&[][..], |history| &history.points);
    let each = history.map_or(1, |history| u64::from(history.resolution_s.max(1)));
    let now = Sum::of(scene.data.recent(NOW_S));
    let [few, many] = CHART_ROWS;
    let rows = if canvas.height() < TALL { few } else { many };
    requests_chart(scene, canvas, (y + 1, rows), points, each, &now);
    let y = y + 1 + rows;
    let known = now.seconds > 0;
    let or_dash = |text: String| if known { text } else { "-".to_owned() };
    let latency = format!(
        "p50 {:<8} p95 {:<8} p99 {}",
        or_dash(micros(now.p50_us)),
        or_dash(micros(now.p95_us)),
        or_dash(micros(now.p99_us))
    );
    let errors = format!(
        "5xx {:<8} 4xx {:<8} refused {}",
        or_dash(percent(now.errors_5xx, now.requests)),
        or_dash(percent(now.errors_4xx, now.requests)),
        rate(now.denied, now.seconds)
    );
    let end = end(scene.data);
    let last = points.last().copied().unwrap_or_default();
    trend(canvas, y, "latency", &latency, ("p95", end), points.iter().map(|p| p.p95_us));
    trend(canvas, y + 1, "errors", &errors, ("5xx", end), points.iter().map(|p| p.responses_5xx));
    let open = connections(scene.data);
    trend(canvas, y + 2, "connections", &open, ("open", end), points.iter().map(|p| p.connections));
    let machine = machine(&last, known);
    trend(
        canvas,
        y + 3,
        "process",
        &machine,
        ("cpu", end),
        points.iter().map(|p| u64::from(p.cpu_permille)),
    );
    1 + rows + 4
}

fn requests_chart(
    scene: &Scene<'_>,
    canvas: &mut Canvas<'_>,
    (y, rows): (u16, u16),
    points: &[Point],
    each: u64,
    now: &Sum,
) {
    let top = points.iter().map(|point| point.requests).max().unwrap_or(0);
    let total = scene.data.status.as_ref().map_or("-".into(), |s| count(s.traffic.requests));
    let seconds = if points.is_empty() { 0 } else { each };
    for (line, (label, tone, text)) in (y..).zip([
        ("requests", Tone::Strong, rate(now.requests, now.seconds)),
        ("  peak", Tone::Plain, rate(top, seconds)),
        ("  in all", Tone::Plain, total),
    ]) {
        canvas.put(1, line, LABEL, Tone::Quiet, label);
        canvas.put(1 + LABEL, line, 14, tone, &text);
    }
    let from = 1 + LABEL + 14;
    let values: Vec<u64> = points.iter().map(|point| point.requests).collect();
    let width = canvas.width().saturating_sub(from + 1);
    for (line, text) in
        (y..).zip(glyphs::chart(&values, end(scene.data), width, rows, canvas.charset()))
    {
        canvas.line(from, line, Tone::Chart, &text);
    }
}

/// Words, and a chart of one line where there is room beside them.
fn trend(
    canvas: &mut Canvas<'_>,
    y: u16,
    label: &str,
    words: &str,
    of: (&str, u64),
    values: impl Iterator<Item = u64>,
) {
    const WORDS: u16 = 42;
    let (of, end) = of;
    canvas.put(1, y, LABEL, Tone::Quiet, label);
    canvas.line(1 + LABEL, y, Tone::Plain, words);
    let from = 1 + LABEL + WORDS;
    let width = canvas.width().saturating_sub(from + 6);
    if width >= 8 {
        let values: Vec<u64> = values.collect();
        let chart = glyphs::chart(&values, end, width, 1, canvas.charset()).concat();
        canvas.clear_from(from, y);
        canvas.line(from, y, Tone::Chart, &chart);
        canvas.line(from + width + 1, y, Tone::Quiet, of);
    }
}

/// How many points there were since 1970.
fn end(data: &Data) -> u64 {
    data.history
        .as_ref()
        .map_or(0, |history| history.end_s.unsigned_abs() / u64::from(history.resolution_s.max(1)))
}

fn connections(data: &Data) -> String {
    let Some(status) = &data.status else { return "-".into() };
    let (open, plural) = (&status.connections, if status.workers == 1 { "" } else { "s" });
    let refused = match open.refused {
        0 => String::new(),
        refused => format!(", {} refused", count(refused)),
    };
    format!(
        "{} of {}{refused}, {} worker{plural}",
        count(open.open),
        count(open.max),
        status.workers
    )
}

fn machine(last: &Point, known: bool) -> String {
    if !known {
        return "-".into();
    }
    let hundredths = last.cpu_permille / 10;
    format!(
        "{:<16} cpu {}.{:02} cores",
        format!("{} memory", size(last.rss_bytes)),
        hundredths / 100,
        hundredths % 100
    )
}

/// Returns the lines it took.
fn list_of_sites(scene: &Scene<'_>, canvas: &mut Canvas<'_>, y: u16) -> u16 {
    let Some(status) = &scene.data.status else { return 0 };
    let about = |site: &&crate::ops::api::SiteStatus| {
        scene.narrow.iter().all(|(fact, value)| *fact != Fact::Site || *value == site.name)
    };
    let mut found: Vec<_> = status.sites.iter().filter(about).collect();
    let room = canvas.height().saturating_sub(y + 5);
    let shown = usize::from(room.min(canvas.height() / 5).max(1));
    // The ones that need attention stand first: a screen has no room for all.
    found.sort_by_key(|site| match sites::verdict(&site.certificate).1 {
        "FAIL" => 0,
        "WARN" => 1,
        _ => 2,
    });
    let hidden = found.len().saturating_sub(shown);
    let note = if hidden > 0 { format!("{hidden} more: 3") } else { String::new() };
    canvas.rule(y, "Sites", &note);
    let name_cells = 30.min(canvas.width() / 3);
    for (line, site) in (y + 1..).zip(found.iter().take(shown)) {
        let (tone, word, why) = sites::verdict(&site.certificate);
        canvas.put(1, line, name_cells, Tone::Plain, &sites::more(&site.name, site.also.len()));
        let x = name_cells + 2;
        canvas.put(x, line, 5, tone, word);
        let bar = sites::life(&site.certificate, 8, scene.look);
        canvas.put(x + 6, line, 8, Tone::Chart, &bar);
        let x = canvas.spans(
            x + 15,
            line,
            &[(Tone::Plain, format!("{}, {why}", site.certificate.source))],
        );
        if let Some(upstream) = site.upstreams.first() {
            let words = sites::more(upstream, site.upstreams.len() - 1);
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
fn changes(scene: &Scene<'_>, canvas: &mut Canvas<'_>, y: u16, rest: u16) -> u16 {
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

fn refused(scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
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

fn slowest(scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
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
