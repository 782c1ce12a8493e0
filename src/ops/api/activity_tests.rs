//! Bodies that the app sends, well and badly meant.

use proptest::prelude::*;

use super::*;
use crate::base::audit::{Source, TEXT_BYTES_MAX};

fn wrong(body: &str) -> String {
    Activity::read(body.as_bytes()).expect_err(body).to_string()
}

#[test]
fn a_whole_activity_is_read_and_becomes_a_record() {
    let body = r#"{"action":"order.refund","subject":"order 7","user":"ada","before":{"cents":0},
        "after":{"cents":1200,"lines":["a","b"],"note":"x"},"outcome":"refused","why":"late\nnot shown"}"#;
    let activity = Activity::read(body.as_bytes()).expect("an activity");
    let intent = activity.intent(7, By::system(Source::App)).expect("an intent");
    assert_eq!((intent.at_ms, intent.action.as_str()), (7, "app.order.refund"));
    assert_eq!((intent.outcome, intent.why.as_deref()), (Outcome::Refused, Some("late")));
    assert_eq!(intent.before["cents"], Fact::Number(0));
    assert_eq!(intent.after["lines"], Fact::Lines(vec!["a".into(), "b".into()]));
    assert_eq!((intent.after.len(), &intent.after["user"]), (4, &Fact::from("ada")));
    let written = serde_json::to_vec(&activity).expect("JSON");
    assert_eq!(Activity::read(&written), Ok(activity));
}

#[test]
fn the_shortest_activity_is_one_word() {
    let activity = Activity::read(br#"{"action":"login","why":null,"after":null}"#).expect("read");
    let intent = activity.intent(7, By::system(Source::App)).expect("an intent");
    assert_eq!((intent.outcome, intent.why, intent.subject), (Outcome::Done, None, None));
}

#[test]
fn a_refusal_names_the_field_and_no_value() {
    for (body, field) in [
        ("[]", "no JSON object"),
        ("{", "no JSON object"),
        ("{}", "`action` is missing"),
        (r#"{"action":null}"#, "`action` is missing"),
        (r#"{"action":"S3cret"}"#, "`action` is no name of an action: only a-z"),
        (r#"{"action":"a","subject":["S3cret"]}"#, "`subject` must be a text"),
        (r#"{"action":"a","outcome":"S3cret"}"#, "`outcome` must be"),
        (r#"{"action":"a","after":"S3cret"}"#, "`after` must be an object"),
        (r#"{"action":"a","before":{"Total":"S3cret"}}"#, "`before.Total`: the name"),
        (r#"{"action":"a","before":{"n":{"S3cret":1}}}"#, "`before.n` must be a whole"),
        (r#"{"action":"a","before":{"n":1.5}}"#, "`before.n` must be a whole"),
        (r#"{"action":"a","amount":"S3cret"}"#, "there is no field `amount`"),
        (r#"{"action":"a","user":"S3cret","after":{"user":"S3cret"}}"#, "`after.user`"),
    ] {
        let words = wrong(body);
        assert!(words.contains(field) && !words.contains("S3cret"), "{body}: {words}");
    }
    let long = wrong(&format!(r#"{{"\u001b{}":1}}"#, "x".repeat(500)));
    assert!(long.contains("`?xxx") && long.len() < 250, "{long}");
}

#[test]
fn no_side_has_more_facts_than_people_read() {
    let facts = |count: usize| {
        let facts: Vec<String> = (0..count).map(|n| format!(r#""f{n}":{n}"#)).collect();
        format!(r#"{{"action":"a","after":{{{}}}}}"#, facts.join(","))
    };
    Activity::read(facts(FACTS_MAX).as_bytes()).expect("enough");
    assert_eq!(wrong(&facts(FACTS_MAX + 1)), "`after` has more than 32 facts");
}

fn any_activity() -> impl Strategy<Value = Activity> {
    let fact = prop_oneof![
        any::<i64>().prop_map(Fact::Number),
        any::<String>().prop_map(Fact::Text),
        Just(Fact::Text("ä".repeat(TEXT_BYTES_MAX))),
        proptest::collection::vec(any::<String>(), 0..3).prop_map(Fact::Lines),
    ];
    let facts = || proptest::collection::btree_map("[a-t0-9_]{1,9}", fact.clone(), 0..4);
    let outcome = proptest::option::of(prop::sample::select(Outcome::ALL.to_vec()));
    let texts = (any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>());
    ("[a-z0-9_]{1,9}(\\.[a-z0-9_]{1,9}){0,3}", texts, facts(), facts(), outcome).prop_map(
        |(action, (subject, user, why), before, after, outcome)| Activity {
            action,
            subject,
            user,
            before,
            after,
            outcome,
            why,
        },
    )
}

proptest! {
    #[test]
    fn what_an_app_writes_is_read_and_its_record_stays_within_bounds(activity in any_activity()) {
        let written = serde_json::to_vec(&activity).expect("JSON");
        prop_assert_eq!(Activity::read(&written), Ok(activity.clone()));
        let intent = activity.intent(1, By::system(Source::App)).expect("an intent");
        prop_assert!(intent.action.starts_with("app."));
        let long = |text: &str| text.len() > TEXT_BYTES_MAX + "…".len();
        let texts = intent.subject.iter().chain(&intent.why);
        prop_assert!(!texts.map(String::as_str).any(long));
        for fact in intent.before.values().chain(intent.after.values()) {
            prop_assert!(!matches!(fact, Fact::Text(text) if long(text)));
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>, activity in any_activity(), at: prop::sample::Index, with: u8) {
        let _ = Activity::read(&bytes);
        let mut damaged = serde_json::to_vec(&activity).expect("JSON");
        let at = at.index(damaged.len());
        damaged[at] = with;
        if let Ok(read) = Activity::read(&damaged) {
            let intent = read.intent(1, By::system(Source::App)).expect("an intent");
            prop_assert!(intent.action.starts_with("app."));
        }
        let _ = Activity::read(&damaged[..at]);
    }
}
