//! The end of a switch, whatever the clock does.

use super::*;
use crate::base::audit::Fact;

const NAME: Capability = Capability::SecurityHeaders;

fn at(unix_s: u64) -> Duration {
    Duration::from_secs(unix_s)
}

/// Off, until 2,000 seconds after 1970 or for good.
fn off(until_s: Option<i64>) -> Capabilities {
    let mut capabilities = Capabilities::default();
    let set = Override { mode: Mode::Off, set_by: "alice".into(), set_at_s: 1_000, until_s };
    capabilities.set_runtime(NAME, Some(set));
    capabilities
}

#[test]
fn a_switch_ends_at_its_time_once_and_says_what_it_was() {
    let mut capabilities = off(Some(2_000));
    assert!(take_lapsed(&mut capabilities, at(1_999)).is_empty());
    assert_eq!(capabilities.mode(NAME), Mode::Off);
    let lapsed = take_lapsed(&mut capabilities, at(2_000));
    let [lapsed] = &lapsed[..] else { panic!("one ends: {lapsed:?}") };
    assert_eq!((lapsed.name, lapsed.was.mode, lapsed.mode), (NAME, Mode::Off, Mode::Enforce));
    let SwitchChange { name, to, intent } = &lapsed.change;
    assert_eq!((name.as_str(), to, intent.at_ms), ("security_headers", &None, 2_000_000));
    assert_eq!(intent.action, action::CAPABILITY_LAPSE);
    assert_eq!(intent.by, By::system(Source::Schedule));
    assert_eq!(intent.before.get("mode"), Some(&Fact::from("off")));
    assert_eq!(intent.before.get("until"), Some(&Fact::from("1970-01-01T00:33:20Z")));
    assert_eq!(intent.after.get("mode"), Some(&Fact::from("enforce")));
    assert!(take_lapsed(&mut capabilities, at(2_000)).is_empty());
}

#[test]
fn a_clock_that_jumps_ahead_ends_it_and_one_that_is_set_back_does_not_bring_it_back() {
    let mut capabilities = off(Some(2_000));
    assert!(take_lapsed(&mut capabilities, at(5)).is_empty());
    assert_eq!(take_lapsed(&mut capabilities, at(9_000_000)).len(), 1);
    assert_eq!(capabilities.mode(NAME), Mode::Enforce);
    assert!(take_lapsed(&mut capabilities, at(5)).is_empty());
    assert_eq!(capabilities.mode(NAME), Mode::Enforce);
}

#[test]
fn what_has_no_end_waits_for_nobody() {
    let mut capabilities = off(None);
    assert!(take_lapsed(&mut capabilities, Duration::MAX).is_empty());
    assert_eq!(next_look(&capabilities, false, at(1)), None);
    assert_eq!(next_look(&Capabilities::default(), false, at(1)), None);
    // What is not on disk yet is tried again.
    assert_eq!(next_look(&capabilities, true, at(1)), Some(LOOK));
}

#[test]
fn an_end_is_waited_for_in_steps_that_a_jump_of_the_clock_cannot_stretch() {
    let capabilities = off(Some(2_000));
    assert_eq!(next_look(&capabilities, false, at(5)), Some(LOOK));
    let just_before = Duration::from_millis(1_999_400);
    assert_eq!(next_look(&capabilities, false, just_before), Some(Duration::from_millis(600)));
    assert_eq!(next_look(&capabilities, false, at(9_000)), Some(Duration::ZERO));
}
