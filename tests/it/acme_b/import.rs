//! `cert import`: a certificate from elsewhere, taken whole or not at all.

use std::path::{Path, PathBuf};

use palisade::ports::Clock as _;
use palisade::ports::system::SystemClock;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{SITE, assert_says, served, set_mode, text};
use crate::support::acme_site::{AcmePlace, certificate, certificate_when, shown, wait_for_site};
use crate::support::ca::{Endpoint, Fault, Moment, ScriptedCa};
use crate::support::{Authority, Daemon, Exit, FakeClock, Issued, TlsClient};

fn import(daemon: &Daemon, site: &str, (cert, key): (&Path, &Path)) -> Exit {
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    daemon.cli(&["cert", "import", site, "--cert", cert, "--key", key])
}

/// A site without a certificate, and somebody who could issue one.
fn waiting() -> (AcmePlace, ScriptedCa, Authority, Daemon) {
    let place = AcmePlace::new();
    let ca = ScriptedCa::start(&place.doors);
    let sites = [(SITE, "tls = \"imported\"\nalso = [\"www.example.com\"]")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    let daemon = place.start();
    (place, ca, Authority::new(), daemon)
}

#[test]
fn an_imported_certificate_is_served_at_once_and_after_a_restart_and_never_ordered() {
    let (place, ca, authority, daemon) = waiting();
    let client = TlsClient::trusting(authority.pem());
    assert_eq!(shown(&client, &daemon, SITE), None);
    let names = [SITE, "www.example.com"];
    let (cert, key) = authority.write(place.place.dir(), "bought", &names);
    let imported = import(&daemon, SITE, (&cert, &key));
    assert_eq!(imported.code, 0, "{imported:?}");
    assert_says(&imported.out, &["certificate for app.example.com: is served", "issuer: "]);
    let der = shown(&client, &daemon, SITE).expect("served");
    assert_eq!(shown(&client, &daemon, "www.example.com").as_ref(), Some(&der));
    assert_eq!(certificate(&daemon, SITE)["source"], "imported");

    // By any of its names, and again: the newest counts.
    let (cert, key) = authority.write(place.place.dir(), "second", &names);
    assert_eq!(import(&daemon, "www.example.com", (&cert, &key)).code, 0);
    let second = shown(&client, &daemon, SITE).expect("served");
    assert_ne!(second, der);
    let daemon = daemon.restart();
    assert_eq!(shown(&client, &daemon, SITE), Some(second));
    let renewed = daemon.cli(&["cert", "renew", SITE]);
    assert_says(&renewed.err, &["tls = \"imported\"", "palisade cert import"]);
    assert_eq!(ca.seen().requests.len(), 0);
}

#[test]
fn an_import_that_misses_a_name_of_the_site_is_served_with_a_warning() {
    let (place, _ca, authority, daemon) = waiting();
    let (cert, key) = authority.write(place.place.dir(), "bought", &[SITE]);
    assert_eq!(import(&daemon, SITE, (&cert, &key)).code, 0);
    let status = daemon.cli(&["status"]);
    assert_says(&status.out, &["does not cover www.example.com"]);
}

#[test]
fn an_import_for_an_ordered_site_is_served_until_its_renewal() {
    let (place, ca, daemon) = served();
    let authority = Authority::new();
    let (cert, key) = authority.write(place.place.dir(), "bought", &[SITE]);
    assert_eq!(import(&daemon, SITE, (&cert, &key)).code, 0);
    let client = TlsClient::trusting(authority.pem());
    let der = shown(&client, &daemon, SITE).expect("served");
    let daemon = daemon.restart();
    assert_eq!(shown(&client, &daemon, SITE), Some(der));
    assert_eq!(ca.seen().orders.len(), 1);
    // It is not the CA's: nothing to name as replaced.
    assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 0);
    let second = ca.wait_for_certificate(2);
    assert_eq!(second.replaces, None);
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(second.der));
}

/// Files that are no pair for the site, with words of the refusal.
fn unusable(authority: &Authority, dir: &Path) -> Vec<(PathBuf, PathBuf, &'static str)> {
    let write = |stem: &str, names: &[&str]| authority.write(dir, stem, names);
    let (good, good_key) = write("good", &[SITE]);
    let (_, other_key) = write("another", &[SITE]);
    let (elsewhere, elsewhere_key) = write("elsewhere", &["shop.example.com"]);
    let (open, open_key) = write("open", &[SITE]);
    set_mode(&open_key, 0o644);
    let garbage = dir.join("garbage.pem");
    std::fs::write(&garbage, "hunter2 is no certificate").unwrap();
    let broken = dir.join("broken.pem");
    let pem = std::fs::read_to_string(&good).unwrap();
    std::fs::write(&broken, pem.replacen("MII", "MIJ", 1)).unwrap();
    let broken_key = dir.join("broken.key");
    let pem = std::fs::read_to_string(&good_key).unwrap();
    let cut = pem.len() / 2..pem.len() / 2 + 8;
    let rest = pem.char_indices().filter(|(at, _)| !cut.contains(at));
    std::fs::write(&broken_key, rest.map(|(_, c)| c).collect::<String>()).unwrap();
    set_mode(&broken_key, 0o600);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([SITE.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let expired = dir.join("expired.pem");
    std::fs::write(&expired, params.self_signed(&key).unwrap().pem()).unwrap();
    let expired_key = dir.join("expired.key");
    std::fs::write(&expired_key, key.serialize_pem()).unwrap();
    set_mode(&expired_key, 0o600);
    let encrypted = dir.join("encrypted.key");
    let pem = std::fs::read_to_string(&good_key).unwrap();
    std::fs::write(&encrypted, pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")).unwrap();
    set_mode(&encrypted, 0o600);
    let closed = dir.join("closed.pem");
    std::fs::copy(&good, &closed).unwrap();
    set_mode(&closed, 0o600);
    let (chained, with_key) = (dir.join("chained.pem"), dir.join("with-key.pem"));
    let pem = std::fs::read_to_string(&good).unwrap();
    std::fs::write(&chained, format!("{pem}{pem}")).unwrap();
    let private = std::fs::read_to_string(&good_key).unwrap();
    std::fs::write(&with_key, format!("{pem}{private}")).unwrap();
    set_mode(&with_key, 0o600);
    let missing = dir.join("missing.pem");
    vec![
        (good.clone(), other_key, "does not belong to the private key"),
        (elsewhere, elsewhere_key, "the certificate is for shop.example.com, not for app.example"),
        (expired, expired_key, "the certificate ended on 2021-01-01"),
        (open, open_key, "chmod o= "),
        (garbage, good_key.clone(), "holds no certificate"),
        (broken, good_key.clone(), "is not usable"),
        (chained, good_key.clone(), "the chain is in disorder"),
        (with_key, good_key.clone(), "a private key stands among the certificates"),
        (good.clone(), broken_key, "key"),
        (good.clone(), encrypted, "is encrypted\n  palisade needs it without a passphrase"),
        (good_key.clone(), closed, "are --cert and --key swapped?"),
        (missing, good_key, "missing.pem cannot be read"),
    ]
}

#[test]
fn an_import_that_cannot_be_used_is_refused_and_the_old_certificate_stays() {
    let (place, ca, daemon) = served();
    let before = shown(&ca.client(), &daemon, SITE);
    let authority = Authority::new();
    for (cert, key, words) in unusable(&authority, place.place.dir()) {
        let refused = import(&daemon, SITE, (&cert, &key));
        assert_eq!(refused.code, 1, "{words}: {refused:?}");
        assert_says(&refused.err, &[words]);
        assert!(!refused.err.contains("hunter2"), "{refused:?}");
        assert_eq!(shown(&ca.client(), &daemon, SITE), before);
    }
    assert_eq!(text(&certificate(&daemon, SITE), "state"), "served");
    let daemon = daemon.restart();
    assert_eq!(shown(&ca.client(), &daemon, SITE), before);
}

#[test]
fn an_import_for_a_site_that_keeps_its_own_says_so() {
    let place = AcmePlace::new();
    let ca = ScriptedCa::start(&place.doors);
    place.configure(&ca.directory(), &ca.ca_file(), "", &[("app.localhost", "")]);
    let daemon = place.start();
    let (cert, key) = Authority::new().write(place.place.dir(), "bought", &["app.localhost"]);
    for (site, words) in [
        ("app.localhost", "not kept by palisade"),
        ("nobody.example.com", "There is no site nobody.example.com"),
    ] {
        let refused = import(&daemon, site, (&cert, &key));
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_says(&refused.err, &[words]);
    }
}

/// Years of a certificate, the first and the last day, and whether a CA has signed it.
fn dated(
    place: &AcmePlace,
    from: (i32, u8, u8),
    to: (i32, u8, u8),
    signed: bool,
) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([SITE.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from.0, from.1, from.2);
    params.not_after = date_time_ymd(to.0, to.1, to.2);
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(rcgen::DnType::CommonName, "another CA of the tests");
    let issuer = rcgen::Issuer::new(ca, KeyPair::generate().unwrap());
    let cert = if signed { params.signed_by(&key, &issuer) } else { params.self_signed(&key) };
    let issued = Issued { cert: cert.unwrap().pem(), key: key.serialize_pem() };
    issued.write(place.place.dir(), "dated")
}

#[test]
fn an_import_that_is_not_valid_yet_is_taken_with_a_warning_that_stays() {
    let (place, _ca, _authority, daemon) = waiting();
    let (cert, key) = dated(&place, (2999, 1, 1), (3000, 1, 1), true);
    let imported = import(&daemon, SITE, (&cert, &key));
    assert_eq!(imported.code, 0, "{imported:?}");
    let words = "certificate of app.example.com is not valid before 2999-01-01T00:00:00Z";
    assert_says(&imported.out, &["warning: ", words]);
    let warning = certificate(&daemon, SITE)["warnings"][0].clone();
    assert_says(warning.as_str().expect("a sentence"), &[words]);
    let daemon = daemon.restart();
    assert_says(&daemon.cli(&["status"]).out, &[words, "check the clock"]);
}

#[test]
fn a_self_signed_import_for_an_ordered_site_is_replaced_at_once() {
    let (place, ca, daemon) = served();
    let (cert, key) = dated(&place, (2020, 1, 1), (2999, 1, 1), false);
    assert_eq!(import(&daemon, SITE, (&cert, &key)).code, 0);
    let second = ca.wait_for_certificate(2).der;
    super::until("the CA's is served", || {
        shown(&ca.client(), &daemon, SITE).filter(|shown| *shown == second)
    });
    assert!(certificate(&daemon, SITE)["failure"].is_null());
}

#[test]
fn an_import_that_ends_soon_is_mentioned_with_what_comes_next() {
    for (keys, words) in [
        (
            "",
            "the imported certificate of app.example.com ends on 2030-01-19T00:00:00Z; one is ordered on 2030-01-1",
        ),
        (
            "tls = \"imported\"",
            "ends on 2030-01-19T00:00:00Z: `palisade cert import app.example.com --cert FILE --key FILE`",
        ),
    ] {
        let place = AcmePlace::new();
        let ca = ScriptedCa::start(&place.doors);
        place.configure(&ca.directory(), &ca.ca_file(), "", &[(SITE, keys)]);
        // 2030-01-09
        let clock = FakeClock::ahead_s(&place.place, 1_893_456_000 + 8 * 86_400 - now_s());
        let daemon = place.place.start_with(&clock.environment());
        let (cert, key) = dated(&place, (2030, 1, 1), (2030, 1, 19), true);
        let imported = import(&daemon, SITE, (&cert, &key));
        assert_eq!(imported.code, 0, "{imported:?}");
        assert_says(&daemon.cli(&["status"]).out, &[words]);
        let told = daemon.status()["attention"].to_string();
        assert!(told.contains("WARN") && !told.contains("FAIL"), "{told}");
        // Expired: the next step is named, and the log says so as loudly as the status.
        if !keys.is_empty() {
            assert_eq!(daemon.stop(), 0);
            clock.set_ahead_s(1_893_456_000 + 40 * 86_400 - now_s());
            let daemon = place.place.start_with(&clock.environment());
            let line = daemon.wait_for_nth(1, |line| {
                line["message"].as_str().is_some_and(|text| text.contains("expired on"))
            });
            assert_eq!(text(&line, "level"), "error");
            assert_says(
                text(&line, "message"),
                &["expired on", "`palisade cert import app.example.com"],
            );
            assert!(line["next"].is_string(), "{line}");
        }
    }
}

fn now_s() -> i64 {
    SystemClock.unix().as_secs().try_into().unwrap()
}

#[test]
fn an_attempt_that_fails_beside_an_import_takes_nothing_from_it() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let hold = ca.hold(Endpoint::NewOrder, Moment::Before);
    ca.fault_always(Endpoint::NewOrder, Fault::problem(403, "rejectedIdentifier", "not here"));
    let daemon = place.start();
    hold.wait();
    let (cert, key) = Authority::new().write(place.place.dir(), "bought", &[SITE]);
    assert_eq!(import(&daemon, SITE, (&cert, &key)).code, 0);
    wait_for_site(&daemon, "certificate_attempt_given_up", SITE, 1);
    hold.release();
    let kept = certificate_when(&daemon, SITE, |info| info["activity"].is_null());
    assert!(kept["failure"].is_null(), "{kept:#}");
    assert_eq!(kept["issuer"], "a CA of the tests", "{kept:#}");
    assert_eq!(daemon.status()["attention"], serde_json::json!([]));
}
