//! Who may speak to the daemon: pure decisions, the server applies them.
//!
//! Threats: another user of the machine on the control socket; a web page that makes the operator's browser
//! ask the ops address (DNS rebinding, cross-site requests).
//! Fails closed.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

use super::api::Problem;
use crate::base::Host;

/// The control socket serves root and the user that the daemon runs as. The socket's mode says the same;
/// this holds when someone widened it.
///
/// # Errors
/// The refusal to send.
pub fn peer(peer_uid: u32, own_uid: u32) -> Result<(), Problem> {
    if peer_uid == 0 || peer_uid == own_uid {
        return Ok(());
    }
    let detail = format!(
        "user id {peer_uid} may not control this daemon; run the command as root or as user id {own_uid}"
    );
    Err(Problem::new(403, "Forbidden", detail))
}

/// The ops address answers requests that name it by address or as localhost, and none that a web page sent:
/// a rebound DNS name shows in `Host`, a script of another page in `Origin`. HTTP/1.0 checkers send no `Host`.
///
/// # Errors
/// The refusal to send.
pub fn ops_request(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    if headers.contains_key(ORIGIN) {
        return Err(Problem::new(403, "Forbidden", "the ops address does not answer web pages"));
    }
    let named = headers.get_all(HOST).iter().map(|value| value.to_str().unwrap_or_default());
    let mut named = named.chain(uri.authority().map(http::uri::Authority::as_str));
    if named.all(|authority| Host::from_authority(authority).is_ok_and(|host| host.is_local())) {
        return Ok(());
    }
    let detail = "ask for the ops address by IP address or as localhost, not by another name";
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
        ops_request(&headers, &uri.parse().expect("a URI")).is_ok()
    }

    #[test]
    fn root_and_the_own_user_may_control_and_nobody_else() {
        assert!(peer(0, 1000).is_ok());
        assert!(peer(1000, 1000).is_ok());
        let problem = peer(1001, 1000).expect_err("refused");
        assert_eq!(problem.status, 403);
        assert!(problem.detail.is_some_and(|detail| detail.contains("user id 1001")));
        assert!(peer(1000, 0).is_err());
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
    fn a_rebound_name_or_a_web_page_is_refused() {
        assert!(!asked(&["attacker.example:9180"], None, "/metrics"));
        assert!(!asked(&["127.0.0.1", "attacker.example"], None, "/metrics"));
        assert!(!asked(&[""], None, "/metrics"));
        assert!(!asked(&["127.0.0.1"], None, "http://attacker.example/metrics"));
        assert!(!asked(&["127.0.0.1:9180"], Some("http://127.0.0.1:9180"), "/metrics"));
        assert!(!asked(&["127.0.0.1:9180"], Some("null"), "/metrics"));
    }
}
