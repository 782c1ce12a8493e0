//! What a CA sees that asks for proof, and what everybody else sees of a site without a certificate.

use std::io::{Read, Write};

use rustls::AlertDescription;

use super::sample::{self, Edge, app, certificate, connect};
use crate::base::Host;

const PATH: &str = "/.well-known/acme-challenge/";
/// Has a certificate.
const OLD: &str = "app.localhost";
/// Has none.
const NEW: &str = "new.example.com";

fn edge(dir: &tempfile::TempDir) -> Edge {
    let app = app();
    let sites = format!(
        "[site.\"{OLD}\"]\nupstream = \"{app}\"\n[site.\"{NEW}\"]\nupstream = \"{app}\"\ntls = \"acme\"\n"
    );
    Edge::start(dir.path(), OLD, &sites)
}

fn host(name: &str) -> Host {
    name.parse().expect("a host")
}

/// One request on a connection that is closed after it.
fn ask(mut stream: impl Read + Write, method: &str, name: &str, path: &str) -> String {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // a close without close_notify is for TLS tests
    String::from_utf8_lossy(&answer).into_owned()
}

fn plain(edge: &Edge, name: &str, path: &str) -> String {
    ask(connect(edge.http), "GET", name, path)
}

/// The alert that ends a handshake.
fn alert(edge: &Edge, name: &str, alpn: &[&str]) -> Option<AlertDescription> {
    let mut client = sample::client(edge.https, &edge.roots, name, alpn);
    let error = client.write_all(b"x").and_then(|()| client.read_exact(&mut [0])).expect_err("no");
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

#[test]
fn a_token_is_answered_on_both_ports_and_anything_else_goes_its_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let edge = edge(&dir);
    let before = plain(&edge, NEW, &format!("{PATH}token"));
    assert!(before.starts_with("HTTP/1.1 308"), "{before}");
    for name in [OLD, NEW] {
        edge.shared.challenges.put_http(&host(name), "token", "token.thumbprint");
    }
    let answer = plain(&edge, NEW, &format!("{PATH}token"));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("\r\n\r\ntoken.thumbprint"), "{answer}");
    let tls = || sample::client(edge.https, &edge.roots, OLD, &["http/1.1"]);
    let answer = ask(tls(), "GET", OLD, &format!("{PATH}token"));
    assert!(answer.ends_with("\r\n\r\ntoken.thumbprint"), "{answer}");
    for (method, path) in
        [("GET", "other"), ("GET", "token/x"), ("GET", ""), ("POST", "token"), ("GET", "tokenx")]
    {
        let answer = ask(tls(), method, OLD, &format!("{PATH}{path}"));
        assert!(answer.ends_with("\r\n\r\nok"), "the app: {answer}");
    }
    edge.shared.challenges.remove(&[host(NEW)]);
    assert!(plain(&edge, NEW, &format!("{PATH}token")).starts_with("HTTP/1.1 308"));
    let unknown = plain(&edge, "other.example.com", &format!("{PATH}token"));
    assert!(!unknown.contains("thumbprint"), "{unknown}");
    edge.stop(dir.path());
}

#[test]
fn a_tls_question_gets_the_proof_and_nothing_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let edge = edge(&dir);
    assert_eq!(
        alert(&edge, NEW, &["acme-tls/1"]),
        Some(AlertDescription::NoApplicationProtocol),
        "nothing is waited for"
    );
    let (proof, roots) = certificate(NEW);
    edge.shared.challenges.put_tls(&host(NEW), proof);
    let mut client = sample::client(edge.https, &roots, NEW, &["acme-tls/1"]);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).expect("a handshake");
    }
    assert_eq!(client.conn.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).expect("closed in order");
    assert!(rest.is_empty());
    assert_eq!(client.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
    // With other protocols beside it, it is no question of a CA (RFC 8737 §3).
    assert_eq!(alert(&edge, NEW, &["acme-tls/1", "h2"]), Some(AlertDescription::InternalError));
    let count = |outcome: &str| {
        edge.count(&format!("palisade_tls_handshakes_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!((count("challenge"), count("challenge_unknown")), ("1".into(), "1".into()));
    edge.stop(dir.path());
}

#[test]
fn a_site_without_a_certificate_refuses_handshakes_and_still_redirects() {
    let dir = tempfile::tempdir().expect("a directory");
    let edge = edge(&dir);
    assert_eq!(alert(&edge, NEW, &["h2"]), Some(AlertDescription::InternalError));
    assert_eq!(edge.count("palisade_tls_handshakes_total{outcome=\"no_certificate\"}"), "1");
    let answer = plain(&edge, NEW, "/x");
    assert!(answer.contains("location: https://new.example.com/x\r\n"), "{answer}");
    let mut other = sample::client(edge.https, &edge.roots, OLD, &["http/1.1"]);
    let policy = edge.shared.policy.load_full();
    let (key, roots) = certificate(NEW);
    let server = super::tls::TlsFactory::new().and_then(|factory| factory.config(key));
    let now = vec![policy.tls(0).cloned(), Some(server.expect("TLS"))];
    other.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").expect("sent");
    edge.shared.policy.store(std::sync::Arc::new(policy.with_certificates(now)));
    let client = sample::client(edge.https, &roots, NEW, &["http/1.1"]);
    assert!(ask(client, "GET", NEW, "/").ends_with("ok"), "at once");
    assert!(ask(other, "GET", OLD, "/").ends_with("ok"), "the other site's connection goes on");
    edge.stop(dir.path());
}

#[test]
fn who_asks_for_many_unknown_names_is_not_answered_any_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let edge = edge(&dir);
    for n in 0..20 {
        let name = format!("n{}.example.com", n % 3);
        assert_eq!(alert(&edge, &name, &[]), Some(AlertDescription::UnrecognisedName), "{n}");
    }
    assert_eq!(alert(&edge, "n.example.com", &["acme-tls/1"]), None, "closed");
    assert_eq!(edge.count("palisade_tls_handshakes_total{outcome=\"unknown_name\"}"), "20");
    assert_eq!(edge.count("palisade_tls_handshakes_total{outcome=\"unknown_throttled\"}"), "1");
    let client = sample::client(edge.https, &edge.roots, OLD, &["http/1.1"]);
    assert!(ask(client, "GET", OLD, "/").ends_with("ok"), "a known name still works");
    edge.stop(dir.path());
}
