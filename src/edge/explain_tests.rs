//! Requests that nobody has sent, against a policy of two sites.

use std::sync::Arc;

use super::*;
use crate::config::Environment;
use crate::edge::tls::TlsFactory;
use crate::edge::upstream::{Peers, Trusts};
use crate::ports::health::{Checked, Health};

const CONFIG: &str = r#"
[listen]
trusted_proxies = ["10.0.0.0/8"]
[site."app.example.com"]
upstream = ["127.0.0.1:3000", "127.0.0.1:3001"]
tls = "local"
[site."app.example.com".route."/api"]
upstream = "127.0.0.1:4000"
body_max = "1KiB"
methods = ["GET", "POST"]
content_types = "application/json"
[site."app.example.com".route.refund]
match = { path = "/api/refund", method = ["POST"], header = { "x-version" = "2" } }
audit = "refund"
[site."other.example.com"]
upstream = "127.0.0.1:5000"
tls = "local"
"#;

fn policy() -> Policy {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("palisade.toml");
    std::fs::write(&path, CONFIG).expect("written");
    let loaded = crate::config::load_file(&path, &Environment::new(Vec::new()));
    let settings = loaded.unwrap_or_else(|report| panic!("{report}")).settings;
    let key = rcgen::generate_simple_self_signed(["app.example.com".to_owned()]).expect("a key");
    let der = rustls_pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).expect("a key");
    let key = rustls::sign::CertifiedKey::new(vec![key.cert.der().clone()], signing);
    let tls = TlsFactory::new().and_then(|factory| factory.config(Arc::new(key))).expect("TLS");
    let peers = Peers::of(&settings, None, &Trusts::default());
    Policy::new(1, settings, vec![Some(tls), None], 8443, peers)
}

fn told(method: &str, url: &str, fields: &[(&str, &str)]) -> Explained {
    told_by(&policy(), method, url, fields)
}

fn told_by(policy: &Policy, method: &str, url: &str, fields: &[(&str, &str)]) -> Explained {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let peer = "10.0.0.1".parse().expect("an address");
    explain(policy, &Asked::new(url, method, peer, &fields).expect("a request"), 0)
}

/// Names and outcomes of the steps.
fn way(told: &Explained) -> Vec<(&str, &str)> {
    told.steps.iter().map(|step| (step.name, step.outcome.word())).collect()
}

#[test]
fn a_request_for_the_app_meets_every_step() {
    let told =
        told("GET", "https://app.example.com/login?x=1", &[("x-forwarded-for", "203.0.113.9")]);
    assert_eq!(
        way(&told),
        [
            ("client", "passed"),
            ("site", "passed"),
            ("redirect", "skipped"),
            ("route", "skipped"),
            ("admit", "passed"),
            ("intake", "passed"),
            ("websocket", "skipped"),
            ("upstream", "answered"),
            ("headers", "passed"),
        ]
    );
    assert_eq!(told.client, "203.0.113.9");
    assert_eq!(told.steps[0].note, "203.0.113.9, as the trusted proxy 10.0.0.1 says");
    assert_eq!(told.upstreams, ["127.0.0.1:3000", "127.0.0.1:3001"]);
    assert_eq!(told.routes.len(), 2);
    let said = |name: &str| told.to_app.iter().find(|(found, _)| found == name).cloned();
    assert_eq!(
        said("x-forwarded-for").and_then(|(_, value)| value).as_deref(),
        Some("203.0.113.9")
    );
    assert_eq!(said("x-forwarded-host").and_then(|(_, v)| v).as_deref(), Some("app.example.com"));
    assert!(told.to_client.iter().any(|(name, _)| name == "strict-transport-security"));
    assert_eq!(told.status, None);
}

#[test]
fn the_route_that_matches_is_last_and_the_others_say_why_not() {
    let told = told("POST", "https://app.example.com/api/refund/7", &[("x-version", "1")]);
    assert_eq!(told.route.as_deref(), Some("/api"));
    assert_eq!(
        told.routes,
        [
            (
                "refund".to_owned(),
                Some("the field x-version is missing or has another value".to_owned())
            ),
            ("/api".to_owned(), None),
        ]
    );
    assert_eq!(told.upstreams, ["127.0.0.1:4000"]);
}

#[test]
fn who_would_be_asked_is_told_with_what_is_known_of_it() {
    let policy = policy();
    let told = || {
        let told = told_by(&policy, "GET", "https://app.example.com/", &[]);
        let note =
            told.steps.into_iter().find(|step| step.name == steps::UPSTREAM).expect("it").note;
        (note.into_owned(), told.candidates.into_iter().map(|found| found.why).collect::<Vec<_>>())
    };
    let turns = "the one whose turn it is of 127.0.0.1:3000, 127.0.0.1:3001 is asked, \
                 the others if it is not there";
    assert_eq!(told(), (turns.to_owned(), ["weight 1", "weight 1"].map(str::to_owned).into()));
    let second = policy.settings.sites[0].upstreams.list[1].endpoint.clone();
    let second = policy.peers.get(&second).expect("known");
    second.note_down(std::time::Duration::ZERO, "answered 503");
    assert_eq!(second.down(), None, "it is not yet");
    second.settle(Health::Down);
    let whys = ["weight 1", "its health check fails (answered 503)"].map(str::to_owned).into();
    assert_eq!(told(), ("127.0.0.1:3000 is asked".to_owned(), whys));
}

#[test]
fn what_is_not_taken_in_is_refused_before_the_app_is_asked() {
    let refused = |method: &str, fields: &[(&str, &str)]| {
        let told = told(method, "https://app.example.com/api/x", fields);
        assert_eq!(way(&told)[5], ("intake", "refused"), "{told:?}");
        assert_eq!(told.upstreams, Vec::<String>::new());
        told.status
    };
    let json = ("content-type", "application/json");
    assert_eq!(refused("PUT", &[]), Some(405));
    assert_eq!(refused("POST", &[("content-length", "1025"), json]), Some(413));
    assert_eq!(refused("POST", &[("content-length", "3")]), Some(415));
    let taken = told("POST", "https://app.example.com/api/x", &[("content-length", "3"), json]);
    let note = "bodies up to 1KiB of the listed types, the listed methods";
    assert_eq!((way(&taken)[5], taken.steps[5].note.as_ref()), (("intake", "passed"), note));
}

#[test]
fn plain_http_is_redirected() {
    let told = told("GET", "http://app.example.com/a?b", &[]);
    assert_eq!(way(&told)[2..], [("redirect", "answered"), ("headers", "passed")]);
    assert_eq!(told.steps[2].note, "308 to https://app.example.com:8443/a?b");
    assert_eq!(told.status, Some(308));
    assert!(!told.to_client.iter().any(|(name, _)| name == "strict-transport-security"));
}

#[test]
fn an_unknown_name_fails_at_the_handshake_or_is_a_404() {
    let secure = told("GET", "https://no.example/", &[]);
    assert_eq!(way(&secure)[1..], [("site", "refused")]);
    assert!(secure.steps[1].note.starts_with("the TLS handshake fails"), "{secure:?}");
    let bare = told("GET", "https://other.example.com/", &[]);
    assert_eq!(way(&bare)[1..], [("site", "refused")]);
    assert!(bare.steps[1].note.ends_with("other.example.com has no certificate yet"), "{bare:?}");
    let plain = told("GET", "http://no.example/", &[]);
    assert_eq!((way(&plain)[1], plain.status), (("site", "refused"), Some(404)));
}

#[test]
fn the_other_refusals_are_those_of_the_request_path() {
    let misdirected = told("GET", "https://app.example.com/", &[("host", "other.example.com")]);
    assert_eq!((way(&misdirected)[1], misdirected.status), (("site", "refused"), Some(421)));
    let long = format!("https://app.example.com/{}", "a".repeat(20_000));
    let long = told("GET", &long, &[]);
    assert_eq!((way(&long)[4], long.status), (("admit", "refused"), Some(414)));
    let upgrade =
        [("connection", "upgrade"), ("upgrade", "websocket"), ("origin", "https://evil.example")];
    let foreign = told("GET", "https://app.example.com/ws", &upgrade);
    assert_eq!((way(&foreign)[6], foreign.status), (("websocket", "refused"), Some(403)));
    let own = [("connection", "upgrade"), ("upgrade", "websocket")];
    let own = told("GET", "https://app.example.com/ws", &own);
    assert_eq!(way(&own)[6..8], [("websocket", "passed"), ("upstream", "answered")]);
    assert!(own.to_app.contains(&("upgrade".into(), None)), "{own:?}");
}

#[test]
fn another_spelling_of_a_path_meets_the_same_route_and_is_told() {
    let fields = [("x-version", "1")];
    for spelled in ["/x/../%61pi/refund/7", "//api/refund/7"] {
        let told = told("POST", &format!("https://app.example.com{spelled}"), &fields);
        assert_eq!(told.route.as_deref(), Some("/api"), "{spelled}");
        assert_eq!(
            (way(&told)[2], told.steps[2].note.as_ref()),
            (("path", "passed"), "matched as /api/refund/7")
        );
    }
    let refused = told("GET", "https://app.example.com/a%2fb", &[]);
    assert_eq!((way(&refused)[2], refused.status), (("path", "refused"), Some(400)));
}

#[test]
fn what_is_no_request_is_named() {
    let asked = |url: &str, method: &str, field: &str| {
        let fields = [(field.to_owned(), "x".to_owned())];
        Asked::new(url, method, "127.0.0.1".parse().expect("ip"), &fields).expect_err("refused")
    };
    assert!(asked("app.example.com", "GET", "a").contains("must begin with https://"));
    assert!(asked("https://a b/", "GET", "a").contains("is no URL"));
    assert!(asked("https://a.example/", "G T", "a").contains("is no method"));
    assert!(asked("https://a.example/", "GET", "a b").contains("is no header field"));
}

#[test]
fn an_action_is_told_to_be_recorded() {
    let told = told("POST", "https://app.example.com/api/refund", &[("x-version", "2")]);
    let way = way(&told);
    let at = way.iter().position(|(name, _)| *name == "audit").expect("the step");
    assert_eq!(
        (way[at - 1].0, way[at], way[at + 1].0),
        ("websocket", ("audit", "passed"), "upstream")
    );
    assert_eq!(told.steps[at].note, "recorded as route.refund before the answer leaves");
}
