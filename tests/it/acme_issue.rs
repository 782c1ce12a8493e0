//! From an order to a certificate that visitors accept, at a CA that is not of our making.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::support::acme_site::{
    AcmePlace, assert_serves, certificate, control, renew, start_and_issue, wait_for_site,
};
use crate::support::{Daemon, Doors, Pebble, TlsClient, pebble};

const NAME: &str = "app.example.com";

fn pebble(place: &AcmePlace) -> Pebble {
    Pebble::start(&place.doors, &pebble::Options::default())
}

fn visitor(pebble: &Pebble) -> TlsClient {
    TlsClient::trusting(&pebble.root_pem())
}

/// How the CA was convinced for the certificate with this number.
fn challenge(daemon: &Daemon, number: usize) -> serde_json::Value {
    wait_for_site(daemon, "certificate_issued", NAME, number)["challenge"].clone()
}

#[test]
fn http_01_alone_leads_to_a_certificate_although_every_plain_request_is_redirected() {
    let place = AcmePlace::new();
    let pebble = pebble(&place);
    place.sites_at_pebble(&pebble, "challenges = [\"http-01\"]", &[NAME]);
    let daemon = start_and_issue(&place, NAME);
    assert_eq!(challenge(&daemon, 1), "http-01");
    assert_serves(&visitor(&pebble), &daemon, NAME);
    assert_eq!(certificate(&daemon, NAME)["state"], "served");
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 1, 1));
    let redirect = daemon.curl_plain(&[&format!("http://{NAME}/page")]);
    let to = redirect.field("location").unwrap_or_default();
    assert!(to.starts_with(&format!("https://{NAME}")) && to.ends_with("/page"), "{redirect:?}");
}

#[test]
fn tls_alpn_01_alone_leads_to_a_certificate_for_clients_of_every_protocol() {
    let place = AcmePlace::new();
    let pebble = pebble(&place);
    place.sites_at_pebble(&pebble, "challenges = [\"tls-alpn-01\"]", &[NAME]);
    let daemon = start_and_issue(&place, NAME);
    assert_eq!(challenge(&daemon, 1), "tls-alpn-01");
    assert_serves(&visitor(&pebble), &daemon, NAME);
    for protocol in ["h2", "http/1.1"] {
        let client = visitor(&pebble).alpn(&[protocol]);
        let connection = client.connect(daemon.https(), NAME).unwrap();
        assert_eq!(connection.protocol().as_deref(), Some(protocol));
    }
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 1, 1));
}

#[test]
fn where_the_first_challenge_fails_the_second_is_tried_in_the_same_attempt() {
    let place = AcmePlace::new();
    let pebble = pebble(&place);
    // The CA looks for tls-alpn-01 at a door where nobody is.
    let elsewhere = Doors::reserve();
    let acme = "challenges = [\"tls-alpn-01\", \"http-01\"]";
    let text = place.text(pebble.directory(), &pebble.ca_file(), acme, &[(NAME, "")]);
    place.place.configure_at(elsewhere.https(), place.doors.http(), &text);
    let daemon = start_and_issue(&place, NAME);
    assert_eq!(challenge(&daemon, 1), "http-01");
    assert_serves(&visitor(&pebble), &daemon, NAME);
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 2, 1));
    assert!(daemon.lines().iter().all(|line| line["event"] != "certificate_failed"));

    // What worked is tried first from then on.
    renew(&daemon, NAME);
    assert_eq!((pebble.orders(), pebble.certificates()), (3, 2));
}

#[test]
fn all_names_of_a_site_share_one_order_and_one_certificate() {
    let place = AcmePlace::new();
    let pebble = pebble(&place);
    let names = [NAME, "www.example.com", "shop.example.org"];
    let also = "also = [\"www.example.com\", \"shop.example.org\"]";
    place.configure(pebble.directory(), &pebble.ca_file(), "", &[(NAME, also)]);
    let daemon = start_and_issue(&place, NAME);
    let shown = names.map(|name| {
        assert_serves(&visitor(&pebble), &daemon, name);
        visitor(&pebble).connect(daemon.https(), name).unwrap().certificate()
    });
    assert!(shown.iter().all(|certificate| *certificate == shown[0]));
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 1, 1));
}

#[test]
fn options_alone_are_enough_for_a_certificate() {
    let place = AcmePlace::new();
    let pebble = pebble(&place);
    let path = |name: &str| place.place.path(name).display().to_string();
    let mut command = place.place.command();
    command.args(["run", "--site", NAME, "--upstream", &place.app()]);
    command.args(["--acme-directory", pebble.directory(), "--acme-ca"]).arg(pebble.ca_file());
    command.args(["--https", &place.doors.https().to_string()]);
    command.args(["--http", &place.doors.http().to_string(), "--ops", "127.0.0.1:0"]);
    command.args(["--control", &path("control.sock"), "--state", &path("state")]);
    let daemon = Daemon::spawn(place.place.clone(), command);
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&visitor(&pebble), &daemon, NAME);
}

#[test]
fn rejected_nonces_delay_nobody() {
    let each = |percent| {
        let place = AcmePlace::new();
        let options =
            pebble::Options { reject_nonces_percent: percent, ..pebble::Options::default() };
        let pebble = Pebble::start(&place.doors, &options);
        place.sites_at_pebble(&pebble, "", &[NAME]);
        let daemon = start_and_issue(&place, NAME);
        assert_serves(&visitor(&pebble), &daemon, NAME);
        let failed = daemon.lines().iter().any(|line| line["event"] == "certificate_failed");
        assert!(!failed, "{percent}% of nonces rejected");
        assert_eq!((pebble.orders(), pebble.certificates()), (1, 1), "{percent}%");
    };
    std::thread::scope(|scope| {
        let both = [15, 50].map(|percent| scope.spawn(move || each(percent)));
        both.into_iter().for_each(|one| one.join().unwrap());
    });
}

#[test]
fn a_name_that_the_ca_remembers_is_proven_only_once() {
    let place = AcmePlace::new();
    let options =
        pebble::Options { reuse_authorizations_percent: 100, ..pebble::Options::default() };
    let pebble = Pebble::start(&place.doors, &options);
    place.sites_at_pebble(&pebble, "", &[NAME]);
    let daemon = start_and_issue(&place, NAME);
    renew(&daemon, NAME);
    assert!(challenge(&daemon, 2).is_null());
    assert_serves(&visitor(&pebble), &daemon, NAME);
    let lines = daemon.lines();
    let proofs = lines.iter().filter(|line| !line["challenge"].is_null());
    assert_eq!(proofs.filter(|line| line["event"] == "certificate_issued").count(), 1);
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 2, 2));
}

/// A file that only its owner reads.
fn write_secret(path: &Path, secret: &str) {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    std::io::Write::write_all(&mut file.unwrap(), secret.as_bytes()).unwrap();
}

/// Every byte of every file below a directory.
fn bytes_below(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        all.extend(if path.is_dir() { bytes_below(&path) } else { fs::read(&path).unwrap() });
    }
    all
}

#[test]
fn an_external_account_is_bound_by_a_key_that_is_seen_nowhere_and_a_wrong_one_is_explained() {
    let (wrong, right) = (
        "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3I",
        "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA",
    );
    let place = AcmePlace::new();
    let options = pebble::Options {
        external_account: Some(("kid-1".into(), right.into())),
        ..pebble::Options::default()
    };
    let pebble = Pebble::start(&place.doors, &options);
    let file = place.place.path("hmac");
    write_secret(&file, wrong);
    let eab = format!("eab = {{ kid = \"kid-1\", hmac = {{ file = \"{}\" }} }}", file.display());
    place.sites_at_pebble(&pebble, &eab, &[NAME]);
    let daemon = place.start();
    let failed = wait_for_site(&daemon, "certificate_failed", NAME, 1);
    assert!(failed["likely"].as_str().unwrap().contains("acme.eab"), "{failed}");
    assert!(failed["next"].as_str().unwrap().contains("palisade reload"), "{failed}");
    let shown = control(&daemon, "GET", "/v1/certificates", None).text();
    assert_eq!((pebble.accounts(), pebble.orders()), (0, 0));

    write_secret(&file, right);
    daemon.reload();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&visitor(&pebble), &daemon, NAME);
    assert_eq!((pebble.accounts(), pebble.orders()), (1, 1));
    let said = format!("{shown}{}{}{:?}", daemon.status(), daemon.errors(), daemon.lines());
    assert_eq!(daemon.stop(), 0);
    let state = String::from_utf8_lossy(&bytes_below(&place.place.path("state"))).into_owned();
    for secret in [wrong, right, "wrong-wrong-wrong", "secret-secret-secret"] {
        assert!(!said.contains(secret) && !state.contains(secret), "{secret} is to be seen");
    }
}

#[test]
fn a_name_that_does_not_resolve_is_explained_and_ordered_again_when_the_operator_says_so() {
    let place = AcmePlace::new();
    let pebble = pebble(&place);
    pebble.name_fails(NAME);
    place.sites_at_pebble(&pebble, "", &[NAME]);
    let daemon = place.start();
    let failed = wait_for_site(&daemon, "certificate_failed", NAME, 1);
    assert_eq!(failed["class"], "validation", "{failed}");
    assert!(failed["detail"].as_str().unwrap().contains("could not resolve"), "{failed}");
    assert!(failed["likely"].as_str().unwrap().contains("DNS"), "{failed}");
    assert!(failed["next"].as_str().unwrap().contains("cert renew"), "{failed}");
    let shown = certificate(&daemon, NAME);
    assert_eq!(shown["failure"]["detail"], failed["detail"], "{shown}");

    pebble.name_recovers(NAME);
    renew(&daemon, NAME);
    assert_serves(&visitor(&pebble), &daemon, NAME);
    assert!(certificate(&daemon, NAME)["failure"].is_null());
    assert_eq!(pebble.accounts(), 1);
}
