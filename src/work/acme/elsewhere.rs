//! Trouble with a URL that the CA named itself: its directory was read, so `acme.directory` is not to blame.
//!
//! Promises: the URL that failed is named, and who can mend it.

use super::cause::{Advice, Facts, advice, host_of, renew};
use super::fault::Fault;
use super::problem::Trouble;

/// `None` where the advice about the directory holds: `url` is none, or at the directory's own host and merely not
/// answered there.
pub(super) fn of_fault(fault: &Fault, url: Option<&str>, facts: &Facts<'_>) -> Option<Advice> {
    let url = url?;
    let named = format!("{} names {url}", facts.directory_name);
    match fault {
        Fault::Url(_) => {
            return Some(advice(
                format!("{named}, which is no URL that palisade asks: it must begin with https://"),
                format!(
                    "report it to the CA, or use another one (acme.directory), {}",
                    renew(facts)
                ),
            ));
        }
        Fault::TooLarge { .. } => {
            return Some(advice(
                format!("{named}, and what answers there is no answer for an ACME client"),
                format!("report it to the CA, {}", renew(facts)),
            ));
        }
        _ if host_of(url) == host_of(facts.directory_url) => return None,
        _ => {}
    }
    let ca = host_of(url);
    Some(match fault {
        Fault::Time(_) => return None, // this machine's clock, wherever it was asked
        Fault::Silent { .. } | Fault::Broken(_) => advice(
            format!(
                "{named}; {ca} is down or overloaded, or something between cuts the connection"
            ),
            "nothing, if it passes: palisade tries again by itself; the CA's status page may say more",
        ),
        Fault::Unresolved(_) | Fault::Refused { .. } | Fault::Unreachable { .. } => advice(
            format!("{named}, and this machine cannot reach {ca}: a firewall, or the CA's mistake"),
            format!("allow outgoing TCP to {ca} (check with curl -v {url}), {}", renew(facts)),
        ),
        _ => advice(
            format!("{named}, and what answers there is not trusted as the CA is"),
            format!("check what answers (curl -v {url}) and ask the CA, {}", renew(facts)),
        ),
    })
}

/// Nothing is there, by the status.
pub(super) fn missing(trouble: &Trouble, facts: &Facts<'_>) -> Advice {
    let url = trouble.url().unwrap_or_default();
    advice(
        format!(
            "{} names {url}, where nothing is; a proxy between may change its answers",
            facts.directory_name
        ),
        format!("check what answers (curl -v {url}) and ask the CA, {}", renew(facts)),
    )
}

#[cfg(test)]
mod tests {
    use super::super::cause::Dns;
    use super::*;
    use crate::base::Host;

    const DIRECTORY: &str = "https://ca.example/directory";

    fn advised(fault: &Fault, url: Option<&str>) -> Option<Advice> {
        let site: Host = "app.example.com".parse().expect("a host");
        let facts = Facts {
            site: &site,
            dns: Dns::Unknown,
            directory_name: "ca.example",
            directory_url: DIRECTORY,
            challenges: &[],
            has_ca_file: false,
            has_eab: false,
            now_s: 0,
        };
        of_fault(fault, url, &facts)
    }

    #[test]
    fn the_url_that_failed_is_named_and_not_the_directory() {
        let refused = Fault::Refused { by: "127.0.0.1:22".into() };
        for (fault, url) in [
            (Fault::Url("x".into()), "http://ca.example/acct"),
            (Fault::TooLarge { bytes_max: 1 }, "https://ca.example/cert/1"),
            (refused.clone(), "https://127.0.0.1:22/x"),
            (Fault::Tls("x".into()), "https://127.0.0.1:22/x"),
            (Fault::Broken("x".into()), "https://other.example/x"),
        ] {
            let advice = advised(&fault, Some(url)).expect("about the URL");
            assert!(advice.likely.contains(url), "{advice:?}");
            for words in [&advice.likely, &advice.next] {
                assert!(!words.contains(DIRECTORY), "{advice:?}");
            }
        }
        assert_eq!(advised(&refused, None), None);
        assert_eq!(advised(&refused, Some("https://ca.example/new-order")), None);
    }
}
