//! The breaker against its rules, and its packed form against the plain one.

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules { failures: 3, open_ms: 1_000 };

fn fail(switch: &Switch, pass: Pass, now_ms: u64) -> bool {
    switch.failed(pass, Failing::Quick, now_ms, RULES, 0)
}

fn probe(switch: &Switch, now_ms: u64) -> bool {
    switch.probe(now_ms, RULES, || 0)
}

/// Three failures at this moment.
fn opened(now_ms: u64) -> Switch {
    let switch = Switch::default();
    let opens: Vec<bool> = (0..3).map(|_| fail(&switch, Pass::Usual, now_ms)).collect();
    assert_eq!(opens, [false, false, true]);
    switch
}

#[test]
fn only_failures_in_a_row_open_it() {
    let switch = Switch::default();
    for _ in 0..10 {
        assert!(!fail(&switch, Pass::Usual, 0) && !fail(&switch, Pass::Usual, 0));
        assert!(!switch.answered(), "it was never open");
    }
    assert_eq!(switch.state(), State::Closed { failures: 0 });
}

#[test]
fn one_probe_is_let_through_after_the_pause_and_not_before() {
    let switch = opened(500);
    assert!(!probe(&switch, 1_499));
    assert!(probe(&switch, 1_500));
    assert!(!probe(&switch, 1_500), "there is one already");
    assert!(!probe(&switch, 2_499));
    assert!(switch.answered(), "its answer closes it");
    assert!(!switch.answered(), "once");
    assert_eq!(switch.state(), State::Closed { failures: 0 });
}

#[test]
fn a_probe_that_fails_doubles_the_pause_up_to_the_longest() {
    let switch = opened(0);
    let mut now_ms = 1_000;
    for pause_ms in [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        assert!(probe(&switch, now_ms));
        assert!(!fail(&switch, Pass::Probe, now_ms + 10), "it was open already");
        now_ms += 10 + pause_ms;
        assert!(!probe(&switch, now_ms - 1));
    }
}

#[test]
fn a_probe_that_is_never_answered_makes_room_for_another() {
    let switch = opened(0);
    for now_ms in (1_000..60_000).step_by(1_000) {
        assert!(!probe(&switch, now_ms - 1));
        assert!(probe(&switch, now_ms), "no longer for those that wait: {now_ms}");
    }
}

#[test]
fn probes_that_fail_together_double_the_pause_once() {
    let switch = opened(0);
    (1_000..=5_000).step_by(1_000).for_each(|now_ms| assert!(probe(&switch, now_ms)));
    (0..5).for_each(|late| assert!(!fail(&switch, Pass::Probe, 5_100 + late)));
    assert!(!probe(&switch, 7_099));
    assert!(probe(&switch, 7_100));
}

#[test]
fn a_probe_whose_client_left_has_found_nothing_out() {
    let switch = opened(0);
    assert!(probe(&switch, 1_000));
    switch.unprobed();
    assert!(probe(&switch, 1_001), "the next request is the probe");
    let State::Open { until_ms, .. } = switch.state() else { panic!("open") };
    assert_eq!(until_ms, 2_001, "and nothing was doubled");
}

#[test]
fn what_began_before_it_opened_says_nothing_new() {
    let switch = opened(0);
    assert!(!fail(&switch, Pass::Usual, 900));
    assert!(probe(&switch, 1_000));
}

#[test]
fn who_is_tried_anyway_tells_how_it_fails_now() {
    let switch = opened(0);
    assert!(!switch.failed(Pass::Anyway, Failing::Slow, 900, RULES, 0));
    let slow = State::Open { until_ms: 1_000, pauses: 0, how: Failing::Slow, probing: false };
    assert_eq!(switch.state(), slow);
}

#[test]
fn workers_that_come_at_once_send_one_probe() {
    let switch = std::sync::Arc::new(opened(0));
    let threads = (0..8).map(|_| {
        let switch = std::sync::Arc::clone(&switch);
        std::thread::spawn(move || usize::from(probe(&switch, 1_000)))
    });
    let threads: Vec<_> = threads.collect();
    let probes: usize = threads.into_iter().map(|thread| thread.join().expect("ended")).sum();
    assert_eq!(probes, 1);
}

proptest! {
    #[test]
    fn the_packed_form_keeps_every_state(
        failures in any::<u32>(),
        until_ms in 0..TIME,
        pauses in any::<u8>(),
        slow in any::<bool>(),
        probing in any::<bool>(),
    ) {
        let how = if slow { Failing::Slow } else { Failing::Quick };
        for state in [State::Closed { failures }, State::Open { until_ms, pauses, how, probing }] {
            prop_assert_eq!(State::unpack(state.pack()), state);
        }
    }

    #[test]
    fn chance_shortens_a_pause_by_a_fifth_at_most(pauses in 1_u8.., chance in any::<u32>()) {
        let (longest, pause) = (RULES.pause_ms(pauses, 0), RULES.pause_ms(pauses, chance));
        prop_assert!(pause <= longest && pause >= longest - longest / 5 && longest <= 60_000);
    }
}
