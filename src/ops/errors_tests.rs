//! What is answered of what is kept.

use std::time::Duration;

use super::*;
use crate::telemetry::originals::Field;

fn original(content_type: &str, encoding: &str, body: &[u8]) -> Original {
    let field = |name: &str, value: &str| Field { name: name.into(), value: Some(value.into()) };
    Original {
        id: "01938f7e-5b3a-7c1e-9d55-0f2b6f0a4c11".into(),
        at: Duration::from_millis(1_000_001),
        site: "app.example.com".into(),
        route: None,
        method: "GET".into(),
        path: "/".into(),
        status: 500,
        upstream: Some("127.0.0.1:3000".into()),
        upstream_us: Some(12),
        fields: vec![field("content-type", content_type), field("content-encoding", encoding)],
        body: body.into(),
        end: End::Whole,
    }
}

#[test]
fn a_body_is_shown_as_text_where_it_is_some() {
    let kind =
        |content_type, encoding, bytes: &[u8]| body(&original(content_type, encoding, bytes));
    assert_eq!(kind("text/html", "", b"<h1>"), ("text", Some("<h1>".into())));
    assert_eq!(kind("", "identity", b"plain"), ("text", Some("plain".into())));
    assert_eq!(kind("text/plain; charset=latin1", "", b"gr\xfc\xdfe").0, "text");
    assert_eq!(kind("application/problem+json", "", b"{\xff").0, "text");
    assert_eq!(kind("", "", "gr\u{fc}".as_bytes().split_last().expect("bytes").1).0, "text");
    assert_eq!(kind("image/png", "", b"\x89PNG\0"), ("binary", None));
    assert_eq!(kind("application/octet-stream", "", b"a\0b"), ("binary", None));
    assert_eq!(kind("text/html", "gzip", b"\x1f\x8b"), ("compressed", None));
    assert_eq!(kind("text/html", "", b""), ("none", None));
}

#[test]
fn an_incomplete_body_says_why() {
    let mut cut = original("text/html", "", b"x");
    assert_eq!(whole(&cut).body.incomplete, None);
    for end in [End::Cut, End::Broke, End::Slow, End::Crowded] {
        cut.end = end;
        assert!(whole(&cut).body.incomplete.is_some(), "{end:?}");
    }
}

#[test]
fn pages_begin_with_the_newest_and_cover_everything_once() {
    let rows = || {
        (0..5).rev().map(|at| HiddenError { id: format!("{at}"), ..row(&original("", "", b"")) })
    };
    let mut query = PageQuery { after: None, limit: Some(2) };
    let mut seen = String::new();
    loop {
        let page = newest_first(&query, rows());
        page.items.iter().for_each(|row| seen.push_str(&row.id));
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(seen, "43210");
}
