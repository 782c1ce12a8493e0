//! Which header stays, which is replaced. Pure: header map in, header map out.

use http::header::{
    HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::base::Mode;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// HSTS for a year (RFC 6797); no preload, which only the operator may promise.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");
const HSTS_SECONDS: u64 = 31_536_000;
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const SAMEORIGIN: HeaderValue = HeaderValue::from_static("SAMEORIGIN");
const STRICT_ORIGIN: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");
const PERMISSIONS: HeaderValue =
    HeaderValue::from_static("geolocation=(), camera=(), microphone=()");

/// Values of `Referrer-Policy` that tell no more than `strict-origin-when-cross-origin` does.
const REFERRER_AS_STRICT: [&str; 4] =
    ["no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"];

/// What [`harden`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hardening {
    /// A header was missing or weaker than the default.
    pub lacking: bool,
}

/// Makes `headers` at least as strict as the defaults. In `observe` nothing changes, and the answer says whether
/// something would have. `hsts` is for responses over TLS (RFC 6797 §7.2) of names that are public: on `localhost`
/// it would take plain HTTP away from every other program on the machine, as HSTS knows no ports.
pub fn harden(headers: &mut HeaderMap, mode: Mode, hsts: bool) -> Hardening {
    if mode == Mode::Off {
        return Hardening::default();
    }
    let enforce = mode == Mode::Enforce;
    let mut found = Hardening::default();
    if enforce {
        headers.reserve(8);
    }
    if hsts {
        settle(headers, STRICT_TRANSPORT_SECURITY, HSTS, as_long, enforce, &mut found);
    }
    settle(headers, X_CONTENT_TYPE_OPTIONS, NOSNIFF, is_nosniff, enforce, &mut found);
    settle(headers, X_FRAME_OPTIONS, SAMEORIGIN, keeps_frames_out, enforce, &mut found);
    settle(headers, REFERRER_POLICY, STRICT_ORIGIN, tells_no_more, enforce, &mut found);
    // Two permission policies cannot be compared; the app that states one knows what it needs.
    settle(headers, PERMISSIONS_POLICY, PERMISSIONS, |_| true, enforce, &mut found);
    found
}

fn settle(
    headers: &mut HeaderMap,
    name: HeaderName,
    default: HeaderValue,
    strict: impl Fn(&str) -> bool,
    enforce: bool,
    found: &mut Hardening,
) {
    let mut values = headers.get_all(&name).iter().peekable();
    let stands = values.peek().is_some() && values.all(|value| value.to_str().is_ok_and(&strict));
    if !stands {
        found.lacking = true;
        if enforce {
            headers.insert(name, default);
        }
    }
}

fn as_long(value: &str) -> bool {
    value.split(';').any(|directive| {
        let (name, seconds) = directive.split_once('=').unwrap_or((directive, ""));
        name.trim().eq_ignore_ascii_case("max-age")
            && seconds.trim().trim_matches('"').parse::<u64>().is_ok_and(|s| s >= HSTS_SECONDS)
    })
}

fn is_nosniff(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("nosniff")
}

fn keeps_frames_out(value: &str) -> bool {
    let value = value.trim();
    value.eq_ignore_ascii_case("DENY") || value.eq_ignore_ascii_case("SAMEORIGIN")
}

/// A browser takes the last value of the list that it knows; all of them must hold.
fn tells_no_more(value: &str) -> bool {
    value.split(',').all(|policy| {
        REFERRER_AS_STRICT.iter().any(|strict| policy.trim().eq_ignore_ascii_case(strict))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hardened(
        fields: &[(&'static str, &'static str)],
        mode: Mode,
        tls: bool,
    ) -> (HeaderMap, bool) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let found = harden(&mut headers, mode, tls);
        (headers, found.lacking)
    }

    #[test]
    fn a_bare_response_gets_every_default() {
        let (headers, lacking) = hardened(&[], Mode::Enforce, true);
        assert!(lacking);
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000; includeSubDomains"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("permissions-policy", "geolocation=(), camera=(), microphone=()"),
        ] {
            assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()));
        }
    }

    #[test]
    fn hsts_is_never_promised_over_plain_http() {
        let (headers, _) = hardened(&[], Mode::Enforce, false);
        assert!(!headers.contains_key("strict-transport-security"));
    }

    #[test]
    fn the_apps_stricter_value_stands() {
        let own = [
            ("strict-transport-security", "max-age=63072000; preload"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer, strict-origin"),
            ("permissions-policy", "geolocation=(self)"),
        ];
        let (headers, lacking) = hardened(&own, Mode::Enforce, true);
        assert!(!lacking);
        for (name, value) in own {
            assert_eq!(headers.get(name).map(HeaderValue::as_bytes), Some(value.as_bytes()));
        }
    }

    #[test]
    fn the_apps_weaker_value_is_replaced() {
        for (name, weak) in [
            ("strict-transport-security", "max-age=0"),
            ("x-content-type-options", "sniff"),
            ("x-frame-options", "ALLOW-FROM https://evil.example"),
            ("referrer-policy", "unsafe-url"),
        ] {
            let (headers, lacking) = hardened(&[(name, weak)], Mode::Enforce, true);
            assert!(lacking);
            assert_ne!(headers.get(name).map(HeaderValue::as_bytes), Some(weak.as_bytes()));
            assert_eq!(headers.get_all(name).iter().count(), 1);
        }
    }

    #[test]
    fn two_values_of_which_one_is_weak_become_the_default() {
        let own = [("x-frame-options", "DENY"), ("x-frame-options", "ALLOWALL")];
        let (headers, _) = hardened(&own, Mode::Enforce, true);
        let values: Vec<_> = headers.get_all("x-frame-options").iter().collect();
        assert_eq!(values, ["SAMEORIGIN"]);
    }

    #[test]
    fn observe_counts_and_changes_nothing_and_off_does_not_look() {
        let (headers, lacking) = hardened(&[], Mode::Observe, true);
        assert!(lacking && headers.is_empty());
        let (headers, lacking) = hardened(&[], Mode::Off, true);
        assert!(!lacking && headers.is_empty());
    }
}
