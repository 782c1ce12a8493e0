//! `explain`: which steps a request would meet, and which one decides.

mod kept;

use super::args::ExplainArgs;
use super::connect::{ask, fail};
use super::output::{Page, Tone};
use super::words::column;
use super::{Exit, Output};
use crate::config::Environment;
use crate::ops::api::live::{ExplainQuery, Explanation, HeaderChange, Step};

pub(super) fn explain(args: &ExplainArgs, environment: &Environment, out: &Output) -> Exit {
    if let Some(id) = &args.request {
        return kept::explain(id, &args.client, environment, out);
    }
    let query = ExplainQuery {
        url: args.url.clone().unwrap_or_default(),
        method: Some(args.method.clone()),
        ip: args.ip.map(|ip| ip.to_string()),
        headers: args.header.clone(),
    };
    let call = |client: crate::ops::Client| {
        let query = &query;
        async move { client.explain(query).await }
    };
    match ask(&args.client, environment, call) {
        Ok(told) if args.client.json => out.json(&told),
        Ok(told) => out.page(&page(&told)),
        Err(error) => return fail(&error, args.client.json, out),
    }
    Exit::Done
}

fn page(told: &Explanation) -> Page {
    let mut page = Page::new();
    page.spans([
        (Tone::Strong, format!("{} {}", told.method, told.url)),
        (Tone::Plain, format!("  from {}", told.client_ip)),
    ]);
    page.blank();
    for step in &told.steps {
        line(&mut page, step, step.name == told.decided_by);
        if step.name == "route" {
            routes(&mut page, told);
        }
        if step.name == "upstream" {
            candidates(&mut page, told);
        }
    }
    fields(&mut page, "The app gets", "removed", &told.request_headers);
    fields(&mut page, "The client gets, besides what the app sends", "", &told.response_headers);
    page
}

fn line(page: &mut Page, step: &Step, decides: bool) {
    let tone = match step.outcome.as_str() {
        "refused" => Tone::Bad,
        "answered" => Tone::Good,
        _ => Tone::Plain,
    };
    page.spans([
        (Tone::Plain, format!("  {}  ", column(&step.name, 9))),
        (tone, column(&step.outcome, 8)),
        (Tone::Plain, format!("  {}", step.note)),
        (Tone::Strong, if decides { "  (this decides)".into() } else { String::new() }),
    ]);
}

fn routes(page: &mut Page, told: &Explanation) {
    for tried in &told.routes {
        let why = tried.why.as_deref().map_or("matches".to_owned(), |why| format!("not: {why}"));
        page.line(format!("{}{}  {why}", " ".repeat(23), tried.name));
    }
}

/// A single upstream has a line only where there is something to say about it.
fn candidates(page: &mut Page, told: &Explanation) {
    if let [only] = &told.candidates[..]
        && only.outcome == "asked"
        && !only.why.contains(';')
    {
        return;
    }
    for tried in &told.candidates {
        let tone = if tried.outcome == "skipped" { Tone::Warn } else { Tone::Plain };
        let name = format!("{}{}  ", " ".repeat(23), tried.upstream);
        page.spans([(Tone::Plain, name), (tone, format!("{}: {}", tried.outcome, tried.why))]);
    }
}

fn fields(page: &mut Page, title: &str, absent: &str, fields: &[HeaderChange]) {
    if fields.is_empty() {
        return;
    }
    page.blank();
    page.line(title);
    for field in fields {
        let value = field.value.as_deref().unwrap_or(absent);
        page.line(format!("  {}  {value}", column(&field.name, 25)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::api::live::{RouteTried, UpstreamTried};

    fn step(name: &str, outcome: &str, note: &str) -> Step {
        Step { name: name.into(), outcome: outcome.into(), note: note.into() }
    }

    fn tried(upstream: &str, outcome: &str, why: &str) -> UpstreamTried {
        UpstreamTried { upstream: upstream.into(), outcome: outcome.into(), why: why.into() }
    }

    #[test]
    fn the_steps_are_a_table_and_the_one_that_decides_is_marked() {
        let told = Explanation {
            method: "POST".into(),
            url: "https://app.example.com/api".into(),
            client_ip: "203.0.113.9".into(),
            steps: vec![
                step("site", "passed", "app.example.com"),
                step("route", "passed", "/api"),
                step("upstream", "answered", "127.0.0.1:3000 is asked"),
            ],
            decided_by: "upstream".into(),
            status: None,
            site: Some("app.example.com".into()),
            route: Some("/api".into()),
            routes: vec![
                RouteTried {
                    name: "refund".into(),
                    matches: false,
                    why: Some("the method is not PUT".into()),
                },
                RouteTried { name: "/api".into(), matches: true, why: None },
            ],
            upstreams: vec!["127.0.0.1:3000".into(), "127.0.0.1:3001".into()],
            candidates: vec![
                tried("127.0.0.1:3000", "asked", "weight 1"),
                tried("127.0.0.1:3001", "skipped", "it fails at once (refused); next probe in 3 s"),
            ],
            request_headers: vec![
                HeaderChange { name: "x-forwarded-for".into(), value: Some("203.0.113.9".into()) },
                HeaderChange { name: "x-real-ip".into(), value: None },
            ],
            response_headers: Vec::new(),
        };
        assert_eq!(
            page(&told).plain(),
            "\
POST https://app.example.com/api  from 203.0.113.9

  site       passed    app.example.com
  route      passed    /api
                       refund  not: the method is not PUT
                       /api  matches
  upstream   answered  127.0.0.1:3000 is asked  (this decides)
                       127.0.0.1:3000  asked: weight 1
                       127.0.0.1:3001  skipped: it fails at once (refused); next probe in 3 s

The app gets
  x-forwarded-for            203.0.113.9
  x-real-ip                  removed
"
        );
    }
}
