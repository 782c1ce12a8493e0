//! Many names at once: the CA sees four at a time, and ten orders in ten seconds.

use crate::support::FakeClock;
use crate::support::acme_site::{AcmePlace, control};
use crate::support::ca::{Endpoint, Moment, Validation};

#[test]
fn thirty_names_are_ordered_four_at_a_time_and_ten_in_ten_seconds() {
    let (place, ca) = AcmePlace::with_ca("unused.example.com");
    ca.set(|knobs| knobs.validation = Validation::Believe);
    let names: Vec<String> = (0..30).map(|number| format!("site-{number}.example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    place.sites(&ca, &names);
    let holds: Vec<_> = (0..4).map(|_| ca.hold(Endpoint::Finalize, Moment::Before)).collect();
    let clock = FakeClock::ahead_s(&place.place, 0);
    // It stands still, so that the ten seconds do not end before the test has looked.
    clock.freeze();
    let daemon = place.place.start_with(&clock.environment());
    for hold in &holds {
        hold.wait();
    }
    daemon.reload();
    let at_work = || {
        let list = control(&daemon, "GET", "/v1/certificates", None);
        let list: serde_json::Value = serde_json::from_slice(&list.body).unwrap();
        list["items"].as_array().unwrap().iter().filter(|info| info["activity"].is_string()).count()
    };
    assert_eq!((at_work(), ca.seen().asked(Endpoint::NewOrder)), (4, 4));
    drop(holds);
    for number in 1..=10 {
        daemon.wait_for_nth(number, |line| line["event"] == "certificate_issued");
    }
    daemon.reload();
    super::until("nobody is at work", || (at_work() == 0).then_some(()));
    assert_eq!(ca.seen().asked(Endpoint::NewOrder), 10);
    assert_eq!(ca.seen().accounts, 1);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 10);
}
