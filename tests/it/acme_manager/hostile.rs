//! CAs that mean harm, or that are broken beyond what any CA should be.

use super::*;

/// Of a body.
type Change = fn(&mut serde_json::Value);

/// A CA that believes everything and changes its answers.
fn hostile(
    bench: &Bench,
    change: impl Fn(Endpoint, &mut crate::support::ca::Reply) + Send + 'static,
) -> ScriptedCa {
    let ca = ScriptedCa::start(&bench.doors);
    ca.set(|knobs| knobs.validation = Validation::Believe);
    ca.distort(change);
    ca
}

#[test]
fn an_absurd_retry_after_is_a_long_wait_and_no_panic() {
    for absurd in ["18446744073709551615", "1000000000000000000"] {
        let bench = Bench::new();
        let ca = hostile(&bench, move |endpoint, reply| {
            if matches!(endpoint, Endpoint::Order | Endpoint::Finalize) {
                reply.headers.push(("retry-after", absurd.to_owned()));
            }
        });
        ca.set(|knobs| knobs.processing_polls = 3);
        let life = bench.start(of(&ca));
        let failure = life.until_failed();
        assert!(failure.detail.contains("still processing"), "{failure:?}");
        assert!(failure.retry_in_s.is_some_and(|wait| wait > 6 * 86_400), "{failure:?}");
        assert_eq!(ca.seen().orders.len(), 1);
        assert_eq!(life.store.orders().expect("read").len(), 1, "it is resumed");
    }
}

/// An answer with the certificate of a CA, changed.
fn delivering(bench: &Bench, change: impl Fn(&mut String) + Send + 'static) -> ScriptedCa {
    hostile(bench, move |endpoint, reply| {
        if endpoint == Endpoint::Certificate {
            change(&mut reply.body);
        }
    })
}

#[test]
fn a_certificate_that_has_not_begun_replaces_none_that_is_good() {
    let bench = Bench::new();
    let ca = hostile(&bench, |_, _| {});
    let life = bench.start(of(&ca));
    let good = life.until_issued();
    ca.set(|knobs| knobs.age_s = -30 * 86_400);
    let refused = life.runtime.block_on(life.manager.renew(&site(), by())).expect_err("not begun");
    let detail = refused.detail.unwrap_or_default();
    assert!(detail.contains("the certificate begins on"), "{detail}");
    assert_eq!(life.manager.certificate(&site()).expect("kept").facts, good.facts);
    assert_eq!(life.manager.totals().failed[0], ("ca", 1));
}

#[test]
fn a_chain_that_is_none_is_refused_and_nothing_is_stored() {
    for (more, words) in [
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "a private key"),
    ] {
        let bench = Bench::new();
        let ca = delivering(&bench, move |pem| pem.push_str(more));
        let life = bench.start(of(&ca));
        let failure = life.until_failed();
        assert!(failure.detail.contains(words), "{failure:?}");
        assert!(life.store.certificates().expect("read").is_empty());
    }
}

#[test]
fn an_order_with_more_authorizations_than_names_is_refused_before_any_is_fetched() {
    let bench = Bench::new();
    let ca = hostile(&bench, |endpoint, reply| {
        if endpoint == Endpoint::NewOrder {
            reply.edit(|order| {
                let one = order["authorizations"][0].clone();
                order["authorizations"] = vec![one; 5_000].into();
            });
        }
    });
    let life = bench.start(of(&ca));
    let failure = life.until_failed();
    assert!(failure.detail.contains("5000 authorizations of an order for 1 names"), "{failure:?}");
    assert!(failure.likely.contains("does not follow the protocol"), "{failure:?}");
    assert_eq!(ca.seen().asked(Endpoint::Authorization), 0);
}

#[test]
fn an_authorization_that_is_nonsense_is_answered_by_nothing() {
    let change = |change: Change| {
        move |endpoint, reply: &mut crate::support::ca::Reply| {
            if endpoint == Endpoint::Authorization {
                reply.edit(change);
            }
        }
    };
    let cases: [(Change, &str); 4] = [
        (|body| body["challenges"][0]["token"] = "../../x".into(), "base64url"),
        (|body| body["challenges"][0]["token"] = "A".repeat(450_000).into(), "bytes"),
        (
            |body| {
                let one = body["challenges"][0].clone();
                body["challenges"] = vec![one; 40].into();
            },
            "40 challenges",
        ),
        (|body| body["identifier"]["value"] = "other.example".into(), "was not ordered"),
    ];
    for (nonsense, words) in cases {
        let bench = Bench::new();
        let ca = hostile(&bench, change(nonsense));
        let life = bench.start(of(&ca));
        let failure = life.until_failed();
        assert!(failure.detail.contains(words), "{failure:?}");
        assert_eq!(ca.seen().asked(Endpoint::Challenge), 0);
    }
}

#[test]
fn a_ca_that_forgets_replaces_gets_one_order_for_a_renewal() {
    let bench = Bench::new();
    let ca = hostile(&bench, |endpoint, reply| {
        if endpoint == Endpoint::NewOrder {
            reply.edit(|order| {
                order.as_object_mut().expect("an order").remove("replaces");
            });
        }
    });
    let life = bench.start(of(&ca));
    life.until_issued();
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("renewed");
    let orders = ca.seen().orders;
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert!(orders[1]["replaces"].is_string(), "{orders:?}");
}

#[test]
fn a_url_of_the_ca_that_fails_is_named_and_the_directory_is_not_blamed() {
    for (bad, words) in [
        ("http://ca.example/new-account", "must begin with https://"),
        ("https://127.0.0.1:1/new-account", "cannot reach 127.0.0.1:1"),
    ] {
        let bench = Bench::new();
        let ca = hostile(&bench, move |endpoint, reply| {
            if endpoint == Endpoint::Directory {
                reply.edit(|directory| directory["newAccount"] = bad.into());
            }
        });
        let life = bench.start(of(&ca));
        let failure = life.until_failed();
        assert!(failure.detail.contains(bad), "{failure:?}");
        assert!(failure.likely.contains(bad) && failure.likely.contains(words), "{failure:?}");
        assert!(!failure.next.contains("directory URL"), "{failure:?}");
    }
}

#[test]
fn an_attempt_that_panics_waits_as_any_that_failed_and_goes_on_with_its_order() {
    let bench = Bench::new();
    let trap = |endpoint, reply: &mut crate::support::ca::Reply| {
        if matches!(endpoint, Endpoint::NewOrder | Endpoint::Order) {
            reply.edit(|order| {
                order["authorizations"][0] = format!("https://{STUMBLE}/authz/0").into();
            });
        }
    };
    let ca = hostile(&bench, trap);
    let life = bench.start(of(&ca));
    let failure = life.until_failed();
    assert!(failure.likely.contains("a defect of palisade"), "{failure:?}");
    assert!((40..=72).contains(&failure.retry_in_s.expect("a wait")), "{failure:?}");
    let history = &life.store.histories().expect("read")[0];
    assert_eq!((history.failures, history.not_before_s.is_some()), (1, true));
    assert_eq!(ca.seen().orders.len(), 1);
    assert_eq!(life.manager.totals().failed[7], ("defect", 1));
    let log = life.logged(&bench);
    assert_eq!(log.matches("\"event\":\"certificate_failed\"").count(), 1, "{log}");
    // Whoever asks is told; an order that is stumbled over twice is given up.
    let refused = life.runtime.block_on(life.manager.renew(&site(), by())).expect_err("again");
    assert_eq!(refused.status, 502);
    assert_eq!(ca.seen().orders.len(), 1, "resumed");
    assert!(life.store.orders().expect("read").is_empty());
    ca.heal();
    life.runtime.block_on(life.manager.renew(&site(), by())).expect("issued");
    assert_eq!(ca.seen().orders.len(), 2);
}
