//! TLS as clients see it: certificates by name, versions, resumption, files that change.

use std::fs;
use std::io::{Read, Write};

use rustls::ProtocolVersion;

use crate::support::{Authority, Daemon, Place, TlsClient, Upstream, plain};

/// Two public sites, each with a certificate of its own.
struct TwoSites {
    ca: Authority,
    place: Place,
    _app: Upstream,
}

impl TwoSites {
    fn new() -> Self {
        let (ca, place, app) = (Authority::new(), Place::new(), Upstream::text("hello"));
        let mut text = String::new();
        for name in ["one.example.com", "two.example.com"] {
            let (cert, key) = ca.write(place.dir(), name, &[name]);
            text.push_str(&format!(
                "[site.\"{name}\"]\nupstream = \"{}\"\ntls = {{ cert = \"{}\", key = \"{}\" }}\n",
                app.address(),
                cert.display(),
                key.display()
            ));
        }
        place.configure(&text);
        Self { ca, place, _app: app }
    }

    fn client(&self) -> TlsClient {
        TlsClient::trusting(self.ca.pem())
    }
}

/// The first certificate of a PEM file, as DER.
fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM").to_vec()
}

#[test]
fn each_site_shows_its_own_certificate() {
    let sites = TwoSites::new();
    let daemon = sites.place.start();
    for name in ["one.example.com", "two.example.com"] {
        let mut connection = sites.client().connect(daemon.https(), name).unwrap();
        let file = fs::read_to_string(sites.place.path(&format!("{name}.pem"))).unwrap();
        assert_eq!(connection.certificate(), der(&file), "{name}");
        assert_eq!(connection.get(name, "/").unwrap().text(), "hello");
    }
}

#[test]
fn an_unknown_name_gets_the_alert_for_it() {
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    let Err(error) = daemon.client().connect(daemon.https(), "other.localhost") else {
        panic!("there is no such site")
    };
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    assert_eq!(daemon.curl(&["https://other.localhost/"]).exit, 35, "curl: SSL connect error");
}

#[test]
fn a_client_without_a_name_gets_the_site_of_the_address() {
    let app = Upstream::text("by address");
    let daemon = Daemon::site("127.0.0.1", &app.address());
    let mut connection = daemon.client().connect(daemon.https(), "127.0.0.1").unwrap();
    let host = daemon.https().to_string();
    assert_eq!(connection.get(&host, "/").unwrap().text(), "by address");
    let url = format!("https://{host}/");
    assert_eq!(daemon.curl(&[&url]).text(), "by address");
}

#[test]
fn a_client_without_a_name_gets_nothing_where_no_site_has_the_address() {
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    assert!(daemon.client().connect(daemon.https(), "127.0.0.1").is_err());
}

#[test]
fn both_versions_of_tls_are_spoken_and_older_ones_are_not() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    for (version, spoken) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = TlsClient::speaking(&daemon.root_pem(), &[version]);
        let mut connection = client.connect(daemon.https(), "app.localhost").unwrap();
        assert_eq!(connection.tls().protocol_version(), Some(spoken));
        assert_eq!(connection.get("app.localhost", "/").unwrap().text(), "hello");
    }
    let old =
        daemon.curl(&["--tls-max", "1.1", "--ciphers", "ALL@SECLEVEL=0", "https://app.localhost/"]);
    assert_eq!((old.status, old.exit), (0, 35), "{old:?}");
}

#[test]
fn alpn_chooses_h2_and_http_1_1_and_without_it_http_1_1_is_spoken() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    for (offer, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let client = daemon.client().alpn(offer);
        let connection = client.connect(daemon.https(), "app.localhost").unwrap();
        assert_eq!(connection.protocol().as_deref(), chosen, "{offer:?}");
    }
    let mut without = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    assert_eq!(without.get("app.localhost", "/").unwrap().text(), "hello");
}

#[test]
fn a_session_is_resumed_also_after_a_reload() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = TlsClient::speaking(&daemon.root_pem(), &[version]);
        let visit = || {
            let mut connection = client.connect(daemon.https(), "app.localhost").unwrap();
            // The ticket of TLS 1.3 comes after the handshake, at the latest with the answer.
            assert_eq!(connection.get("app.localhost", "/").unwrap().text(), "hello");
            connection.resumed()
        };
        assert!(!visit(), "the first handshake is a full one");
        assert!(visit(), "{version:?}: the second is resumed");
        daemon.reload();
        assert!(visit(), "{version:?}: a reload costs nobody a session");
    }
}

#[test]
fn http_on_the_https_port_is_answered_in_words() {
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    let mut socket = plain(daemon.https()).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("This port speaks HTTPS"), "{answer}");
}

#[test]
fn garbage_on_the_https_port_ends_with_an_alert_and_serves_the_next() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut socket = plain(daemon.https()).unwrap();
    socket.write_all(&[0x16, 0x03, 0x01, 0x00, 0x05, 0xff, 0, 0, 1, 0]).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 50], "decode_error");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "hello");
}

#[test]
fn a_certificate_that_is_replaced_on_disk_is_served_without_a_command() {
    let sites = TwoSites::new();
    let daemon = sites.place.start();
    let name = "one.example.com";
    let mut before = sites.client().connect(daemon.https(), name).unwrap();
    let renewed = sites.ca.issue(&[name]);
    renewed.write(sites.place.dir(), name);
    daemon.wait_for_event("certificates_reloaded");
    let after = sites.client().connect(daemon.https(), name).unwrap();
    assert_eq!(after.certificate(), der(&renewed.cert));
    assert_eq!(before.get(name, "/").unwrap().text(), "hello", "an open connection stays");
}

#[test]
fn a_half_written_certificate_leaves_the_old_one_in_service_and_shows_in_status() {
    let sites = TwoSites::new();
    let daemon = sites.place.start();
    let name = "one.example.com";
    let old = sites.client().connect(daemon.https(), name).unwrap().certificate();
    let renewed = sites.ca.issue(&[name]);
    let (half, _) = renewed.cert.split_at(renewed.cert.len() / 2);
    fs::write(sites.place.path("one.example.com.pem"), half).unwrap();
    let refused = daemon.wait_for_event("certificates_refused");
    assert!(refused["files"].as_str().unwrap().ends_with("one.example.com.pem"), "{refused}");
    assert!(refused["why"].as_str().unwrap().contains("one.example.com.pem"), "{refused}");
    assert_eq!(sites.client().connect(daemon.https(), name).unwrap().certificate(), old);
    let status = daemon.status();
    assert!(status["attention"].to_string().contains("one.example.com"), "{status:#}");
    renewed.write(sites.place.dir(), name);
    daemon.wait_for_event("certificates_reloaded");
    let now = sites.client().connect(daemon.https(), name).unwrap().certificate();
    assert_eq!(now, der(&renewed.cert));
    let status = daemon.status();
    assert_eq!(status["attention"].as_array().map(Vec::len), Some(0), "{status:#}");
}

#[test]
fn the_local_ca_outlives_a_restart() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let (root, client) = (daemon.root_pem(), daemon.client());
    let daemon = daemon.restart();
    assert_eq!(daemon.root_pem(), root);
    let mut connection = client.connect(daemon.https(), "app.localhost").unwrap();
    assert_eq!(connection.get("app.localhost", "/").unwrap().text(), "hello");
}

#[test]
fn the_state_and_the_master_key_restore_the_same_local_ca() {
    use std::os::unix::fs::DirBuilderExt;
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    let (root, client) = (daemon.root_pem(), daemon.client());
    assert_eq!(daemon.stop(), 0);
    let other = Place::new();
    other.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"\n");
    fs::DirBuilder::new().mode(0o700).create(other.path("state")).unwrap();
    for name in ["state/core.redb", "state/master.key"] {
        fs::copy(daemon.place().path(name), other.path(name)).unwrap();
    }
    let restored = other.start();
    assert_eq!(restored.root_pem(), root);
    client.connect(restored.https(), "app.localhost").unwrap();
}

#[test]
fn the_key_of_the_local_ca_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    for entry in fs::read_dir(daemon.place().path("state")).unwrap() {
        let (path, mode) =
            entry.map(|e| (e.path(), e.metadata().unwrap().permissions().mode())).unwrap();
        assert!(!path.ends_with("local-ca.key"), "it is sealed in the state");
        let public = path.ends_with("local-ca.pem");
        assert!(public || mode & 0o077 == 0, "{} has mode {mode:o}", path.display());
    }
}
