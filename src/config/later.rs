//! Keys whose names are settled and whose capability comes with a later version, and keys that never come.
//!
//! A file written for a later version deserves a better answer than "unknown key". An entry leaves this table when
//! its capability arrives. What other proxies have and this one refuses to have deserves a reason.

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

/// Words for not looking at the certificate of an app.
const UNVERIFIED: [&str; 8] = [
    "verify",
    "verification",
    "insecure",
    "insecure_skip_verify",
    "skip_verify",
    "tls_insecure_skip_verify",
    "reject_unauthorized",
    "accept_invalid_certs",
];

/// Why there never is such a key, and what to do instead.
pub(super) fn never(section: &str, key: &str) -> Option<(&'static str, &'static str)> {
    (section == "site.*.upstream_tls" && UNVERIFIED.contains(&key)).then_some((
        "TLS to an app is always verified, or anybody could stand in for it",
        "write ca_file: it may hold the app's own self-signed certificate",
    ))
}
