//! CAs that mean harm, or that are broken beyond what any CA should be.

use super::*;

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
