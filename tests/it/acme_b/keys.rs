//! Where the master key comes from, and what happens when it is lost, wrong, or changed.

use super::{SITE, assert_says, refused_start, served, set_mode};
use crate::support::acme_site::{AcmePlace, shown};
use crate::support::ca::ScriptedCa;

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// A place whose daemon has got a certificate and was stopped, with the master key that was made for it.
fn stopped() -> (AcmePlace, ScriptedCa, String) {
    let (place, ca, daemon) = served();
    assert_eq!(daemon.stop(), 0);
    let key = std::fs::read_to_string(place.place.path("state/master.key")).unwrap();
    (place, ca, key)
}

fn put_key(place: &AcmePlace, name: &str, text: &str) {
    let path = place.place.path(name);
    std::fs::write(&path, text).unwrap();
    set_mode(&path, 0o600);
}

fn assert_serves_still(place: &AcmePlace, ca: &ScriptedCa, environment: &[(&str, &str)]) {
    let daemon = place.place.start_with(environment);
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(1).der));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn a_lost_or_wrong_master_key_is_named_and_the_state_is_left_as_it_is() {
    let (place, ca, key) = stopped();
    let file = place.place.path("state/core.redb");
    let state = std::fs::read(&file).unwrap();
    std::fs::remove_file(place.place.path("state/master.key")).unwrap();
    let missing = refused_start(&place.place, &[]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert_says(
        &missing.err,
        &["the master key is missing", "state/master.key", "put the copy of it back"],
    );
    for (text, words) in [
        (ONE, ["is not the one that data key 1 is wrapped with", "crypto.previous_master_key"]),
        ("hunter2", ["is not 64 hexadecimal digits (it has 7 bytes)", "put the copy of it back"]),
        ("", ["is empty", "put the copy of the key back"]),
    ] {
        put_key(&place, "state/master.key", text);
        let refused = refused_start(&place.place, &[]);
        assert_eq!(refused.code, 1, "{refused:?}");
        assert_says(&refused.err, &words);
        assert!(!refused.err.contains("openssl rand"), "{refused:?}");
        assert!(!refused.err.contains("hunter2") && !refused.err.contains(ONE), "{refused:?}");
    }
    set_mode(&place.place.path("state/master.key"), 0o644);
    assert_says(&refused_start(&place.place, &[]).err, &["state/master.key", "chmod o= "]);
    assert!(std::fs::read(&file).unwrap() == state, "core.redb has changed");
    put_key(&place, "state/master.key", &key);
    assert_serves_still(&place, &ca, &[]);
}

#[test]
fn a_master_key_from_the_environment_is_used_and_not_left_there() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let variables = ["PALISADE_MASTER_KEY", "ENCRYPTION_KEY"];
    let daemon = place.place.start_with(&[(variables[0], ONE), (variables[1], ONE)]);
    super::is_served(&daemon, SITE);
    let environ = std::fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    let environ = String::from_utf8_lossy(&environ);
    assert!(environ.contains("HOME="), "{environ}");
    assert!(!environ.contains(ONE), "{environ}");
    assert_eq!(daemon.stop(), 0);
    assert!(!place.place.path("state/master.key").exists());
    for variable in variables {
        assert_serves_still(&place, &ca, &[(variable, ONE)]);
    }
    let differ = refused_start(&place.place, &[(variables[0], ONE), (variables[1], TWO)]);
    assert_eq!(differ.code, 1, "{differ:?}");
    assert_says(&differ.err, &["differ", variables[0], variables[1]]);
    assert!(!differ.err.contains(ONE) && !differ.err.contains(TWO), "{differ:?}");
    let bad = refused_start(&place.place, &[(variables[0], "hunter2")]);
    assert_says(&bad.err, &[variables[0], "64 hexadecimal digits"]);
    assert!(!bad.err.contains("hunter2"), "{bad:?}");
}

#[test]
fn a_master_key_from_the_credentials_directory_is_used() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let credentials = place.place.path("credentials");
    std::fs::create_dir(&credentials).unwrap();
    put_key(&place, "credentials/master-key", ONE);
    let environment = [("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap())];
    let daemon = place.place.start_with(&environment);
    super::is_served(&daemon, SITE);
    assert_eq!(daemon.stop(), 0);
    assert!(!place.place.path("state/master.key").exists());
    assert_serves_still(&place, &ca, &environment);
    assert_says(&refused_start(&place.place, &[]).err, &["the master key is missing"]);
}

#[test]
fn a_configured_master_key_that_is_no_key_is_a_bad_configuration() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    put_key(&place, "mine", "hunter2");
    let sites = [(SITE, "[crypto]\nmaster_key = { env = \"MINE\" }")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    for (environment, words) in [
        (vec![], "environment variable MINE is not set"),
        (vec![("MINE", "hunter2")], "64 hexadecimal digits"),
    ] {
        let refused = refused_start(&place.place, &environment);
        assert_eq!(refused.code, 78, "{refused:?}");
        assert_says(&refused.err, &[words]);
        assert!(!refused.err.contains("hunter2"), "{refused:?}");
    }
    assert!(!place.place.path("state/core.redb").exists());
}

#[test]
fn a_new_master_key_takes_over_where_the_previous_one_is_named() {
    let (place, ca, key) = stopped();
    put_key(&place, "old.key", &key);
    put_key(&place, "state/master.key", ONE);
    let old = place.place.path("old.key");
    let keys = format!("[crypto]\nprevious_master_key = {old:?}");
    place.configure(&ca.directory(), &ca.ca_file(), "", &[(SITE, &keys)]);
    let daemon = place.place.start();
    let changed = daemon.wait_for_event("master_key_changed");
    assert_eq!(changed["data_keys"], 1, "{changed}");
    assert_says(changed["next"].as_str().unwrap(), &["previous_master_key", "keep a copy"]);
    assert_eq!(daemon.stop(), 0);
    assert_serves_still(&place, &ca, &[]);
    // It stays harmless until the line is removed, and is not needed afterwards.
    assert_serves_still(&place, &ca, &[]);
    std::fs::remove_file(&old).unwrap();
    place.sites(&ca, &[SITE]);
    assert_serves_still(&place, &ca, &[]);
    put_key(&place, "state/master.key", &key);
    assert_says(&refused_start(&place.place, &[]).err, &["is not the one that data key"]);
}
