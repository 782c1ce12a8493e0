//! What an operator sees of certificates and does about them: `cert list`, `cert renew`, `status`, metrics.

use super::{DAY_S, SITE, assert_says, failure, is_served, metric, served, text};
use crate::support::acme_site::{AcmePlace, certificate, shown};
use crate::support::ca::{Endpoint, Fault, Moment, ScriptedCa};
use crate::support::{Authority, Place, palisade};

const REFUSED: &str = "no luck today";

/// A CA that takes no order.
fn refusing(names: &[(&str, &str)]) -> (AcmePlace, ScriptedCa) {
    let (place, ca) = AcmePlace::with_ca(SITE);
    place.configure(&ca.directory(), &ca.ca_file(), "", names);
    ca.fault_always(Endpoint::NewOrder, Fault::problem(403, "rejectedIdentifier", REFUSED));
    (place, ca)
}

#[test]
fn cert_list_shows_what_is_served_what_is_missing_and_what_stands_in() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let sites = [
        (SITE, ""),
        ("missing.example.com", ""),
        ("stand-in.example.com", "tls = [\"acme\", \"local\"]"),
        ("imported.example.com", "tls = \"imported\""),
        ("app.localhost", ""),
    ];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites[..1]);
    let daemon = place.start();
    is_served(&daemon, SITE);
    ca.fault_always(Endpoint::NewOrder, Fault::problem(403, "rejectedIdentifier", REFUSED));
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    daemon.reload();
    failure(&daemon, "missing.example.com");
    failure(&daemon, "stand-in.example.com");

    let list = daemon.cli(&["cert", "list"]);
    assert_eq!(list.code, 0, "{list:?}");
    let rows: Vec<Vec<&str>> = list
        .out
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split_whitespace().take(3).collect())
        .collect();
    assert_eq!(
        rows,
        [
            ["SITE", "SOURCE", "STATE"],
            [SITE, "acme", "served"],
            ["app.localhost", "local", "served"],
            ["imported.example.com", "imported", "missing"],
            ["missing.example.com", "acme", "missing"],
            ["stand-in.example.com", "acme", "stand-in"],
        ],
        "{}",
        list.out
    );
    assert_says(
        &list.out,
        &[
            "not issued (attempt 1, next in",
            "rejectedIdentifier - no luck today",
            "likely: the CA does not issue for one of these names",
            "try: remove the name from the site",
            "palisade cert import imported.example.com --cert FILE --key FILE",
        ],
    );
    let json = daemon.cli(&["cert", "list", "--json"]).json();
    let states: Vec<&str> =
        json.as_array().unwrap().iter().map(|info| text(info, "state")).collect();
    assert_eq!(states, ["served", "served", "missing", "missing", "stand_in"]);
    assert_eq!(json[3]["failure"]["detail"], REFUSED);
    assert_eq!(json[0]["failure"], serde_json::Value::Null);

    let status = daemon.cli(&["status"]);
    assert_says(
        &status.out,
        &[
            "missing.example.com has no certificate, visitors are refused: the last attempt failed",
            "stand-in.example.com shows a certificate of the local CA for now: the last attempt failed",
            "imported.example.com has no certificate, visitors are refused: waiting for palisade cert import",
        ],
    );
}

#[test]
fn cert_renew_orders_now_and_shows_the_new_certificate() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let www = "www.example.com";
    let sites = [(SITE, "also = [\"www.example.com\"]")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    let daemon = place.start();
    is_served(&daemon, SITE);
    // By any of its names.
    let renewed = daemon.cli(&["cert", "renew", www]);
    assert_eq!(renewed.code, 0, "{renewed:?}");
    assert_says(&renewed.out, &["certificate for app.example.com: is served", "renews: "]);
    let second = ca.wait_for_certificate(2);
    assert_eq!(second.replaces, Some(ca.wait_for_certificate(1).id));
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(second.der));
    let json = daemon.cli(&["cert", "renew", SITE, "--json"]).json();
    assert_eq!((text(&json, "site"), text(&json, "state")), (SITE, "served"));
}

#[test]
fn cert_renew_that_fails_has_the_cas_words_and_the_old_certificate_stays() {
    let (_place, ca, daemon) = served();
    let mean = "policy forbids \u{1b}[31mred\u{1b}[0m names";
    ca.fault_always(Endpoint::NewOrder, Fault::problem(403, "rejectedIdentifier", mean));
    let renewed = daemon.cli(&["cert", "renew", SITE]);
    assert_eq!(renewed.code, 1, "{renewed:?}");
    assert_says(&renewed.err, &["not renewed (attempt 1, next in", "CA says:", "policy forbids"]);
    assert!(!renewed.err.contains('\u{1b}'), "{renewed:?}");
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(1).der));
    let json = daemon.cli(&["cert", "renew", SITE, "--json"]);
    assert_eq!(json.code, 1, "{json:?}");
    assert_says(&json.out, &["policy forbids"]);
}

#[test]
fn a_renewal_that_was_only_tried_leaves_the_plan_and_no_warning() {
    let (_place, ca, daemon) = served();
    ca.wait_for_requests(Endpoint::RenewalInfo, 1);
    let planned = super::until("the window is known", || {
        let renewal = certificate(&daemon, SITE)["renewal"].clone();
        text(&renewal, "why").contains("suggests").then_some(renewal)
    });
    ca.fault_always(Endpoint::NewOrder, Fault::problem(403, "rejectedIdentifier", REFUSED));
    for _ in 0..2 {
        let renewed = daemon.cli(&["cert", "renew", SITE]);
        assert_eq!(renewed.code, 1, "{renewed:?}");
    }
    let info = certificate(&daemon, SITE);
    assert_eq!(
        (&info["renewal"]["at"], &info["renewal"]["why"]),
        (&planned["at"], &planned["why"])
    );
    let failure = &info["failure"];
    assert_eq!((&failure["detail"], &failure["early"]), (&REFUSED.into(), &true.into()));
    assert_eq!(
        (&failure["attempts"], &failure["retry_in_s"]),
        (&1.into(), &info["renewal"]["in_s"])
    );
    let line = daemon.wait_for_event("certificate_failed");
    let apart = line["retry_in_s"].as_i64().unwrap() - failure["retry_in_s"].as_i64().unwrap();
    assert!((0..60).contains(&apart), "{line} {failure}");
    assert_eq!(daemon.status()["attention"], serde_json::json!([]));
}

#[test]
fn cert_renew_of_a_name_that_is_not_there_or_not_ordered_says_what_is() {
    let place = AcmePlace::new();
    let ca = ScriptedCa::start(&place.doors);
    let (cert, key) = Authority::new().write(place.place.dir(), "files", &["files.example.com"]);
    let files = format!("tls = {{ cert = {cert:?}, key = {key:?} }}");
    let sites = [
        ("files.example.com", files.as_str()),
        ("app.localhost", ""),
        ("imported.example.com", "tls = \"imported\""),
    ];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    let daemon = place.start();
    for (name, words) in [
        ("nobody.example.com", "There is no site nobody.example.com"),
        ("files.example.com", "the site has one from files: replace them"),
        ("app.localhost", "the site has one of the local CA"),
        ("imported.example.com", "palisade cert import imported.example.com"),
    ] {
        let renewed = daemon.cli(&["cert", "renew", name]);
        assert_eq!(renewed.code, 1, "{renewed:?}");
        assert_says(&renewed.err, &[words]);
    }
    assert_eq!(ca.seen().requests.len(), 0);
}

#[test]
fn a_second_cert_renew_joins_the_attempt_that_is_on_its_way() {
    let (_place, ca, daemon) = served();
    let hold = ca.hold(Endpoint::NewOrder, Moment::Before);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| daemon.cli(&["cert", "renew", SITE]));
        hold.wait();
        let second = scope.spawn(|| daemon.cli(&["cert", "renew", SITE]));
        assert_says(&daemon.cli(&["cert", "list"]).out, &["placing an order"]);
        hold.release();
        for asked in [first, second] {
            let asked = asked.join().unwrap();
            assert_eq!(asked.code, 0, "{asked:?}");
        }
    });
}

#[test]
fn without_a_daemon_cert_verbs_say_that_none_answers() {
    let place = Place::new();
    for verb in [vec!["list"], vec!["renew", SITE]] {
        let mut command = place.command();
        command.arg("cert").args(verb).arg("--socket").arg(place.path("none.sock"));
        let exit = palisade(&mut command);
        assert_eq!(exit.code, 3, "{exit:?}");
    }
}

#[test]
fn a_stand_in_is_served_until_the_ca_has_issued() {
    let (place, ca) = AcmePlace::with_ca(SITE);
    let keys = "tls = [\"acme\", \"local\"]";
    place.configure(&ca.directory(), &ca.ca_file(), "", &[(SITE, keys)]);
    let hold = ca.hold(Endpoint::NewOrder, Moment::Before);
    let daemon = place.start();
    hold.wait();
    assert!(daemon.client().connect(daemon.https(), SITE).is_ok());
    assert_eq!(certificate(&daemon, SITE)["state"], "stand_in");
    hold.release();
    is_served(&daemon, SITE);
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(1).der));
    assert!(daemon.client().connect(daemon.https(), SITE).is_err());
}

#[test]
fn without_a_stand_in_the_handshake_is_refused_and_the_log_says_why() {
    let (place, ca) = refusing(&[(SITE, "")]);
    let daemon = place.start();
    failure(&daemon, SITE);
    assert!(ca.client().connect(daemon.https(), SITE).is_err());
    let series = "palisade_tls_handshakes_total{outcome=\"no_certificate\"}";
    super::until("the refusal is counted", || metric(&daemon, series).filter(|n| *n >= 1.0));
    let line = daemon.wait_for_event("certificate_failed");
    assert_eq!((text(&line, "detail"), text(&line, "class")), (REFUSED, "ca"));
    assert_says(text(&line, "likely"), &["does not issue"]);
    assert_says(text(&line, "next"), &["remove the name"]);
}

#[test]
fn metrics_have_the_end_of_each_certificate_and_count_failures_by_class() {
    let (_place, ca, daemon) = served();
    let ends = metric(&daemon, "palisade_certificate_expiry_seconds{site=\"app.example.com\"}");
    let ends = ends.expect("the series");
    assert!((89 * DAY_S..=90 * DAY_S).contains(&(ends as i64)), "{ends}");
    let failures = |class: &str| {
        metric(&daemon, &format!("palisade_certificate_failures_total{{class=\"{class}\"}}"))
    };
    assert_eq!(failures("ca"), Some(0.0));
    ca.fault(Endpoint::NewOrder, Fault::problem(403, "rejectedIdentifier", REFUSED));
    ca.fault(Endpoint::NewOrder, Fault::rate_limited("too many", "60"));
    for code in [1, 1, 0] {
        assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, code);
    }
    ca.set(|knobs| knobs.down = true);
    assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 1);
    let classes = ["ca", "network", "validation", "rate_limited", "state", "config", "clock"];
    let counts = classes.map(|class| failures(class).unwrap());
    assert_eq!(counts, [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(metric(&daemon, "palisade_certificates_issued_total"), Some(2.0));
}
