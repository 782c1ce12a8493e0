//! The pages palisade answers with itself: one small HTML page, or an RFC 9457 problem document.
//!
//! Promises: everything put into a page is escaped; a page has no script and asks for no other
//! resource; the `<style>` block is the same for every page, so that one hash in a Content-Security-
//! Policy allows it; rendering never fails, because an error page that fails is no page at all.
//! Refuses: to decide status, headers or wording. `edge::deny` does that.
//! Bounds: at most [`RANGES_MAX`] media ranges of an `Accept` field are read.

use minijinja::{Environment, context};
use serde::Serialize;

const TEMPLATE_NAME: &str = "error.html";
const TEMPLATE: &str = include_str!("../../templates/error.html");

/// Browsers send fewer than ten.
const RANGES_MAX: usize = 32;

/// What one error page says. Every text is plain and is escaped where it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    pub status: u16,
    /// Says in a few words what happened.
    pub title: &'a str,
    /// Says what it means to the visitor, in one or two sentences.
    pub message: &'a str,
    pub request_id: &'a str,
    /// Empty when no site is known: the page then names none.
    pub site: &'a str,
    /// What the visitor can do about it.
    pub hint: Option<&'a str>,
}

/// The compiled template. Built once per worker and kept.
#[derive(Debug)]
pub struct Pages {
    templates: Environment<'static>,
}

impl Pages {
    /// Compiles the template.
    ///
    /// # Errors
    /// Only when the built-in template is not valid, which a test rules out.
    pub fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.add_template(TEMPLATE_NAME, TEMPLATE)?;
        Ok(Self { templates })
    }

    /// The page as HTML.
    #[must_use]
    pub fn html(&self, page: &Page<'_>) -> String {
        self.render(page).unwrap_or_else(|_| plain_html(page))
    }

    fn render(&self, page: &Page<'_>) -> Result<String, minijinja::Error> {
        self.templates.get_template(TEMPLATE_NAME)?.render(context! {
            status => page.status,
            title => page.title,
            message => page.message,
            request_id => page.request_id,
            site => page.site,
            hint => page.hint,
        })
    }
}

/// The page as `application/problem+json` (RFC 9457). The type is `about:blank`, so the title stands
/// for the status; the hint is for people and is left out.
#[must_use]
pub fn problem_json(page: &Page<'_>) -> String {
    let problem = Problem {
        kind: "about:blank",
        title: page.title,
        status: page.status,
        detail: page.message,
        request_id: page.request_id,
    };
    // Strings and a number always serialize; the fallback is still a valid problem document.
    serde_json::to_string(&problem)
        .unwrap_or_else(|_| format!(r#"{{"type":"about:blank","status":{}}}"#, page.status))
}

/// The members in the order in which RFC 9457 names them.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

/// Whether the client asks for JSON rather than HTML (RFC 9110 §12.5.1).
///
/// Each of the two gets the weight of the most specific media range that covers it; the heavier one
/// is sent. With equal weights JSON is sent only when it is named and HTML is not: axios sends
/// `application/json, text/plain, */*` and wants JSON. Everything else is HTML: no `Accept` at all,
/// `*/*` alone (curl, `<img>`), and ranges that cover neither. JSON has to be asked for.
#[must_use]
pub fn wants_json(accept: Option<&str>) -> bool {
    let Some(accept) = accept else { return false };
    let mut html = Weight::default();
    let mut json = Weight::default();
    for range in accept.split(',').take(RANGES_MAX) {
        let mut parts = range.split(';');
        let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let quality = quality(parts);
        match media.as_str() {
            "*/*" => {
                html.offer(Named::Any, quality);
                json.offer(Named::Any, quality);
            }
            "text/*" => html.offer(Named::Family, quality),
            "application/*" => json.offer(Named::Family, quality),
            "text/html" | "application/xhtml+xml" => html.offer(Named::Exactly, quality),
            "application/json" => json.offer(Named::Exactly, quality),
            // The client of a JSON API names its own type and can read a problem document.
            other if other.starts_with("application/") && other.ends_with("+json") => {
                json.offer(Named::Exactly, quality);
            }
            _ => {}
        }
    }
    if json.quality == html.quality {
        json.quality > 0 && json.named == Named::Exactly && html.named != Named::Exactly
    } else {
        json.quality > html.quality
    }
}

/// How a media range covers a type, least specific first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Named {
    #[default]
    Not,
    Any,
    Family,
    Exactly,
}

/// Weight of one of the two forms, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    named: Named,
    quality: u16,
}

impl Weight {
    /// The more specific range wins; among equally specific ones the heavier.
    fn offer(&mut self, named: Named, quality: u16) {
        if named > self.named {
            *self = Self { named, quality };
        } else if named == self.named {
            self.quality = self.quality.max(quality);
        }
    }
}

/// The `q` parameter in thousandths; 1000 when it is absent or unreadable.
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    parameters
        .find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()))
        })
        .flatten()
        .unwrap_or(1000)
}

/// `qvalue` of RFC 9110 §12.4.2: `0`, `1`, up to three decimals, nothing above 1.
fn thousandths(value: &str) -> Option<u16> {
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    let whole: u16 = match whole {
        "0" => 0,
        "1" => 1000,
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = format!("{decimals:0<3}").parse::<u16>().ok()?;
    (whole + part <= 1000).then_some(whole + part)
}

/// What is sent if the template cannot be rendered: bare, but with the request id.
fn plain_html(page: &Page<'_>) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><title>{status} {title}</title><h1>{title}</h1>\
         <p>{message}</p><p>Request id: {id}</p></html>\n",
        status = page.status,
        title = escaped(page.title),
        message = escaped(page.message),
        id = escaped(page.request_id),
    )
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHROMIUM: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,\
                            image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
    const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    fn page() -> Page<'static> {
        Page {
            status: 502,
            title: "The app is not answering",
            message: "palisade is running, but the app behind it is not.",
            request_id: "01901234-5678-7000-8000-000000000000",
            site: "app.example.com",
            hint: None,
        }
    }

    fn style_of(html: &str) -> Option<&str> {
        html.split_once("<style>")?.1.split_once("</style>").map(|(style, _)| style)
    }

    #[test]
    fn the_page_carries_status_title_message_site_and_request_id() {
        let html = Pages::new().unwrap().html(&page());
        for part in ["502", page().title, page().message, page().site, page().request_id] {
            assert!(html.contains(part), "{part} is missing from {html}");
        }
    }

    #[test]
    fn the_page_loads_nothing_and_runs_nothing() {
        let html = Pages::new().unwrap().html(&page());
        for part in ["<script", "http:", "https:", "src=", "href=", "url(", "@import", " style="] {
            assert!(!html.contains(part), "{part} in {html}");
        }
        assert!(html.contains("<html lang=\"en\">"));
        assert!(html.contains("name=\"viewport\""));
    }

    #[test]
    fn the_style_block_is_the_same_on_every_page() {
        let pages = Pages::new().unwrap();
        let other = Page { status: 404, title: "No", hint: Some("Try"), site: "", ..page() };
        let (one, two) = (pages.html(&page()), pages.html(&other));
        assert!(style_of(&one).is_some());
        assert_eq!(style_of(&one), style_of(&two));
    }

    #[test]
    fn a_hint_and_a_site_appear_only_when_given() {
        let pages = Pages::new().unwrap();
        let bare = pages.html(&Page { site: "", ..page() });
        assert!(!bare.contains("class=\"hint\"") && !bare.contains("<dt>Site"));
        let full = pages.html(&Page { hint: Some("Wait a minute."), ..page() });
        assert!(full.contains("Wait a minute.") && full.contains("<dt>Site"));
    }

    #[test]
    fn the_page_without_a_template_is_escaped_too() {
        let html = plain_html(&Page { title: "<b>\"x\" & 'y'", ..page() });
        assert!(html.contains("&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;"), "{html}");
    }

    #[test]
    fn a_problem_document_has_the_members_of_rfc_9457() {
        let json: serde_json::Value = serde_json::from_str(&problem_json(&page())).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "about:blank",
                "title": page().title,
                "status": 502,
                "detail": page().message,
                "request_id": page().request_id,
            })
        );
    }

    #[test]
    fn json_is_sent_only_to_those_who_ask_for_it() {
        for (accept, json) in [
            (None, false),
            (Some(""), false),
            (Some("*/*"), false),
            (Some(CHROMIUM), false),
            (Some(FIREFOX), false),
            (Some("image/avif,image/webp,*/*;q=0.8"), false),
            (Some("text/plain"), false),
            (Some("application/json, text/html"), false),
            (Some("application/json;q=0"), false),
            (Some("application/json;q=0.5, text/html;q=0.9"), false),
            (Some("application/json"), true),
            (Some("APPLICATION/JSON; charset=utf-8"), true),
            (Some("application/problem+json"), true),
            (Some("application/vnd.api+json"), true),
            (Some("application/json, text/plain, */*"), true),
            (Some("text/html;q=0.5, application/json;q=0.9"), true),
            (Some("text/html;q=0.500,application/*;q=0.501"), true),
            (Some("*/*, text/html;q=0.1, application/json"), true),
        ] {
            assert_eq!(wants_json(accept), json, "{accept:?}");
        }
    }

    #[test]
    fn an_unreadable_weight_counts_as_none_given() {
        for value in ["2", "-1", "0.1234", "1.001", "x", "", "0.a"] {
            assert_eq!(thousandths(value), None, "{value}");
        }
        assert_eq!(thousandths("0.5"), Some(500));
        assert_eq!(thousandths("1.000"), Some(1000));
        assert_eq!(thousandths("1."), Some(1000));
    }

    /// Ranges that a client may send, with a weight in thousandths.
    fn ranges() -> impl Strategy<Value = Vec<(&'static str, u16)>> {
        let media = prop::sample::select(vec![
            "text/html",
            "application/json",
            "application/problem+json",
            "image/png",
            "text/plain",
        ]);
        prop::collection::vec((media, 0_u16..=1000), 0..8)
    }

    /// The heaviest of the ranges that end so.
    fn heaviest(ranges: &[(&str, u16)], end: &str) -> u16 {
        ranges.iter().filter(|(m, _)| m.ends_with(end)).map(|(_, q)| *q).max().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn any_text_in_accept_is_answered_one_way_or_the_other(accept in ".{0,300}") {
            let _ = wants_json(Some(&accept));
        }

        #[test]
        fn without_wildcards_the_heavier_form_wins_and_html_wins_a_tie(ranges in ranges()) {
            let written: Vec<String> = ranges
                .iter()
                .map(|(media, q)| format!("{media};q={}.{:03}", q / 1000, q % 1000))
                .collect();
            let json = heaviest(&ranges, "json");
            let html = heaviest(&ranges, "html");
            let named = ranges.iter().any(|(media, _)| *media == "text/html");
            prop_assert_eq!(
                wants_json(Some(&written.join(", "))),
                json > html || (json == html && json > 0 && !named)
            );
        }

        #[test]
        fn the_order_of_ranges_does_not_matter(mut ranges in ranges()) {
            let accept = |ranges: &[(&str, u16)]| {
                ranges
                    .iter()
                    .map(|(media, q)| format!("{media};q={}.{:03}", q / 1000, q % 1000))
                    .collect::<Vec<_>>()
                    .join(",")
            };
            let forward = wants_json(Some(&accept(&ranges)));
            ranges.reverse();
            prop_assert_eq!(forward, wants_json(Some(&accept(&ranges))));
        }

        #[test]
        fn nothing_put_into_a_page_becomes_markup(text in "[<>\"'&a-z ]{1,40}") {
            let evil = Page {
                title: &text, message: &text, request_id: &text, site: &text,
                hint: Some(&text), ..page()
            };
            let calm = Page {
                title: "a", message: "a", request_id: "a", site: "a", hint: Some("a"), ..page()
            };
            let pages = Pages::new().expect("the template is valid");
            let tags = |html: &str| html.matches('<').count();
            prop_assert_eq!(tags(&pages.html(&evil)), tags(&pages.html(&calm)));
            let json: serde_json::Value = serde_json::from_str(&problem_json(&evil)).expect("JSON");
            prop_assert_eq!(json.get("detail").and_then(|v| v.as_str()), Some(text.as_str()));
        }
    }
}
