//! Who the client is, case by case.

use proptest::prelude::*;

use super::*;

fn trusting(networks: &[&str]) -> TrustedProxies {
    TrustedProxies::new(networks.iter().map(|n| n.parse().expect("a network")).collect())
}

fn client(trusted: &TrustedProxies, peer: &str, said: Said<'_>) -> String {
    trusted.resolve(peer.parse().expect("an address"), said).to_string()
}

fn resolve(trusted: &TrustedProxies, peer: &str, xff: &[&str]) -> String {
    let values: Vec<&[u8]> = xff.iter().map(|value| value.as_bytes()).collect();
    client(trusted, peer, Said::ForwardedFor(&values))
}

fn resolve_forwarded(trusted: &TrustedProxies, peer: &str, values: &[&str]) -> String {
    let values: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    client(trusted, peer, Said::Forwarded(&values))
}

#[test]
fn nobody_is_trusted_by_default() {
    assert_eq!(resolve(&trusting(&[]), "192.0.2.1", &["203.0.113.9"]), "192.0.2.1");
}

/// What it is, who is trusted, the peer, the fields, and who the client is.
type Situation<'a> = (&'a str, &'a [&'a str], &'a str, &'a [&'a str], &'a str);

/// The six examples in Envoy's documentation of `x-forwarded-for` (HTTP connection manager, header manipulation):
/// 1, 2, 5 and 6 with `xff_num_trusted_hops` 0, 3 and 4 with 2; `use_remote_address` in 1 and 3 only. Where Envoy counts
/// hops, the proxies that it counts are named here, and the peer besides where `use_remote_address` is false.
/// `skip_xff_append` changes what is sent on, which here is always the one client address.
#[test]
fn the_documented_situations_of_envoy_have_the_same_client() {
    let from_outside = "203.0.113.128, 203.0.113.10, 203.0.113.1";
    let through_edge = "203.0.113.128, 203.0.113.10, 203.0.113.1, 192.0.2.5";
    let externals = ["192.0.2.5", "203.0.113.1"].map(|proxy| format!("{proxy}/32"));
    let externals: Vec<&str> = externals.iter().map(String::as_str).collect();
    let all = [&externals[..], &["10.0.0.0/8"]].concat();
    let inside = ["10.0.0.0/8"];
    let cases: [Situation; 6] = [
        ("an edge, nobody in front", &[], "192.0.2.5", &[from_outside], "192.0.2.5"),
        ("inside, behind that edge", &inside, "10.11.12.13", &[through_edge], "192.0.2.5"),
        ("an edge, two proxies in front", &externals, "192.0.2.5", &[from_outside], "203.0.113.10"),
        ("inside, behind all these", &all, "10.11.12.13", &[through_edge], "203.0.113.10"),
        ("inside, asked from inside", &inside, "10.20.30.40", &[], "10.20.30.40"),
        ("the same through one more", &inside, "10.20.30.50", &["10.20.30.40"], "10.20.30.40"),
    ];
    for (case, trusted, peer, xff, wanted) in cases {
        assert_eq!(resolve(&trusting(trusted), peer, xff), wanted, "{case}");
    }
}

/// What Envoy documents for a list of trusted networks in place of a count: `xff_trusted_cidrs` with `recurse`.
#[test]
fn the_documented_rules_of_envoy_for_trusted_networks_give_the_same_client() {
    let trusted = ["192.0.2.0/24", "198.51.100.0/24"];
    let cases: [Situation; 5] = [
        ("the peer is none of them", &trusted, "203.0.113.1", &["192.0.2.9"], "203.0.113.1"),
        ("nothing is said", &trusted, "192.0.2.1", &[], "192.0.2.1"),
        ("one hop", &trusted, "192.0.2.1", &["203.0.113.7"], "203.0.113.7"),
        (
            "the last that is none of them",
            &trusted,
            "192.0.2.1",
            &["203.0.113.6, 203.0.113.7, 198.51.100.3, 192.0.2.2"],
            "203.0.113.7",
        ),
        ("all are", &trusted, "192.0.2.1", &["198.51.100.9, 192.0.2.2"], "198.51.100.9"),
    ];
    for (case, trusted, peer, xff, wanted) in cases {
        assert_eq!(resolve(&trusting(trusted), peer, xff), wanted, "{case}");
    }
}

/// Here is no such thing as Envoy's too few addresses for the hops it counts, which make it take the peer: of proxies
/// that are known by name, the outermost one that is told of is the nearest to the client.
#[test]
fn fewer_addresses_than_proxies_lead_to_the_outermost_one_known() {
    let trusted = trusting(&["192.0.2.5/32", "203.0.113.1/32"]);
    assert_eq!(resolve(&trusted, "192.0.2.5", &["203.0.113.1"]), "203.0.113.1");
    assert_eq!(resolve(&trusted, "192.0.2.5", &[]), "192.0.2.5");
}

#[test]
fn the_first_untrusted_address_from_the_right_is_the_client() {
    let trusted = trusting(&["10.0.0.0/8"]);
    let cases: [(&[&str], &str); 16] = [
        (&["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (&["6.6.6.6", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        (&["6.6.6.6", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (&["10.0.0.3"], "10.0.0.3"),
        (&["10.0.0.9, 10.0.0.4, 10.0.0.3"], "10.0.0.9"),
        (&[], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["6.6.6.6, unknown"], "10.0.0.1"),
        (&["6.6.6.6, _hidden, 203.0.113.9"], "203.0.113.9"),
        (&["203.0.113.9, , 10.0.0.2,"], "203.0.113.9"),
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["[2001:db8::1]:4711, 10.0.0.2:80"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["6.6.6.6, fe80::1%eth0"], "10.0.0.1"),
        (&["6.6.6.6, 203.0.113.9:99999"], "10.0.0.1"),
    ];
    for (xff, wanted) in cases {
        assert_eq!(resolve(&trusted, "10.0.0.1", xff), wanted, "{xff:?}");
    }
}

/// Otherwise one byte from the client would make it look like the proxy, whose address counts more.
#[test]
fn bytes_that_are_no_text_spoil_only_their_own_entry() {
    let trusted = trusting(&["10.0.0.0/8"]);
    let value: &[u8] = b"6.6.6.6\x80, 203.0.113.9";
    assert_eq!(client(&trusted, "10.0.0.1", Said::ForwardedFor(&[value])), "203.0.113.9");
    let value: &[u8] = b"203.0.113.9, \x80";
    assert_eq!(client(&trusted, "10.0.0.1", Said::ForwardedFor(&[value])), "10.0.0.1");
}

#[test]
fn forwarded_is_walked_like_the_other() {
    let trusted = trusting(&["10.0.0.0/8", "2001:db8:1::/48"]);
    let cases: [(&[&str], &str); 8] = [
        (&["for=6.6.6.6, for=203.0.113.9;proto=https, for=10.0.0.2"], "203.0.113.9"),
        (&["for=6.6.6.6", "for=203.0.113.9", "for=\"[2001:db8:1::2]:80\""], "203.0.113.9"),
        (&["for=6.6.6.6, for=unknown, for=10.0.0.2"], "10.0.0.2"),
        (&["for=6.6.6.6, for=_hidden"], "10.0.0.1"),
        (&["for=6.6.6.6, proto=https"], "10.0.0.1"),
        (&["for=\"[::ffff:203.0.113.9]\""], "203.0.113.9"),
        (&["for=10.0.0.9, for=10.0.0.2"], "10.0.0.9"),
        (&["for=\", for=203.0.113.9"], "203.0.113.9"),
    ];
    for (values, wanted) in cases {
        assert_eq!(resolve_forwarded(&trusted, "10.0.0.1", values), wanted, "{values:?}");
    }
    assert_eq!(resolve_forwarded(&trusted, "192.0.2.1", &["for=6.6.6.6"]), "192.0.2.1");
}

#[test]
fn a_mapped_address_equals_its_v4_address() {
    let trusted = trusting(&["10.0.0.0/8"]);
    assert_eq!(resolve(&trusted, "::ffff:10.0.0.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    assert_eq!(resolve(&trusted, "10.0.0.1", &["203.0.113.9, ::ffff:10.0.0.2"]), "203.0.113.9");
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
    fn an_untrusted_peer_is_the_client_whatever_it_claims(
        claims in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4),
    ) {
        let trusted = trusting(&["10.0.0.0/8"]);
        let claims: Vec<&[u8]> = claims.iter().map(Vec::as_slice).collect();
        for said in [Said::ForwardedFor(&claims), Said::Forwarded(&claims)] {
            prop_assert_eq!(client(&trusted, "192.0.2.1", said), "192.0.2.1");
        }
    }

    /// What a client sends is in front of what the proxy adds, in the same field or in one before.
    #[test]
    fn a_client_chooses_nothing_behind_a_proxy_that_appends(
        claim in proptest::collection::vec(any::<u8>(), 0..60),
        apart: bool,
    ) {
        let trusted = trusting(&["10.0.0.0/8"]);
        let added = [&claim[..], b", 203.0.113.9"].concat();
        let values: [&[u8]; 2] = if apart { [&claim, b"203.0.113.9"] } else { [b"", &added] };
        prop_assert_eq!(client(&trusted, "10.0.0.1", Said::ForwardedFor(&values)), "203.0.113.9");
    }
}
