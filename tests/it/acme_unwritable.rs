//! A state that cannot be written: nothing is ordered that would be lost, and everything goes on by itself later.

use crate::support::acme_site::{
    AcmePlace, assert_serves, certificate, certificate_when, shown, wait_for_site,
};
use crate::support::ca::{Endpoint, Moment};
use crate::support::no_room::{let_write, start_enduring};
use crate::support::{Daemon, FakeClock};

const NAME: &str = "app.example.com";

fn start(place: &AcmePlace, clock: &FakeClock) -> Daemon {
    start_enduring(&place.place, clock.environment())
}

#[test]
fn nothing_is_ordered_while_the_state_cannot_be_written_and_it_is_once_it_can() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    place.configure(&ca.directory(), &ca.ca_file(), "", &[("app.localhost", "")]);
    let daemon = start(&place, &clock);
    let_write(&daemon, false);
    let sites = [("app.localhost", ""), (NAME, "")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    daemon.reload();
    let failed = wait_for_site(&daemon, "certificate_failed", NAME, 1);
    assert_eq!(failed["class"], "state", "{failed}");
    assert!(failed["likely"].as_str().unwrap().contains("disk"), "{failed}");
    let seen = ca.seen();
    assert_eq!((seen.asked(Endpoint::NewAccount), seen.asked(Endpoint::NewOrder)), (0, 0));
    daemon.wait_for_event("state_unwritable");
    let attention = daemon.status()["attention"].to_string();
    assert!(attention.contains("the state cannot be written"), "{attention}");
    let ready = daemon.curl_ops("/readyz", &[]);
    assert!(ready.status == 503 && ready.text().contains("state: "), "{ready:?}");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "hello");

    let_write(&daemon, true);
    daemon.wait_for_event("state_writable");
    assert_eq!(daemon.curl_ops("/readyz", &[]).status, 200);
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len()), (1, 1), "{seen}");
}

#[test]
fn a_certificate_that_cannot_be_stored_is_served_and_stored_later() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let download = ca.hold(Endpoint::Certificate, Moment::Before);
    let daemon = start(&place, &clock);
    download.wait();
    let_write(&daemon, false);
    download.release();
    wait_for_site(&daemon, "certificate_not_stored", NAME, 1);
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let issued = shown(&ca.client(), &daemon, NAME);
    let failure = &certificate(&daemon, NAME)["failure"];
    assert!(failure["detail"].as_str().unwrap().contains("could not be stored"), "{failure}");

    let_write(&daemon, true);
    daemon.wait_for_event("state_writable");
    wait_for_site(&daemon, "certificate_stored", NAME, 1);
    certificate_when(&daemon, NAME, |listed| listed["failure"].is_null());
    daemon.sigkill();
    drop(daemon);
    ca.set(|knobs| knobs.down = true);
    let daemon = start(&place, &clock);
    assert_eq!(shown(&ca.client(), &daemon, NAME), issued);
    assert_eq!(ca.seen().orders.len(), 1);
}
