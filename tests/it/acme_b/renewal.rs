//! When a CA wants its certificates renewed, what is ordered then, and what happens where it does not say.

use super::{DAY_S, SITE, assert_says, failure, is_served, served, side_by_side, text, until};
use crate::support::acme_site::{AcmePlace, assert_serves, certificate, certificate_when, shown};
use crate::support::ca::{Endpoint, Fault, Moment, Profile, Window};
use crate::support::{Daemon, Pebble, TlsClient, pebble};

#[test]
fn a_window_in_the_past_renews_at_once_and_the_order_names_what_it_replaces() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let asked = ca.hold(Endpoint::RenewalInfo, Moment::Before);
    let daemon = place.start();
    asked.wait();
    let first = ca.wait_for_certificate(1);
    ca.set_window(&first.id, Window { start_in_s: -7_200, end_in_s: -3_600, explanation: None });
    asked.release();
    let second = ca.wait_for_certificate(2);
    assert_eq!(second.replaces, Some(first.id));
    until("the new certificate is served", || {
        shown(&ca.client(), &daemon, SITE).filter(|der| *der == second.der)
    });
    let info = certificate_when(&daemon, SITE, |info| info["renewal"]["in_s"].as_i64() > Some(0));
    assert!(info["failure"].is_null(), "{info:#}");
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 2);
}

#[test]
fn a_window_ahead_plans_the_renewal_inside_it_and_a_restart_changes_nothing() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let why = "https://ca.example.com/why";
    let window =
        Window { start_in_s: 10 * DAY_S, end_in_s: 20 * DAY_S, explanation: Some(why.to_owned()) };
    ca.set(|knobs| knobs.window = Some(window));
    let daemon = place.start();
    let planned = |daemon: &Daemon| {
        let by_window = |info: &serde_json::Value| {
            info["renewal"]["why"].as_str().is_some_and(|why| why.contains("the CA suggests"))
        };
        certificate_when(daemon, SITE, by_window)["renewal"].clone()
    };
    let before = planned(&daemon);
    let in_s = before["in_s"].as_i64().unwrap();
    assert!((10 * DAY_S - 60..=20 * DAY_S).contains(&in_s), "{before:#}");
    assert_says(text(&before, "why"), &[why]);
    let listed = daemon.cli(&["cert", "list"]);
    assert_says(&listed.out, &["renews", "the CA suggests", why]);
    let daemon = daemon.restart();
    let after = planned(&daemon);
    assert_eq!((&after["at"], &after["why"]), (&before["at"], &before["why"]));
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn renewal_information_that_cannot_be_used_is_no_failure() {
    let garbage = Some(Fault::Garbage);
    let unknown = Some(Fault::problem(404, "malformed", "no such certificate"));
    let backwards = Window { start_in_s: 20 * DAY_S, end_in_s: 10 * DAY_S, explanation: None };
    let cases = [
        (unknown, None),
        (garbage, None),
        (Some(Fault::Close), None),
        (Some(Fault::Hang), None),
        (None, Some(backwards)),
    ];
    side_by_side(cases, |(fault, window)| {
        let (place, ca) = AcmePlace::with_ca(SITE);
        ca.set(|knobs| knobs.window = window);
        if let Some(fault) = fault {
            ca.fault_always(Endpoint::RenewalInfo, fault);
        }
        let daemon = place.start();
        is_served(&daemon, SITE);
        ca.wait_for(|seen| (seen.asked(Endpoint::RenewalInfo) > 0).then_some(()));
        let info = certificate(&daemon, SITE);
        assert!(info["failure"].is_null(), "{info:#}");
        assert_says(text(&info["renewal"], "why"), &["a third of its 90 days is left"]);
        assert_eq!(daemon.stop(), 0);
        assert_eq!(ca.seen().orders.len(), 1);
    });
}

#[test]
fn a_window_without_retry_after_is_taken_all_the_same() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    ca.set(|knobs| knobs.ari_retry_after = None);
    let daemon = place.start();
    certificate_when(&daemon, SITE, |info| {
        info["renewal"]["why"].as_str().is_some_and(|why| why.contains("the CA suggests"))
    });
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().asked(Endpoint::RenewalInfo), 1);
}

#[test]
fn what_was_replaced_already_is_ordered_without_naming_it() {
    let (_place, ca, daemon) = served();
    let detail = "it has been replaced already";
    ca.fault(Endpoint::NewOrder, Fault::problem(409, "alreadyReplaced", detail));
    let renewed = daemon.cli(&["cert", "renew", SITE]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    let seen = ca.seen();
    let orders = seen.requests.iter().filter(|asked| asked.endpoint == Endpoint::NewOrder);
    let replaces: Vec<_> = orders.map(|asked| asked.payload["replaces"].clone()).collect();
    let first = seen.certificates[0].id.as_str();
    assert_eq!(replaces, [serde_json::Value::Null, first.into(), serde_json::Value::Null]);
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(2).der));
}

#[test]
fn a_ca_without_renewal_information_is_not_told_what_is_replaced() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    ca.set(|knobs| knobs.ari = false);
    let daemon = place.start();
    is_served(&daemon, SITE);
    assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 0);
    assert_eq!(ca.wait_for_certificate(2).replaces, None);
    assert_eq!(ca.seen().asked(Endpoint::RenewalInfo), 0);
}

#[test]
fn the_profile_that_is_configured_is_ordered() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    ca.set(|knobs| {
        knobs.profiles = vec![Profile { name: "short".into(), lifetime_s: 6 * DAY_S }];
    });
    place.configure(&ca.directory(), &ca.ca_file(), "profile = \"short\"", &[(SITE, "")]);
    let daemon = place.start();
    is_served(&daemon, SITE);
    assert_eq!(ca.wait_for_certificate(1).profile.as_deref(), Some("short"));
}

#[test]
fn a_profile_that_the_ca_does_not_have_is_named_with_those_that_it_has() {
    let named = |name: &str| Profile { name: name.into(), lifetime_s: 6 * DAY_S };
    for (profiles, words) in [
        (vec![], "the CA has no certificate profiles"),
        (vec![named("tls"), named("classic")], "it has classic, tls"),
    ] {
        let (place, ca) = AcmePlace::with_ca(SITE);
        ca.set(|knobs| knobs.profiles = profiles);
        place.configure(&ca.directory(), &ca.ca_file(), "profile = \"short\"", &[(SITE, "")]);
        let daemon = place.start();
        let failure = failure(&daemon, SITE);
        assert_says(text(&failure, "detail"), &["has no profile short"]);
        assert_says(text(&failure, "likely"), &[words]);
        assert_says(text(&failure, "next"), &["acme.profile", "palisade reload"]);
        assert_eq!(ca.seen().asked(Endpoint::NewOrder), 0);
    }
}

#[test]
fn pebble_takes_a_renewal_that_names_what_it_replaces() {
    let place = AcmePlace::new();
    let options = pebble::Options { lifetime_s: 6 * 86_400, ..Default::default() };
    let pebble = Pebble::start(&place.doors, &options);
    place.sites_at_pebble(&pebble, "", &[SITE]);
    let daemon = place.start();
    let first = is_served(&daemon, SITE);
    let renewed = daemon.cli(&["cert", "renew", SITE]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    assert_ne!(certificate(&daemon, SITE)["sha256"], first["sha256"]);
    assert_serves(&TlsClient::trusting(&pebble.root_pem()), &daemon, SITE);
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 2, 2));
    let acme = "profile = \"none-of-these\"";
    place.sites_at_pebble(&pebble, acme, &[SITE]);
    daemon.reload();
    let refused = daemon.cli(&["cert", "renew", SITE]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_says(&refused.err, &["has no profile none-of-these", "acme.profile"]);
    assert_eq!(pebble.orders(), 2);
}
