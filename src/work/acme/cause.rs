//! From what went wrong to what it most likely means and what to do about it (promise 9).
//!
//! Promises: pure; every failure has both sentences, in the operator's terms: ports, DNS, the configuration's keys.

use std::net::IpAddr;

use super::elsewhere;
use super::fault::Fault;
use super::problem::{Class, Trouble, What};
use super::settings::ChallengeKind;
use crate::base::Host;
use crate::base::timestamp::rfc3339;

/// Where a name points, as seen from this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dns {
    /// Not asked, or the answer says nothing.
    Unknown,
    Missing,
    Here,
    Elsewhere {
        points_to: IpAddr,
        this: IpAddr,
    },
    Cloudflare,
}

/// What is known beside the failure itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'a> {
    pub site: &'a Host,
    pub dns: Dns,
    pub directory_name: &'a str,
    pub directory_url: &'a str,
    /// In the order of trying.
    pub challenges: &'a [ChallengeKind],
    pub has_ca_file: bool,
    pub has_eab: bool,
    pub now_s: i64,
}

/// Two sentences, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    pub likely: String,
    pub next: String,
}

/// Explains a failure.
#[must_use]
pub fn explain(trouble: &Trouble, facts: &Facts<'_>) -> Advice {
    match &trouble.what {
        What::Fault(fault) => elsewhere::of_fault(fault, trouble.url(), facts)
            .unwrap_or_else(|| of_fault(fault, facts)),
        What::Problem => of_problem(trouble, facts),
        What::Answer => of_answer(trouble, facts),
        What::Slow => advice(
            "the CA is slow or busy; the order stands",
            "nothing: the next attempt goes on with the same order",
        ),
        What::State => advice(
            "the state directory cannot be written or read (full disk, permissions, a damaged file, another master key)",
            "free space or repair it as `palisade status` says; no order is placed until then",
        ),
        What::Clock => clock(facts, "the clock of this machine or of the CA is wrong"),
        What::CaFile => advice(
            "acme.ca_file is missing, unreadable or no PEM certificate",
            "name the root certificate of the CA in acme.ca_file, readable by palisade, then `palisade reload`",
        ),
        What::Eab => advice(
            "the key of acme.eab is not what the CA gave: it must be base64url text",
            "copy the HMAC key of the CA unchanged into the file that acme.eab names, then `palisade reload`",
        ),
        What::Profile { listed } => profile(listed),
        What::NoChallenge { offered } => no_challenge(offered, facts),
        What::Wildcard => advice(
            "a wildcard needs a DNS challenge, which palisade does not have",
            "name the hosts one by one in `also`, or bring a certificate: tls = { cert = …, key = … }; then `palisade reload`",
        ),
        What::Defect { .. } => advice(
            "a defect of palisade, met by an answer that no CA should give",
            format!(
                "report it with the panic in the log just before; palisade tries again by itself, {}",
                renew(facts).replacen("then", "or", 1)
            ),
        ),
        What::Issued => advice(
            "the CA issued something else than what was ordered, or one of the two clocks is wrong",
            "compare `date -u` with the certificate above; ask the CA if the clock is right",
        ),
    }
}

/// The host of a URL, for sentences.
pub(super) fn host_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.split('/').next().unwrap_or(after)
}

pub(super) fn advice(likely: impl Into<String>, next: impl Into<String>) -> Advice {
    Advice { likely: likely.into(), next: next.into() }
}

pub(super) fn renew(facts: &Facts<'_>) -> String {
    format!("then `palisade cert renew {}`", facts.site)
}

fn clock(facts: &Facts<'_>, likely: &str) -> Advice {
    advice(
        format!("{likely}; this machine says it is {}", rfc3339(facts.now_s)),
        "set the clock (`timedatectl`, or your time server); the next attempt follows by itself",
    )
}

/// The CA could not be asked.
fn of_fault(fault: &Fault, facts: &Facts<'_>) -> Advice {
    let ca = host_of(facts.directory_url);
    match fault {
        Fault::Url(_) => directory(facts, "acme.directory is not a URL that can be asked"),
        Fault::Unresolved(_) => advice(
            format!("the name {ca} in acme.directory is misspelt, or this machine cannot ask DNS"),
            format!(
                "check `getent hosts {ca}` on this machine, {}, and the spelling of acme.directory",
                renew(facts)
            ),
        ),
        Fault::Refused { .. } => advice(
            format!("nothing listens at {ca}, or a firewall refuses connections from this machine"),
            format!(
                "check acme.directory and outgoing connections (curl -v {}), {}",
                facts.directory_url,
                renew(facts)
            ),
        ),
        Fault::Unreachable(_) => advice(
            format!("a firewall drops outgoing connections to {ca}, or the network is down"),
            format!(
                "allow outgoing TCP to {ca} (check with curl -v {}), {}",
                facts.directory_url,
                renew(facts)
            ),
        ),
        Fault::Silent { .. } | Fault::Broken(_) => advice(
            format!("{ca} is down or overloaded, or something between cuts the connection"),
            "nothing, if it passes: palisade tries again by itself; the CA's status page may say more",
        ),
        Fault::Untrusted(_) if facts.has_ca_file => advice(
            "acme.ca_file is not the root of this CA's own certificate; it replaces the public roots",
            "name the CA's root certificate in acme.ca_file, or remove it for a public CA, then `palisade reload`",
        ),
        Fault::Untrusted(_) => advice(
            "it is a private CA whose root is not among the public ones, or something intercepts TLS",
            "set acme.ca_file to the CA's root certificate (PEM), then `palisade reload`",
        ),
        Fault::CaAsServer => advice(
            "a self-signed root is installed where a server certificate belongs",
            format!(
                "have the CA issue one for {} and install it there (its root stays in acme.ca_file), {}",
                ca.rsplit_once(':').map_or(ca, |(host, _)| host),
                renew(facts)
            ),
        ),
        Fault::Time(_) => clock(facts, "the clock of this machine is wrong"),
        Fault::Tls(_) => advice(
            format!("what answers at {ca} is not the CA under that name, or speaks no TLS"),
            format!(
                "check acme.directory and what answers (curl -v {}), {}",
                facts.directory_url,
                renew(facts)
            ),
        ),
        Fault::TooLarge { .. } => directory(facts, "what answers there is no ACME CA"),
        Fault::NoDirectory { status } if *status >= 500 => advice(
            format!("{ca} is down or in maintenance"),
            "nothing: palisade tries again by itself; the CA's status page may say more",
        ),
        Fault::NoDirectory { .. } => {
            directory(facts, "acme.directory is not the URL of an ACME directory")
        }
    }
}

fn directory(facts: &Facts<'_>, likely: &str) -> Advice {
    advice(
        format!("{likely}: {}", facts.directory_url),
        "copy the directory URL from the CA's documentation into acme.directory, then `palisade reload`",
    )
}

/// An answer without a problem document.
fn of_answer(trouble: &Trouble, facts: &Facts<'_>) -> Advice {
    match trouble.status {
        _ if trouble.class == Class::RateLimited => limited(trouble, facts),
        Some(500..) => advice(
            "the CA is down, overloaded or in maintenance",
            "nothing: palisade tries again by itself; the CA's status page may say more",
        ),
        Some(404 | 405) if trouble.url().is_some() => elsewhere::missing(trouble, facts),
        Some(404 | 405) => directory(facts, "acme.directory is not the URL of an ACME directory"),
        _ => advice(
            "the CA does not follow the protocol here, or a proxy between changes its answers",
            "see the CA's words above; report it to the CA if it stays",
        ),
    }
}

/// A problem document (types: RFC 8555 §6.7, RFC 9773 §7.4).
fn of_problem(trouble: &Trouble, facts: &Facts<'_>) -> Advice {
    let kind = trouble.short_kind().unwrap_or_default();
    if let (Some(challenge), Some(name)) = (trouble.challenge, trouble.name.as_ref())
        && !matches!(kind, "caa" | "rateLimited" | "rejectedIdentifier")
    {
        return of_validation(trouble, name, challenge, facts);
    }
    match kind {
        "rateLimited" => limited(trouble, facts),
        "caa" => advice(
            format!("a CAA record of {} or of a domain above it forbids this CA", facts.site),
            format!(
                "add the CA to the CAA record in DNS (its documentation has its name) or remove the record, {}",
                renew(facts)
            ),
        ),
        "rejectedIdentifier" | "unsupportedIdentifier" => advice(
            "the CA does not issue for one of these names (not public, blocked, or against its policy)",
            "remove the name from the site, use a CA that issues for it, or set tls = \"local\"; then `palisade reload`",
        ),
        "invalidContact" | "unsupportedContact" => advice(
            "the CA does not take acme.contact as a mail address",
            "correct or remove acme.contact, then `palisade reload`",
        ),
        "externalAccountRequired" => eab(facts),
        "userActionRequired" => advice(
            "the CA wants its new terms of service to be agreed to, or the account needs attention",
            format!("follow the CA's words above, {}", renew(facts)),
        ),
        "accountDoesNotExist" | "unauthorized" if facts.has_eab => eab(facts),
        "accountDoesNotExist" => {
            advice("the CA has forgotten the account", "nothing: the next attempt makes a new one")
        }
        "unauthorized" => advice(
            "the CA has deactivated the account, or refuses it for these names",
            format!("ask the CA (its words are above), {}", renew(facts)),
        ),
        "badCSR" | "badPublicKey" | "badSignatureAlgorithm" => advice(
            "the CA does not accept P-256 keys or this set of names",
            "use another profile (acme.profile) or another CA, then `palisade reload`",
        ),
        "dns" | "connection" | "tls" | "incorrectResponse" => {
            let challenge = facts.challenges.first().copied().unwrap_or(ChallengeKind::Http01);
            of_validation(trouble, facts.site, challenge, facts)
        }
        "serverInternal" => advice(
            "the CA has trouble of its own",
            "nothing: palisade tries again by itself; the CA's status page may say more",
        ),
        "malformed" if facts.has_eab => eab(facts),
        _ => advice(
            "the CA refuses for the reason that it gives above",
            format!("do what it says, {}", renew(facts)),
        ),
    }
}

fn eab(facts: &Facts<'_>) -> Advice {
    if facts.has_eab {
        return advice(
            "the key in acme.eab is wrong, expired, or was used already",
            "get a new pair from the CA's account page, put it into acme.eab, then `palisade reload`",
        );
    }
    advice(
        format!(
            "{} only serves customers: it wants an external account binding",
            facts.directory_name
        ),
        "get a key id and HMAC key from the CA's account page and set acme.eab = { kid = …, hmac = { file = … } }, then `palisade reload`",
    )
}

fn limited(trouble: &Trouble, facts: &Facts<'_>) -> Advice {
    let when = trouble.retry_after_s.and_then(|s| i64::try_from(s).ok()).map_or_else(
        || "after a while".to_owned(),
        |wait| format!("not before {}", rfc3339(facts.now_s.saturating_add(wait))),
    );
    advice(
        format!(
            "too many orders or failures for these names or this account; the CA takes the next one {when}"
        ),
        "nothing: palisade waits as long as the CA asks; repair the cause of earlier failures meanwhile",
    )
}

/// The CA looked, and did not find what it was promised.
fn of_validation(
    trouble: &Trouble,
    name: &Host,
    challenge: ChallengeKind,
    facts: &Facts<'_>,
) -> Advice {
    match &facts.dns {
        Dns::Missing => {
            return advice(
                format!("{name} has no address in DNS"),
                format!(
                    "add an A or AAAA record for {name} that points to this machine, {}",
                    renew(facts)
                ),
            );
        }
        Dns::Elsewhere { points_to, this } => {
            return advice(
                format!("{name} points to {points_to}, not to this machine ({this})"),
                format!("correct the A and AAAA records of {name}, {}", renew(facts)),
            );
        }
        Dns::Cloudflare => return behind_cdn(name, challenge, facts),
        Dns::Here | Dns::Unknown => {}
    }
    let here = if facts.dns == Dns::Here { " (DNS does point here)" } else { "" };
    let port = port(challenge);
    let next = |what: String| match trouble.both {
        true => format!("{what}, {}", renew(facts)),
        false => format!(
            "{what}, or set acme.challenges = [\"{}\"]; {}",
            other(challenge).word(),
            renew(facts)
        ),
    };
    match seen_as(trouble) {
        "connection" if trouble.both => advice(
            format!("ports 80 and 443 are closed in front of this machine{here}"),
            next("open port 80 or 443".into()),
        ),
        "connection" => advice(
            format!("port {port} is closed in front of this machine{here}"),
            next(format!("open port {port}")),
        ),
        "dns" => advice(
            format!(
                "the CA cannot resolve {name}: no record yet, or its DNS servers do not answer the CA"
            ),
            format!("check it from outside (the record, DNSSEC), {}", renew(facts)),
        ),
        "tls" => advice(
            format!("something in front of palisade ends TLS on port {port}{here}"),
            next("pass TLS through to palisade".into()),
        ),
        _ => advice(
            format!("another server answers on port {port} for {name}{here}"),
            next(format!("let port {port} of {name} reach palisade (look at AAAA records too)")),
        ),
    }
}

/// What the CA met. Some call it a failed connection when they cannot resolve the name, and some a refusal when they
/// cannot connect.
pub fn seen_as(trouble: &Trouble) -> &str {
    let says = |words: &[&str]| words.iter().any(|words| trouble.detail.contains(words));
    if says(&["could not resolve", "no such host", "NXDOMAIN"]) {
        return "dns";
    }
    if says(&["Failed to connect", "connection refused", "Connection refused"]) {
        return "connection";
    }
    trouble.short_kind().unwrap_or_default()
}

fn behind_cdn(name: &Host, challenge: ChallengeKind, facts: &Facts<'_>) -> Advice {
    match challenge {
        ChallengeKind::TlsAlpn01 => advice(
            format!(
                "{name} is behind Cloudflare, which ends TLS itself: tls-alpn-01 cannot work there"
            ),
            "set acme.challenges = [\"http-01\"], then `palisade reload`",
        ),
        ChallengeKind::Http01 => advice(
            format!(
                "{name} is behind Cloudflare, which did not pass the CA's question on to port 80 of this machine"
            ),
            format!(
                "let it pass /.well-known/acme-challenge/ unchanged (no redirect, no cache, no block), {}",
                renew(facts)
            ),
        ),
    }
}

const fn port(challenge: ChallengeKind) -> u16 {
    match challenge {
        ChallengeKind::TlsAlpn01 => 443,
        ChallengeKind::Http01 => 80,
    }
}

/// The other way to prove a name.
const fn other(challenge: ChallengeKind) -> ChallengeKind {
    match challenge {
        ChallengeKind::TlsAlpn01 => ChallengeKind::Http01,
        ChallengeKind::Http01 => ChallengeKind::TlsAlpn01,
    }
}

fn profile(listed: &[String]) -> Advice {
    let offers = if listed.is_empty() {
        "the CA has no certificate profiles".to_owned()
    } else {
        format!("the CA has no such profile; it has {}", listed.join(", "))
    };
    advice(offers, "correct or remove acme.profile, then `palisade reload`")
}

fn no_challenge(offered: &[String], facts: &Facts<'_>) -> Advice {
    let wanted: Vec<&str> = facts.challenges.iter().map(|kind| kind.word()).collect();
    advice(
        format!(
            "the CA offers {}, the configuration allows {}",
            offered.join(", "),
            wanted.join(", ")
        ),
        "add one that the CA offers to acme.challenges, then `palisade reload`",
    )
}

#[cfg(test)]
#[path = "cause_tests.rs"]
mod tests;
