//! How much, how fast, how well: of all requests, from the daemon's history.

use crate::base::words::{count, micros, percent, size};
use crate::ops::api::live::Point;

use super::super::super::canvas::Canvas;
use super::super::super::data::Data;
use super::super::super::glyphs;
use super::super::super::theme::Tone;
use super::super::Scene;

/// Numbers "now" are of so many seconds: one alone jumps about.
const NOW_S: u32 = 10;
const LABEL: u16 = 13;
/// Lines of the chart of requests; the second is for tall screens.
const CHART_ROWS: [u16; 2] = [3, 6];
const TALL: u16 = 32;

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
pub fn draw(scene: &Scene<'_>, canvas: &mut Canvas<'_>, y: u16) -> u16 {
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
    let or_dash = |text: String| if now.requests > 0 { text } else { "-".to_owned() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_digit_behind_the_point_only_while_they_are_small() {
        assert_eq!(rate(5, 0), "-");
        assert_eq!(rate(0, 10), "0 /s");
        assert_eq!(rate(3, 10), "0.3 /s");
        assert_eq!(rate(1, 100), "0.1 /s", "something is not nothing");
        assert_eq!(rate(12_840, 10), "1,284 /s");
    }
}
