//! Keys whose names are settled and whose capability comes with a later version, and keys that never come.
//!
//! A file written for a later version deserves a better answer than "unknown key". An entry leaves this table when
//! its capability arrives. What other proxies have and this one refuses to have deserves a reason.

/// Section, key, and what it belongs to.
const LATER: [(&str, &str, &str); 24] = [
    ("", "plan", PLANS),
    ("", "shared", SHARED),
    ("", "limit", LIMITS),
    ("", "queue", QUEUE),
    ("", "lane", "lanes come with the queue"),
    ("", "access", ACCESS),
    ("site.*", "plan", PLANS),
    ("site.*", "shared", SHARED),
    ("site.*", "queue", QUEUE),
    ("site.*", "limit", LIMITS),
    ("site.*", "webhook", WEBHOOKS),
    ("site.*", "lane", "lanes come with the queue"),
    ("site.*", "access", ACCESS),
    ("site.*", "noindex", NOINDEX),
    ("site.*", "csp", CSP),
    ("site.*.route.*", "plan", PLANS),
    ("site.*.route.*", "shared", SHARED),
    ("site.*.route.*", "queue", QUEUE),
    ("site.*.route.*", "limit", LIMITS),
    ("site.*.route.*", "webhook", WEBHOOKS),
    ("site.*.route.*", "lane", "lanes come with the queue"),
    ("site.*.route.*", "access", ACCESS),
    ("site.*.route.*", "noindex", NOINDEX),
    ("site.*.route.*", "csp", CSP),
];

const PLANS: &str = "plans come with rate limits";
const SHARED: &str = "shared state comes with a later version";
const QUEUE: &str = "the queue comes with a later version";
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
const UNVERIFIED: [&str; 10] = [
    "verify",
    "verification",
    "insecure",
    "insecure_skip_verify",
    "skip_verify",
    "tls_insecure_skip_verify",
    "tls_skip_verify",
    "tls_verify",
    "reject_unauthorized",
    "accept_invalid_certs",
];

/// Why there never is such a key, and what to do instead.
pub(super) fn never(section: &str, key: &str) -> Option<(&'static str, &'static str)> {
    if !UNVERIFIED.contains(&key) {
        return None;
    }
    let label = match section {
        "site.*.upstream_tls" => "write ca_file: it may hold the app's own self-signed certificate",
        SITE | ROUTE => {
            "write upstream_tls = { ca_file = \"…\" }: it may hold the app's own self-signed certificate"
        }
        _ => return None,
    };
    Some(("TLS to an app is always verified, or anybody could stand in for it", label))
}

const SITE: &str = "site.*";
const ROUTE: &str = "site.*.route.*";

/// Keys that stand elsewhere or are called otherwise, too far from the right word to be found by its letters.
const ELSEWHERE: [(&str, &str, &str); 16] = [
    (SITE, "weight", WEIGHT),
    (ROUTE, "weight", WEIGHT),
    (SITE, "requests_max", REQUESTS_MAX),
    (ROUTE, "requests_max", REQUESTS_MAX),
    (SITE, "first_byte_timeout", FIRST_BYTE),
    (SITE, "first_byte", FIRST_BYTE),
    (ROUTE, "first_byte", "did you mean `first_byte_timeout`?"),
    (SITE, "timeout", FIRST_BYTE),
    (ROUTE, "timeout", "did you mean `first_byte_timeout`? other deadlines stand in [timeout]"),
    (SITE, "retries", RETRIES),
    (ROUTE, "retries", RETRIES),
    (SITE, "health_check", HEALTH),
    (ROUTE, "health_check", HEALTH),
    (SITE, "max_body", BODY_MAX),
    (ROUTE, "max_body", BODY_MAX),
    ("http", "max_body", BODY_MAX),
];

const WEIGHT: &str =
    "it belongs to one upstream: upstream = [{ to = \"127.0.0.1:3000\", weight = 2 }, …]";
const REQUESTS_MAX: &str =
    "it belongs to one upstream: upstream = { to = \"127.0.0.1:3000\", requests_max = 100 }";
const FIRST_BYTE: &str =
    "write first_byte_timeout in a route, or `first_byte` of [timeout] for all sites";
const RETRIES: &str = "did you mean `retry`? it is a share of the requests, as \"20%\"";
const HEALTH: &str = "did you mean `health`? write health = \"/healthz\"";
const BODY_MAX: &str = "did you mean `body_max`?";

/// Where such a key stands, or what it is called.
pub(super) fn elsewhere(section: &str, key: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(s, k, _)| *s == section && *k == key).map(|(_, _, label)| *label)
}
