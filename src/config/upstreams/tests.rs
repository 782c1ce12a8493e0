//! Upstreams as written and as used.

use std::time::Duration;

use proptest::prelude::*;

use crate::config::settings::{
    Balance, Breaker, Endpoint, HealthCheck, KeepAwake, Protocol, Settings, UpstreamAddr,
    UpstreamTls, WaitQueue,
};
use crate::config::tests::{load, settings};

fn site(text: &str) -> Settings {
    settings(&format!("[site.\"app.example.com\"]\n{text}"))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn every_form_of_an_upstream_shows_as_it_is_written() {
    let tls = |name: &str| Some(UpstreamTls { name: name.into(), ca_file: None });
    let tcp = |host: &str, port| UpstreamAddr::Tcp { host: host.into(), port };
    let socket = || UpstreamAddr::Unix("/run/a.sock".into());
    let (h1, h2) = (Protocol::Http1, Protocol::Http2);
    let cases = [
        ("127.0.0.1:3000", tcp("127.0.0.1", 3000), h1, None, "127.0.0.1:3000"),
        (":3000", tcp("127.0.0.1", 3000), h1, None, "127.0.0.1:3000"),
        ("App.internal:80", tcp("app.internal", 80), h1, None, "app.internal:80"),
        ("h2:443", tcp("h2", 443), h1, None, "h2:443"),
        ("unix:/run/a.sock", socket(), h1, None, "unix:/run/a.sock"),
        ("unix:///run/a.sock", socket(), h1, None, "unix:/run/a.sock"),
        ("https://b", tcp("b", 443), h1, tls("b"), "https://b:443"),
        ("HTTPS://b:8443", tcp("b", 8443), h1, tls("b"), "https://b:8443"),
        ("https://[::2]", tcp("::2", 443), h1, tls("::2"), "https://[::2]:443"),
        ("h2://192.0.2.1:1", tcp("192.0.2.1", 1), h2, tls("192.0.2.1"), "h2://192.0.2.1:1"),
        ("h2c://[::1]:50051", tcp("::1", 50051), h2, None, "h2c://[::1]:50051"),
        ("h2c:unix:/run/a.sock", socket(), h2, None, "h2c:unix:/run/a.sock"),
    ];
    for (text, addr, protocol, tls, shown) in cases {
        let settings = site(&format!("upstream = \"{text}\"\n"));
        let endpoint = &settings.sites[0].upstreams.list[0].endpoint;
        assert_eq!(*endpoint, Endpoint { addr, protocol, tls }, "{text}");
        assert_eq!(endpoint.to_string(), shown);
    }
}

#[test]
fn short_forms_mean_the_same_as_long_ones() {
    let same = [
        ("retry = \"0%\"", "retry = \"off\""),
        ("wait_queue = { requests = 0 }", "wait_queue = \"off\""),
        ("wait_queue = {}", "wait_queue = { requests = 100, wait = \"5s\" }"),
        ("breaker = {}", "breaker = { failures = 5, open = \"1s\" }"),
        ("health = \"/up?full=1\"", "health = { path = \"/up?full=1\" }"),
        (
            "health = \"/\"",
            "health = { path = \"/\", every = \"10s\", timeout = \"5s\", status = \"200-399\", rise = 2, fall = 3 }",
        ),
        (
            "health = { path = \"/\", status = 204 }",
            "health = { path = \"/\", status = \"204-204\" }",
        ),
        (
            "health = { path = \"/\", every = \"2s\" }",
            "health = { path = \"/\", every = \"2s\", timeout = \"2s\" }",
        ),
        ("keep_awake = \"5m\"", "keep_awake = { path = \"/\", every = \"5m\" }"),
        ("keep_awake = \"5m\"", "keep_awake = {}"),
    ];
    for (short, long) in same {
        let [a, b] = [short, long].map(|key| site(&format!("upstream = \"a:1\"\n{key}\n")));
        assert_eq!(a, b, "{short}");
    }
}

#[test]
fn everything_that_is_written_about_a_group_is_used() {
    let settings = site(
        "upstream = [{ to = \"https://a\", weight = 3, requests_max = 9 }, \"h2:unix:/b\"]\n\
         upstream_tls = { ca_file = \"/ca.pem\", name = \"App.internal\" }\n\
         balance = \"least-loaded\"\nwait_queue = { requests = 7, wait = \"1s\" }\nretry = \"5%\"\n\
         breaker = { failures = 3, open = \"2s\" }\n\
         health = { path = \"/up\", host = \"a.example.com\", every = \"20s\", timeout = \"3s\", \
         status = \"200-204\", rise = 4, fall = 5 }\n\
         keep_awake = { path = \"/ping\", host = \"b.example.com\", every = \"1m\" }\n",
    );
    let group = &settings.sites[0].upstreams;
    let tls = UpstreamTls { name: "app.internal".into(), ca_file: Some("/ca.pem".into()) };
    assert!(group.list.iter().all(|upstream| upstream.endpoint.tls.as_ref() == Some(&tls)));
    let shares: Vec<_> = group.list.iter().map(|u| (u.weight, u.requests_max)).collect();
    assert_eq!(shares, [(3, Some(9)), (1, None)]);
    assert_eq!(group.balance, Balance::LeastLoaded);
    assert_eq!(group.wait_queue, WaitQueue { requests_max: 7, wait_max: secs(1) });
    assert_eq!(group.retry_percent, 5);
    assert_eq!(group.breaker, Some(Breaker { failures: 3, open: secs(2) }));
    let health = HealthCheck {
        path: "/up".into(),
        host: Some("a.example.com".into()),
        every: secs(20),
        timeout: secs(3),
        status: (200, 204),
        rise: 4,
        fall: 5,
    };
    assert_eq!(group.health, Some(health));
    let host = Some("b.example.com".into());
    assert_eq!(group.keep_awake, Some(KeepAwake { path: "/ping".into(), host, every: secs(60) }));
}

#[test]
fn a_route_takes_over_how_requests_are_spread_and_not_what_is_asked_of_another_app() {
    let settings = site(
        "upstream = { to = \"https://a\", requests_max = 5 }\nupstream_tls = { name = \"x\" }\n\
         balance = \"least-loaded\"\nwait_queue = \"off\"\nretry = \"off\"\nbreaker = \"off\"\n\
         health = \"/up\"\nkeep_awake = \"5m\"\n\
         route.\"/own\" = { upstream = \"https://b\" }\n\
         route.\"/says\" = { upstream = \"c:1\", balance = \"round-robin\", retry = \"7%\", breaker = {} }\n\
         route.\"/same\" = {}\n",
    );
    let site = &settings.sites[0];
    let of = |name: &str| site.routes.iter().find(|route| route.name == name).expect("a route");
    let own = of("/own").upstreams.as_ref().expect("its own");
    assert_eq!((own.balance, &own.wait_queue), (Balance::LeastLoaded, &site.upstreams.wait_queue));
    assert_eq!((own.retry_percent, &own.breaker), (0, &None));
    assert_eq!((&own.health, &own.keep_awake), (&None, &None));
    assert_eq!(own.list[0].endpoint.tls.as_ref().map(|tls| tls.name.as_str()), Some("b"));
    let says = of("/says").upstreams.as_ref().expect("its own");
    assert_eq!((says.balance, says.retry_percent), (Balance::RoundRobin, 7));
    assert!(says.breaker.is_some());
    assert_eq!(of("/same").upstreams, None);
}

#[test]
fn two_groups_may_name_one_app_if_they_agree_about_it() {
    let app = "{ to = \"127.0.0.1:3000\", requests_max = 9 }";
    let loaded = load(&format!(
        "[site.\"a.localhost\"]\nupstream = {app}\nhealth = \"/up\"\n\
         [site.\"b.localhost\"]\nupstream = [{app}, \"127.0.0.1:3001\"]\nhealth = \"/up\"\n\
         [site.\"c.localhost\"]\nupstream = {app}\n"
    ));
    let warnings = loaded.unwrap_or_else(|report| panic!("{report}")).warnings;
    assert!(warnings.is_empty(), "{warnings}");
}

#[test]
fn a_queue_of_the_site_is_of_use_where_a_route_has_a_limit() {
    let route = "route.\"/x\" = { upstream = { to = \"b:1\", requests_max = 2 } }\n";
    let text = |route: &str| {
        let text = format!("[site.localhost]\nupstream = \"a:1\"\nwait_queue = {{}}\n{route}");
        load(&text).expect("settings").warnings.to_string()
    };
    assert_eq!(text(route), "");
    assert!(text("").contains("nobody ever waits here"));
}

prop_compose! {
    fn tcp()(
        host in prop_oneof![
            "[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{1,6}){0,2}",
            any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        ],
        port in 1..=u16::MAX,
    ) -> UpstreamAddr {
        UpstreamAddr::Tcp { host, port }
    }
}

prop_compose! {
    fn endpoint()(
        addr in prop_oneof![
            tcp(),
            "/[ -!#-\\[\\]-~]{1,60}".prop_map(|path| UpstreamAddr::Unix(path.into())),
        ],
        protocol in prop_oneof![Just(Protocol::Http1), Just(Protocol::Http2)],
        tls in proptest::option::of(("[a-z]{1,9}", proptest::option::of("/[a-z]{1,9}"))),
    ) -> Endpoint {
        let tls = tls.map(|(name, ca)| UpstreamTls { name, ca_file: ca.map(Into::into) });
        Endpoint { addr, protocol, tls }
    }
}

proptest! {
    /// With what stands in `upstream_tls`, which is not part of the text.
    #[test]
    fn what_an_endpoint_shows_reads_as_the_same_endpoint(endpoint in endpoint()) {
        let tls = endpoint.tls.as_ref().map_or_else(String::new, |tls| {
            let file = tls.ca_file.as_ref();
            let file = file.map_or_else(String::new, |f| format!(", ca_file = \"{}\"", f.display()));
            format!("upstream_tls = {{ name = \"{}\"{file} }}\n", tls.name)
        });
        let listen = "[listen]\nhttps = \"192.0.2.99:443\"\nhttp = []\n";
        let text = format!("[site.localhost]\nupstream = \"{endpoint}\"\n{tls}{listen}");
        let settings = settings(&text);
        prop_assert_eq!(&settings.sites[0].upstreams.list[0].endpoint, &endpoint);
    }

    #[test]
    fn any_text_is_an_upstream_that_shows_as_itself_or_a_fault(
        text in prop_oneof![
            "[ -!#-\\[\\]-~]{0,40}",
            "(https|h2c?|http|grpc|H2)?(://|:)?(unix:)?[a-z0-9.:\\[\\]/@-]{0,20}",
        ],
    ) {
        let read = |text: &str| {
            let tls = "upstream_tls = { name = \"x\" }\n";
            let both = |tls| load(&format!("[site.localhost]\nupstream = \"{text}\"\n{tls}"));
            both("").or_else(|_| both(tls))
        };
        if let Ok(loaded) = read(&text) {
            let first = &loaded.settings.sites[0].upstreams.list[0].endpoint;
            let again = read(&first.to_string()).expect("what is shown can be read");
            prop_assert_eq!(first, &again.settings.sites[0].upstreams.list[0].endpoint);
        }
    }
}
