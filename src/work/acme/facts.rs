//! Gathers what explains a failed validation: where the name points, and where this machine is.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use ipnet::IpNet;

use super::cause::Dns;
use crate::base::{CLOUDFLARE, Host};
use crate::ports::Resolver;

/// An explanation is not worth a longer wait.
const RESOLVE: Duration = Duration::from_secs(5);

/// Looks up `name` and compares.
pub async fn dns(resolver: &dyn Resolver, name: &Host) -> Dns {
    match tokio::time::timeout(RESOLVE, resolver.resolve(name.as_str(), 443)).await {
        Err(_) => Dns::Unknown,
        Ok(Ok(found)) => {
            let found: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
            judge(&found, &own_addresses())
        }
        // The resolver's own trouble says nothing about the name.
        Ok(Err(error)) if error.to_string().contains("emporary failure") => Dns::Unknown,
        Ok(Err(_)) => Dns::Missing,
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
    fn asking_for_the_own_address_needs_no_network() {
        let _ = own_addresses();
    }
}
