//! How upstreams are chosen, watched and spared: the keys beside `upstream`, one function each.
//!
//! Bounds: checks and pings are a second to a day apart; a breaker that is open is probed every minute at least.

use std::time::Duration;

use crate::base::Host;
use crate::base::units::HumanDuration;
use crate::config::read::{Cx, Fault, Section, nearest};
use crate::config::settings::{Balance, Breaker, HealthCheck, KeepAwake, WaitQueue};
use crate::config::wire::{Entry, Node, Table, Value};
use crate::config::{defaults, values};

/// The word for none of it.
const OFF: &str = "off";
const QUEUE_MAX: u64 = 100_000;
const COUNT_MAX: u64 = 1_000;
/// Anything faster is a load test.
const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// No app falls asleep faster than this.
const AWAKE_LIKELY: Duration = Duration::from_secs(10);
/// Longest path of our own requests.
const TARGET_MAX: usize = 2_048;
const STATUS: &str = "write it as \"200-399\" or 200";

/// Words of others for [`Balance`].
const OTHER_WORDS: [(&str, Balance); 5] = [
    ("least-conn", Balance::LeastLoaded),
    ("least-connections", Balance::LeastLoaded),
    ("least-request", Balance::LeastLoaded),
    ("roundrobin", Balance::RoundRobin),
    ("rr", Balance::RoundRobin),
];

pub fn balance(node: &Node) -> Result<Balance, Fault> {
    let text = values::text(node)?;
    if let Some(balance) = Balance::ALL.into_iter().find(|balance| balance.word() == text) {
        return Ok(balance);
    }
    let same = text.to_ascii_lowercase().replace('_', "-");
    let known = OTHER_WORDS.into_iter().find(|(word, _)| *word == same);
    let known = known.map(|(_, balance)| balance.word());
    let label = match known.or_else(|| nearest(text, Balance::ALL.map(Balance::word))) {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => "write \"round-robin\" or \"least-loaded\"".to_owned(),
    };
    Err(Fault::new(format!("\"{text}\" is no way to choose an upstream"), label))
}

/// Percent of the requests that may be tried a second time.
pub fn retry(node: &Node) -> Result<u8, Fault> {
    let fault = |message: String| Err(Fault::new(message, "write it as \"20%\" or \"off\""));
    match &node.value {
        Value::Text(text) if text == OFF => Ok(0),
        Value::Text(text) => match text.strip_suffix('%').map(|number| number.trim_end().parse()) {
            Some(Ok(percent @ 0..=100)) => Ok(percent),
            Some(Ok(_)) => fault("more requests cannot be tried again than there are".to_owned()),
            _ => fault(format!("\"{text}\" is no share of the requests")),
        },
        _ => fault(format!("expected a share of the requests, found {}", node.kind())),
    }
}

/// The table of a key that also has a shorter form; anything else is an error that says what to write.
fn table_of<'a>(cx: &mut Cx, entry: &'a Entry, write: &str) -> Option<&'a Table> {
    if let Value::Table(table) = &entry.node.value {
        return Some(table);
    }
    let message = match &entry.node.value {
        Value::Text(text) => format!("\"{text}\" is no `{}`", entry.key),
        _ => format!("expected a table for `{}`, found {}", entry.key, entry.node.kind()),
    };
    cx.error(&entry.node.place, message, format!("write {write}"));
    None
}

fn is_off(node: &Node) -> bool {
    node.value == Value::Text(OFF.to_owned())
}

pub fn wait_queue(cx: &mut Cx, section: &mut Section<'_>, around: &WaitQueue) -> WaitQueue {
    let Some(entry) = section.entry(cx, "wait_queue") else { return around.clone() };
    if is_off(&entry.node) {
        return WaitQueue { requests_max: 0, ..around.clone() };
    }
    let write = "{ requests = 100, wait = \"5s\" } or \"off\"";
    let Some(table) = table_of(cx, entry, write) else { return around.clone() };
    let mut section = Section::new("site.*.wait_queue", table);
    let requests_max = section.value(cx, "requests", around.requests_max, |node| {
        values::count_usize(node, 0..=QUEUE_MAX)
    });
    let wait_max = section.value(cx, "wait", around.wait_max, values::duration);
    section.finish(cx);
    WaitQueue { requests_max, wait_max }
}

fn count_u32(node: &Node) -> Result<u32, Fault> {
    values::count(node, 1..=COUNT_MAX).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

pub fn breaker(
    cx: &mut Cx,
    section: &mut Section<'_>,
    around: Option<&Breaker>,
) -> Option<Breaker> {
    let Some(entry) = section.entry(cx, "breaker") else { return around.cloned() };
    if is_off(&entry.node) {
        return None;
    }
    let table = table_of(cx, entry, "{ failures = 5, open = \"1s\" } or \"off\"")?;
    let default = Breaker { failures: defaults::BREAKER_FAILURES, open: defaults::BREAKER_OPEN };
    let default = around.cloned().unwrap_or(default);
    let mut section = Section::new("site.*.breaker", table);
    let failures = section.value(cx, "failures", default.failures, count_u32);
    let open = section.value(cx, "open", default.open, |node| {
        let open = values::any_duration(node)?;
        if open.is_zero() {
            let message = "an upstream that fails would never be left alone";
            let label = "write it as \"1s\", or breaker = \"off\"";
            return Err(Fault::new(message, label));
        }
        if open > Breaker::OPEN_MAX {
            let message = "an upstream is left alone for a minute at most before it is tried again";
            return Err(Fault::new(message, "write at most \"1m\""));
        }
        Ok(open)
    });
    section.finish(cx);
    Some(Breaker { failures, open })
}

/// `site` is what requests of ours are for where no `host` is written.
pub fn health(cx: &mut Cx, section: &mut Section<'_>, site: &Host) -> Option<HealthCheck> {
    let entry = section.entry(cx, "health")?;
    let short = Table::default();
    let (table, path) = match &entry.node.value {
        Value::Text(text) if text.starts_with('/') => (&short, read(cx, &entry.node, target)),
        _ => (table_of(cx, entry, "a path as \"/healthz\", or { path = \"/healthz\" }")?, None),
    };
    let mut inner = Section::new("site.*.health", table);
    let path = path.or_else(|| inner.optional(cx, "path", target));
    let host = host(cx, &mut inner, entry, site);
    let every = inner.value(cx, "every", defaults::HEALTH_EVERY, every);
    let timeout = defaults::HEALTH_TIMEOUT.min(every);
    let timeout = inner.value(cx, "timeout", timeout, |node| {
        let timeout = values::duration(node)?;
        if timeout > every {
            let message = "a check would last longer than the time until the next one";
            let label = format!("write at most \"{}\", or raise every", HumanDuration(every));
            return Err(Fault::new(message, label));
        }
        Ok(timeout)
    });
    let status = inner.value(cx, "status", defaults::HEALTH_STATUS, status);
    let rise = inner.value(cx, "rise", defaults::HEALTH_RISE, count_u32);
    let fall = inner.value(cx, "fall", defaults::HEALTH_FALL, count_u32);
    if !std::ptr::eq(table, &raw const short) && inner.entry(cx, "path").is_none() {
        cx.missing(&entry.key_place, "`health` names no path", "add path = \"/healthz\"");
    }
    inner.finish(cx);
    Some(HealthCheck { path: path?, host, every, timeout, status, rise, fall })
}

pub fn keep_awake(cx: &mut Cx, section: &mut Section<'_>, site: &Host) -> Option<KeepAwake> {
    let entry = section.entry(cx, "keep_awake")?;
    let short = Table::default();
    let (table, often) = match &entry.node.value {
        Value::Text(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            (&short, read(cx, &entry.node, every))
        }
        Value::Text(text) if text.starts_with('/') => {
            let write = format!("{{ path = {text:?}, every = \"5m\" }}");
            (table_of(cx, entry, &write)?, None)
        }
        _ => (table_of(cx, entry, "a time as \"5m\", or { path = \"/\", every = \"5m\" }")?, None),
    };
    let mut inner = Section::new("site.*.keep_awake", table);
    let written = inner.entry(cx, "every").unwrap_or(entry).node.place.clone();
    let path = inner.value(cx, "path", defaults::KEEP_AWAKE_PATH.to_owned(), target);
    let host = host(cx, &mut inner, entry, site);
    let often =
        often.unwrap_or_else(|| inner.value(cx, "every", defaults::KEEP_AWAKE_EVERY, every));
    inner.finish(cx);
    if often < AWAKE_LIKELY {
        let message = "no app falls asleep that fast";
        cx.warn(&written, message, "write the longest pause it stays awake for, as \"5m\"");
    }
    Some(KeepAwake { path, host, every: often })
}

fn read<T>(cx: &mut Cx, node: &Node, parse: fn(&Node) -> Result<T, Fault>) -> Option<T> {
    parse(node).map_err(|fault| cx.error(&node.place, fault.message, fault.label)).ok()
}

/// The `host` of requests of our own. A wildcard is no name that an app could be asked for.
fn host(cx: &mut Cx, inner: &mut Section<'_>, entry: &Entry, site: &Host) -> Option<String> {
    let host = inner.optional(cx, "host", |node| {
        let host = values::host(values::text(node)?)?;
        if host.is_wildcard() {
            return Err(Fault::new("one host is asked for", "write a name without `*`"));
        }
        Ok(host.authority())
    });
    if site.is_wildcard() && inner.entry(cx, "host").is_none() {
        let example = site.as_str().replacen('*', "www", 1);
        let label = format!("add host = \"{example}\"");
        cx.missing(&entry.key_place, format!("{site} is no name to ask the app for"), label);
    }
    host
}

fn every(node: &Node) -> Result<Duration, Fault> {
    let every = values::any_duration(node)?;
    if every < EVERY_MIN {
        return Err(Fault::new("an app is asked once a second at most", "write at least \"1s\""));
    }
    if every > EVERY_MAX {
        return Err(Fault::new("less than once a day finds nothing out", "write at most \"1d\""));
    }
    Ok(every)
}

/// Path and query of a request.
fn target(node: &Node) -> Result<String, Fault> {
    let text = values::text(node)?;
    if !text.starts_with('/') {
        return Err(Fault::new(format!("\"{text}\" is no path"), format!("write \"/{text}\"")));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') || text.len() > TARGET_MAX {
        let message = "a path has visible ASCII characters only, no `#`, and at most 2048 of them";
        return Err(Fault::new(message, "write others percent-encoded"));
    }
    Ok(text.to_owned())
}

/// `"200-399"`, `"204"` or `204`.
fn status(node: &Node) -> Result<(u16, u16), Fault> {
    let text = match &node.value {
        Value::Integer(Some(code)) => code.to_string(),
        Value::List(nodes) => return Err(one_range(nodes)),
        _ => values::text(node)?.to_owned(),
    };
    let code = |text: &str| text.trim().parse::<u16>().ok();
    let (low, high) = text.split_once('-').unwrap_or((&text, &text));
    let (Some(low), Some(high)) = (code(low), code(high)) else {
        return Err(Fault::new(format!("\"{text}\" is no range of status codes"), STATUS));
    };
    if low < 200 || high > 599 {
        return Err(Fault::new("the status of an answer goes from 200 to 599", STATUS));
    }
    if low > high {
        let label = format!("write \"{high}-{low}\"");
        return Err(Fault::new("the range ends before it begins", label));
    }
    Ok((low, high))
}

/// A list in place of a range; where it has codes, the range that has all of them.
fn one_range(nodes: &[Node]) -> Fault {
    let code = |node: &Node| match &node.value {
        Value::Integer(code) => *code,
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let codes: Option<Vec<i64>> = nodes.iter().map(code).collect();
    let (low, high) =
        codes.map_or((None, None), |c| (c.iter().min().copied(), c.iter().max().copied()));
    let label = match (low, high) {
        (Some(low @ 200..=599), Some(high @ 200..=599)) if low == high => format!("write {low}"),
        (Some(low @ 200..=599), Some(high @ 200..=599)) => format!("write \"{low}-{high}\""),
        _ => STATUS.to_owned(),
    };
    Fault::new("expected one range of status codes, found a list", label)
}
