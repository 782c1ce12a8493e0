//! `X-Forwarded-For` and `Forwarded`: whoever is not trusted chooses nothing (promise 20).
//!
//! The first byte chooses the peer, the rest is the field, one value per line.

use std::net::{IpAddr, Ipv4Addr};

use palisade::base::{Said, TrustedProxies};

type Kind = for<'a> fn(&'a [&'a [u8]]) -> Said<'a>;

pub fn run(bytes: &[u8]) {
    let Some((peer, bytes)) = bytes.split_first() else { return };
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, *peer));
    let values: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let nobody = TrustedProxies::default();
    let network = "10.0.0.0/25".parse().expect("a network");
    let proxies = TrustedProxies::new(vec![network]);
    let kinds: [Kind; 2] = [|values| Said::ForwardedFor(values), |values| Said::Forwarded(values)];
    for said in kinds {
        assert_eq!(
            nobody.resolve(peer, said(&values)).addr(),
            peer,
            "nobody is trusted by default"
        );
        let client = proxies.resolve(peer, said(&values)).addr();
        // Several fields are one list, in their order (RFC 9110 §5.3); a quote that is open ends with its field.
        if !bytes.contains(&b'"') {
            let joined = values.join(&b", "[..]);
            assert_eq!(proxies.resolve(peer, said(&[&joined])).addr(), client, "one list");
        }
        if !proxies.contains(peer) {
            assert_eq!(client, peer, "an untrusted peer speaks for itself");
        }
        if let IpAddr::V6(v6) = client {
            assert!(
                v6.to_ipv4_mapped().is_none(),
                "a mapped address is its IPv4 address (promise 29)"
            );
        }
    }
    let trusted = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    left_of_an_untrusted_one_nothing_counts(&proxies, trusted, bytes);
    // What the proxy itself adds is found behind whatever the client sent.
    let client = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let list = [bytes, b", 203.0.113.9"].concat();
    assert_eq!(proxies.resolve(trusted, Said::ForwardedFor(&[&list])).addr(), client);
    let list = [bytes, b", for=203.0.113.9"].concat();
    assert_eq!(proxies.resolve(trusted, Said::Forwarded(&[&list])).addr(), client);
}

/// Every end of the list that names an untrusted address decides: no beginning changes what it says.
fn left_of_an_untrusted_one_nothing_counts(proxies: &TrustedProxies, peer: IpAddr, list: &[u8]) {
    let commas = list.iter().enumerate().filter(|(_, byte)| **byte == b',').map(|(at, _)| at);
    for end in commas.take(64).map(|at| &list[at + 1..]) {
        let whole = proxies.resolve(peer, Said::ForwardedFor(&[list])).addr();
        let found = proxies.resolve(peer, Said::ForwardedFor(&[end])).addr();
        assert!(proxies.contains(found) || whole == found, "{found} at the right, {whole} in all");
        // A comma in a quoted string is none; an end without quotes has none of those.
        if !end.contains(&b'"') {
            let whole = proxies.resolve(peer, Said::Forwarded(&[list])).addr();
            let found = proxies.resolve(peer, Said::Forwarded(&[end])).addr();
            assert!(
                proxies.contains(found) || whole == found,
                "{found} at the right, {whole} in all"
            );
        }
    }
}
