//! The address of whoever sent a request, and the proxies whose word about it counts.
//!
//! Promise 20: the peer, or the first untrusted address from the right through the trusted networks. Nobody is
//! trusted by default. This is the only place in palisade that decides it.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::forwarded;

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

/// Networks of proxies whose word about the client is believed.
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

    /// The client behind `peer`, given what came with the request.
    ///
    /// An entry that is no address ends the walk: what stands left of it was written by someone unknown.
    #[must_use]
    pub fn resolve(&self, peer: IpAddr, said: Said<'_>) -> ClientIp {
        let peer = unmapped(peer);
        match said {
            _ if !self.contains(peer) => ClientIp(peer),
            Said::Nothing => ClientIp(peer),
            Said::ForwardedFor(values) => {
                self.walk(peer, values.iter().rev().flat_map(|value| forwarded::listed(value)))
            }
            Said::Forwarded(values) => {
                self.walk(peer, values.iter().rev().flat_map(|value| forwarded::elements(value)))
            }
        }
    }

    /// From the nearest hop on to the first one that nobody vouches for.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> ClientIp {
        let mut client = peer;
        for hop in hops {
            let Some(addr) = hop else { break };
            client = unmapped(addr);
            if !self.contains(client) {
                break;
            }
        }
        ClientIp(client)
    }
}

/// What a request says about who has passed it on: the values of all fields of one name, in the order received.
#[derive(Debug, Clone, Copy)]
pub enum Said<'a> {
    Nothing,
    /// `X-Forwarded-For`.
    ForwardedFor(&'a [&'a [u8]]),
    /// `Forwarded` (RFC 7239).
    Forwarded(&'a [&'a [u8]]),
}

#[cfg(test)]
#[path = "client_ip_tests.rs"]
mod tests;
