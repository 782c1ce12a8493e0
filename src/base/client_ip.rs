//! The address of whoever sent a request, and the proxies whose word about it counts.
//!
//! Promise 20: the peer, or the first untrusted address from the right through the trusted networks. Nobody is
//! trusted by default. This is the only place in palisade that decides it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// The resolved client address. Only [`TrustedProxies::resolve`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What caps and limits are keyed by: an IPv4 address, or the /64 of an IPv6 address (promise 29).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpKey(u64, bool);

impl IpKey {
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        match unmapped(addr) {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits()), false),
            IpAddr::V6(v6) => Self((v6.to_bits() >> 64) as u64, true),
        }
    }
}

/// `::ffff:192.0.2.1` is `192.0.2.1` (promise 29).
#[must_use]
pub fn unmapped(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(addr, IpAddr::V4),
        IpAddr::V4(_) => addr,
    }
}

/// Networks whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    #[must_use]
    pub const fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = unmapped(addr);
        self.0.iter().any(|network| network.contains(&addr))
    }

    /// The client behind `peer`, given the `X-Forwarded-For` values in the order they were received.
    ///
    /// An entry that is no address ends the walk: what stands left of it was written by someone unknown.
    pub fn resolve<'a, I>(&self, peer: IpAddr, forwarded_for: I) -> ClientIp
    where
        I: DoubleEndedIterator<Item = &'a str>,
    {
        let mut client = unmapped(peer);
        if !self.contains(client) {
            return ClientIp(client);
        }
        for entry in forwarded_for.rev().flat_map(|value| value.rsplit(',')) {
            let Some(addr) = parse_entry(entry.trim()) else { break };
            client = unmapped(addr);
            if !self.contains(client) {
                break;
            }
        }
        ClientIp(client)
    }
}

/// One entry of `X-Forwarded-For`: an address, perhaps with a port, perhaps in brackets.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    if let Ok(addr) = entry.parse::<IpAddr>() {
        return Some(addr);
    }
    if let Some(rest) = entry.strip_prefix('[') {
        let (inner, tail) = rest.split_once(']')?;
        let port = tail.strip_prefix(':');
        return (tail.is_empty() || port.is_some_and(is_port))
            .then(|| inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6))
            .flatten();
    }
    let (addr, port) = entry.rsplit_once(':')?;
    if is_port(port) { addr.parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4) } else { None }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trusting(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::new(networks.iter().map(|n| n.parse().expect("a network")).collect())
    }

    fn resolve(trusted: &TrustedProxies, peer: &str, xff: &[&str]) -> String {
        trusted.resolve(peer.parse().expect("an address"), xff.iter().copied()).to_string()
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        assert_eq!(resolve(&trusting(&[]), "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
    }

    #[test]
    fn the_first_untrusted_address_from_the_right_is_the_client() {
        let trusted = trusting(&["10.0.0.0/8"]);
        assert_eq!(
            resolve(&trusted, "10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.0.0.2"]),
            "203.0.113.9"
        );
        assert_eq!(
            resolve(&trusted, "10.0.0.1", &["6.6.6.6", "203.0.113.9", "10.0.0.2"]),
            "203.0.113.9"
        );
        assert_eq!(resolve(&trusted, "10.0.0.1", &["10.0.0.3"]), "10.0.0.3");
        assert_eq!(resolve(&trusted, "10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(resolve(&trusted, "10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(resolve(&trusted, "10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(resolve(&trusted, "10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
    }

    #[test]
    fn a_mapped_address_equals_its_v4_address() {
        let trusted = trusting(&["10.0.0.0/8"]);
        assert_eq!(resolve(&trusted, "::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().expect("an address");
        let plain: IpAddr = "192.0.2.1".parse().expect("an address");
        assert_eq!(IpKey::of(mapped), IpKey::of(plain));
    }

    #[test]
    fn v6_is_keyed_by_64() {
        let key = |text: &str| IpKey::of(text.parse().expect("an address"));
        assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_ne!(key("::1"), key("0.0.0.0"));
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_is_the_client_whatever_it_claims(claims in proptest::collection::vec(".{0,60}", 0..4)) {
            let trusted = trusting(&["10.0.0.0/8"]);
            let client = trusted.resolve("192.0.2.1".parse().expect("an address"), claims.iter().map(String::as_str));
            prop_assert_eq!(client.to_string(), "192.0.2.1");
        }
    }
}
