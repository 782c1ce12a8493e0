//! `X-Forwarded-For` and `Forwarded`: whoever is not trusted chooses nothing (promise 20).
//!
//! The first byte chooses the peer, the rest is the field, one value per line.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use palisade::base::{Said, TrustedProxies};

fuzz_target!(|input: (u8, &[u8])| {
    let (peer, bytes) = input;
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, peer));
    let values: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let nobody = TrustedProxies::default();
    let network = "10.0.0.0/25".parse().expect("a network");
    let proxies = TrustedProxies::new(vec![network]);
    for said in [Said::ForwardedFor(&values), Said::Forwarded(&values)] {
        assert_eq!(nobody.resolve(peer, said).addr(), peer, "nobody is trusted by default");
        let client = proxies.resolve(peer, said).addr();
        if !proxies.contains(peer) {
            assert_eq!(client, peer, "an untrusted peer speaks for itself");
        }
        if let IpAddr::V6(v6) = client {
            assert!(v6.to_ipv4_mapped().is_none(), "a mapped address is its IPv4 address (promise 29)");
        }
    }
    // What the proxy itself adds is found behind whatever the client sent.
    let trusted = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let client = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let list = [bytes, b", 203.0.113.9"].concat();
    assert_eq!(proxies.resolve(trusted, Said::ForwardedFor(&[&list])).addr(), client);
    let list = [bytes, b", for=203.0.113.9"].concat();
    assert_eq!(proxies.resolve(trusted, Said::Forwarded(&[&list])).addr(), client);
});
