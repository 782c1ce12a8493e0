//! A new configuration after a failure: what was repaired is tried at once, what the CA asked for is kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{SITE, assert_says, failure, is_served, served, set_mode, side_by_side, text};
use crate::support::Daemon;
use crate::support::acme_site::{AcmePlace, certificate, certificate_when, shown, wait_for_site};
use crate::support::ca::{Endpoint, Fault, Moment, ScriptedCa};

const WWW: &str = "www.example.com";

/// A CA that refuses and one that does not, at one pair of doors, and a daemon that was refused.
fn refused(fault: Fault) -> (AcmePlace, ScriptedCa, ScriptedCa, Daemon) {
    let (place, bad) = AcmePlace::with_ca(SITE);
    let good = ScriptedCa::start(&place.doors);
    bad.fault_always(Endpoint::NewOrder, fault);
    let daemon = place.start();
    failure(&daemon, SITE);
    (place, bad, good, daemon)
}

fn policy() -> Fault {
    Fault::problem(403, "rejectedIdentifier", "not here")
}

#[test]
fn another_directory_is_asked_at_once_on_a_reload() {
    let (place, bad, good, daemon) = refused(policy());
    place.sites(&good, &[SITE]);
    daemon.reload();
    let info = is_served(&daemon, SITE);
    assert!(info["failure"].is_null(), "{info:#}");
    assert_eq!((bad.seen().asked(Endpoint::NewOrder), good.seen().orders.len()), (1, 1));
}

#[test]
fn another_directory_is_asked_at_once_after_a_restart_also_after_a_limit_of_the_first() {
    let (place, bad, good, daemon) = refused(Fault::rate_limited("too many", "86400"));
    assert_eq!(daemon.stop(), 0);
    place.sites(&good, &[SITE]);
    let daemon = place.start();
    is_served(&daemon, SITE);
    assert_eq!((bad.seen().asked(Endpoint::NewOrder), good.seen().orders.len()), (1, 1));
}

#[test]
fn without_a_change_the_backoff_holds_on_reload_and_restart() {
    let (_place, bad, _good, daemon) = refused(policy());
    let before = certificate(&daemon, SITE)["renewal"]["at"].clone();
    daemon.reload();
    let daemon = daemon.restart();
    let after = certificate(&daemon, SITE);
    assert_eq!(after["renewal"]["at"], before);
    assert_says(text(&after["renewal"], "why"), &["the last attempt failed"]);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(bad.seen().asked(Endpoint::NewOrder), 1);
}

#[test]
fn the_wait_that_a_ca_asks_for_outlasts_a_new_configuration() {
    let (place, bad, _good, daemon) = refused(Fault::rate_limited("too many", "7200"));
    place.configure(
        &bad.directory(),
        &bad.ca_file(),
        "contact = \"ops@example.com\"",
        &[(SITE, "also = [\"www.example.com\"]")],
    );
    daemon.reload();
    let kept = |daemon: &Daemon| {
        let in_s = certificate(daemon, SITE)["renewal"]["in_s"].as_i64().unwrap();
        assert!((6_000..=7_200).contains(&in_s), "{in_s}");
    };
    kept(&daemon);
    let daemon = daemon.restart();
    kept(&daemon);
    let words = "before [acme] or the names changed: too many";
    assert_eq!(text(&certificate(&daemon, SITE)["failure"], "detail"), words);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(bad.seen().asked(Endpoint::NewOrder), 1);
}

#[test]
fn a_ca_file_that_was_repaired_in_its_place_is_tried_at_once() {
    side_by_side([false, true], |restart| {
        let (place, ca) = AcmePlace::with_ca(SITE);
        let roots = place.place.path("roots.pem");
        place.configure(&ca.directory(), &roots, "", &[(SITE, "")]);
        let daemon = place.start();
        let failure = failure(&daemon, SITE);
        assert_says(text(&failure, "next"), &["acme.ca_file", "palisade reload"]);
        assert_eq!(text(&daemon.wait_for_event("certificate_failed"), "class"), "config");
        std::fs::copy(ca.ca_file(), &roots).unwrap();
        let daemon = if restart {
            daemon.restart()
        } else {
            daemon.reload();
            daemon
        };
        is_served(&daemon, SITE);
    });
}

#[test]
fn names_that_are_added_after_a_failure_are_tried_at_once() {
    let (place, ca, _good, daemon) = refused(policy());
    ca.heal();
    place.configure(&ca.directory(), &ca.ca_file(), "", &[(SITE, "also = [\"www.example.com\"]")]);
    daemon.reload();
    is_served(&daemon, SITE);
    assert_eq!(ca.wait_for_certificate(1).names, [SITE, WWW]);
}

#[test]
fn a_name_that_is_added_is_ordered_and_the_old_certificate_serves_meanwhile() {
    let (place, ca, daemon) = served();
    let first = ca.wait_for_certificate(1);
    place.configure(
        &ca.directory(),
        &ca.ca_file(),
        "",
        &[(SITE, "also = [\"www.example.com\"]"), ("shop.example.com", "")],
    );
    ca.fault(Endpoint::NewOrder, policy());
    ca.fault(Endpoint::NewOrder, policy());
    daemon.reload();
    failure(&daemon, SITE);
    failure(&daemon, "shop.example.com");
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(first.der));
    let status = daemon.cli(&["status"]);
    assert_says(
        &status.out,
        &["certificate of app.example.com does not cover www.example.com yet"],
    );
    for site in [SITE, "shop.example.com"] {
        assert_eq!(daemon.cli(&["cert", "renew", site]).code, 0);
    }
    let both = shown(&ca.client(), &daemon, WWW).expect("served");
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(both));
    assert!(shown(&ca.client(), &daemon, "shop.example.com").is_some());
}

#[test]
fn a_site_that_is_removed_is_refused_and_its_certificate_is_there_when_it_comes_back() {
    let (place, ca, daemon) = served();
    let der = shown(&ca.client(), &daemon, SITE).expect("served");
    place.configure(&ca.directory(), &ca.ca_file(), "", &[("app.localhost", "")]);
    daemon.reload();
    assert_eq!(shown(&ca.client(), &daemon, SITE), None);
    place.sites(&ca, &[SITE]);
    daemon.reload();
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(der));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn a_new_contact_is_told_to_the_ca_with_the_next_order() {
    let (place, ca, daemon) = served();
    assert_eq!(ca.seen().contacts, [""; 0]);
    for contact in ["ops@example.com", "web@example.com"] {
        let acme = format!("contact = \"{contact}\"");
        place.configure(&ca.directory(), &ca.ca_file(), &acme, &[(SITE, "")]);
        daemon.reload();
        assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 0);
        assert_eq!(ca.seen().contacts, [format!("mailto:{contact}")]);
    }
    assert_eq!(ca.seen().accounts, 1);
}

#[test]
fn a_contact_that_the_ca_refuses_is_a_warning_and_no_failure() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let acme = "contact = \"ops@example.com\"";
    place.configure(&ca.directory(), &ca.ca_file(), acme, &[(SITE, "")]);
    let words = "example.com is a forbidden domain";
    ca.fault_always(Endpoint::Account, Fault::problem(400, "invalidContact", words));
    let daemon = place.start();
    let info = is_served(&daemon, SITE);
    assert!(info["failure"].is_null(), "{info:#}");
    let line = daemon.wait_for_event("acme_contact_refused");
    assert_eq!(text(&line, "detail"), words);
    super::until("status warns", || {
        daemon.cli(&["status"]).out.contains("the CA does not take acme.contact").then_some(())
    });
    // Gone with its cause.
    place.sites(&ca, &[SITE]);
    daemon.reload();
    assert!(!daemon.cli(&["status"]).out.contains("acme.contact"));
}

#[test]
fn a_ca_that_is_left_orders_no_more_and_the_new_one_is_not_told_of_the_old_certificate() {
    let (place, old, daemon) = served();
    let new = ScriptedCa::start(&place.doors);
    place.sites(&new, &[SITE]);
    daemon.reload();
    let der = new.wait_for_certificate(1).der;
    super::until("the new certificate is served", || {
        shown(&new.client(), &daemon, SITE).filter(|shown| *shown == der)
    });
    let info = certificate_when(&daemon, SITE, |info| info["activity"].is_null());
    assert!(info["failure"].is_null(), "{info:#}");
    assert_eq!(new.wait_for_certificate(1).replaces, None);
    assert_eq!(old.seen().orders.len(), 1);
}

#[test]
fn an_account_binding_that_was_missing_or_wrong_is_tried_at_once_when_it_is_right() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let hmac = b"given by the CA at its web site".to_vec();
    ca.set(|knobs| knobs.external_account = Some(("kid-1".into(), hmac.clone())));
    let daemon = place.start();
    let said = |words: &str| {
        certificate_when(&daemon, SITE, |info| {
            info["failure"]["likely"].as_str().is_some_and(|likely| likely.contains(words))
        })["failure"]
            .clone()
    };
    let missing = said("it wants an external account binding");
    assert_says(text(&missing, "next"), &["set acme.eab = { kid = …, hmac = { file = … } }"]);

    let file = place.place.path("hmac");
    let put = |key: &[u8]| {
        std::fs::write(&file, URL_SAFE_NO_PAD.encode(key)).unwrap();
        set_mode(&file, 0o600);
    };
    put(b"guessed by somebody");
    let acme = format!("eab = {{ kid = \"kid-1\", hmac = {file:?} }}");
    place.configure(&ca.directory(), &ca.ca_file(), &acme, &[(SITE, "")]);
    daemon.reload();
    let wrong = said("the key in acme.eab is wrong");
    assert_says(text(&wrong, "next"), &["palisade reload"]);
    put(&hmac);
    daemon.reload();
    let info = is_served(&daemon, SITE);
    assert!(info["failure"].is_null(), "{info:#}");
    assert_eq!(ca.seen().accounts, 1);
}

#[test]
fn challenges_that_the_ca_does_not_offer_are_named_and_tried_at_once_when_it_does() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    ca.set(|knobs| knobs.challenges = vec!["http-01", "dns-01"]);
    let only = "challenges = [\"tls-alpn-01\"]";
    place.configure(&ca.directory(), &ca.ca_file(), only, &[(SITE, "")]);
    let daemon = place.start();
    let failure = failure(&daemon, SITE);
    let likely = "the CA offers http-01, dns-01, the configuration allows tls-alpn-01";
    assert_says(text(&failure, "likely"), &[likely]);
    let other = "challenges = [\"http-01\"]";
    place.configure(&ca.directory(), &ca.ca_file(), other, &[(SITE, "")]);
    daemon.reload();
    is_served(&daemon, SITE);
}

#[test]
fn a_verdict_under_a_configuration_that_is_gone_is_not_shown_as_the_new_cas() {
    for restart in [false, true] {
        let (place, _bad, good, daemon) = refused(policy());
        let asked = good.hold(Endpoint::NewOrder, Moment::Before);
        place.sites(&good, &[SITE]);
        let daemon = if restart {
            daemon.restart()
        } else {
            daemon.reload();
            daemon
        };
        asked.wait();
        let info = certificate(&daemon, SITE);
        assert!(info["failure"].is_null(), "{info:#}");
        assert!(!daemon.cli(&["status"]).out.contains("not here"));
        good.fault(Endpoint::NewOrder, Fault::problem(403, "rejectedIdentifier", "nor here"));
        asked.release();
        let failure = certificate_when(&daemon, SITE, |info| {
            info["failure"].is_object() || info["state"] == "served"
        })["failure"]
            .clone();
        // Its own failures are counted from the first.
        assert!(failure.is_null() || failure["attempts"] == 1, "{failure:#}");
        assert_eq!(daemon.stop(), 0);
    }
}

#[test]
fn a_site_that_goes_by_another_of_its_names_keeps_its_certificate() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let with = |name: &str, also: &str| {
        let also = format!("also = [\"{also}\"]");
        place.configure(&ca.directory(), &ca.ca_file(), "", &[(name, &also)]);
    };
    with(SITE, WWW);
    let daemon = place.start();
    is_served(&daemon, SITE);
    let der = shown(&ca.client(), &daemon, SITE);
    assert!(der.is_some());
    with(WWW, SITE);
    daemon.reload();
    assert_eq!(shown(&ca.client(), &daemon, SITE), der, "at once");
    let adopted = daemon.wait_for_event("certificate_adopted");
    assert_eq!((text(&adopted, "site"), text(&adopted, "from")), (WWW, SITE));
    wait_for_site(&daemon, "certificate_stored", WWW, 1);
    // Its key opens under the new name, too.
    daemon.sigkill();
    drop(daemon);
    let daemon = place.start();
    assert_eq!(shown(&ca.client(), &daemon, WWW), der);
    assert_eq!(ca.seen().orders.len(), 1);
    // Changed while it was stopped.
    assert_eq!(daemon.stop(), 0);
    let sites = [(SITE, ""), (WWW, "")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    let daemon = place.start();
    assert_eq!(shown(&ca.client(), &daemon, WWW), der);
    assert_eq!(shown(&ca.client(), &daemon, SITE), der);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn nothing_is_adopted_from_a_site_that_is_still_configured() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let authority = crate::support::Authority::new();
    let daemon = place.start();
    is_served(&daemon, SITE);
    let (cert, key) = authority.write(place.place.dir(), "both", &[SITE, WWW]);
    let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
    let imported = daemon.cli(&["cert", "import", SITE, "--cert", cert, "--key", key]);
    assert_eq!(imported.code, 0, "{imported:?}");
    place.sites(&ca, &[SITE, WWW]);
    daemon.reload();
    is_served(&daemon, WWW);
    assert_eq!(ca.wait_for_certificate(2).names, [WWW]);
}
