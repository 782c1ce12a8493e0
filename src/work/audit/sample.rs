//! Changes, made up.

use proptest::prelude::*;

use crate::base::audit::{Actor, By, Fact, Facts, Intent, Outcome, Source, action};

/// A reload by somebody, told from the others by `number`.
pub fn intent(number: i64) -> Intent {
    let actor = Actor::Uid { uid: 1000, user: Some("deploy".into()) };
    let by = By {
        actor,
        source: Source::Control,
        request_id: Some(format!("id-{number}")),
        confirmed: None,
    };
    let lines = [format!("timeout.head: {number}s -> 20s")];
    Intent::new(1_795_292_266_000 + number, by, action::CONFIG_RELOAD)
        .on("/etc/palisade/palisade.toml")
        .before("generation", number)
        .after("generation", number + 1)
        .after("changes", &lines[..])
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let fact = prop_oneof![
        any::<i64>().prop_map(Fact::Number),
        any::<String>().prop_map(Fact::Text),
        proptest::collection::vec(any::<String>(), 0..3).prop_map(Fact::Lines),
    ];
    proptest::collection::btree_map("[a-z_]{0,4}", fact, 0..4)
}

pub fn any_intent() -> impl Strategy<Value = Intent> {
    let actor = prop_oneof![
        Just(Actor::System),
        (any::<u32>(), any::<Option<String>>()).prop_map(|(uid, user)| Actor::Uid { uid, user }),
        (any::<String>(), any::<String>()).prop_map(|(id, name)| Actor::Token { id, name }),
        (any::<u32>(), any::<Option<String>>()).prop_map(|(uid, user)| Actor::App { uid, user }),
        (any::<String>(), any::<Option<String>>())
            .prop_map(|(ip, user)| Actor::Client { ip, user }),
    ];
    let source = prop::sample::select(Source::ALL.to_vec());
    let by = (actor, source, any::<Option<String>>(), any::<Option<String>>()).prop_map(
        |(actor, source, request_id, confirmed)| By { actor, source, request_id, confirmed },
    );
    let outcome = prop::sample::select(Outcome::ALL.to_vec());
    let texts = (any::<String>(), any::<Option<String>>(), any::<Option<String>>());
    (any::<i64>(), by, texts, any_facts(), any_facts(), outcome).prop_map(
        |(at_ms, by, (action, subject, why), before, after, outcome)| Intent {
            at_ms,
            by,
            action,
            subject,
            before,
            after,
            outcome,
            why,
        },
    )
}
