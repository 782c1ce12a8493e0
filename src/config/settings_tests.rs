//! Which of the three layers of a switch counts.

use super::*;

const SWITCH: Capability = Capability::WebhookVerify;

fn set(mode: Mode) -> Override {
    Override { mode, set_by: "alice".into(), set_at_s: 1_000, until_s: Some(2_000) }
}

/// The same mode of one switch, with the others on something else.
fn layers(file: Mode, runtime: Option<Mode>, flag: Option<bool>) -> Capabilities {
    let mut files = [Mode::Observe; 5];
    let mut flags = [None; 5];
    (files[SWITCH.index()], flags[SWITCH.index()]) = (file, flag);
    let mut layers = Capabilities::new(files, flags);
    assert_eq!(layers.set_runtime(SWITCH, runtime.map(set)), None);
    layers
}

#[test]
fn a_false_flag_counts_more_than_a_runtime_switch_and_that_more_than_the_file() {
    let runtimes = [None, Some(Mode::Off), Some(Mode::Observe), Some(Mode::Enforce)];
    let mut seen = 0;
    for file in Mode::ALL {
        for runtime in runtimes {
            for (flag, wanted) in [
                (Some(false), Mode::Off),
                (Some(true), runtime.unwrap_or(file)),
                (None, runtime.unwrap_or(file)),
            ] {
                let layers = layers(file, runtime, flag);
                assert_eq!(layers.mode(SWITCH), wanted, "{file:?} {runtime:?} {flag:?}");
                assert_eq!(layers.file_mode(SWITCH), file);
                let decider = match (flag, runtime) {
                    (Some(false), _) => Some("WEBHOOK_VERIFY_ALL is false"),
                    (_, Some(_)) => Some("set by alice until 1970-01-01T00:33:20Z"),
                    (_, None) => None,
                };
                assert_eq!(layers.decider(SWITCH).as_deref(), decider);
                for other in Capability::ALL.into_iter().filter(|other| *other != SWITCH) {
                    assert_eq!(layers.mode(other), Mode::Observe);
                }
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 36);
}

#[test]
fn what_nobody_has_said_anything_about_is_enforced() {
    assert!(
        Capability::ALL.iter().all(|name| Capabilities::default().mode(*name) == Mode::Enforce)
    );
}

#[test]
fn a_reload_keeps_what_was_set_at_runtime() {
    let before = layers(Mode::Enforce, Some(Mode::Off), None);
    let mut after = layers(Mode::Observe, None, None).with_runtime_of(&before);
    assert_eq!((after.mode(SWITCH), after.file_mode(SWITCH)), (Mode::Off, Mode::Observe));
    assert_eq!(after.set_runtime(SWITCH, None), Some(set(Mode::Off)));
    assert_eq!(after.mode(SWITCH), Mode::Observe);
}

#[test]
fn a_switch_lapses_at_its_time_and_one_without_never() {
    let timed = set(Mode::Off);
    assert!(!timed.has_lapsed(1_999) && timed.has_lapsed(2_000) && timed.has_lapsed(i64::MAX));
    let forever = Override { until_s: None, ..timed };
    assert!(!forever.has_lapsed(i64::MAX));
}
