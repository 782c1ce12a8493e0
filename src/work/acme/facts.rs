//! Gathers what explains a failed validation: where the name points, and where this machine is.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use ipnet::IpNet;

use super::cause::{self, Dns};
use super::problem::Trouble;
use crate::base::{CLOUDFLARE, Host};
use crate::ports::Resolver;

/// An explanation is not worth a longer wait.
const RESOLVE: Duration = Duration::from_secs(5);

/// Where `name` points: as the CA has seen it, if its words tell, else as this machine sees it.
///
/// The CA may ask other name servers than this machine does: what it has reached, it has found.
pub async fn dns(resolver: &dyn Resolver, name: &Host, trouble: &Trouble) -> Dns {
    if let Some(seen) = address_in(&trouble.detail) {
        return judge(&[seen], &own_addresses());
    }
    let here = look_up(resolver, name).await;
    let reached = matches!(cause::seen_as(trouble), "unauthorized" | "incorrectResponse" | "tls");
    if reached && here == Dns::Missing { Dns::Unknown } else { here }
}

/// The first address that the CA says it asked: `203.0.113.7: Fetching …`, `dial tcp [::1]:80: …`. Not that of the
/// name server, which Go's words have behind `on`.
fn address_in(words: &str) -> Option<IpAddr> {
    let mut before = "";
    for word in words.split(|c: char| c.is_whitespace() || "\"',;()<>".contains(c)) {
        let bare = word.strip_suffix([':', '.']).unwrap_or(word);
        let address = bare.parse::<SocketAddr>().map(|found| (found.ip(), found.port() == 53));
        let address = address.or_else(|_| bare.parse::<IpAddr>().map(|ip| (ip, false)));
        match address {
            Ok((ip, false)) if before != "on" => return Some(ip),
            _ => before = word,
        }
    }
    None
}

async fn look_up(resolver: &dyn Resolver, name: &Host) -> Dns {
    match tokio::time::timeout(RESOLVE, resolver.resolve(name.as_str())).await {
        Err(_) => Dns::Unknown,
        Ok(Ok(found)) => judge(&found.addresses, &own_addresses()),
        Ok(Err(fault)) if fault.is_answer() => Dns::Missing,
        // The resolver's own trouble says nothing about the name.
        Ok(Err(_)) => Dns::Unknown,
    }
}

fn judge(found: &[IpAddr], own: &[IpAddr]) -> Dns {
    let Some(first) = found.first() else { return Dns::Missing };
    if found.iter().any(|ip| own.contains(ip)) {
        return Dns::Here;
    }
    if found.iter().any(is_cloudflare) {
        return Dns::Cloudflare;
    }
    // Behind a translated address, what the world sees is not known here; names of /etc/hosts say nothing either.
    if found.iter().any(|ip| !is_public(*ip)) {
        return Dns::Unknown;
    }
    let same_family = |ip: &&IpAddr| ip.is_ipv4() == first.is_ipv4() && is_public(**ip);
    own.iter()
        .find(same_family)
        .map_or(Dns::Unknown, |this| Dns::Elsewhere { points_to: *first, this: *this })
}

fn is_cloudflare(ip: &IpAddr) -> bool {
    CLOUDFLARE.iter().filter_map(|net| net.parse::<IpNet>().ok()).any(|net| net.contains(ip))
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let shared = ip.octets().first() == Some(&100)
                && ip.octets().get(1).is_some_and(|b| b & 0xc0 == 64);
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local())
        }
    }
}

/// The addresses that this machine sends from. "Connecting" a datagram socket asks the routing table; nothing is sent.
fn own_addresses() -> Vec<IpAddr> {
    // Addresses of documentation (RFC 5737, RFC 3849): any that take the default route would do.
    ["0.0.0.0:0 192.0.2.1:9", "[::]:0 [2001:db8::1]:9"]
        .iter()
        .filter_map(|pair| {
            let (from, to) = pair.split_once(' ')?;
            let socket = UdpSocket::bind(from.parse::<SocketAddr>().ok()?).ok()?;
            socket.connect(to.parse::<SocketAddr>().ok()?).ok()?;
            Some(socket.local_addr().ok()?.ip())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Pending, Resolved, Unresolved};
    use crate::work::acme::problem::{Class, What};

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn where_a_name_points_is_judged_only_when_it_can_be_known() {
        let own = ips(&["203.0.113.7", "2001:db8:1::7"]);
        assert_eq!(judge(&[], &own), Dns::Missing);
        assert_eq!(judge(&ips(&["198.51.100.1", "203.0.113.7"]), &own), Dns::Here);
        assert_eq!(judge(&ips(&["104.16.1.1"]), &own), Dns::Cloudflare);
        assert_eq!(
            judge(&ips(&["198.51.100.1"]), &own),
            Dns::Elsewhere {
                points_to: "198.51.100.1".parse().expect("an address"),
                this: "203.0.113.7".parse().expect("an address")
            }
        );
        assert_eq!(judge(&ips(&["198.51.100.1"]), &ips(&["10.0.0.5"])), Dns::Unknown);
        assert_eq!(judge(&ips(&["127.0.1.1"]), &own), Dns::Unknown);
        assert_eq!(judge(&ips(&["100.64.3.1"]), &own), Dns::Unknown);
    }

    #[test]
    fn the_address_that_a_ca_has_asked_is_found_in_its_words() {
        // Of Let's Encrypt, of Pebble, and of Go's library, which others pass on.
        for (words, address) in [
            (
                "203.0.113.7: Fetching http://a.example/.well-known/acme-challenge/x: Connection refused",
                "203.0.113.7",
            ),
            (
                "2001:db8::7: Fetching http://a.example/x: Timeout during connect (likely firewall problem)",
                "2001:db8::7",
            ),
            ("203.0.113.7: Invalid response from http://a.example/x: 404", "203.0.113.7"),
            (
                "Failed to connect to 127.0.0.1:25001 for the tls-alpn-01 challenge: connection refused",
                "127.0.0.1",
            ),
            ("tls-alpn-01: Failed to connect to [::1]:443 for the tls-alpn-01 challenge", "::1"),
            (
                "Get \"http://a.example:5002/x\": dial tcp 10.0.0.9:5002: connect: connection refused",
                "10.0.0.9",
            ),
        ] {
            assert_eq!(address_in(words), address.parse().ok(), "{words}");
        }
        for words in [
            "DNS problem: NXDOMAIN looking up A for a.example - check that a DNS record exists",
            "lookup a.example on 127.0.0.53:53: no such host",
            "During secondary validation: 12:30 no luck",
        ] {
            assert_eq!(address_in(words), None, "{words}");
        }
    }

    /// Knows no name.
    struct Nowhere;

    impl Resolver for Nowhere {
        fn resolve<'a>(&'a self, _: &'a str) -> Pending<'a, Result<Resolved, Unresolved>> {
            Box::pin(async { Err(Unresolved::Missing) })
        }
    }

    #[tokio::test]
    async fn what_the_ca_has_reached_is_not_called_missing_in_dns() {
        let name: Host = "app.example.com".parse().expect("a host");
        let told = async |kind: &str, detail: &str| {
            let kind = Some(format!("urn:ietf:params:acme:error:{kind}"));
            let trouble = Trouble { kind, ..Trouble::new(What::Problem, Class::Ca, detail) };
            dns(&Nowhere, &name, &trouble).await
        };
        let refused = "Failed to connect to 127.0.0.1:25001 for the tls-alpn-01 challenge";
        assert_eq!(told("unauthorized", refused).await, Dns::Unknown);
        assert_eq!(told("connection", "10.9.8.7: Connection refused").await, Dns::Unknown);
        assert_eq!(told("unauthorized", "wrong answer").await, Dns::Unknown);
        assert_eq!(told("dns", "NXDOMAIN looking up A for app.example.com").await, Dns::Missing);
        assert_eq!(told("connection", "it did not work").await, Dns::Missing);
    }

    #[test]
    fn asking_for_the_own_address_needs_no_network() {
        let _ = own_addresses();
    }
}
