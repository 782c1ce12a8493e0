//! What `capability` says and refuses.

use super::*;
use crate::cli::args::{Cli, Group, Verb};
use crate::cli::capability_args::CapabilityVerb;
use crate::ops::sample;
use clap::Parser;

fn status(name: Capability, mode: Mode) -> CapabilityStatus {
    let all = sample::status().capabilities;
    let found = all.into_iter().find(|capability| capability.name == name).expect("listed");
    CapabilityStatus { mode, configured: Mode::Enforce, available: true, flag_value: None, ..found }
}

fn set_by(name: &str, until: Option<&str>) -> Option<CapabilityOverride> {
    Some(CapabilityOverride {
        mode: Mode::Off,
        set_by: name.into(),
        set_at: "2026-11-21T20:00:00Z".into(),
        until: until.map(str::to_owned),
        left_s: until.map(|_| 1_800),
    })
}

#[test]
fn the_table_says_what_is_in_force_and_what_decides() {
    let timed = CapabilityStatus {
        runtime: set_by("alice\x1b[31m\n", Some("2026-11-21T20:30:00Z")),
        ..status(Capability::SecurityHeaders, Mode::Off)
    };
    let flagged = CapabilityStatus {
        flag_value: Some(false),
        runtime: set_by("bob", None),
        ..status(Capability::RateLimit, Mode::Off)
    };
    let absent =
        CapabilityStatus { available: false, ..status(Capability::AbuseGuards, Mode::Observe) };
    let plain = status(Capability::Queue, Mode::Enforce);
    assert_eq!(
        table(&[timed, flagged, absent, plain]).plain(),
        "\
CAPABILITY        IN FORCE  CONFIGURED  DECIDED BY
security_headers  off       enforce     set by alice␛[31m 
    until 2026-11-21T20:30:00Z, in 30 min; since 2026-11-21T20:00:00Z
rate_limit        off       enforce     RATELIMIT_ENABLED=false in its environment
abuse_guards      observe   enforce     nothing in this version obeys it
queue             enforce   enforce     the configuration
"
    );
}

#[test]
fn what_was_set_for_good_says_how_it_is_taken_back() {
    let status = CapabilityStatus {
        runtime: set_by("alice", None),
        ..status(Capability::SecurityHeaders, Mode::Off)
    };
    assert_eq!(
        done(&status).plain(),
        "security_headers: off (set by alice)\n  since 2026-11-21T20:00:00Z\n  \
         until it is taken back: palisade capability set security_headers configured\n"
    );
}

#[test]
fn what_was_taken_back_says_that_the_configuration_counts() {
    let status = status(Capability::SecurityHeaders, Mode::Enforce);
    assert_eq!(done(&status).plain(), "security_headers: enforce (from the configuration)\n");
}

#[test]
fn only_known_names_modes_and_spans_are_taken() {
    let parse = |words: &str| {
        let words = "palisade capability set ".to_owned() + words;
        match Cli::try_parse_from(words.split(' ')).ok()?.verb? {
            Verb::Capability(Group { verb: CapabilityVerb::Set(args), .. }) => Some(args),
            _ => None,
        }
    };
    let args = parse("rate_limit observe --for 30m").expect("taken");
    assert_eq!((args.name, args.mode), (Capability::RateLimit, Wanted(Some(Mode::Observe))));
    assert_eq!(args.lasts.map(|lasts| lasts.0.as_secs()), Some(1_800));
    assert_eq!(parse("queue configured").expect("taken").mode, Wanted(None));
    assert!(parse("queue off --for 30d").is_some());
    for bad in [
        "weather off",
        "queue on",
        "queue",
        "queue off --for 0s",
        "queue off --for 31d",
        "queue off --for 1500ms",
        "queue off --for 5",
    ] {
        assert!(parse(bad).is_none(), "{bad}");
    }
}
