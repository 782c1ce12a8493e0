//! `status`, `reload` and plain `palisade`: what is running and what needs attention, at 80 columns.

use super::args::ClientArgs;
use super::connect::{ask, fail, fail_as};
use super::output::{Page, Tone};
use super::words::{and_more, column, count, expiry, soon, span, upstreams};
use super::{Exit, Output, failure};
use crate::config::Environment;
use crate::ops::ClientError;
use crate::ops::api::{
    Attention, CapabilityStatus, CertificateFailure, CertificateInfo, CertificateState, Level,
    Reloaded, SiteStatus, State, Status,
};

/// A certificate with less than this left is not all well.
const EXPIRES_SOON_S: i64 = 14 * 86_400;

/// With `served 60 d, next try in 10 min` beside them these two fill 80 columns.
const SITE_WIDTH: usize = 26;
const UPSTREAM_WIDTH: usize = 19;
/// Failed attempts that are shown whole; `cert list` has all.
const FAILURES_MAX: usize = 3;
/// Behind `  WARN  `.
const ATTENTION_HANG: usize = 8;

pub(super) fn status(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, |client| async move { client.status().await }) {
        Ok(status) if args.json => out.json(&status),
        Ok(status) => out.page(&full(&status)),
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

/// Plain `palisade`.
pub(super) fn overview(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, |client| async move { client.status().await }) {
        Ok(status) if args.json => out.json(&status),
        Ok(status) => out.page(&short(&status)),
        Err(ClientError::Unreachable { path, why }) if !args.json => {
            out.complain(absent(&path.display().to_string(), &why));
            return Exit::Unreachable;
        }
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

pub(super) fn reload(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, |client| async move { client.reload().await }) {
        Ok(reloaded) if args.json => out.json(&reloaded),
        Ok(reloaded) => out.page(&taken(&reloaded)),
        Err(ClientError::Refused(problem)) if problem.status == 422 && !args.json => {
            // The daemon's own report, carets and closing line included: nothing to add.
            out.complain(problem.detail.unwrap_or(problem.title));
            return Exit::Config;
        }
        Err(error) if refused_config(&error) => {
            return fail_as(&error, Exit::Config, args.json, out);
        }
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

fn refused_config(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(problem) if problem.status == 422)
}

fn absent(path: &str, why: &str) -> String {
    format!(
        "palisade is not running: nothing answers at {path} ({why})\n\n  \
         try it         palisade demo\n  \
         one site       palisade run --site app.localhost --upstream 127.0.0.1:3000\n  \
         from a file    palisade init, then palisade check, then palisade run\n  \
         as a service   systemctl start palisade\n  \
         elsewhere      palisade --socket PATH\n  \
         all verbs      palisade --help"
    )
}

fn taken(reloaded: &Reloaded) -> Page {
    let mut page = Page::new();
    page.line(format!("reloaded: generation {} is in force", reloaded.generation));
    if reloaded.changes.is_empty() {
        page.line("  nothing changed");
    }
    for change in &reloaded.changes {
        page.line(format!("  {change}"));
    }
    page
}

fn short(status: &Status) -> Page {
    let mut page = Page::new();
    head(&mut page, status);
    for site in &status.sites {
        let name = and_more(&site.name, site.also.len(), SITE_WIDTH - 2);
        page.spans([
            (Tone::Plain, format!("  {name}  ")),
            upstream(site),
            (Tone::Plain, "  ".into()),
            certificate(&site.certificate),
        ]);
    }
    more_sites(&mut page, status);
    attention(&mut page, status, false);
    page
}

fn full(status: &Status) -> Page {
    let mut page = Page::new();
    head(&mut page, status);
    page.line(format!(
        "config   {}",
        status.config.as_deref().unwrap_or("(options of the command line)")
    ));
    page.line(format!(
        "         generation {}, loaded {}",
        status.reload.generation, status.reload.loaded_at
    ));
    page.line(format!("state    {}", status.state_dir));
    for listener in &status.listeners {
        page.line(format!("{} {}", column(&listener.role, 8), listener.address));
    }
    page.blank();
    sites(&mut page, &status.sites);
    more_sites(&mut page, status);
    page.blank();
    counters(&mut page, status);
    page.blank();
    capabilities(&mut page, &status.capabilities);
    attention(&mut page, status, true);
    page
}

fn head(page: &mut Page, status: &Status) {
    let (tone, word) = match status.state {
        State::Starting => (Tone::Warn, "STARTING"),
        State::Draining => (Tone::Warn, "DRAINING"),
        State::Ready => match worst(status) {
            Some(Level::Fail) => (Tone::Bad, "FAIL"),
            Some(Level::Warn) => (Tone::Warn, "WARN"),
            None => (Tone::Good, "OK"),
        },
    };
    let plural = if status.workers == 1 { "" } else { "s" };
    page.spans([
        (Tone::Strong, format!("palisade {}", status.version)),
        (Tone::Plain, "  ".into()),
        (tone, word.into()),
        (
            Tone::Plain,
            format!(
                "  up {}  pid {}  {} worker{plural}",
                span(status.uptime_s),
                status.pid,
                status.workers
            ),
        ),
    ]);
}

/// `Level::Fail` sorts first.
fn worst(status: &Status) -> Option<Level> {
    let reload = status.reload.last_error.as_ref().map(|_| Level::Warn);
    status.attention.iter().map(|found| found.level).chain(reload).min()
}

fn sites(page: &mut Page, sites: &[SiteStatus]) {
    page.line(format!(
        "{}  {}  CERTIFICATE",
        column("SITE", SITE_WIDTH),
        column("UPSTREAM", UPSTREAM_WIDTH)
    ));
    for site in sites {
        let name = and_more(&site.name, site.also.len(), SITE_WIDTH);
        page.spans([
            (Tone::Plain, format!("{name}  ")),
            upstream(site),
            (Tone::Plain, "  ".into()),
            certificate(&site.certificate),
        ]);
    }
}

/// A status has those that need attention and as many others as it has room for.
fn more_sites(page: &mut Page, status: &Status) {
    let more = status.sites_total.saturating_sub(status.sites.len());
    if more > 0 {
        page.line(format!("  {} more: palisade cert list", count(more as u64)));
    }
}

/// `127.0.0.1:3000`, `out: 127.0.0.1:3000`, `2 of 3 up`
fn upstream(site: &SiteStatus) -> (Tone, String) {
    let words = upstreams(&site.upstreams, site.upstreams_out);
    let tone = match site.upstreams_out {
        0 => Tone::Plain,
        out if out < site.upstreams.len() => Tone::Warn,
        _ => Tone::Bad,
    };
    (tone, column(&words, UPSTREAM_WIDTH))
}

/// Why the next certificate is not there. An attempt that somebody only wanted to try says nothing about that.
fn setback(info: &CertificateInfo) -> Option<&CertificateFailure> {
    info.failure.as_ref().filter(|failure| !failure.early)
}

/// What visitors see, and when that changes: `served 63 d, renews in 33 d`, `missing, next try in 10 min`.
fn certificate(info: &CertificateInfo) -> (Tone, String) {
    let failing = setback(info).is_some();
    let (tone, state) = match (info.state, info.expires_in_s) {
        (CertificateState::Missing, _) | (_, None) => (Tone::Bad, "missing".to_owned()),
        (_, Some(in_s @ ..=0)) => return (Tone::Bad, expiry(in_s)),
        (CertificateState::StandIn, Some(_)) => (Tone::Warn, "stand-in".to_owned()),
        (CertificateState::Served, Some(in_s)) => {
            let soon = failing || (in_s < EXPIRES_SOON_S && info.renewal.is_none());
            let tone = if soon { Tone::Warn } else { Tone::Plain };
            (tone, format!("served {}", expiry(in_s)))
        }
    };
    let retry_in_s = setback(info).and_then(|failure| failure.retry_in_s);
    let next = match (retry_in_s, &info.renewal) {
        (Some(in_s), _) => when("next try", in_s),
        (None, Some(renewal)) => when("renews", renewal.in_s),
        (None, None) => String::new(),
    };
    (tone, format!("{state}{next}"))
}

fn when(what: &str, in_s: i64) -> String {
    if in_s > 0 { format!(", {what} in {}", soon(in_s)) } else { format!(", {what} now") }
}

fn counters(page: &mut Page, status: &Status) {
    let (open, traffic) = (&status.connections, &status.traffic);
    page.line(format!(
        "connections  {} open of {}, {} refused",
        count(open.open),
        count(open.max),
        count(open.refused)
    ));
    page.line(format!(
        "requests     {}, 4xx {}, 5xx {}",
        count(traffic.requests),
        count(traffic.responses_4xx),
        count(traffic.responses_5xx)
    ));
    page.line(format!(
        "faults       {} panics, {} log lines dropped",
        count(traffic.panics),
        count(traffic.log_lines_dropped)
    ));
}

fn capabilities(page: &mut Page, capabilities: &[CapabilityStatus]) {
    page.line(format!("{}  {}  FLAG", column("CAPABILITY", 18), column("MODE", 8)));
    for capability in capabilities {
        let set = match capability.flag_value {
            None => capability.flag.clone(),
            Some(value) => format!("{}={value}", capability.flag),
        };
        let runtime = capability.runtime.as_ref().filter(|_| capability.flag_value != Some(false));
        let flag = if !capability.available {
            format!("{set}, not in this version")
        } else if let Some(runtime) = runtime {
            // Until when is what `capability list` says.
            format!("set by {} (configured: {})", runtime.set_by, capability.configured.word())
        } else if capability.flag_value.is_some() && capability.mode != capability.configured {
            format!("{set} (configured: {})", capability.configured.word())
        } else {
            set
        };
        let name = column(capability.name.key(), 18);
        page.line(format!("{name}  {}  {flag}", column(capability.mode.word(), 8)));
    }
}

/// `whole` also shows why a reload was refused, which may be long.
fn attention(page: &mut Page, status: &Status, whole: bool) {
    page.blank();
    let failing = whole && status.sites.iter().any(|site| setback(&site.certificate).is_some());
    if status.attention.is_empty() && status.reload.last_error.is_none() && !failing {
        page.line("Nothing needs attention.");
        return;
    }
    page.spans([(Tone::Strong, "Attention".into())]);
    for Attention { level, message } in &status.attention {
        let (tone, word) = match level {
            Level::Fail => (Tone::Bad, "FAIL"),
            Level::Warn => (Tone::Warn, "WARN"),
        };
        page.broken(
            ATTENTION_HANG,
            [
                (Tone::Plain, "  ".into()),
                (tone, word.into()),
                (Tone::Plain, format!("  {message}")),
            ],
        );
    }
    if whole {
        failures(page, &status.sites);
    }
    if let Some(error) = &status.reload.last_error {
        let text = "  the last reload was refused, the configuration before it is in force:".into();
        let word = (Tone::Warn, "WARN".into());
        page.broken(ATTENTION_HANG, [(Tone::Plain, "  ".into()), word, (Tone::Plain, text)]);
        if whole {
            for line in error.lines() {
                page.broken(ATTENTION_HANG, [(Tone::Plain, format!("        {line}"))]);
            }
        } else {
            page.line(format!("        {}", error.lines().next().unwrap_or_default()));
            page.line("        all of it: palisade status");
        }
    }
}

/// What the CAs have said.
fn failures(page: &mut Page, sites: &[SiteStatus]) {
    let failing = || sites.iter().filter(|site| setback(&site.certificate).is_some());
    for site in failing().take(FAILURES_MAX) {
        failure::block(page, &site.certificate, "  ");
    }
    let more = failing().count().saturating_sub(FAILURES_MAX);
    if more > 0 {
        page.line(format!("  {more} more: palisade cert list"));
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
