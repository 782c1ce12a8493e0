//! What of hidden errors is asked for, kept and shown.

use std::sync::Arc;

use super::*;
use crate::ops::api::errors::{HiddenError, HiddenField};
use crate::ops::api::live::Event;
use crate::tui::text::Charset;

const VIEW: &str = "requests";

fn id(number: u32) -> String {
    format!("019ab3c4-0000-7000-8000-{number:012}")
}

/// A request that the app failed, or palisade refused.
fn seen(number: u32, status: u16, denied: Option<&str>) -> Event {
    Event::Request(Box::new(RequestSeen {
        id: id(number),
        at_ms: 0,
        site: None,
        route: None,
        method: "GET".into(),
        path: "/".into(),
        protocol: "h2".into(),
        status,
        duration_us: 1,
        response_bytes: 1,
        client_ip: "203.0.113.9".into(),
        upstream: Some("127.0.0.1:3000".into()),
        upstream_us: None,
        denied: denied.map(str::to_owned),
        why: None,
        aborted: None,
        steps: Vec::new(),
    }))
}

fn data() -> Data {
    let mut data = Data::default();
    data.live(seen(1, 500, None), 0);
    data.live(seen(2, 502, Some("upstream_broke")), 0);
    data.live(seen(3, 404, None), 0);
    data
}

fn told(data: &mut Data, number: u32, told: Told) {
    let answer: Document = Arc::new(Answer { id: id(number), told });
    let kept = keep(data.kept(VIEW), &answer);
    data.store(VIEW, kept);
}

fn asks(data: &Data, number: u32) -> bool {
    want(data, VIEW, Some(&id(number))) != Want::Nothing
}

fn detail() -> Arc<HiddenErrorDetail> {
    let field = |name: &str, value: Option<&str>| HiddenField {
        name: name.into(),
        value: value.map(str::to_owned),
    };
    Arc::new(HiddenErrorDetail {
        error: HiddenError {
            id: id(1),
            at_ms: 0,
            site: "app.example.com".into(),
            route: None,
            method: "GET".into(),
            path: "/".into(),
            status: 500,
            upstream: None,
            upstream_us: None,
            body_bytes: 8,
        },
        fields: vec![field("x-trace", Some("abc")), field("set-cookie", None)],
        body: HiddenBody {
            kind: "text".into(),
            text: Some("panicked\n  at \u{1b}[2Jline 7".into()),
            incomplete: Some("it has more".into()),
        },
    })
}

fn page(data: &Data) -> String {
    let look = crate::tui::theme::Look { colour: false, charset: Charset::Utf8 };
    let mut page = Page::new("", id(1), 80, look);
    show(&mut page, data, VIEW, &id(1));
    page.plain()
}

#[test]
fn only_errors_of_the_app_are_asked_for() {
    let data = data();
    assert!(asks(&data, 1));
    assert!(!asks(&data, 2), "palisade's own refusal");
    assert!(!asks(&data, 3), "no server error");
    assert!(!asks(&data, 9), "a request that is not there");
    assert_eq!(want(&data, VIEW, None), Want::Nothing);
}

#[test]
fn an_answer_settles_it_and_an_absent_one_is_asked_for_a_few_times() {
    let mut data = data();
    for _ in 0..TRIES_MAX {
        assert!(asks(&data, 1));
        told(&mut data, 1, Told::Nothing);
    }
    assert!(!asks(&data, 1));
    assert_eq!(page(&data), "");
    for settled in [Told::Refused, Told::Kept(detail())] {
        let mut data = self::data();
        told(&mut data, 1, settled);
        assert!(!asks(&data, 1));
    }
}

#[test]
fn what_is_known_is_bounded() {
    let mut data = data();
    told(&mut data, 1, Told::Kept(detail()));
    (10..10 + KNOWN_MAX as u32).for_each(|number| told(&mut data, number, Told::Nothing));
    assert!(asks(&data, 1), "forgotten, and asked for again");
}

#[test]
fn the_page_shows_what_the_app_said_line_by_line_and_masks_nothing_twice() {
    let mut data = data();
    told(&mut data, 1, Told::Kept(detail()));
    let shown = page(&data);
    for part in
        ["x-trace: abc", "set-cookie: (a secret, not kept)", "not whole: it has more", "panicked\n"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "{shown}");
    told(&mut data, 1, Told::Refused);
    assert!(page(&data).contains("role operator"));
}
