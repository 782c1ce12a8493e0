//! What the CA refuses, breaks or loses: its words reach the operator, its wishes are obeyed, and nothing is doubled.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::acme_site::{
    AcmePlace, assert_serves, certificate, control, renew, wait_for_site,
};
use crate::support::ca::{Endpoint, Fault, ScriptedCa, Validation};
use crate::support::{Daemon, FakeClock};

const NAME: &str = "app.example.com";
const OTHER: &str = "shop.example.org";

fn busy(retry_after: Option<&str>) -> Fault {
    Fault::Problem {
        status: 503,
        kind: "serverInternal".into(),
        detail: "come back later".into(),
        retry_after: retry_after.map(str::to_owned),
    }
}

/// Orders for [`NAME`] that the CA has been asked for.
fn asked_for_name(ca: &ScriptedCa) -> usize {
    let seen = ca.seen();
    let orders = seen.requests.iter().filter(|asked| asked.endpoint == Endpoint::NewOrder);
    orders.filter(|asked| asked.payload["identifiers"][0]["value"] == NAME).count()
}

/// A CA that refuses once, there, and is asked again after so many seconds.
fn waits(at: Endpoint, fault: Fault, seconds: i64) {
    let case = format!("{fault:?} at {at:?}");
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    ca.fault(at, fault);
    let daemon = place.place.start_with(&clock.environment());
    let failed = wait_for_site(&daemon, "certificate_failed", NAME, 1);
    let wait = failed["retry_in_s"].as_i64().unwrap();
    assert!((seconds * 4 / 5 - 5..=seconds * 6 / 5).contains(&wait), "{case}: {failed}");
    let placed = asked_for_name(&ca);
    daemon.sigkill();
    drop(daemon);

    // Not before, also in the next life: only the other site orders.
    clock.set_ahead_s(seconds / 2);
    place.sites(&ca, &[NAME, OTHER]);
    let daemon = place.place.start_with(&clock.environment());
    wait_for_site(&daemon, "certificate_in_force", OTHER, 1);
    assert_eq!(asked_for_name(&ca), placed, "{case}");
    let failure = &certificate(&daemon, NAME)["failure"];
    assert!(failure["retry_in_s"].as_i64().unwrap() > 0, "{case}: {failure}");
    assert_eq!(failure["detail"], failed["detail"]);

    clock.set_ahead_s(seconds * 5 / 4);
    daemon.reload();
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    // An order that stands is not placed again.
    let orders = if at == Endpoint::NewOrder { 2 } else { 1 };
    let seen = ca.seen();
    assert_eq!((asked_for_name(&ca), seen.accounts), (orders, 1), "{case}:\n{seen}");
    assert_eq!(seen.certificates.len(), 2, "{case}:\n{seen}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the date is the CA's")]
fn the_ca_is_not_asked_again_before_it_wants_to_be_also_after_a_kill() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(7200));
    let limited = |retry_after| Fault::rate_limited("too many of them", retry_after);
    let cases = [
        (Endpoint::NewOrder, limited("7200"), 7200),
        (Endpoint::NewOrder, limited(&date), 7200),
        (Endpoint::NewOrder, busy(Some("7200")), 7200),
        (Endpoint::NewOrder, busy(None), 60),
        (Endpoint::NewAccount, limited("7200"), 7200),
        (Endpoint::Authorization, busy(Some("7200")), 7200),
        (Endpoint::Finalize, limited("7200"), 7200),
        (Endpoint::Certificate, busy(None), 60),
    ];
    std::thread::scope(|scope| {
        let cases =
            cases.map(|(at, fault, seconds)| scope.spawn(move || waits(at, fault, seconds)));
        cases.into_iter().for_each(|case| case.join().unwrap());
    });
}

/// No control character in anything that a person may read.
fn assert_tame(text: &str) {
    let wild = text.chars().find(|c| c.is_control() && *c != '\n');
    assert_eq!(wild, None, "{text:?}");
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Everything that the daemon says about its last failure holds the CA's words, a cause and a next step.
fn assert_explained(daemon: &Daemon, failed: &Value, kind: &str, words: &str) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(failed["kind"], format!("urn:ietf:params:acme:error:{kind}"), "{failed}");
    assert_eq!(one_line(&text(&failed["detail"])), words, "{failed}");
    let (likely, next) = (text(&failed["likely"]), text(&failed["next"]));
    assert!(!likely.is_empty() && !next.is_empty(), "{failed}");
    let shown = &certificate(daemon, NAME)["failure"];
    for key in ["kind", "detail", "likely", "next"] {
        assert_eq!(shown[key], failed[key], "{shown}");
    }
    let listed = daemon.cli(&["cert", "list"]);
    let status = daemon.cli(&["status"]);
    for screen in [&listed.out, &status.out] {
        assert_tame(screen);
        assert!(one_line(screen).contains(words), "{words}: {screen}");
    }
    let listed = one_line(&listed.out);
    for sentence in [likely, next] {
        assert!(listed.contains(&one_line(&sentence)), "{sentence}: {listed}");
    }
}

#[test]
fn the_cas_own_words_reach_log_api_and_screen_with_a_cause_and_a_next_step() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let http_only = "challenges = [\"http-01\"]";
    place.configure(&ca.directory(), &ca.ca_file(), http_only, &[(NAME, "")]);
    let cases = [
        (Endpoint::NewOrder, 400, "rejectedIdentifier", "the CA serves no such name"),
        (Endpoint::Finalize, 403, "caa", "the CAA record of app.example.com forbids it"),
        (Endpoint::Challenge, 400, "malformed", "the challenge is of no use"),
        (Endpoint::Validation, 403, "unauthorized", "wanted an answer and got a <page>"),
        (Endpoint::NewOrder, 429, "rateLimited", "too many certificates already issued"),
        (Endpoint::Finalize, 500, "serverInternal", "the signer is out"),
    ];
    let queue = |(at, status, kind, words): (Endpoint, u16, &str, &str)| {
        // What a terminal would obey stands before and after the words.
        let detail = format!("\u{1b}]0;owned\u{7}\u{1b}[2J {words}\u{9b}31m\u{7f}\r\n");
        ca.fault(at, Fault::problem(status, kind, &detail));
    };
    queue(cases[0]);
    let daemon = place.start();
    for (number, case) in cases.into_iter().enumerate() {
        if number > 0 {
            queue(case);
            let renewed = daemon.cli(&["cert", "renew", NAME]);
            assert_eq!(renewed.code, 1, "{renewed:?}");
            assert_tame(&renewed.out);
            assert_tame(&renewed.err);
            assert!(one_line(&renewed.err).contains(case.3), "{renewed:?}");
        }
        let failed = wait_for_site(&daemon, "certificate_failed", NAME, number + 1);
        assert_eq!(failed["attempt"], number + 1);
        assert_explained(&daemon, &failed, case.2, &format!("]0;owned [2J {} 31m", case.3));
    }
    daemon.lines().iter().for_each(|line| assert!(!line.to_string().contains("\\u00"), "{line}"));
    assert_tame(&control(&daemon, "GET", "/v1/certificates", None).text());

    renew(&daemon, NAME);
    assert_serves(&ca.client(), &daemon, NAME);
    assert!(certificate(&daemon, NAME)["failure"].is_null());
}

/// A CA that breaks once, there, at the request with this number, from 0.
fn breaks(fault: &Fault, at: Endpoint, number: usize) {
    let case = format!("{fault:?} at {at:?} {number}");
    let (place, ca) = AcmePlace::with_ca(NAME);
    ca.set(|knobs| knobs.validation = Validation::Believe);
    (0..number).for_each(|_| ca.fault(at, Fault::Pass));
    ca.fault(at, fault.clone());
    let daemon = place.start();
    let ended = daemon.wait_for_line(|line| {
        line["event"] == "certificate_failed" || line["event"] == "certificate_issued"
    });
    if ended["event"] == "certificate_failed" {
        for key in ["detail", "likely", "next"] {
            assert_ne!(ended[key], "", "{case}: {ended}");
        }
        renew(&daemon, NAME);
    }
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.certificates.len()), (1, 1), "{case}:\n{seen}");
    // Only where no answer told of the order is there a second one.
    let unknown = matches!(at, Endpoint::NewOrder) && !matches!(fault, Fault::Close);
    assert!(seen.orders.len() <= if unknown { 2 } else { 1 }, "{case}:\n{seen}");
    let sick = |line: &Value| line["event"] == "panic" || line["event"] == "task_restarted";
    assert!(!daemon.lines().iter().any(sick), "{case}");
}

fn breaks_anywhere(fault: &Fault) {
    let endpoints = [
        Endpoint::Directory,
        Endpoint::NewNonce,
        Endpoint::NewAccount,
        Endpoint::NewOrder,
        Endpoint::Authorization,
        Endpoint::Challenge,
        Endpoint::Finalize,
        Endpoint::Certificate,
    ];
    // The order is asked for while the name is proven, and again while the CA issues.
    let orders = (0..2).map(|number| (Endpoint::Order, number));
    let points = endpoints.into_iter().map(|at| (at, 0)).chain(orders);
    std::thread::scope(|scope| {
        let cases: Vec<_> =
            points.map(|(at, number)| scope.spawn(move || breaks(fault, at, number))).collect();
        cases.into_iter().for_each(|case| case.join().unwrap());
    });
}

#[test]
fn a_page_for_people_in_place_of_any_answer_is_got_over() {
    breaks_anywhere(&Fault::Garbage);
}

#[test]
fn a_connection_that_ends_before_any_answer_is_got_over() {
    breaks_anywhere(&Fault::Close);
}

#[test]
fn an_answer_that_is_lost_anywhere_doubles_neither_account_nor_certificate() {
    breaks_anywhere(&Fault::LoseAnswer);
}
