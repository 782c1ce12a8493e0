//! Rotating data keys under certificates, also when it is cut short, and what of all keys can be seen from outside.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::{SITE, assert_says, metric, served, until};
use crate::support::acme_site::{AcmePlace, control, shown};
use crate::support::ca::ScriptedCa;
use crate::support::{Authority, Daemon, TlsClient};

#[test]
fn what_was_sealed_before_a_rotation_is_served_and_renewed_after_it() {
    let (_place, ca, daemon) = served();
    let rotated = daemon.cli(&["crypto", "rotate"]);
    assert_eq!(rotated.code, 0, "{rotated:?}");
    // The account's key, the certificate's and the audit log's.
    assert_says(&rotated.out, &["data key 2 is in use: 3 secrets sealed anew"]);
    let daemon = daemon.restart();
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(1).der));
    assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 0);
    let again = daemon.cli(&["crypto", "rotate", "--json"]).json();
    assert_eq!((&again["key"], &again["rows"]), (&json!(3), &json!(3)));
    assert_eq!(ca.seen().accounts, 1);
}

const SITES: usize = 150;

fn name(number: usize) -> String {
    format!("site-{number:03}.example.com")
}

/// Many sites with one imported certificate, so that a rotation takes several commits.
fn crowd() -> (AcmePlace, TlsClient, Daemon) {
    let place = AcmePlace::new();
    let ca = ScriptedCa::start(&place.doors);
    let names: Vec<String> = (0..SITES).map(name).collect();
    let sites: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "tls = \"imported\"")).collect();
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    let daemon = place.start();
    let authority = Authority::new();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let pair = authority.issue(&names);
    let body = json!({ "cert_pem": pair.cert, "key_pem": pair.key });
    std::thread::scope(|scope| {
        for names in names.chunks(SITES / 4 + 1) {
            let (daemon, body) = (&daemon, &body);
            scope.spawn(move || {
                for name in names {
                    let path = format!("/v1/certificates/{name}/import");
                    let imported = control(daemon, "POST", &path, Some(body));
                    assert_eq!(imported.status, 200, "{imported:?}");
                }
            });
        }
    });
    (place, TlsClient::trusting(authority.pem()), daemon)
}

#[test]
fn a_rotation_that_is_killed_between_its_commits_loses_no_key_and_the_next_one_finishes_it() {
    let (place, client, mut daemon) = crowd();
    let commits = |daemon: &Daemon| metric(daemon, "palisade_state_commits_total").unwrap();
    for more in [1.0, 2.0] {
        let before = commits(&daemon);
        std::thread::scope(|scope| {
            let rotating = scope.spawn(|| control(&daemon, "POST", "/v1/crypto/rotate", None));
            until("the rotation is under way", || {
                (commits(&daemon) >= before + more).then_some(())
            });
            daemon.sigkill();
            rotating.join().unwrap();
        });
        daemon = place.start();
        all_served(&client, &daemon);
    }
    let rotated = daemon.cli(&["crypto", "rotate", "--json"]).json();
    assert_eq!(rotated["rows"], SITES + 1, "and the audit log's key: {rotated:#}");
    let daemon = daemon.restart();
    all_served(&client, &daemon);
}

fn all_served(client: &TlsClient, daemon: &Daemon) {
    let list = daemon.cli(&["cert", "list", "--json"]).json();
    let served = |info: &&Value| info["state"] == "served" && info["failure"].is_null();
    assert_eq!(list.as_array().unwrap().iter().filter(served).count(), SITES, "{list:#}");
    for number in [0, SITES / 2, SITES - 1] {
        assert!(shown(client, daemon, &name(number)).is_some());
    }
}

/// The forms that bytes could take in a file or in a text; short ends are left away where they depend on the rest.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut hex = String::new();
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    let mut forms = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    for skipped in 0..3 {
        let whole = (bytes.len() - skipped) / 3 * 3;
        let inner = &bytes[skipped..skipped + whole];
        for text in [STANDARD_NO_PAD.encode(inner), URL_SAFE_NO_PAD.encode(inner)] {
            forms.push(text.into_bytes());
        }
    }
    forms
}

/// How every P-256 key begins in PKCS #8 (RFC 5915, RFC 5958), up to the secret number.
const PKCS8_P256: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
    0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02,
    0x01, 0x01, 0x04, 0x20,
];

#[test]
fn no_key_is_in_the_state_file_in_the_log_or_in_what_the_operator_is_shown() {
    let place = AcmePlace::new();
    let ca = ScriptedCa::start(&place.doors);
    let hmac = b"an hmac key that nobody may ever see".to_vec();
    ca.set(|knobs| knobs.external_account = Some(("kid-1".into(), hmac.clone())));
    let acme = format!("eab = {{ kid = \"kid-1\", hmac = {:?} }}", place.place.path("eab"));
    std::fs::write(place.place.path("eab"), URL_SAFE_NO_PAD.encode(&hmac)).unwrap();
    super::set_mode(&place.place.path("eab"), 0o600);
    let sites = [(SITE, ""), ("shop.example.com", "tls = \"imported\"")];
    place.configure(&ca.directory(), &ca.ca_file(), &acme, &sites);
    let daemon = place.start();
    super::is_served(&daemon, SITE);
    let pair = Authority::new().issue(&["shop.example.com"]);
    let (cert, key) = pair.write(place.place.dir(), "bought");
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let mut shown = vec![
        daemon.cli(&["cert", "import", "shop.example.com", "--cert", cert, "--key", key]),
        daemon.cli(&["cert", "renew", SITE]),
        daemon.cli(&["crypto", "rotate"]),
        daemon.cli(&["reload"]),
    ];
    for verb in ["status", "cert list"] {
        for json in [None, Some("--json")] {
            let args: Vec<&str> = verb.split(' ').chain(json).collect();
            shown.push(daemon.cli(&args));
        }
    }
    assert!(shown.iter().all(|exit| exit.code == 0), "{shown:?}");
    let metrics = daemon.curl_ops("/metrics", &[]).body;
    let process = ["cmdline", "environ"]
        .map(|file| std::fs::read(format!("/proc/{}/{file}", daemon.pid())).unwrap());
    assert_eq!(daemon.stop(), 0);
    let log: Vec<u8> =
        daemon.lines().iter().map(ToString::to_string).collect::<String>().into_bytes();
    let mut places = vec![
        ("core.redb", std::fs::read(place.place.path("state/core.redb")).unwrap()),
        ("the log", log),
        ("standard error", daemon.errors().into_bytes()),
        ("metrics", metrics),
    ];
    places.extend(process.map(|bytes| ("/proc", bytes)));
    let said = shown.into_iter().map(|exit| [exit.out, exit.err].concat().into_bytes());
    places.extend(said.map(|bytes| ("a command", bytes)));

    let imported = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    assert_eq!(
        imported.secret_der()[..36],
        PKCS8_P256,
        "the needle for keys that are not known here"
    );
    let master = std::fs::read_to_string(place.place.path("state/master.key")).unwrap();
    let digits: Vec<u8> = master.trim().bytes().collect();
    let master: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let secrets = [
        ("the master key", master.as_slice()),
        ("the imported key", &imported.secret_der()[36..68]),
        ("the key of the account binding", &hmac),
        ("a private key", &PKCS8_P256),
    ];
    for (place, bytes) in &places {
        for (secret, needle) in secrets {
            for form in forms(needle) {
                let found = bytes.windows(form.len()).any(|window| window == form);
                assert!(!found, "{secret} is in {place}");
            }
        }
        let pem = bytes.windows(11).any(|window| window == b"PRIVATE KEY");
        assert!(!pem, "a PEM key is in {place}");
    }
}
