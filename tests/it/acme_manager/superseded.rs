//! Attempts that are overtaken: by an import, or by a configuration that orders nothing any more.

use super::*;

impl Life {
    fn import(&self) -> palisade::work::certs::Certificate {
        let (bought, site) = (crate::support::Authority::new().issue(&[NAME]), site());
        let (cert, key) = (&bought.cert, &bought.key);
        let import = self.manager.import(&site, cert.as_bytes(), key.as_bytes(), by());
        self.runtime.block_on(import).expect("imported")
    }

    fn until_idle(&self) {
        self.until("idle", |manager| manager.outlook(&site()).activity.is_none().then_some(()));
    }
}

#[test]
fn what_was_imported_stays_though_an_order_was_on_its_way() {
    for at in [Endpoint::NewOrder, Endpoint::Certificate] {
        let bench = Bench::new();
        let ca = ScriptedCa::start(&bench.doors);
        ca.set(|knobs| knobs.validation = Validation::Believe);
        let hold = ca.hold(at, Moment::Before);
        let life = bench.start(of(&ca));
        hold.wait();
        let imported = life.import();
        life.until_idle();
        hold.release();
        assert_eq!(life.manager.certificate(&site()).expect("served").facts, imported.facts);
        assert_eq!(life.manager.outlook(&site()).failure, None);
        assert_eq!(life.manager.totals().issued, 0);
        life.kill();
        let life = bench.start(of(&ca));
        assert_eq!(life.manager.certificate(&site()).expect("served").facts, imported.facts);
        assert_eq!(ca.seen().orders.len(), 1);
        // The order was kept: whoever wants a certificate of the CA gets it by the same one, if its URL was known.
        let orders = life.store.orders().expect("read");
        assert_eq!(orders.len(), 1);
        life.runtime.block_on(life.manager.renew(&site(), by())).expect("renewed");
        let placed = if at == Endpoint::Certificate { 1 } else { 2 };
        assert_eq!(ca.seen().orders.len(), placed);
    }
}

#[test]
fn a_failure_that_comes_after_an_import_is_not_written_down() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    let hold = ca.hold(Endpoint::Validation, Moment::Before);
    ca.fault_always(Endpoint::Validation, Fault::problem(400, "connection", "closed"));
    let life = bench.start(of(&ca));
    hold.wait();
    let imported = life.import();
    hold.release();
    life.until_idle();
    assert_eq!(life.manager.outlook(&site()).failure, None);
    let history = &life.store.histories().expect("read")[0];
    assert_eq!((history.failures, &history.last_failure), (0, &None));
    assert_eq!(life.manager.certificate(&site()).expect("served").facts, imported.facts);
    assert_eq!(ca.seen().orders.len(), 1, "no second challenge");
}

#[test]
fn a_site_that_is_not_ordered_any_more_ends_its_attempt() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.fault_always(Endpoint::Validation, Fault::problem(400, "connection", "closed"));
    let hold = ca.hold(Endpoint::Validation, Moment::Before);
    let life = bench.start(of(&ca));
    hold.wait();
    assert!(bench.challenges.tls(&site()).is_some(), "it is answered");
    let mut imported = of(&ca);
    imported.sites[0].order = false;
    life.manager.configure(imported);
    life.until_idle();
    hold.release();
    assert!(bench.challenges.tls(&site()).is_none(), "and not any more");
    assert_eq!(life.manager.outlook(&site()).failure, None);
    assert_eq!(ca.seen().orders.len(), 1, "no second challenge");
    assert!(life.store.orders().expect("read").is_empty());
    assert!(life.store.histories().expect("read").is_empty());
    let log = life.logged(&bench);
    assert!(log.contains("\"event\":\"certificate_attempt_given_up\""), "{log}");
    // And ordered again when it is wanted again.
    ca.heal();
    ca.set(|knobs| knobs.validation = Validation::Believe);
    life.manager.configure(of(&ca));
    life.until_issued();
    assert_eq!(ca.seen().orders.len(), 2);
}

#[test]
fn whoever_waits_for_an_attempt_that_is_given_up_is_told() {
    let bench = Bench::new();
    let ca = ScriptedCa::start(&bench.doors);
    ca.set(|knobs| knobs.validation = Validation::Believe);
    let life = bench.start(of(&ca));
    life.until_issued();
    let hold = ca.hold(Endpoint::NewOrder, Moment::Before);
    let manager = Arc::clone(&life.manager);
    let waiting = life.runtime.spawn(async move { manager.renew(&site(), by()).await });
    hold.wait();
    life.import();
    let refused = life.runtime.block_on(waiting).expect("no panic").expect_err("given up");
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.title.contains("was given up"), "{refused:?}");
}
