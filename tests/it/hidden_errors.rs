//! What the app said where a client got a page: kept under the id of the request, for operators, within bounds.

use std::net::TcpStream;
use std::sync::mpsc::Sender;

use serde_json::Value;

use crate::support::wire::{RawApp, drain, head, send};
use crate::support::{Answered, Connection, Daemon, Upstream, curl, deadline, left};

fn site(app: &str, keys: &str) -> Daemon {
    let keys = format!("hide_errors = true\n{keys}");
    Daemon::start(&format!("[site.\"app.localhost\"]\nupstream = \"{app}\"\n{keys}"))
}

/// Asks once and answers the id that the page shows.
fn fail(daemon: &Daemon, connection: &mut Connection, path: &str) -> String {
    let answer = connection.get("app.localhost", path).unwrap();
    assert_eq!(answer.status, 500, "{}", daemon.errors());
    let id = answer.field("x-request-id").expect("an id").to_owned();
    assert!(answer.text().contains(&id) && !answer.text().contains("panicked"), "{answer:?}");
    id
}

fn control(daemon: &Daemon, path: &str) -> Answered {
    let socket = daemon.control();
    let socket = socket.to_str().unwrap();
    let url = format!("http://localhost{path}");
    curl(None, &["--unix-socket", socket, &url])
}

/// What is kept under the id, as soon as it is.
fn original(daemon: &Daemon, id: &str) -> Value {
    let until = deadline();
    loop {
        let answer = control(daemon, &format!("/v1/errors/{id}"));
        if answer.status == 200 {
            return serde_json::from_str(&answer.text()).expect("JSON");
        }
        assert!(!left(until).is_zero(), "{answer:?}");
    }
}

fn failing() -> Upstream {
    Upstream::start(|_, link| {
        let fields =
            [("Content-Type", "text/plain"), ("Set-Cookie", "session=s3cret"), ("X-Trace", "abc")];
        link.answer("500 Oh", &fields, "panicked at\n  src/orders.rs");
    })
}

#[test]
fn what_the_app_said_is_found_by_the_id_on_the_page() {
    let app = failing();
    let daemon =
        site(&app.address(), "[site.\"app.localhost\".route.\"/api\"]\nbody_max = \"1KiB\"");
    let mut connection = daemon.http1();
    let first = fail(&daemon, &mut connection, "/?password=1");
    let second = fail(&daemon, &mut connection, "/api/orders");
    let told = original(&daemon, &second);
    let error = &told["error"];
    assert_eq!((&error["site"], &error["route"]), (&"app.localhost".into(), &"/api".into()));
    assert_eq!((&error["status"], &error["path"]), (&500.into(), &"/api/orders".into()));
    assert_eq!((&error["method"], &error["upstream"]), (&"GET".into(), &app.address().into()));
    assert!(error["upstream_us"].is_u64() && error["at_ms"].is_i64(), "{told}");
    let body = &told["body"];
    assert_eq!((&body["kind"], &body["incomplete"]), (&"text".into(), &Value::Null));
    assert_eq!(body["text"], "panicked at\n  src/orders.rs");
    let field = |name: &str| {
        let fields = told["fields"].as_array().unwrap();
        fields.iter().find(|field| field["name"] == name).map(|field| field["value"].clone())
    };
    assert_eq!(field("x-trace"), Some("abc".into()));
    assert_eq!(field("set-cookie"), Some(Value::Null), "masked");
    assert!(!told.to_string().contains("s3cret"), "{told}");
    assert_eq!(original(&daemon, &first)["error"]["path"], "/", "without the query");

    let list: Value = serde_json::from_str(&control(&daemon, "/v1/errors").text()).unwrap();
    let ids: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, [&Value::from(second.clone()), &Value::from(first.clone())], "newest first");
    let page = control(&daemon, &format!("/v1/errors?limit=1&after={second}"));
    let page: Value = serde_json::from_str(&page.text()).unwrap();
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&first.into(), &Value::Null));

    let shown = daemon.cli(&["explain", "--request", &second]);
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in ["/api/orders", "answered 500", "x-trace", "panicked at\n    src/orders.rs"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let json = daemon.cli(&["explain", "--request", &second, "--json"]).json();
    assert_eq!(json, told);
}

#[test]
fn an_id_of_which_nothing_is_kept_says_for_how_long_it_would_have_been() {
    let app = Upstream::start(|seen, link| {
        let status = if seen.target() == "/open" { "500 Oh" } else { "404 No" };
        link.answer(status, &[], "panicked");
    });
    let keys = "[site.\"app.localhost\".route.\"/open\"]\nhide_errors = false";
    let daemon = site(&app.address(), keys);
    let mut connection = daemon.http1();
    for path in ["/open", "/absent"] {
        let answer = connection.get("app.localhost", path).unwrap();
        assert!(answer.text().contains("panicked"), "{path} reached its client");
        let id = answer.field("x-request-id").unwrap().to_owned();
        let told = daemon.cli(&["explain", "--request", &id]);
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.err.contains("24 hours") && told.err.contains("hide_errors"), "{told:?}");
    }
    let told = daemon.cli(&["explain", "--request", "no/id?at all\u{1b}[2J"]);
    assert_eq!(told.code, 1, "{told:?}");
    assert!(!told.err.contains('\u{1b}'), "{told:?}");
    assert!(told.err.contains("is no request id"), "{told:?}");
    assert_eq!(daemon.cli(&["explain"]).code, 2);
    assert_eq!(daemon.cli(&["explain", "https://app.localhost/", "--request", "a"]).code, 2);
}

#[test]
fn only_operators_read_what_apps_say_about_their_errors() {
    let app = failing();
    let daemon = site(&app.address(), "");
    let id = fail(&daemon, &mut daemon.http1(), "/");
    original(&daemon, &id);
    let status = |role: &str, path: &str| {
        let made = daemon.cli(&["token", "create", role, "--role", role]);
        let bearer = format!("Authorization: Bearer {}", made.out.trim());
        daemon.curl_ops(path, &["-H", &bearer]).status
    };
    let one = format!("/v1/errors/{id}");
    assert_eq!(status("viewer", &one), 403);
    assert_eq!(status("operator", &one), 200);
    assert_eq!(daemon.curl_ops("/v1/errors", &[]).status, 401);
}

#[test]
fn a_small_error_body_costs_no_connection() {
    let app = failing();
    let daemon = site(&app.address(), "");
    let mut connection = daemon.http1();
    for _ in 0..3 {
        let id = fail(&daemon, &mut connection, "/");
        original(&daemon, &id); // from here on its connection is idle
    }
    let seen = app.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|seen| seen.connection == 0), "{seen:?}");
}

/// An app whose error does not end; says so when its connection does.
fn endless(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    use std::io::Write;
    head(&mut stream);
    send(
        &mut stream,
        "HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    while stream.write_all(chunk.as_bytes()).is_ok() {}
    let _ = reports.send("closed".into());
}

#[test]
fn an_error_without_end_is_cut_and_the_client_has_its_page() {
    let app = RawApp::start(endless);
    let daemon = site(&app.address(), "");
    let id = fail(&daemon, &mut daemon.http1(), "/");
    assert_eq!(app.report(), "closed");
    let told = original(&daemon, &id);
    assert_eq!(told["error"]["body_bytes"], 64 * 1024);
    assert!(
        told["body"]["incomplete"].as_str().unwrap().contains("64 KiB"),
        "{}",
        told["body"]["incomplete"]
    );
}

/// An app that begins an error and falls silent.
fn silent(mut stream: TcpStream, _: usize, reports: &Sender<String>) {
    head(&mut stream);
    send(&mut stream, "HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\npanicked");
    drain(&mut stream);
    let _ = reports.send("closed".into());
}

#[test]
fn an_error_that_pauses_for_too_long_is_kept_as_far_as_it_came() {
    let app = RawApp::start(silent);
    let text = format!(
        "[timeout]\nbetween_bytes = \"1s\"\n[site.\"app.localhost\"]\nupstream = \"{}\"\nhide_errors = true",
        app.address()
    );
    let daemon = Daemon::start(&text);
    let id = fail(&daemon, &mut daemon.http1(), "/");
    assert_eq!(app.report(), "closed");
    let told = original(&daemon, &id);
    assert_eq!(told["body"]["text"], "panicked");
    assert!(told["body"]["incomplete"].as_str().unwrap().contains("between_bytes"), "{told}");
}

#[test]
fn an_upload_to_an_app_that_has_failed_is_given_up() {
    let app = RawApp::start(silent);
    let daemon = site(&app.address(), "");
    let mut connection = daemon.http1();
    connection
        .send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 1000\r\n\r\nbegun")
        .unwrap();
    let answer = connection.answer("POST").unwrap();
    assert_eq!(answer.status, 500);
    assert!(!answer.text().contains("panicked"), "{answer:?}");
    assert_eq!(connection.rest(), b"", "no request may follow half a body");
}
