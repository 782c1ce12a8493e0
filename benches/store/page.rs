//! The figures as a table, as JSON, and as a section of the page on performance.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Figures;

const BEGIN: &str = "<!-- store:begin -->";
const END: &str = "<!-- store:end -->";

const METHOD: &str = "Written by `cargo bench --bench store`; raw figures: [performance/store.json](performance/store.json).\n\
The bare loop writes 4 KiB and syncs (`fdatasync`), over and over, in a file of its own on the same disk. The others are\n\
threads that each write a record of a site and wait for its receipt: a commit of the state is two syncs, and holds what\n\
waited for it. Medians of three rounds that took turns, two seconds a load.\n";

pub fn table(medians: &[Figures], writers: &[usize]) -> String {
    let mut lines = vec![
        "| load | acknowledged/s | ÷ bare | p50 (ms) | p99 (ms) | ÷ bare | rows per commit |"
            .to_owned(),
        "|---|--:|--:|--:|--:|--:|--:|".to_owned(),
    ];
    let Some(bare) = medians.first() else { return String::new() };
    for (at, figures) in medians.iter().enumerate() {
        let name = match at.checked_sub(1).and_then(|at| writers.get(at)) {
            None => "bare write and sync".to_owned(),
            Some(1) => "state, 1 writer".to_owned(),
            Some(writers) => format!("state, {writers} writers"),
        };
        lines.push(format!(
            "| {name} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} |",
            figures.per_second,
            figures.per_second / bare.per_second,
            figures.p50_ms,
            figures.p99_ms,
            figures.p99_ms / bare.p99_ms,
            figures.per_commit,
        ));
    }
    lines.join("\n")
}

/// How long opening and closing took, of a file of so many bytes.
pub fn opening((ms, bytes): (f64, u64)) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    format!(
        "Opening a file of {mib:.1} MiB, with every checksum verified, and closing it: {ms:.0} ms."
    )
}

fn value(figures: &Figures) -> Value {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    json!({
        "per_second": round(figures.per_second),
        "p50_ms": round(figures.p50_ms),
        "p99_ms": round(figures.p99_ms),
        "rows_per_commit": round(figures.per_commit),
    })
}

pub fn write(
    root: &Path,
    medians: &[Figures],
    rounds: &[Vec<Figures>],
    writers: &[usize],
    opened: (f64, u64),
) {
    let names: Vec<String> = std::iter::once("bare".to_owned())
        .chain(writers.iter().map(|writers| format!("writers_{writers}")))
        .collect();
    let by_name = |figures: &[Figures]| -> Value {
        names
            .iter()
            .cloned()
            .zip(figures.iter().map(value))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let record = json!({
        "medians": by_name(medians),
        "opening_ms": (opened.0 * 10.0).round() / 10.0,
        "opening_bytes": opened.1,
        "rounds": rounds.iter().map(|round| by_name(round)).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&record).expect("JSON") + "\n";
    fs::write(root.join("docs/performance/store.json"), text).expect("written");

    let page = root.join("docs/PERFORMANCE.md");
    let old = fs::read_to_string(&page).unwrap_or_default();
    let section = format!(
        "{BEGIN}\n## State\n\n{}\n\n{}\n{METHOD}{END}\n",
        table(medians, writers),
        opening(opened)
    );
    let new = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) => {
            let (head, tail) = (old.get(..begin), old.get(end + END.len()..));
            format!(
                "{}{section}{}",
                head.unwrap_or(""),
                tail.unwrap_or("").trim_start_matches('\n')
            )
        }
        _ => format!("{old}\n{section}"),
    };
    fs::write(page, new).expect("written");
}
