//! What stays when the CA does not answer: the stored certificate, the account, the other sites, a quick end.

use crate::support::FakeClock;
use crate::support::acme_site::{
    AcmePlace, assert_serves, certificate, certificate_when, control, renew, shown,
    start_and_issue, wait_for_site,
};
use crate::support::ca::{Endpoint, Fault, Moment};

const NAME: &str = "app.example.com";
const OTHER: &str = "shop.example.org";
const DAY_S: u64 = 86_400;

/// Everything that a client of the CA asks.
const ENDPOINTS: [Endpoint; 9] = [
    Endpoint::Directory,
    Endpoint::NewNonce,
    Endpoint::NewAccount,
    Endpoint::NewOrder,
    Endpoint::Authorization,
    Endpoint::Challenge,
    Endpoint::Order,
    Endpoint::Finalize,
    Endpoint::Certificate,
];

#[test]
fn one_account_serves_every_order_of_every_life() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let mut daemon = start_and_issue(&place, NAME);
    for _ in 0..2 {
        daemon = daemon.restart();
        renew(&daemon, NAME);
    }
    assert_serves(&ca.client(), &daemon, NAME);
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len(), seen.certificates.len()), (1, 3, 3), "{seen}");
    assert_eq!(seen.asked(Endpoint::NewAccount), 1, "{seen}");
}

#[test]
fn a_site_has_one_order_at_a_time_however_often_it_is_asked_for() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let first = ca.hold(Endpoint::NewOrder, Moment::Before);
    let daemon = place.start();
    first.wait();
    let path = format!("/v1/certificates/{NAME}/renew");
    // A reload in between neither doubles nor drops it.
    daemon.reload();
    first.release();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_eq!(ca.seen().asked(Endpoint::NewOrder), 1);

    let second = ca.hold(Endpoint::NewOrder, Moment::Before);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| control(&daemon, "POST", &path, None));
        second.wait();
        second.release();
        let answered = asked.join().unwrap();
        assert_eq!(answered.status, 200, "{answered:?}");
    });
    let seen = ca.seen();
    assert_eq!((seen.asked(Endpoint::NewOrder), seen.certificates.len()), (2, 2), "{seen}");
}

#[test]
fn a_stored_certificate_is_served_at_once_after_a_kill_whatever_the_ca_does() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let start = || place.place.start_with(&clock.environment());
    let daemon = start();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    let stored = shown(&ca.client(), &daemon, NAME).unwrap();
    daemon.sigkill();
    drop(daemon);

    // Due for renewal, so that there is something to ask the CA.
    let late_s = 80 * DAY_S;
    clock.set_ahead_s(late_s as i64);
    let client = ca.client().ahead_s(late_s);
    ca.set(|knobs| knobs.down = true);
    let daemon = start();
    assert_eq!(shown(&client, &daemon, NAME).as_ref(), Some(&stored));
    let failed = wait_for_site(&daemon, "certificate_failed", NAME, 1);
    assert_eq!(failed["class"], "network", "{failed}");
    assert_eq!(shown(&client, &daemon, NAME).as_ref(), Some(&stored));
    daemon.sigkill();
    drop(daemon);

    ca.set(|knobs| knobs.down = false);
    ENDPOINTS.iter().for_each(|at| ca.fault_always(*at, Fault::Hang));
    let daemon = start();
    assert_eq!(shown(&client, &daemon, NAME).as_ref(), Some(&stored));
    assert_serves(&client, &daemon, NAME);
    assert_eq!(certificate(&daemon, NAME)["state"], "served");
    assert_eq!(ca.seen().orders.len(), 1);
}

/// A CA that falls silent there, while another site is visited and the daemon is told to stop.
fn falls_silent(at: Endpoint) {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let sites = [(NAME, ""), ("app.localhost", "")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    let hold = ca.hold(at, Moment::Before);
    let daemon = place.start();
    hold.wait();
    let answer = daemon.curl(&["https://app.localhost/"]);
    assert_eq!(answer.text(), "hello", "{at:?}");
    let waiting = certificate(&daemon, NAME);
    assert_eq!(waiting["state"], "missing", "{waiting}");
    assert!(waiting["activity"].is_string(), "{at:?}: {waiting}");
    assert_eq!(daemon.stop(), 0, "{at:?}");
    drop(hold);
}

#[test]
fn a_ca_that_falls_silent_anywhere_holds_up_neither_other_sites_nor_the_end() {
    std::thread::scope(|scope| {
        let points = ENDPOINTS.into_iter().chain([Endpoint::Validation]);
        let cases: Vec<_> = points.map(|at| scope.spawn(move || falls_silent(at))).collect();
        cases.into_iter().for_each(|case| case.join().unwrap());
    });
}

#[test]
fn an_expired_certificate_is_served_on_while_the_ca_is_down_and_everybody_is_told() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let daemon = place.place.start_with(&clock.environment());
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    let old = shown(&ca.client(), &daemon, NAME).unwrap();

    let late_s = 100 * DAY_S;
    ca.set(|knobs| {
        knobs.down = true;
        knobs.clock_ahead_s = late_s as i64;
    });
    clock.set_ahead_s(late_s as i64);
    daemon.reload();
    let failed = wait_for_site(&daemon, "certificate_failed", NAME, 1);
    assert_eq!(failed["class"], "network", "{failed}");
    // Visitors are warned by their browsers, and may go on if they know better.
    assert_eq!(shown(&ca.client(), &daemon, NAME).as_ref(), Some(&old));
    let client = ca.client().ahead_s(late_s);
    assert_eq!(shown(&client, &daemon, NAME), None);
    let listed = certificate(&daemon, NAME);
    assert!(listed["expires_in_s"].as_i64().unwrap() < 0, "{listed}");
    assert!(listed["failure"]["retry_in_s"].as_i64().unwrap() > 0, "{listed}");
    let attention = daemon.status()["attention"][0].clone();
    assert_eq!(attention["level"], "FAIL", "{attention}");
    let message = attention["message"].as_str().unwrap();
    assert!(message.contains(NAME) && message.contains("expired"), "{message}");

    ca.set(|knobs| knobs.down = false);
    clock.set_ahead_s((late_s + DAY_S / 2) as i64);
    daemon.reload();
    wait_for_site(&daemon, "certificate_in_force", NAME, 2);
    assert_serves(&client, &daemon, NAME);
    let fresh = certificate_when(&daemon, NAME, |listed| listed["failure"].is_null());
    assert!(fresh["expires_in_s"].as_i64().unwrap() > 0, "{fresh}");
    assert_eq!(daemon.status()["attention"].as_array().map(Vec::len), Some(0));
    assert_eq!(ca.seen().certificates.len(), 2);
}

#[test]
fn a_site_that_goes_during_its_order_has_its_certificate_when_it_comes_back() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    place.sites(&ca, &[NAME, OTHER]);
    let hold = ca.hold(Endpoint::Finalize, Moment::After);
    let daemon = place.start();
    hold.wait();
    let gone = if ca.seen().certificates[0].names == [NAME] { NAME } else { OTHER };
    let stays = if gone == NAME { OTHER } else { NAME };
    place.sites(&ca, &[stays]);
    daemon.reload();
    hold.release();
    wait_for_site(&daemon, "certificate_issued", gone, 1);
    wait_for_site(&daemon, "certificate_in_force", stays, 1);
    assert_eq!(shown(&ca.client(), &daemon, gone), None);
    place.sites(&ca, &[NAME, OTHER]);
    daemon.reload();
    assert_serves(&ca.client(), &daemon, gone);
    assert_eq!(ca.seen().orders.len(), 2);
}

#[test]
fn a_name_that_comes_during_an_order_is_in_the_next_one() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let hold = ca.hold(Endpoint::Finalize, Moment::Before);
    let daemon = place.start();
    hold.wait();
    let both = [(NAME, "also = [\"www.example.com\"]")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &both);
    daemon.reload();
    hold.release();
    wait_for_site(&daemon, "certificate_in_force", NAME, 2);
    for name in [NAME, "www.example.com"] {
        assert_serves(&ca.client(), &daemon, name);
    }
    let names: Vec<_> = ca.seen().certificates.into_iter().map(|issued| issued.names).collect();
    assert_eq!(names, [vec![NAME], vec![NAME, "www.example.com"]]);
    let failed = daemon.lines().into_iter().find(|line| line["event"] == "certificate_failed");
    assert_eq!(failed, None);
    let listed = certificate_when(&daemon, NAME, |listed| listed["activity"].is_null());
    assert!(listed["failure"].is_null(), "{listed}");
}

/// How many handshakes have ended like this.
fn handshakes(daemon: &crate::support::Daemon, outcome: &str) -> u64 {
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let prefix = format!("palisade_tls_handshakes_total{{outcome=\"{outcome}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&prefix));
    count.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

#[test]
fn names_that_nobody_configured_are_never_ordered_and_their_askers_are_throttled() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let daemon = start_and_issue(&place, NAME);
    let client = ca.client();
    for number in 0..100 {
        assert_eq!(shown(&client, &daemon, &format!("n{number}.example.com")), None);
    }
    let (told, dropped) =
        (handshakes(&daemon, "unknown_name"), handshakes(&daemon, "unknown_throttled"));
    assert_eq!(told + dropped, 100);
    assert!(dropped >= 50, "{told} were told and {dropped} were not");
    assert_serves(&client, &daemon, NAME);
    let seen = ca.seen();
    assert_eq!((seen.asked(Endpoint::NewOrder), seen.orders.len()), (1, 1), "{seen}");
}

#[test]
fn a_reload_orders_for_names_that_come_and_renews_none_that_went() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let daemon = place.place.start_with(&clock.environment());
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_eq!(shown(&ca.client(), &daemon, OTHER), None);
    place.sites(&ca, &[NAME, OTHER]);
    daemon.reload();
    wait_for_site(&daemon, "certificate_in_force", OTHER, 1);
    assert_serves(&ca.client(), &daemon, OTHER);
    place.sites(&ca, &[OTHER]);
    daemon.reload();
    assert_eq!(shown(&ca.client(), &daemon, NAME), None);

    let late_s = 80 * DAY_S as i64;
    ca.set(|knobs| knobs.clock_ahead_s = late_s);
    clock.set_ahead_s(late_s);
    daemon.reload();
    wait_for_site(&daemon, "certificate_in_force", OTHER, 2);
    let names: Vec<_> = ca.seen().certificates.into_iter().map(|issued| issued.names).collect();
    assert_eq!(names, [[NAME], [OTHER], [OTHER]]);
}
