//! After a failure the next attempt is rehearsed where failures cost nothing.

use super::{SITE, assert_says, failure, is_served, text};
use crate::support::Daemon;
use crate::support::acme_site::{AcmePlace, certificate, shown};
use crate::support::ca::{Endpoint, Fault, Moment, ScriptedCa};

/// A real CA whose first validations fail, its staging CA, and a daemon that has met the failure.
fn failed_once() -> (AcmePlace, ScriptedCa, ScriptedCa, Daemon) {
    let place = AcmePlace::new();
    let (real, staging) = (ScriptedCa::start(&place.doors), ScriptedCa::start(&place.doors));
    let pem = |ca: &ScriptedCa| std::fs::read_to_string(ca.ca_file()).unwrap();
    let roots = place.place.path("roots.pem");
    std::fs::write(&roots, pem(&real) + &pem(&staging)).unwrap();
    let acme = format!("challenges = [\"tls-alpn-01\"]\nstaging = \"{}\"", staging.directory());
    place.configure(&real.directory(), &roots, &acme, &[(SITE, "")]);
    real.fault(Endpoint::Validation, Fault::problem(400, "connection", "Connection refused"));
    let daemon = place.start();
    assert_says(text(&failure(&daemon, SITE), "detail"), &["Connection refused"]);
    assert_eq!((real.seen().orders.len(), staging.seen().orders.len()), (1, 0));
    (place, real, staging, daemon)
}

#[test]
fn after_a_failure_the_real_ca_gets_no_order_before_the_staging_ca_has_issued() {
    let (_place, real, staging, daemon) = failed_once();
    let rehearsing = staging.hold(Endpoint::Certificate, Moment::After);
    std::thread::scope(|scope| {
        let renewed = scope.spawn(|| daemon.cli(&["cert", "renew", SITE]));
        rehearsing.wait();
        assert_eq!((real.seen().orders.len(), staging.seen().certificates.len()), (1, 1));
        assert_says(text(&certificate(&daemon, SITE), "activity"), &["rehearsing"]);
        assert_eq!(shown(&staging.client(), &daemon, SITE), None);
        rehearsing.release();
        let renewed = renewed.join().unwrap();
        assert_eq!(renewed.code, 0, "{renewed:?}");
    });
    is_served(&daemon, SITE);
    assert_eq!(shown(&real.client(), &daemon, SITE), Some(real.wait_for_certificate(1).der));
    assert_eq!((real.seen().orders.len(), staging.seen().orders.len()), (2, 1));
    let daemon = daemon.restart();
    assert_eq!(shown(&real.client(), &daemon, SITE), Some(real.wait_for_certificate(1).der));
}

#[test]
fn what_the_staging_ca_cannot_validate_costs_the_real_ca_no_order() {
    let (_place, real, staging, daemon) = failed_once();
    staging.fault(Endpoint::Validation, Fault::problem(400, "dns", "no record yet"));
    let renewed = daemon.cli(&["cert", "renew", SITE]);
    assert_eq!(renewed.code, 1, "{renewed:?}");
    assert_says(&renewed.err, &["rehearsal at", "no record yet"]);
    assert_eq!((real.seen().orders.len(), staging.seen().orders.len()), (1, 1));
    assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 0);
    assert_eq!((real.seen().orders.len(), staging.seen().orders.len()), (2, 2));
}

#[test]
fn a_staging_ca_that_is_down_holds_nothing_up() {
    let (_place, real, staging, daemon) = failed_once();
    staging.set(|knobs| knobs.down = true);
    assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 0);
    assert_eq!(shown(&real.client(), &daemon, SITE), Some(real.wait_for_certificate(1).der));
    daemon.wait_for_event("certificate_rehearsal_skipped");
}
