//! Each failure with what it means and what to do.

use super::*;

fn site() -> Host {
    "app.example.com".parse().expect("a host")
}

fn explained(trouble: &Trouble, change: impl FnOnce(&mut Facts<'_>)) -> Advice {
    let site = site();
    let mut facts = Facts {
        site: &site,
        dns: Dns::Unknown,
        directory_name: "letsencrypt",
        directory_url: "https://ca.example/dir",
        challenges: &[ChallengeKind::TlsAlpn01, ChallengeKind::Http01],
        has_ca_file: false,
        has_eab: false,
        now_s: 1_800_000_000,
    };
    change(&mut facts);
    explain(trouble, &facts)
}

fn problem(kind: &str) -> Trouble {
    Trouble {
        kind: Some(format!("urn:ietf:params:acme:error:{kind}")),
        ..Trouble::new(What::Problem, Class::Ca, "words")
    }
}

fn fault(fault: Fault) -> Trouble {
    Trouble::new(What::Fault(Box::new(fault.clone())), Class::Network, fault.to_string())
}

#[test]
fn a_closed_port_is_named_with_the_way_out() {
    let trouble = problem("connection").at(&site(), ChallengeKind::Http01);
    let advice = explained(&trouble, |facts| facts.dns = Dns::Here);
    assert_eq!(advice.likely, "port 80 is closed in front of this machine (DNS does point here)");
    assert_eq!(
        advice.next,
        "open port 80, or set acme.challenges = [\"tls-alpn-01\"]; then `palisade cert renew app.example.com`"
    );
}

#[test]
fn a_challenge_that_failed_too_is_not_recommended() {
    let mut trouble = problem("connection").at(&site(), ChallengeKind::Http01);
    trouble.both = true;
    let advice = explained(&trouble, |_| {});
    assert_eq!(advice.likely, "ports 80 and 443 are closed in front of this machine");
    assert_eq!(advice.next, "open port 80 or 443, then `palisade cert renew app.example.com`");
}

#[test]
fn every_cause_is_told_in_the_operators_terms() {
    use ChallengeKind::{Http01, TlsAlpn01};
    let at = |kind: &str, challenge| problem(kind).at(&site(), challenge);
    let elsewhere = Dns::Elsewhere {
        points_to: "198.51.100.1".parse().expect("an address"),
        this: "203.0.113.7".parse().expect("an address"),
    };
    let cases = [
        (at("dns", Http01), Dns::Missing, "has no address", "A or AAAA record"),
        (at("connection", Http01), elsewhere.clone(), "points to 198.51.100.1", "correct the A"),
        (
            at("unauthorized", Http01),
            Dns::Here,
            "another server answers on port 80",
            "reach palisade",
        ),
        (
            at("unauthorized", TlsAlpn01),
            Dns::Cloudflare,
            "tls-alpn-01 cannot work",
            "[\"http-01\"]",
        ),
        (at("unauthorized", Http01), Dns::Cloudflare, "behind Cloudflare", "acme-challenge"),
        (at("tls", TlsAlpn01), Dns::Unknown, "ends TLS on port 443", "[\"http-01\"]"),
        (at("caa", Http01), Dns::Here, "CAA record", "CAA record in DNS"),
        (problem("caa"), Dns::Unknown, "CAA record", "CAA record in DNS"),
        (problem("rejectedIdentifier"), Dns::Unknown, "does not issue", "remove the name"),
        (problem("invalidContact"), Dns::Unknown, "acme.contact", "acme.contact"),
        (problem("externalAccountRequired"), Dns::Unknown, "only serves customers", "acme.eab"),
        (problem("userActionRequired"), Dns::Unknown, "terms of service", "CA's words"),
        (problem("somethingNew"), Dns::Unknown, "gives above", "cert renew app.example.com"),
        (
            fault(Fault::Refused { by: "ca.example:443".into() }),
            Dns::Unknown,
            "nothing listens at ca.example",
            "curl -v",
        ),
        (fault(Fault::Unreachable("x".into())), Dns::Unknown, "firewall", "outgoing TCP"),
        (
            fault(Fault::Silent { from: "ca.example:443".into(), seconds: 30 }),
            Dns::Unknown,
            "down or overloaded",
            "by itself",
        ),
        (fault(Fault::Unresolved("x".into())), Dns::Unknown, "misspelt", "getent hosts ca.example"),
        (fault(Fault::Untrusted("x".into())), Dns::Unknown, "private CA", "acme.ca_file"),
        (
            fault(Fault::Time("x".into())),
            Dns::Unknown,
            "clock of this machine is wrong; this machine says it is 2027-01-15",
            "timedatectl",
        ),
        (fault(Fault::NoDirectory { status: 404 }), Dns::Unknown, "not the URL", "directory URL"),
        (fault(Fault::NoDirectory { status: 503 }), Dns::Unknown, "maintenance", "by itself"),
        (Trouble::state("full"), Dns::Unknown, "full disk", "no order is placed"),
    ];
    for (trouble, dns, likely, next) in cases {
        let advice = explained(&trouble, |facts| facts.dns = dns);
        assert!(advice.likely.contains(likely), "{trouble:?}\n{advice:?}\nwanted: {likely}");
        assert!(advice.next.contains(next), "{trouble:?}\n{advice:?}\nwanted: {next}");
    }
}

#[test]
fn a_name_that_did_not_resolve_is_told_by_the_cas_words_too() {
    let mut trouble = problem("connection");
    trouble = trouble.at(&"app.example.com".parse().expect("a name"), ChallengeKind::Http01);
    trouble.detail = "Get \"http://app.example.com/\": could not resolve URL".into();
    let advice = explained(&trouble, |_| {});
    assert!(advice.likely.contains("cannot resolve app.example.com"), "{advice:?}");
}

#[test]
fn a_rate_limit_says_when_it_ends() {
    let mut trouble = problem("rateLimited");
    trouble.retry_after_s = Some(3600);
    let advice = explained(&trouble, |_| {});
    assert!(advice.likely.contains("not before 2027-01-15T09:00:00Z"), "{advice:?}");
}

#[test]
fn what_is_configured_changes_the_advice() {
    let untrusted = fault(Fault::Untrusted("x".into()));
    let advice = explained(&untrusted, |facts| facts.has_ca_file = true);
    assert!(advice.likely.contains("acme.ca_file is not the root"), "{advice:?}");
    let advice = explained(&problem("unauthorized"), |facts| facts.has_eab = true);
    assert!(advice.likely.contains("acme.eab is wrong"), "{advice:?}");
}

#[test]
fn a_ca_that_could_not_connect_blames_the_port_whatever_it_calls_that() {
    let mut trouble = problem("unauthorized").at(&site(), ChallengeKind::TlsAlpn01);
    trouble.detail = "Failed to connect to 127.0.0.1:25001 for the tls-alpn-01 challenge".into();
    let advice = explained(&trouble, |_| {});
    assert_eq!(advice.likely, "port 443 is closed in front of this machine");
}

#[test]
fn what_no_configuration_mends_is_tried_by_renew_and_what_one_does_by_reload() {
    for outside in [
        fault(Fault::Refused { by: "ca.example:443".into() }),
        fault(Fault::Unreachable("x".into())),
        fault(Fault::Unresolved("x".into())),
        problem("caa"),
    ] {
        let next = explained(&outside, |_| {}).next;
        assert!(next.contains("then `palisade cert renew app.example.com`"), "{next}");
        assert!(!next.contains("reload"), "{next}");
    }
    for inside in ["externalAccountRequired", "rejectedIdentifier", "invalidContact"] {
        let next = explained(&problem(inside), |_| {}).next;
        assert!(next.ends_with("then `palisade reload`"), "{next}");
    }
}
