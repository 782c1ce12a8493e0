//! The demo app's pages: templates, one stylesheet, one mark, all inside the binary.
//!
//! Promises: whatever a request brought is escaped; no page asks for anything outside the app.

use axum::response::Html;
use http::HeaderMap;
use minijinja::{Environment, Value, context};

use super::app::{Broken, Story};

pub const STYLESHEET: &str = include_str!("../../assets/demo/demo.css");
pub const MARK: &str = include_str!("../../assets/demo/mark.svg");

/// What a proxy tells an app about a request, in the order in which the form page lists it.
pub const FORWARDED: [&str; 6] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Forwarded",
    "X-Request-ID",
    "traceparent",
];

const LAYOUT: &str = "layout.html";

const TEMPLATES: [(&str, &str); 9] = [
    (LAYOUT, include_str!("../../assets/demo/layout.html")),
    ("home.html", include_str!("../../assets/demo/home.html")),
    ("form.html", include_str!("../../assets/demo/form.html")),
    ("script.html", include_str!("../../assets/demo/script.html")),
    ("websocket.html", include_str!("../../assets/demo/websocket.html")),
    ("stream.html", include_str!("../../assets/demo/stream.html")),
    ("slow.html", include_str!("../../assets/demo/slow.html")),
    ("fail.html", include_str!("../../assets/demo/fail.html")),
    ("error.html", include_str!("../../assets/demo/error.html")),
];

/// The templates, compiled.
#[derive(Debug)]
pub struct Pages {
    templates: Environment<'static>,
}

/// One page to render.
#[derive(Debug)]
pub struct View<'a> {
    pub template: &'static str,
    pub title: &'a str,
    /// Path of the entry in the navigation that is marked as current.
    pub path: &'static str,
    /// Filled into the page's own template.
    pub body: Value,
}

/// Path and name of every entry.
const NAVIGATION: [(&str, &str); 6] = [
    ("/form", "Form"),
    ("/script", "Script"),
    ("/websocket", "WebSocket"),
    ("/stream", "Events"),
    ("/slow", "Slow"),
    ("/fail", "Break it"),
];

impl Pages {
    /// Compiles the templates.
    ///
    /// # Errors
    /// Only when a built-in template is not valid, which a test rules out.
    pub fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        for (name, source) in TEMPLATES {
            templates.add_template(name, source)?;
        }
        Ok(Self { templates })
    }

    /// Renders a page inside the layout. A template that fails leaves a page that says so.
    pub fn page(&self, view: View<'_>, headers: &HeaderMap, broken: Broken) -> Html<String> {
        Html(self.render(view, headers, broken).unwrap_or_else(|_| {
            "<!doctype html><html lang=\"en\"><title>palisade demo</title>\
             <p>This page could not be made.</p></html>"
                .to_owned()
        }))
    }

    fn render(
        &self,
        view: View<'_>,
        headers: &HeaderMap,
        broken: Broken,
    ) -> Result<String, minijinja::Error> {
        let body = self.templates.get_template(view.template)?.render(view.body)?;
        self.templates.get_template(LAYOUT)?.render(context! {
            title => view.title,
            path => view.path,
            nav => navigation(),
            request_id => text(headers, "x-request-id"),
            broken => (broken != Broken::Off).then(|| broken.sentence()),
            body => Value::from_safe_string(body),
        })
    }
}

/// What the home page says about the request that asked for it.
#[must_use]
pub fn home(headers: &HeaderMap, story: &Story) -> Value {
    let scheme = text(headers, "x-forwarded-proto").unwrap_or_else(|| "http".to_owned());
    let host = text(headers, "x-forwarded-host").or_else(|| text(headers, "host"));
    context! {
        request_id => text(headers, "x-request-id"),
        client => text(headers, "x-forwarded-for").unwrap_or_else(|| "this machine".to_owned()),
        scheme => scheme.to_ascii_uppercase(),
        host => host,
        trust => story.trust.as_str(),
    }
}

/// The headers of [`FORWARDED`], each with its value if the request had it.
#[must_use]
pub fn forwarded(headers: &HeaderMap) -> Value {
    FORWARDED.into_iter().map(|name| context! { name, value => text(headers, name) }).collect()
}

fn navigation() -> Value {
    NAVIGATION.into_iter().map(|(path, name)| context! { path, name }).collect()
}

/// All values of a field, joined as RFC 9110 §5.3 allows.
pub fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_asks_for_anything_outside_the_app() {
        for (name, source) in TEMPLATES.into_iter().chain([("demo.css", STYLESHEET)]) {
            for part in ["http://", "https://", "src=", "@import", "url(", " style=", " onclick="] {
                assert!(!source.contains(part), "{name} contains {part}");
            }
        }
    }

    #[test]
    fn every_page_of_the_navigation_marks_itself() {
        let pages = Pages::new().unwrap();
        for (path, _) in NAVIGATION {
            let view =
                View { template: "error.html", title: "x", path, body: context! { status => 404 } };
            let Html(html) = pages.page(view, &HeaderMap::new(), Broken::Off);
            assert_eq!(html.matches("aria-current=\"page\"").count(), 1, "{path}");
        }
    }

    #[test]
    fn a_request_that_passed_no_proxy_is_told_so() {
        let pages = Pages::new().unwrap();
        let story = Story { trust: "palisade cert trust".to_owned() };
        let mut headers = HeaderMap::new();
        let body = home(&headers, &story);
        let view = View { template: "home.html", title: "Home", path: "/", body };
        let Html(direct) = pages.page(view, &headers, Broken::Off);
        assert!(direct.contains("You are talking to the app itself"));

        headers.insert("x-request-id", "<id>".parse().unwrap());
        let body = home(&headers, &story);
        let view = View { template: "home.html", title: "Home", path: "/", body };
        let Html(proxied) = pages.page(view, &headers, Broken::Off);
        assert!(proxied.contains("This page came through palisade"));
        assert!(proxied.contains("&lt;id&gt;") && !proxied.contains("<id>"));
    }
}
