//! `explain --request`: what the app said to a request whose client got a page.
//!
//! Promises: a body is shown line by line and cleaned like all data; what is no text is told by its size.

use super::super::args::ClientArgs;
use super::super::connect::{ask, fail};
use super::super::output::{Page, Tone};
use super::super::words::column;
use super::super::{Exit, Output};
use crate::base::timestamp::rfc3339;
use crate::base::words::{micros, size};
use crate::config::Environment;
use crate::ops::api::errors::{HiddenBody, HiddenErrorDetail};

pub(super) fn explain(
    id: &str,
    args: &ClientArgs,
    environment: &Environment,
    out: &Output,
) -> Exit {
    let call = |client: crate::ops::Client| async move { client.error(id.trim()).await };
    match ask(args, environment, call) {
        Ok(told) if args.json => out.json(&told),
        Ok(told) => out.page(&page(&told)),
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

fn page(told: &HiddenErrorDetail) -> Page {
    let (mut page, error) = (Page::new(), &told.error);
    page.spans([
        (Tone::Strong, format!("{} {}", error.method, error.path)),
        (Tone::Plain, "  answered ".into()),
        (Tone::Bad, error.status.to_string()),
        (Tone::Plain, ", a page in place of what the app said".into()),
    ]);
    page.blank();
    let mut line = |name: &str, value: &str| {
        page.line(format!("  {}  {value}", column(name, 9)));
    };
    line("arrived", &rfc3339(error.at_ms.div_euclid(1_000)));
    line("id", &error.id);
    line("site", &error.site);
    line("route", error.route.as_deref().unwrap_or("none: the site's own settings"));
    if let Some(upstream) = &error.upstream {
        let after = error.upstream_us.map_or(String::new(), |us| format!(" after {}", micros(us)));
        line("upstream", &format!("{upstream}{after}"));
    }
    if !told.fields.is_empty() {
        page.blank();
        page.line("The fields of the app's answer");
        for field in &told.fields {
            let value = field.value.as_deref().unwrap_or("(a secret, not kept)");
            page.line(format!("  {}  {value}", column(&field.name, 25)));
        }
    }
    page.blank();
    body(&mut page, &told.body, error.body_bytes);
    page
}

fn body(page: &mut Page, body: &HiddenBody, bytes: u64) {
    let of = size(bytes);
    match (body.kind.as_str(), &body.incomplete) {
        ("none", None) => return page.line("Its body is empty."),
        ("none", Some(why)) => return page.line(format!("Nothing of its body is kept: {why}.")),
        ("text", _) => page.line(format!("Its body, {of}")),
        (kind, _) => page.line(format!("Its body is {kind}, {of}: not shown.")),
    }
    if let Some(why) = &body.incomplete {
        page.line(format!("It is not whole: {why}."));
    }
    for text in body.text.iter().flat_map(|text| text.lines()) {
        page.line(format!("  {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::api::errors::{HiddenError, HiddenField};

    fn told(body: HiddenBody) -> HiddenErrorDetail {
        HiddenErrorDetail {
            error: HiddenError {
                id: "01938f7e-5b3a-7c1e-9d55-0f2b6f0a4c11".into(),
                at_ms: 1_000_000_000_001,
                site: "app.example.com".into(),
                route: Some("api".into()),
                method: "GET".into(),
                path: "/api/orders".into(),
                status: 503,
                upstream: Some("127.0.0.1:3000".into()),
                upstream_us: Some(1_500),
                body_bytes: 2_048,
            },
            fields: vec![
                HiddenField { name: "content-type".into(), value: Some("text/plain".into()) },
                HiddenField { name: "set-cookie".into(), value: None },
            ],
            body,
        }
    }

    fn shown(kind: &str, text: Option<&str>, incomplete: Option<&str>) -> String {
        let text = text.map(str::to_owned);
        page(&told(HiddenBody {
            kind: kind.into(),
            text,
            incomplete: incomplete.map(str::to_owned),
        }))
        .plain()
    }

    #[test]
    fn everything_that_is_known_of_a_request_is_on_one_page() {
        assert_eq!(
            shown("text", Some("panicked at\n  src/\u{1b}[2Jsecret.rs"), None),
            "\
GET /api/orders  answered 503, a page in place of what the app said

  arrived    2001-09-09T01:46:40Z
  id         01938f7e-5b3a-7c1e-9d55-0f2b6f0a4c11
  site       app.example.com
  route      api
  upstream   127.0.0.1:3000 after 1.5 ms

The fields of the app's answer
  content-type               text/plain
  set-cookie                 (a secret, not kept)

Its body, 2 KiB
  panicked at
    src/␛[2Jsecret.rs
"
        );
    }

    #[test]
    fn what_is_no_text_is_told_by_its_size_and_what_is_not_whole_says_so() {
        assert!(shown("binary", None, None).ends_with("Its body is binary, 2 KiB: not shown.\n"));
        let cut = shown("text", Some("begun"), Some("the app's connection broke before its end"));
        assert!(
            cut.contains("It is not whole: the app's connection broke before its end.\n  begun\n")
        );
        assert!(shown("none", None, None).ends_with("Its body is empty.\n"));
        assert!(shown("none", None, Some("why")).ends_with("is kept: why.\n"));
    }
}
