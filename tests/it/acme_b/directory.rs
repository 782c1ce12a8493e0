//! A directory that is none, or that cannot be reached or trusted: in each case words that a person can act upon.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use serde_json::Value;

use super::{SITE, assert_says, failure, is_served, refused_start, text};
use crate::support::ca::{Endpoint, Fault, ScriptedCa};
use crate::support::wire::{RawApp, send};
use crate::support::{Authority, Doors, FakeClock, acme_site::AcmePlace};

/// What is said of a failure with this directory and these roots.
fn said(directory: &str, roots: &Path) -> Value {
    let place = AcmePlace::new();
    place.configure(directory, roots, "", &[(SITE, "")]);
    let daemon = place.start();
    let failure = failure(&daemon, SITE);
    assert_eq!(daemon.stop(), 0);
    failure
}

fn assert_failure(failure: &Value, detail: &str, likely: &str, next: &str) {
    assert_says(text(failure, "detail"), &[detail]);
    assert_says(text(failure, "likely"), &[likely]);
    assert_says(text(failure, "next"), &[next]);
}

#[test]
fn a_url_that_is_no_directory_is_told_from_a_ca_that_is_down() {
    let ca = ScriptedCa::start(&Doors::reserve());
    let roots = ca.ca_file();
    let wrong = ca.directory().replace("/dir", "/directory");
    let none = "acme.directory is not the URL of an ACME directory";
    let copy = "copy the directory URL from the CA's documentation";
    assert_failure(&said(&wrong, &roots), "the directory URL answers 404", none, copy);
    ca.fault(Endpoint::Directory, Fault::Garbage);
    assert_failure(&said(&ca.directory(), &roots), "the directory URL answers 200", none, copy);
    ca.fault(Endpoint::Directory, Fault::problem(503, "serverInternal", "back soon"));
    let down = said(&ca.directory(), &roots);
    assert_failure(&down, "the directory URL answers 503", "down or in maintenance", "tries again");
}

#[test]
fn a_directory_that_cannot_be_reached_is_told_with_what_to_check() {
    let ca = ScriptedCa::start(&Doors::reserve());
    let (roots, doors) = (ca.ca_file(), Doors::reserve());
    let app = RawApp::start(|mut stream, _, _| send(&mut stream, "HTTP/1.1 400 No TLS\r\n\r\n"));
    let nobody = format!("https://{}/dir", doors.https());
    let refused = said(&nobody, &roots);
    assert_failure(&refused, "refused the connection", "nothing listens at 127.0.0.1", "curl -v");
    let place = AcmePlace::new();
    place.configure("https://ca.invalid/dir", &roots, "", &[(SITE, "")]);
    // Where no name server answers, it is given up soon.
    let daemon = place.place.start_with(&[("RES_OPTIONS", "timeout:1 attempts:1")]);
    let unresolved = failure(&daemon, SITE);
    let likely = "the name ca.invalid in acme.directory is misspelt";
    assert_failure(&unresolved, "ca.invalid does not resolve", likely, "getent hosts ca.invalid");
    let plain = said(&format!("https://{}/dir", app.address()), &roots);
    assert_failure(&plain, "TLS with the CA failed", "speaks no TLS", "curl -v");
}

#[test]
fn plain_http_is_refused_by_the_configuration() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let plain = ca.directory().replace("https://", "http://");
    place.configure(&plain, &ca.ca_file(), "", &[(SITE, "")]);
    let refused = refused_start(&place.place, &[]);
    assert_eq!(refused.code, 78, "{refused:?}");
    assert_says(&refused.err, &["an ACME directory is reached over TLS only", &ca.directory()]);
}

#[test]
fn a_ca_that_is_not_trusted_is_told_with_the_key_that_names_its_root() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let without = format!(
        "[acme]\ndirectory = \"{}\"\n[site.\"{SITE}\"]\nupstream = \"{}\"",
        ca.directory(),
        place.app()
    );
    place.place.configure_at(place.doors.https(), place.doors.http(), &without);
    let daemon = place.start();
    let untrusted = failure(&daemon, SITE);
    let detail = "the CA's own certificate is not trusted here";
    assert_failure(&untrusted, detail, "a private CA", "set acme.ca_file to the CA's root");

    let other = place.place.path("other.pem");
    std::fs::write(&other, Authority::new().pem()).unwrap();
    place.configure(&ca.directory(), &other, "", &[(SITE, "")]);
    daemon.reload();
    let wrong = super::until("the other root is tried", || {
        let failure = failure(&daemon, SITE);
        text(&failure, "likely").contains("acme.ca_file is not the root").then_some(failure)
    });
    assert_failure(&wrong, detail, "it replaces the public roots", "palisade reload");
    place.sites(&ca, &[SITE]);
    daemon.reload();
    is_served(&daemon, SITE);
}

#[test]
fn a_ca_file_that_is_missing_empty_or_no_pem_is_named() {
    let ca = ScriptedCa::start(&Doors::reserve());
    let scratch = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let broken = "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n";
    for (path, words) in [
        (scratch.path().join("missing.pem"), "No such file"),
        (scratch.path().to_owned(), "directory"),
        (write("empty.pem", ""), "holds no `BEGIN CERTIFICATE` block"),
        (write("text.pem", "hello"), "holds no `BEGIN CERTIFICATE` block"),
        (write("broken.pem", broken), "is not PEM"),
    ] {
        let failure = said(&ca.directory(), &path);
        assert_says(text(&failure, "detail"), &[path.to_str().unwrap(), words]);
        assert_failure(&failure, words, "acme.ca_file is missing, unreadable", "palisade reload");
    }
    assert_eq!(ca.seen().requests.len(), 0);
}

/// Something that shakes hands with its own CA certificate; its address, and the certificate as a file for clients.
fn self_signed_ca(dir: &Path) -> (SocketAddr, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let roots = dir.join("self.pem");
    std::fs::write(&roots, certificate.pem()).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], der)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), Ok(mut tls)) =
                (stream, ServerConnection::new(Arc::clone(&config)))
            else {
                return;
            };
            while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
        }
    });
    (address, roots)
}

#[test]
fn a_server_that_shows_its_ca_certificate_is_told_in_words_for_people() {
    let scratch = tempfile::tempdir().unwrap();
    let (address, roots) = self_signed_ca(scratch.path());
    let failure = said(&format!("https://{address}/dir"), &roots);
    assert_failure(
        &failure,
        "the CA's server shows a CA certificate as its own",
        "a self-signed root is installed where a server certificate belongs",
        "have the CA issue one for 127.0.0.1",
    );
}

#[test]
fn a_cas_certificate_that_has_expired_by_this_clock_names_the_clock() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    // Certificates of the tests end in the year 4096.
    let clock = FakeClock::ahead_s(&place.place, -52 * 366 * 86_400);
    let daemon = place.place.start_with(&clock.environment());
    let failure = failure(&daemon, SITE);
    assert_says(text(&failure, "likely"), &["the clock of this machine"]);
    assert_says(text(&failure, "next"), &["set the clock"]);
    assert_eq!(ca.seen().orders.len(), 0);
}
