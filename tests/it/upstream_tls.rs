//! Apps behind TLS: who is believed, who gets no request and what the log says about it, and which connections are used
//! again.

use std::io::Read;
use std::net::TcpStream;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;

use crate::support::tls_app::TlsApp;
use crate::support::wire::RawApp;
use crate::support::{Authority, Issued, Place};

const HTTP1: &[&str] = &["http/1.1"];

/// A site of one worker with an app behind TLS that is judged by this file.
fn place(app: &TlsApp, scheme: &str, roots: Option<&str>) -> Place {
    let place = Place::new();
    let tls = match roots {
        None => "upstream_tls = { name = \"app.internal\" }".to_owned(),
        Some(roots) => {
            std::fs::write(place.path("roots.pem"), roots).unwrap();
            let file = place.path("roots.pem").display().to_string();
            format!("upstream_tls = {{ name = \"app.internal\", ca_file = \"{file}\" }}")
        }
    };
    let upstream = format!("upstream = \"{scheme}://{}\"", app.address());
    place.configure(&format!("[site.\"app.localhost\"]\n{upstream}\n{tls}"));
    place.set_workers(1);
    place
}

fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    Issued { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// The log line of a request that gets 502, and that the client is told nothing of it.
fn refused(place: Place) -> Value {
    let daemon = place.start();
    let answer = daemon.http1().get("app.localhost", "/").unwrap();
    assert_eq!(answer.status, 502);
    for word in ["certificate", "TLS", "app.internal", "127.0.0.1"] {
        assert!(!answer.text().contains(word), "{word}: {}", answer.text());
    }
    let line = daemon.wait_for_requests(1).remove(0);
    assert_eq!(line["denied"], "upstream_tls", "{line}");
    line["why"].clone()
}

fn says(why: &Value, words: &str) {
    assert!(why.as_str().is_some_and(|why| why.contains(words)), "{why}");
}

#[test]
fn an_app_of_a_private_authority_is_reached_and_its_connection_used_again() {
    let authority = Authority::new();
    let app = TlsApp::start(&authority.issue(&["app.internal"]), HTTP1);
    let daemon = place(&app, "https", Some(authority.pem())).start();
    let mut client = daemon.http1();
    for _ in 0..4 {
        assert_eq!(client.get("app.localhost", "/").unwrap().text(), "0 full");
    }
    assert_eq!(app.connections(), 1);
}

#[test]
fn a_connection_that_says_it_ends_is_used_no_more_and_the_next_one_resumes_its_session() {
    let authority = Authority::new();
    let app = TlsApp::start(&authority.issue(&["app.internal"]), HTTP1);
    let daemon = place(&app, "https", Some(authority.pem())).start();
    let mut client = daemon.http1();
    assert_eq!(client.get("app.localhost", "/close").unwrap().text(), "0 full");
    client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!(client.answer("POST").unwrap().text(), "1 resumed");
}

#[test]
fn an_app_of_another_name_gets_no_request() {
    let authority = Authority::new();
    let app = TlsApp::start(&authority.issue(&["other.internal"]), HTTP1);
    let why = refused(place(&app, "https", Some(authority.pem())));
    says(&why, "its certificate is for other.internal and not for app.internal");
}

#[test]
fn an_app_of_an_unknown_authority_gets_no_request() {
    let app = TlsApp::start(&Authority::new().issue(&["app.internal"]), HTTP1);
    says(&refused(place(&app, "https", None)), "comes from no public authority");
    let other = Authority::new();
    let why = refused(place(&app, "https", Some(other.pem())));
    says(&why, "comes from nobody in upstream_tls.ca_file");
}

#[test]
fn an_app_whose_time_is_over_gets_no_request_though_it_is_listed() {
    let issued = self_signed(&["app.internal"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let app = TlsApp::start(&issued, HTTP1);
    let why = refused(place(&app, "https", Some(&issued.cert)));
    says(&why, "its certificate has expired on 2021-01-01T00:00:00Z: renew it there");
}

#[test]
fn a_self_signed_app_is_believed_once_it_is_listed_and_no_restart_is_needed() {
    let issued = self_signed(&["app.internal"], |_| {});
    let app = TlsApp::start(&issued, HTTP1);
    let before = self_signed(&["app.internal"], |_| {});
    let daemon = place(&app, "https", Some(&before.cert)).start();
    let mut client = daemon.http1();
    assert_eq!(client.get("app.localhost", "/").unwrap().status, 502);
    std::fs::write(daemon.place().path("roots.pem"), &issued.cert).unwrap();
    daemon.reload();
    let answer = client.get("app.localhost", "/").unwrap();
    assert!(answer.text().ends_with(" full"), "{}", answer.text());
    // And believed no more once it is not.
    std::fs::write(daemon.place().path("roots.pem"), &before.cert).unwrap();
    daemon.reload();
    assert_eq!(client.get("app.localhost", "/").unwrap().status, 502);
}

#[test]
fn a_reload_that_changes_nothing_keeps_the_connection() {
    let authority = Authority::new();
    let app = TlsApp::start(&authority.issue(&["app.internal"]), HTTP1);
    let daemon = place(&app, "https", Some(authority.pem())).start();
    let mut client = daemon.http1();
    assert_eq!(client.get("app.localhost", "/").unwrap().text(), "0 full");
    daemon.reload();
    assert_eq!(client.get("app.localhost", "/").unwrap().text(), "0 full");
}

#[test]
fn an_app_that_does_not_choose_http2_gets_no_request() {
    let authority = Authority::new();
    let app = TlsApp::start(&authority.issue(&["app.internal"]), HTTP1);
    let why = refused(place(&app, "h2", Some(authority.pem())));
    says(&why, "write https:// in front of its address");
}

#[test]
fn an_app_that_takes_http2_only_is_told_with_its_scheme() {
    let authority = Authority::new();
    let app = TlsApp::start(&authority.issue(&["app.internal"]), &["h2"]);
    let why = refused(place(&app, "https", Some(authority.pem())));
    says(&why, "write h2:// in front of its address");
}

#[test]
fn an_app_that_closes_inside_the_handshake_is_asked_what_it_speaks() {
    let app = RawApp::start(|mut stream: TcpStream, _, _| {
        let _ = stream.read(&mut [0; 4096]);
    });
    let place = Place::new();
    place.configure(&format!(
        "[site.\"app.localhost\"]\nupstream = \"https://{}\"\nupstream_tls = {{ name = \"app.internal\" }}",
        app.address()
    ));
    let why = refused(place);
    says(&why, "does it speak TLS on this port?");
    says(&why, "write h2:// in front of its address");
}

#[test]
fn an_app_that_wants_a_certificate_of_its_clients_is_named_as_such() {
    let authority = Authority::new();
    let issued = authority.issue(&["app.internal"]);
    let app = TlsApp::wanting_certificates(&issued, HTTP1, authority.pem());
    let daemon = place(&app, "https", Some(authority.pem())).start();
    assert_eq!(daemon.http1().get("app.localhost", "/").unwrap().status, 502);
    let line = daemon.wait_for_requests(1).remove(0);
    assert_eq!(line["denied"], "upstream_broke", "{line}");
    says(&line["why"], "the TLS alert CertificateRequired: it wants a client certificate");
}

#[test]
fn a_file_of_roots_that_is_of_no_use_is_told_before_anything_starts() {
    let authority = Authority::new();
    let app = TlsApp::start(&authority.issue(&["app.internal"]), HTTP1);
    let place = place(&app, "https", Some("nothing"));
    let config = place.config().display().to_string();
    let exit = place.palisade(&["check", "--config", &config]);
    assert_ne!(exit.code, 0, "{exit:?}");
    assert!(exit.err.contains("roots.pem holds no `BEGIN CERTIFICATE` block"), "{exit:?}");
    assert!(exit.err.contains("its own certificate if it is self-signed"), "{exit:?}");
    std::fs::remove_file(place.path("roots.pem")).unwrap();
    let exit = place.palisade(&["check", "--config", &config]);
    assert!(exit.err.contains("roots.pem cannot be read"), "{exit:?}");
}
