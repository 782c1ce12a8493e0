//! What a web page can make a browser send is refused at every door: a Unix socket may be forwarded to a port.
//!
//! Threats: DNS rebinding, cross-site requests. Fails closed.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use super::api::Problem;
use crate::base::Host;

/// Where a browser says that a request was made.
const SITE: &str = "sec-fetch-site";

/// A door answers requests that name it by address or as localhost, and none that a web page sent:
/// a rebound DNS name shows in `Host`, a script of another page in `Origin`, what a page merely embeds in `Sec-Fetch-Site`. HTTP/1.0 checkers send no `Host`.
///
/// # Errors
/// The refusal to send.
pub(super) fn no_web_page(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let crosses = |site: &http::HeaderValue| site != "none" && site != "same-origin";
    if headers.contains_key(ORIGIN) || headers.get_all(SITE).iter().any(crosses) {
        return Err(Problem::new(403, "Forbidden", "palisade does not answer web pages here"));
    }
    let named = headers.get_all(HOST).iter().map(|value| value.to_str().unwrap_or_default());
    let mut named = named.chain(uri.authority().map(http::uri::Authority::as_str));
    if named.all(|authority| Host::from_authority(authority).is_ok_and(|host| host.is_local())) {
        return Ok(());
    }
    let detail = "ask by IP address or as localhost, not by another name";
    Err(Problem::new(403, "Forbidden", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &[&str], origin: Option<&str>, uri: &str) -> bool {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(HOST, host.parse().expect("a value"));
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().expect("a value"));
        }
        no_web_page(&headers, &uri.parse().expect("a URI")).is_ok()
    }

    #[test]
    fn the_ops_address_answers_to_addresses_and_localhost() {
        assert!(asked(&["127.0.0.1:9180"], None, "/health"));
        assert!(asked(&["[::1]:9180"], None, "/health"));
        assert!(asked(&["10.0.0.5"], None, "/health"));
        assert!(asked(&["LOCALHOST:9180"], None, "/health"));
        assert!(asked(&[], None, "/health"), "HTTP/1.0 health checkers");
    }

    #[test]
    fn what_a_page_of_another_site_embeds_is_refused() {
        for (site, answered) in [
            ("none", true),
            ("same-origin", true),
            ("same-site", false),
            ("cross-site", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SITE, site.parse().expect("a value"));
            assert_eq!(
                no_web_page(&headers, &Uri::from_static("/health")).is_ok(),
                answered,
                "{site}"
            );
        }
    }

    #[test]
    fn a_rebound_name_or_a_web_page_is_refused() {
        assert!(!asked(&["attacker.example:9180"], None, "/metrics"));
        assert!(!asked(&["127.0.0.1", "attacker.example"], None, "/metrics"));
        assert!(!asked(&[""], None, "/metrics"));
        assert!(!asked(&["127.0.0.1"], None, "http://attacker.example/metrics"));
        assert!(!asked(&["127.0.0.1:9180"], Some("http://127.0.0.1:9180"), "/metrics"));
        assert!(!asked(&["127.0.0.1:9180"], Some("null"), "/metrics"));
    }
}
