//! Certificates of every lifetime are renewed in time, and those that come late in their life start no storm.

use super::{DAY_S, SITE, assert_says, is_served, side_by_side, text};
use crate::support::FakeClock;
use crate::support::acme_site::{AcmePlace, certificate};
use crate::support::ca::Endpoint;

#[test]
fn a_third_of_the_lifetime_is_left_at_renewal_and_half_of_a_short_one() {
    let cases = [(6, 3, "half"), (45, 15, "a third"), (90, 30, "a third")];
    side_by_side(cases, |(days, left, share)| {
        let (place, ca) = AcmePlace::with_ca(SITE);
        ca.set(|knobs| {
            knobs.ari = false;
            knobs.age_s = 0;
            knobs.lifetime_s = days * DAY_S;
        });
        let daemon = place.start();
        let info = is_served(&daemon, SITE);
        let (ends_s, in_s) = (info["expires_in_s"].as_i64(), info["renewal"]["in_s"].as_i64());
        let left_s = ends_s.unwrap() - in_s.unwrap();
        // Spread over a thirtieth of the lifetime, so that certificates of one day do not renew in one minute.
        let spread = left * DAY_S - days * DAY_S / 30..=left * DAY_S;
        assert!(spread.contains(&left_s), "{days} days: {left_s} in {spread:?}");
        assert_says(text(&info["renewal"], "why"), &[&format!("{share} of its {days} days")]);
    });
}

#[test]
fn a_certificate_that_comes_late_in_its_life_is_renewed_ever_more_patiently() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    ca.set(|knobs| knobs.age_s = 80 * DAY_S);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let daemon = place.place.start_with(&clock.environment());
    let info = is_served(&daemon, SITE);
    assert_says(text(&info["failure"], "detail"), &["due for renewal as soon as it was issued"]);
    assert_says(text(&info["failure"], "likely"), &["clock"]);
    // After 1, 10 and 100 minutes, each with a fifth for the jitter and some for the test.
    let mut ahead_s = 0;
    for (orders, wait_s) in [(2, 100), (3, 800), (4, 8_000)] {
        let planned = certificate(&daemon, SITE)["renewal"]["in_s"].as_i64().unwrap();
        assert!((1..=wait_s).contains(&planned), "before order {orders}: {planned}");
        ahead_s += wait_s;
        clock.set_ahead_s(ahead_s);
        daemon.reload();
        ca.wait_for_certificate(orders);
        ca.wait_for_requests(Endpoint::Certificate, orders);
        super::until("its certificate is taken", || {
            (certificate(&daemon, SITE)["failure"]["attempts"].as_u64() == Some(orders as u64))
                .then_some(())
        });
        daemon.reload();
    }
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 4);
}
