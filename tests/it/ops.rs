//! What operators see: health, metrics, the access log, and that no secret is in any of them.

use std::collections::BTreeMap;
use std::fs;

use crate::support::{Daemon, Place, Upstream};

#[test]
fn health_readiness_and_liveness_answer() {
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    let health = daemon.curl_ops("/health", &[]);
    let json: serde_json::Value = serde_json::from_slice(&health.body).expect("JSON");
    assert_eq!((health.status, json["status"].as_str()), (200, Some("ok")));
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["uptime_s"].is_u64(), "{json}");
    assert_eq!(json.as_object().map(serde_json::Map::len), Some(3), "nothing else: {json}");
    for path in ["/healthz", "/readyz", "/api/_health/live", "/api/_health/ready"] {
        assert_eq!(daemon.curl_ops(path, &[]).status, 200, "{path}");
    }
    assert_eq!(daemon.curl_ops("/nothing", &[]).status, 404);
    assert_eq!(daemon.curl_ops("/v1/reload", &["-X", "POST"]).status, 401, "not without a token");
    assert_eq!(daemon.curl_ops("/health", &["-X", "DELETE"]).status, 405);
}

#[test]
fn the_ops_address_answers_no_web_page() {
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    for path in ["/health", "/metrics", "/readyz", "/nothing"] {
        let rebound = daemon.curl_ops(path, &["-H", "Host: evil.example"]);
        assert_eq!(rebound.status, 403, "{path}: {rebound:?}");
        let foreign = daemon.curl_ops(path, &["-H", "Origin: https://evil.example"]);
        assert_eq!(foreign.status, 403, "{path}: {foreign:?}");
        assert_eq!(foreign.field("access-control-allow-origin"), None);
    }
    assert_eq!(daemon.curl_ops("/health", &["-H", "Host: localhost:9180"]).status, 200);
}

#[test]
fn ops_paths_are_not_served_on_the_site() {
    let app = Upstream::text("from the app");
    let daemon = Daemon::site("app.localhost", &app.address());
    for path in ["/metrics", "/health", "/v1/status"] {
        let url = format!("https://app.localhost{path}");
        assert_eq!(daemon.curl(&[&url]).text(), "from the app");
    }
}

/// Samples by name and labels; every line has to be one or a comment.
fn samples(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
        .collect()
}

#[test]
fn the_counters_of_the_metrics_move_with_the_traffic() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let read = || {
        let answer = daemon.curl_ops("/metrics", &[]);
        let kind = answer.field("content-type").unwrap().to_owned();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        samples(&answer.text())
    };
    let before = read();
    for _ in 0..3 {
        assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 200);
    }
    assert_eq!(daemon.curl(&["https://app.localhost/", "-H", "Host: no.example"]).status, 404);
    assert_eq!(daemon.curl(&["https://unknown.localhost/"]).status, 0);
    daemon.wait_for_requests(4);
    let after = read();
    let moved = |name: &str| after[name] - before.get(name).copied().unwrap_or(0.0);
    for (name, by) in [
        ("palisade_requests_total{class=\"2xx\"}", 3.0),
        ("palisade_requests_total{class=\"4xx\"}", 1.0),
        ("palisade_request_duration_seconds_count", 4.0),
        ("palisade_tls_handshakes_total{outcome=\"full\"}", 4.0),
        ("palisade_tls_handshakes_total{outcome=\"unknown_name\"}", 1.0),
        ("palisade_denials_total{reason=\"unknown_host\"}", 1.0),
        ("palisade_panics_total", 0.0),
    ] {
        assert!((moved(name) - by).abs() < 0.1, "{name}: {} in {after:#?}", moved(name));
    }
    assert!(after.keys().any(|name| name.starts_with("palisade_certificate_expiry")), "{after:#?}");
}

#[test]
fn each_request_is_one_line_with_the_fields_that_operators_search_for() {
    let app = Upstream::start(|seen, link| {
        let status = if seen.target().starts_with("/missing") { "404 Not Found" } else { "200 OK" };
        link.answer(status, &[], "hello");
    });
    let daemon = Daemon::site("app.localhost", &app.address());
    daemon.curl(&["https://app.localhost/a/b?token=hidden"]);
    daemon.curl(&["--http1.1", "-X", "DELETE", "https://app.localhost/missing"]);
    daemon.curl_plain(&["http://app.localhost/plain"]);
    let lines = daemon.wait_for_requests(3);
    let line = lines.iter().find(|line| line["path"] == "/a/b").expect("without its query");
    assert_eq!((line["event"].as_str(), line["level"].as_str()), (Some("request"), Some("info")));
    assert_eq!((line["method"].as_str(), line["protocol"].as_str()), (Some("GET"), Some("h2")));
    assert_eq!(
        (line["status_code"].as_u64(), line["response_bytes"].as_u64()),
        (Some(200), Some(5))
    );
    assert_eq!(
        (line["site"].as_str(), line["client_ip"].as_str()),
        (Some("app.localhost"), Some("127.0.0.1"))
    );
    assert_eq!(line["upstream"], app.address());
    assert!(line["latency_ms"].is_number() && line["upstream_ms"].is_number(), "{line}");
    assert!(
        line["timestamp"].as_str().is_some_and(|t| t.len() == 24 && t.ends_with('Z')),
        "{line}"
    );
    assert_eq!(line["request_id"].as_str().map(str::len), Some(36));
    for always in ["tenant_id", "user_id", "route"] {
        assert!(line.get(always).is_some_and(serde_json::Value::is_null), "{always} in {line}");
    }
    let missing = lines.iter().find(|line| line["path"] == "/missing").expect("logged");
    assert_eq!(
        (missing["method"].as_str(), missing["status_code"].as_u64()),
        (Some("DELETE"), Some(404))
    );
    assert_eq!(missing["protocol"], "http/1.1");
    let redirect = lines.iter().find(|line| line["path"] == "/plain").expect("logged");
    assert_eq!(redirect["status_code"], 308);
    assert_eq!(daemon.access_lines().len(), 3);
}

#[test]
fn no_secret_of_a_request_reaches_log_page_or_status() {
    const CANARY: &str = "canary-4711-secret";
    let mut app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let url = format!("https://app.localhost/path?token={CANARY}");
    let (cookie, bearer) =
        (format!("Cookie: session={CANARY}"), format!("Authorization: Bearer {CANARY}"));
    let key = format!("X-Api-Key: {CANARY}");
    let body = format!("password={CANARY}");
    let send = |daemon: &Daemon| {
        daemon.curl(&["-H", &cookie, "-H", &bearer, "-H", &key, "-d", &body, &url])
    };
    assert_eq!(send(&daemon).status, 200);
    app.stop();
    let refused = send(&daemon);
    assert_eq!(refused.status, 502);
    let misdirected = daemon.curl(&["-H", "Host: no.example", "-H", &cookie, &url]);
    assert_eq!(misdirected.status, 404);
    let plain =
        daemon.curl_plain(&["-H", &cookie, "-H", &bearer, "http://no.example/", "-d", &body]);
    let page = |answer: &crate::support::Answered| format!("{}\n{}", answer.head, answer.text());
    daemon.wait_for_requests(4);
    let log: String = daemon.lines().iter().map(|line| format!("{line}\n")).collect();
    for (place, text) in [
        ("log", log),
        ("standard error", daemon.errors()),
        ("502 page", page(&refused)),
        ("404 page", page(&misdirected)),
        ("plain page", page(&plain)),
        ("status", daemon.status().to_string()),
        ("status text", daemon.cli(&["status"]).out),
        ("metrics", daemon.curl_ops("/metrics", &[]).text()),
    ] {
        assert!(!text.contains(CANARY), "{place}: {text}");
    }
}

#[test]
fn a_client_cannot_forge_a_line_or_reach_a_terminal_through_the_log() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    daemon.curl(&[
        "--globoff",
        "--path-as-is",
        "https://app.localhost/%0A{\"event\":\"request\"}%1b[31m\"x",
    ]);
    let lines = daemon.wait_for_requests(1);
    assert_eq!(lines.len(), 1);
    assert!(!lines[0]["path"].as_str().unwrap().contains(['\x1b', '\n']), "{}", lines[0]);
}

#[test]
fn a_log_file_that_was_moved_is_opened_anew_on_reload() {
    let app = Upstream::text("hello");
    let place = Place::new();
    let (log, moved) = (place.path("palisade.log"), place.path("palisade.log.1"));
    place.configure(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\n[log]\nfile = \"{}\"",
        app.address(),
        log.display()
    ));
    let daemon = place.start_logging_to(&log);
    assert_eq!(daemon.curl(&["https://app.localhost/before"]).status, 200);
    daemon.wait_for_line(|line| line["path"] == "/before");
    fs::rename(&log, &moved).unwrap();
    daemon.reload();
    assert_eq!(daemon.curl(&["https://app.localhost/after"]).status, 200);
    assert_eq!(daemon.stop(), 0, "everything is written at the end");
    let (new, old) = (fs::read_to_string(&log).unwrap(), fs::read_to_string(&moved).unwrap());
    assert!(new.contains("\"/after\"") && !new.contains("\"/before\""), "{new}");
    assert!(old.contains("\"/before\"") && !old.contains("\"/after\""), "{old}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&log).unwrap().permissions());
    assert_eq!(mode & 0o007, 0, "a log is not for everybody: {mode:o}");
}

#[test]
fn the_access_log_can_be_turned_off_and_on_by_a_reload() {
    let app = Upstream::text("hello");
    let site = format!("[site.\"app.localhost\"]\nupstream = \"{}\"\n", app.address());
    let place = Place::new();
    place.configure(&format!("{site}[log]\naccess = false"));
    let daemon = place.start();
    assert_eq!(daemon.curl(&["https://app.localhost/quiet"]).status, 200);
    place.configure(&site);
    daemon.reload();
    assert_eq!(daemon.curl(&["https://app.localhost/loud"]).status, 200);
    let lines = daemon.wait_for_requests(1);
    assert_eq!(lines[0]["path"], "/loud");
}

#[test]
fn an_app_that_is_down_needs_attention() {
    let app = Upstream::text("gone in a moment");
    let address = app.address();
    drop(app);
    let daemon = Daemon::site("app.localhost", &address);
    assert_eq!(daemon.cli(&[]).out.matches("Nothing needs attention").count(), 1);
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 502);
    let plain = daemon.cli(&[]).out;
    assert!(
        plain.contains("FAIL") && plain.contains("from the app in the last minute: 1"),
        "{plain}"
    );
}
