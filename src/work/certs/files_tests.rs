//! Files as operators leave them: right, swapped, exposed, empty, expired.

use std::fs::{self, Permissions};
use std::path::PathBuf;

use super::*;

/// 2026-01-01
const NOW: i64 = 1_767_225_600;

struct Pair {
    dir: tempfile::TempDir,
    cert: PathBuf,
    key: PathBuf,
}

fn pair(names: &[&str], days: i64) -> Pair {
    let dir = tempfile::tempdir().expect("a directory");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).expect("names");
    let epoch = rcgen::date_time_ymd(2025, 12, 1);
    params.not_before = epoch;
    params.not_after =
        epoch + std::time::Duration::from_secs(u64::try_from(days * 86_400).expect("days"));
    let pair = rcgen::KeyPair::generate().expect("a key");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&cert, params.self_signed(&pair).expect("signed").pem()).expect("written");
    fs::write(&key, pair.serialize_pem()).expect("written");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("mode");
    Pair { dir, cert, key }
}

fn host(name: &str) -> Host {
    name.parse().expect("a host")
}

fn refused(site: &str, cert: &Path, key: &Path) -> String {
    load(&host(site), &[], cert, Key::File(key), NOW).expect_err("refused").to_string()
}

#[test]
fn a_good_pair_loads_and_says_what_it_is() {
    let files = pair(&["app.example.com", "*.shop.example", "192.0.2.1"], 365);
    let loaded = load(
        &host("app.example.com"),
        &[host("a.shop.example")],
        &files.cert,
        Key::File(&files.key),
        NOW,
    )
    .expect("loaded");
    assert_eq!(loaded.facts.names, ["app.example.com", "*.shop.example", "192.0.2.1"]);
    assert_eq!(rfc3339(loaded.facts.not_before_s), "2025-12-01T00:00:00Z");
    assert_eq!(loaded.facts.expires_in_s(NOW), (365 - 31) * 86_400);
    assert_eq!(loaded.facts.sha256.len(), 64);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn a_key_given_as_bytes_loads_without_a_file() {
    let files = pair(&["localhost"], 365);
    let pem = fs::read(&files.key).expect("readable");
    let key = Key::Pem { pem: &pem, shown: "credential tls-key" };
    assert!(load(&host("localhost"), &[], &files.cert, key, NOW).is_ok());
    let none = Key::Pem { pem: b"nothing", shown: "credential tls-key" };
    let error = load(&host("localhost"), &[], &files.cert, none, NOW).expect_err("refused");
    assert!(error.to_string().contains("credential tls-key"), "{error}");
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let (one, two) = (pair(&["localhost"], 365), pair(&["localhost"], 365));
    let error = refused("localhost", &one.cert, &two.key);
    assert!(error.contains("does not belong to the private key"), "{error}");
}

#[test]
fn a_key_that_everybody_can_read_is_refused_with_the_command() {
    let files = pair(&["localhost"], 365);
    fs::set_permissions(&files.key, Permissions::from_mode(0o644)).expect("mode");
    let error = refused("localhost", &files.cert, &files.key);
    assert!(error.contains("mode 0644") && error.contains("chmod 600"), "{error}");
    fs::set_permissions(&files.key, Permissions::from_mode(0o640)).expect("mode");
    assert!(load(&host("localhost"), &[], &files.cert, Key::File(&files.key), NOW).is_ok());
}

#[test]
fn a_certificate_for_another_site_is_refused_and_for_another_name_warned_of() {
    let files = pair(&["app.example.com"], 365);
    let error = refused("shop.example.com", &files.cert, &files.key);
    assert!(
        error.contains("does not cover shop.example.com; it is for app.example.com"),
        "{error}"
    );
    let also = [host("www.example.com")];
    let loaded = load(&host("app.example.com"), &also, &files.cert, Key::File(&files.key), NOW)
        .expect("loaded");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].contains("www.example.com"));
}

#[test]
fn an_expired_or_future_certificate_is_a_warning() {
    let files = pair(&["localhost"], 10);
    let loaded =
        load(&host("localhost"), &[], &files.cert, Key::File(&files.key), NOW).expect("loaded");
    assert!(loaded.warnings[0].contains("expired on 2025-12-11"), "{:?}", loaded.warnings);
    assert!(loaded.facts.expires_in_s(NOW) < 0);
    let early =
        load(&host("localhost"), &[], &files.cert, Key::File(&files.key), NOW - 90 * 86_400)
            .expect("loaded");
    assert!(early.warnings[0].contains("not valid before"), "{:?}", early.warnings);
}

#[test]
fn missing_empty_and_odd_files_are_named() {
    let files = pair(&["localhost"], 365);
    let missing = files.dir.path().join("none.pem");
    assert!(refused("localhost", &missing, &files.key).contains("there is no such file"));
    assert!(refused("localhost", files.dir.path(), &files.key).contains("not a regular file"));
    fs::write(&missing, "").expect("written");
    assert!(refused("localhost", &missing, &files.key).contains("no `BEGIN CERTIFICATE` block"));
    assert!(refused("localhost", &files.cert, &files.cert).contains("can be read by every user"));
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let files = pair(&["*.example.com"], 365);
    let site = host("*.example.com");
    let facts = load(&site, &[], &files.cert, Key::File(&files.key), NOW).expect("loaded").facts;
    assert!(facts.covers(&host("a.example.com")));
    assert!(!facts.covers(&host("a.b.example.com")));
    assert!(!facts.covers(&host("example.com")));
    assert!(facts.covers(&site));
}
