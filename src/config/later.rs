//! Keys whose names are settled and whose capability comes with a later version.
//!
//! A file written for a later version deserves a better answer than "unknown key". An entry leaves this table when
//! its capability arrives.

/// Section, key, and what it belongs to.
const LATER: [(&str, &str, &str); 18] = [
    ("", "plan", "plans come with rate limits"),
    ("", "shared", "shared state comes with a later version"),
    ("", "limit", LIMITS),
    ("", "queue", "the queue comes with a later version"),
    ("", "lane", "lanes come with the queue"),
    ("", "access", ACCESS),
    ("site.*", "limit", LIMITS),
    ("site.*", "webhook", WEBHOOKS),
    ("site.*", "lane", "lanes come with the queue"),
    ("site.*", "access", ACCESS),
    ("site.*", "noindex", NOINDEX),
    ("site.*", "csp", CSP),
    ("site.*.route.*", "limit", LIMITS),
    ("site.*.route.*", "webhook", WEBHOOKS),
    ("site.*.route.*", "lane", "lanes come with the queue"),
    ("site.*.route.*", "access", ACCESS),
    ("site.*.route.*", "noindex", NOINDEX),
    ("site.*.route.*", "csp", CSP),
];

const LIMITS: &str = "rate limits come with a later version";
const WEBHOOKS: &str = "webhook verification comes with a later version";
const ACCESS: &str = "sign-in and roles come with a later version";
const NOINDEX: &str = "indexing rules come with a later version";
const CSP: &str = "content security policies come with a later version";

/// What a key of a later version belongs to; `None` if there is no such key.
pub(super) fn what(section: &str, key: &str) -> Option<&'static str> {
    LATER.iter().find(|(s, k, _)| *s == section && *k == key).map(|(_, _, what)| *what)
}
