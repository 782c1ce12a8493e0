//! `X-Forwarded-For`: whoever is not trusted chooses nothing (promise 20).
//!
//! The first byte chooses the peer, the rest is the header, one value per line.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use palisade::base::TrustedProxies;

fuzz_target!(|input: (u8, &str)| {
    let (peer, text) = input;
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, peer));
    let values: Vec<&str> = text.lines().collect();

    let nobody = TrustedProxies::default();
    assert_eq!(nobody.resolve(peer, values.iter().copied()).addr(), peer, "nobody is trusted by default");

    let network = "10.0.0.0/25".parse().expect("a network");
    let proxies = TrustedProxies::new(vec![network]);
    let client = proxies.resolve(peer, values.iter().copied()).addr();
    if !proxies.contains(peer) {
        assert_eq!(client, peer, "an untrusted peer speaks for itself");
    }
    if let IpAddr::V6(v6) = client {
        assert!(v6.to_ipv4_mapped().is_none(), "a mapped address is its IPv4 address (promise 29)");
    }
});
