//! A kill at every step of an order: the next life goes on where the last one ended.

use crate::support::FakeClock;
use crate::support::acme_site::{AcmePlace, assert_serves, shown, wait_for_site};
use crate::support::ca::{Endpoint, Moment, ScriptedCa};

const NAME: &str = "app.example.com";

/// Waits until the next life has put its answers in place: it asks for the order once to go on with it, and again to
/// see what the CA makes of them.
fn wait_until_shown(ca: &ScriptedCa) {
    ca.wait_for_requests(Endpoint::Order, 2);
}

/// Kills the daemon while the CA has stopped there, and starts it again. What the CA had not begun never reaches it;
/// what it had done stays done.
fn kill_at(at: Endpoint, moment: Moment) {
    let case = format!("killed at {at:?}, {moment:?}");
    let (place, ca) = AcmePlace::with_ca(NAME);
    let hold = ca.hold(at, moment);
    // A CA that was told to look, looks when the next life is ready for it.
    let looks = matches!((at, moment), (Endpoint::Challenge, Moment::After))
        .then(|| ca.hold(Endpoint::Validation, Moment::Before));
    let daemon = place.start();
    hold.wait();
    daemon.sigkill();
    let daemon = match (at, moment) {
        (Endpoint::Validation, Moment::Before) => {
            let daemon = place.start();
            wait_until_shown(&ca);
            hold.release();
            daemon
        }
        (_, Moment::Before) => {
            hold.cut();
            place.start()
        }
        (_, Moment::After) => {
            hold.release();
            place.start()
        }
    };
    if let Some(looks) = looks {
        wait_until_shown(&ca);
        looks.release();
    }
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let seen = ca.seen();
    // Only the answer that tells of the new order cannot be made up for.
    let orders = if (at, moment) == (Endpoint::NewOrder, Moment::After) { 2 } else { 1 };
    assert_eq!((seen.accounts, seen.orders.len()), (1, orders), "{case}:\n{seen}");
    assert_eq!((seen.finalized, seen.certificates.len()), (1, 1), "{case}:\n{seen}");
    let failed = daemon.lines().into_iter().find(|line| line["event"] == "certificate_failed");
    assert_eq!(failed, None, "{case}");

    // And the life after that has nothing left to do.
    daemon.sigkill();
    let daemon = place.start();
    assert_serves(&ca.client(), &daemon, NAME);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), orders, "{case}");
}

/// All at once: each waits most of the time.
fn kill_at_each(points: [Endpoint; 4]) {
    std::thread::scope(|scope| {
        let points = points.iter().flat_map(|at| [(*at, Moment::Before), (*at, Moment::After)]);
        let cases: Vec<_> =
            points.map(|(at, moment)| scope.spawn(move || kill_at(at, moment))).collect();
        cases.into_iter().for_each(|case| case.join().unwrap());
    });
}

#[test]
fn a_kill_before_the_proof_leaves_one_account_and_costs_at_most_one_order() {
    kill_at_each([
        Endpoint::NewAccount,
        Endpoint::NewOrder,
        Endpoint::Authorization,
        Endpoint::Challenge,
    ]);
}

#[test]
fn a_kill_from_the_proof_to_the_download_costs_no_order_and_no_certificate() {
    kill_at_each([
        Endpoint::Validation,
        Endpoint::Finalize,
        Endpoint::Order,
        Endpoint::Certificate,
    ]);
}

#[test]
fn a_ca_that_looked_while_nobody_was_there_gets_one_more_order() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let looks = ca.hold(Endpoint::Validation, Moment::Before);
    let daemon = place.start();
    looks.wait();
    daemon.sigkill();
    looks.release();
    ca.wait_for_requests(Endpoint::Validation, 1);
    let daemon = place.start();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len(), seen.certificates.len()), (1, 2, 1), "{seen}");
}

#[test]
fn kills_at_every_step_in_turn_end_with_one_order_all_the_same() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let points = [
        (Endpoint::NewAccount, Moment::After),
        (Endpoint::NewOrder, Moment::Before),
        (Endpoint::Authorization, Moment::After),
        (Endpoint::Challenge, Moment::Before),
        (Endpoint::Validation, Moment::After),
        (Endpoint::Finalize, Moment::Before),
        (Endpoint::Finalize, Moment::After),
        (Endpoint::Order, Moment::Before),
        (Endpoint::Certificate, Moment::Before),
        (Endpoint::Certificate, Moment::After),
    ];
    for (at, moment) in points {
        let hold = ca.hold(at, moment);
        let daemon = place.start();
        hold.wait();
        daemon.sigkill();
        match moment {
            Moment::Before => hold.cut(),
            Moment::After => hold.release(),
        }
    }
    let daemon = place.start();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len()), (1, 1), "{seen}");
    assert_eq!((seen.finalized, seen.certificates.len()), (1, 1), "{seen}");
}

/// Kills the daemon there during a renewal, and starts it again.
fn kill_renewal_at(at: Endpoint, moment: Moment) {
    let case = format!("renewal killed at {at:?}, {moment:?}");
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let start = || place.place.start_with(&clock.environment());
    let daemon = start();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    let old = shown(&ca.client(), &daemon, NAME).unwrap();
    daemon.sigkill();
    drop(daemon);

    let late_s = 80 * 86_400;
    clock.set_ahead_s(late_s);
    ca.set(|knobs| knobs.clock_ahead_s = late_s);
    let client = ca.client().ahead_s(late_s.unsigned_abs());
    let hold = ca.hold(at, moment);
    let daemon = start();
    hold.wait();
    daemon.sigkill();
    drop(daemon);
    // Released later, so that what is shown first is what was stored.
    let still = ca.hold(Endpoint::Directory, Moment::Before);
    drop(hold);
    let daemon = start();
    assert_eq!(shown(&client, &daemon, NAME), Some(old), "{case}");
    still.release();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&client, &daemon, NAME);
    let seen = ca.seen();
    let orders = if (at, moment) == (Endpoint::NewOrder, Moment::After) { 3 } else { 2 };
    assert_eq!((seen.accounts, seen.orders.len()), (1, orders), "{case}:\n{seen}");
    let [first, second] = seen.certificates.as_slice() else { panic!("{case}:\n{seen}") };
    assert_eq!(second.replaces.as_ref(), Some(&first.id), "{case}");
}

#[test]
fn a_kill_during_a_renewal_serves_the_old_certificate_at_once_and_goes_on_with_the_new() {
    let points = [
        (Endpoint::NewOrder, Moment::After),
        (Endpoint::Finalize, Moment::After),
        (Endpoint::Certificate, Moment::Before),
        (Endpoint::Certificate, Moment::After),
    ];
    std::thread::scope(|scope| {
        let cases = points.map(|(at, moment)| scope.spawn(move || kill_renewal_at(at, moment)));
        cases.into_iter().for_each(|case| case.join().unwrap());
    });
}

#[test]
fn a_kill_while_two_sites_order_loses_neither() {
    let other = "shop.example.org";
    let (place, ca) = AcmePlace::with_ca(NAME);
    place.sites(&ca, &[NAME, other]);
    let finalize = ca.hold(Endpoint::Finalize, Moment::After);
    let validation = ca.hold(Endpoint::Validation, Moment::After);
    let daemon = place.start();
    validation.wait();
    finalize.wait();
    daemon.sigkill();
    drop((validation, finalize));
    let daemon = place.start();
    for name in [NAME, other] {
        wait_for_site(&daemon, "certificate_in_force", name, 1);
        assert_serves(&ca.client(), &daemon, name);
    }
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len(), seen.certificates.len()), (1, 2, 2), "{seen}");
}
