//! A wall clock that is wrong, at the start or all of a sudden: it is named, and nothing is ordered because of it.

use super::{SITE, assert_says, failure, is_served, served, side_by_side, text};
use crate::support::FakeClock;
use crate::support::acme_site::{AcmePlace, certificate, certificate_when, shown};
use crate::support::ca::Endpoint;

const YEAR_S: i64 = 366 * 86_400;

#[test]
fn a_clock_that_is_a_year_off_at_the_start_is_named_and_orders_nothing() {
    side_by_side([YEAR_S, -YEAR_S], |ahead_s| {
        let (place, ca) = AcmePlace::with_ca(SITE);
        let clock = FakeClock::ahead_s(&place.place, ahead_s);
        let daemon = place.place.start_with(&clock.environment());
        let failure = failure(&daemon, SITE);
        assert_says(text(&failure, "detail"), &["this machine says it is", "the CA says"]);
        assert_says(text(&failure, "likely"), &["the clock of this machine"]);
        assert_says(text(&failure, "next"), &["set the clock"]);
        assert_eq!(ca.seen().asked(Endpoint::NewAccount), 0);
        let status = daemon.cli(&["status"]);
        assert_says(&status.out, &["this machine says it is", "set the clock"]);

        clock.set_ahead_s(0);
        daemon.reload();
        let info = is_served(&daemon, SITE);
        assert!(info["failure"].is_null(), "{info:#}");
        assert_eq!(daemon.stop(), 0);
        assert_eq!(ca.seen().orders.len(), 1);
    });
}

#[test]
fn a_clock_that_jumps_by_a_year_and_back_costs_no_order() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let daemon = place.place.start_with(&clock.environment());
    let before = is_served(&daemon, SITE);
    ca.wait_for_requests(Endpoint::RenewalInfo, 1);

    clock.set_ahead_s(YEAR_S);
    daemon.reload();
    let failure = failure(&daemon, SITE);
    assert_says(text(&failure, "likely"), &["the clock of this machine"]);
    assert!(certificate(&daemon, SITE)["expires_in_s"].as_i64() < Some(0));
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(1).der));

    clock.set_ahead_s(0);
    daemon.reload();
    let after = certificate_when(&daemon, SITE, |info| info["failure"].is_null());
    assert_eq!((&after["sha256"], &after["state"]), (&before["sha256"], &before["state"]));
    let status = daemon.status();
    assert_eq!(status["attention"], serde_json::json!([]), "{status:#}");

    clock.set_ahead_s(-YEAR_S);
    daemon.reload();
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(1).der));
    clock.set_ahead_s(0);
    let daemon = daemon.restart();
    let again = certificate(&daemon, SITE);
    assert_eq!((&again["sha256"], &again["failure"]), (&before["sha256"], &before["failure"]));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn a_start_with_a_clock_that_is_a_year_off_serves_what_is_stored_and_orders_nothing() {
    let (place, ca, daemon) = served();
    assert_eq!(daemon.stop(), 0);
    let der = Some(ca.wait_for_certificate(1).der);
    let clock = FakeClock::ahead_s(&place.place, 0);
    for ahead_s in [YEAR_S, -YEAR_S] {
        clock.set_ahead_s(ahead_s);
        let daemon = place.place.start_with(&clock.environment());
        assert_eq!(shown(&ca.client(), &daemon, SITE), der);
        if ahead_s > 0 {
            assert_says(text(&failure(&daemon, SITE), "likely"), &["the clock of this machine"]);
        }
        assert_eq!(daemon.stop(), 0);
    }
    clock.set_ahead_s(0);
    let daemon = place.place.start_with(&clock.environment());
    let info = certificate(&daemon, SITE);
    assert_eq!((&info["state"], &info["failure"]), (&"served".into(), &serde_json::Value::Null));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 1);
}
