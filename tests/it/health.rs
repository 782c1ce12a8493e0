//! Health checks and pings of a running daemon: what the file says is what is asked, and a reload loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Daemon, Upstream};

/// An app that says on `/healthz` what its switch says, and how often it was asked.
fn app() -> (Upstream, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&well);
    let app = Upstream::start(move |seen, link| {
        let well = switch.load(Ordering::SeqCst) || seen.target() != "/healthz";
        link.answer(if well { "200 OK" } else { "503 Service Unavailable" }, &[], "said");
        link.close();
    });
    (app, well)
}

fn checks(app: &Upstream) -> Vec<String> {
    let requests = app.requests().into_iter().filter(|seen| seen.target() == "/healthz");
    requests.map(|seen| seen.head).collect()
}

fn site(app: &Upstream, more: &str) -> String {
    format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\n\
         health = {{ path = \"/healthz\", every = \"1s\", timeout = \"1s\", rise = 1, fall = 2 }}\n{more}",
        app.address()
    )
}

#[test]
fn an_upstream_goes_down_and_comes_up_as_its_checks_say() {
    let (app, well) = app();
    let daemon = Daemon::start(&site(&app, ""));
    let up = daemon.wait_for_event("upstream_up");
    assert_eq!((&up["site"], &up["upstream"]), (&"app.localhost".into(), &app.address().into()));
    let head = checks(&app).remove(0);
    assert!(head.contains("host: app.localhost\r\n"), "{head}");
    assert!(head.contains("user-agent: palisade-health/"), "{head}");
    well.store(false, Ordering::SeqCst);
    let down = daemon.wait_for_event("upstream_down");
    assert_eq!((&down["why"], &down["failures"]), (&"answered 503".into(), &2.into()), "{down}");
    assert!(down["next"].is_string(), "{down}");
    let attention = daemon.status()["attention"].to_string();
    let words = format!(
        "its upstream {} is out: its health check fails, answered 503, since ",
        app.address()
    );
    assert!(attention.contains(&words) && attention.contains("FAIL"), "{attention}");
    let ready = daemon.curl_ops("/readyz", &[]);
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("upstreams: the health checks of every upstream fail"));
    well.store(true, Ordering::SeqCst);
    daemon.wait_for_nth(2, |line| line["event"] == "upstream_up");
    assert_eq!(daemon.status()["attention"], serde_json::json!([]));
    assert_eq!(daemon.curl_ops("/readyz", &[]).status, 200);
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let count = |outcome: &str| {
        let name = format!("palisade_upstream_checks_total{{outcome=\"{outcome}\"}} ");
        let count = metrics.lines().find_map(|line| line.strip_prefix(name.as_str()));
        count.and_then(|count| count.parse::<u64>().ok()).unwrap_or_else(|| panic!("{metrics}"))
    };
    assert!(count("check_passed") >= 2 && count("check_failed") >= 2, "{metrics}");
    assert_eq!(count("ping_passed"), 0);
}

#[test]
fn a_reload_that_changes_something_else_neither_asks_anew_nor_forgets() {
    let (app, well) = app();
    well.store(false, Ordering::SeqCst);
    let daemon = Daemon::start(&site(&app, ""));
    let down = daemon.wait_for_event("upstream_down");
    assert_eq!(down["failures"], 1, "the first answer settles it");
    daemon.place().configure(&site(&app, "body_max = \"2MiB\"\n"));
    daemon.reload();
    // Two more answers after it: had it begun anew, the first of them would have been said.
    app.wait_for_requests(app.requests().len() + 3);
    well.store(true, Ordering::SeqCst);
    daemon.wait_for_event("upstream_up");
    let downs = daemon.lines().into_iter().filter(|line| line["event"] == "upstream_down");
    assert_eq!(downs.count(), 1);
    // A check that is gone asks no more; the next one to come is a ping of another path.
    let place = daemon.place();
    place.configure(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\nkeep_awake = {{ path = \"/wake\", every = \"1s\" }}",
        app.address()
    ));
    daemon.reload();
    let before = checks(&app).len();
    let all = app.wait_for_requests(app.requests().len() + 3);
    assert!(all.iter().filter(|seen| seen.target() == "/wake").count() >= 2, "{all:#?}");
    assert!(checks(&app).len() <= before + 1, "one may have been under way");
}

#[test]
fn an_app_that_nobody_listens_for_is_said_to_refuse() {
    let (mut app, _) = app();
    app.stop();
    let daemon = Daemon::start(&site(&app, ""));
    assert_eq!(daemon.wait_for_event("upstream_down")["why"], "connection refused");
}

#[test]
fn an_app_is_kept_awake_and_a_failure_is_said_once() {
    let (mut app, _) = app();
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\nkeep_awake = {{ path = \"/wake\", every = \"1s\" }}",
        app.address()
    ));
    let pings = app.wait_for_requests(2);
    assert!(pings.iter().all(|ping| ping.target() == "/wake"), "{pings:#?}");
    app.stop();
    let said = daemon.wait_for_event("keep_awake_failed");
    // The ping that was under way breaks off, the next one finds nobody.
    let why = said["why"].as_str().unwrap();
    assert!(why == "connection refused" || why.contains("connection closed"), "{said}");
}
