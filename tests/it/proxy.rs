//! What reaches the app, what reaches the client, and what neither gets to see.

use std::fs;

use serde_json::Value;

use crate::support::{Authority, Connection, Daemon, Link, Place, Seen, Upstream};

fn site(app: &Upstream) -> Daemon {
    Daemon::site("app.localhost", &app.address())
}

fn connect(daemon: &Daemon) -> Connection {
    daemon.client().connect(daemon.https(), "app.localhost").unwrap()
}

/// A public site with a certificate of the test's own CA, whose root is `ca.pem`.
fn public(app: &Upstream, more: &str, environment: &[(&str, &str)]) -> Daemon {
    let (ca, place) = (Authority::new(), Place::new());
    let (cert, key) = ca.write(place.dir(), "app", &["app.example.com"]);
    fs::write(place.path("ca.pem"), ca.pem()).unwrap();
    place.configure(&format!(
        "[site.\"app.example.com\"]\nupstream = \"{}\"\ntls = {{ cert = \"{}\", key = \"{}\" }}\n{more}",
        app.address(),
        cert.display(),
        key.display()
    ));
    place.start_with(environment)
}

#[test]
fn http_1_1_and_http_2_reach_the_same_app() {
    let app = Upstream::text("hello");
    let daemon = site(&app);
    for (option, version) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let answer = daemon.curl(&[option, "https://app.localhost/a?b=c"]);
        assert!(answer.head.starts_with(version), "{}", answer.head);
        assert_eq!(answer.text(), "hello");
    }
    for seen in app.requests() {
        assert!(seen.head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{}", seen.head);
        assert_eq!(seen.fields("host"), ["app.localhost"]);
    }
}

#[test]
fn bodies_pass_both_ways_whole() {
    fn echo(seen: &Seen, link: &mut Link) {
        link.answer("200 OK", &[], &seen.body);
    }
    let app = Upstream::start(echo);
    let daemon = site(&app);
    let sent = daemon.place().path("sent");
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).take(700_001).collect();
    fs::write(&sent, &bytes).unwrap();
    let data = format!("@{}", sent.display());
    for option in ["--http1.1", "--http2"] {
        for framing in ["Content-Type: application/octet-stream", "Transfer-Encoding: chunked"] {
            if option == "--http2" && framing.starts_with("Transfer") {
                continue;
            }
            let url = "https://app.localhost/";
            let answer = daemon.curl(&[option, "--data-binary", &data, "-H", framing, url]);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.body == bytes, "{option} {framing}: {} bytes", answer.body.len());
        }
    }
}

#[test]
fn an_app_on_a_unix_socket_is_reached() {
    let place = Place::new();
    let app =
        Upstream::unix(&place.path("backend.sock"), |_, link| link.answer("200 OK", &[], "unix"));
    place.configure(&format!("[site.\"app.localhost\"]\nupstream = \"{}\"", app.address()));
    let daemon = place.start();
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "unix");
    let line = daemon.wait_for_requests(1).remove(0);
    assert_eq!(line["upstream"], app.address());
}

/// `traceparent` as W3C Trace Context has it: version, trace id, parent id, flags.
fn trace(seen: &Seen) -> Vec<String> {
    let value = seen.field("traceparent").expect("traceparent");
    let parts: Vec<String> = value.split('-').map(str::to_owned).collect();
    assert_eq!(parts.iter().map(String::len).collect::<Vec<_>>(), [2, 32, 16, 2], "{value}");
    parts
}

#[test]
fn the_app_learns_who_asks_and_nothing_that_the_client_made_up() {
    let app = Upstream::text("hello");
    let daemon = site(&app);
    let mut args: Vec<&str> = vec!["https://app.localhost/"];
    for claim in [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: ftp",
        "X-Forwarded-Host: evil.example",
        "X-Forwarded-User: root",
        "Forwarded: for=203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "X_Forwarded_For: 203.0.113.9",
        "X-Request-ID: made-up",
    ] {
        args.extend(["-H", claim]);
    }
    let answer = daemon.curl(&args);
    let seen = app.only_request();
    assert_eq!(seen.fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.fields("x-forwarded-host"), ["app.localhost"]);
    assert_eq!(seen.fields("forwarded"), ["for=127.0.0.1;host=\"app.localhost\";proto=https"]);
    for gone in ["x-forwarded-user", "x-real-ip", "x_forwarded_for"] {
        assert_eq!(seen.field(gone), None, "{}", seen.head);
    }
    let id = seen.field("x-request-id").expect("an id");
    assert!(id != "made-up" && id.len() == 36, "{id}");
    assert_eq!(answer.field("x-request-id"), Some(id));
    assert!(answer.field("x-response-time-ms").is_some_and(|ms| ms.parse::<f64>().is_ok()));
    assert_eq!(trace(&seen)[0], "00");
    assert_eq!(daemon.wait_for_requests(1)[0]["request_id"], id);
}

#[test]
fn a_trace_is_continued_with_a_span_of_its_own() {
    let app = Upstream::text("hello");
    let daemon = site(&app);
    let sent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    daemon.curl(&["-H", sent, "-H", "tracestate: vendor=1", "https://app.localhost/"]);
    let seen = app.only_request();
    let parts = trace(&seen);
    assert_eq!((parts[1].as_str(), parts[3].as_str()), ("0af7651916cd43dd8448eb211c80319c", "01"));
    assert_ne!(parts[2], "b7ad6b7169203331");
    assert_eq!(seen.field("tracestate"), Some("vendor=1"));
}

#[test]
fn a_trusted_proxy_is_believed_up_to_the_first_address_that_is_not_trusted() {
    let app = Upstream::text("hello");
    let daemon = Daemon::start(&format!(
        "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[site.\"app.localhost\"]\nupstream = \"{}\"",
        app.address()
    ));
    let claim = "X-Forwarded-For: 198.51.100.1, 203.0.113.9, 10.1.2.3";
    daemon.curl(&["-H", claim, "https://app.localhost/"]);
    let seen = app.only_request();
    assert_eq!(seen.fields("x-forwarded-for"), ["203.0.113.9"]);
    assert!(seen.field("forwarded").unwrap().starts_with("for=203.0.113.9;"), "{}", seen.head);
    assert_eq!(daemon.wait_for_requests(1)[0]["client_ip"], "203.0.113.9");
}

#[test]
fn fields_of_one_connection_stay_on_it() {
    let app = Upstream::start(|_, link| {
        let fields = [
            ("Connection", "keep-alive, X-Private"),
            ("X-Private", "1"),
            ("Keep-Alive", "timeout=5"),
        ];
        link.answer("200 OK", &[&fields[..], &[("X-Kept", "yes")]].concat(), "hello");
    });
    let daemon = site(&app);
    let mut args: Vec<&str> = vec!["--http1.1", "https://app.localhost/"];
    for field in [
        "Connection: keep-alive, X-Hop",
        "X-Hop: 1",
        "Keep-Alive: timeout=9",
        "TE: trailers",
        "Proxy-Authorization: Basic eDp5",
        "Proxy-Connection: keep-alive",
        "Upgrade: h2c",
        "X-End: kept",
    ] {
        args.extend(["-H", field]);
    }
    let answer = daemon.curl(&args);
    let seen = app.only_request();
    for name in ["x-hop", "keep-alive", "te", "proxy-authorization", "proxy-connection", "upgrade"]
    {
        assert_eq!(seen.field(name), None, "{}", seen.head);
    }
    assert_eq!(seen.field("x-end"), Some("kept"));
    assert_eq!((answer.field("x-private"), answer.field("keep-alive")), (None, None));
    assert_eq!(answer.field("x-kept"), Some("yes"));
}

#[test]
fn nothing_tells_which_software_runs_here() {
    let app = Upstream::start(|_, link| {
        let fields =
            [("Server", "Apache/2.4.1"), ("X-Powered-By", "PHP/7"), ("X-AspNet-Version", "4")];
        link.answer("200 OK", &fields, "hello");
    });
    let daemon = site(&app);
    let answer = daemon.curl(&["https://app.localhost/"]);
    for name in ["server", "x-powered-by", "x-aspnet-version"] {
        assert_eq!(answer.field(name), None, "{}", answer.head);
    }
    let nothing = daemon.curl(&["https://app.localhost/", "-H", "Host: nobody.example"]);
    assert!(!nothing.head.to_lowercase().contains("palisade"), "{}", nothing.head);
}

const DEFAULTS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("permissions-policy", "geolocation=(), camera=(), microphone=()"),
];

#[test]
fn every_response_carries_the_security_headers_and_public_names_hsts() {
    let app = Upstream::text("hello");
    let daemon = public(&app, "", &[]);
    let (root, url) = (daemon.place().path("ca.pem"), "https://app.example.com/");
    let answer = daemon.curl_trusting(&root, &[url]);
    let refusal = daemon.curl_trusting(&root, &[url, "-H", "Host: other.example.com"]);
    assert_eq!((answer.status, refusal.status), (200, 404));
    for given in [&answer, &refusal] {
        for (name, value) in DEFAULTS {
            assert_eq!(given.field(name), Some(value), "{}", given.head);
        }
    }
    let hsts = "max-age=31536000; includeSubDomains";
    assert_eq!(answer.field("strict-transport-security"), Some(hsts));
    let redirect = daemon.curl_plain(&["http://app.example.com/"]);
    assert_eq!(redirect.field("strict-transport-security"), None, "{}", redirect.head);
    assert_eq!(redirect.field("x-content-type-options"), Some("nosniff"));
}

#[test]
fn local_names_get_no_hsts() {
    let app = Upstream::text("hello");
    let answer = site(&app).curl(&["https://app.localhost/"]);
    assert_eq!(answer.field("strict-transport-security"), None);
    assert_eq!(answer.field("x-frame-options"), Some("SAMEORIGIN"));
}

#[test]
fn the_apps_own_stricter_header_wins() {
    let app = Upstream::start(|_, link| link.answer("200 OK", &[("X-Frame-Options", "DENY")], ""));
    let answer = site(&app).curl(&["https://app.localhost/"]);
    assert_eq!(answer.field("x-frame-options"), Some("DENY"));
}

#[test]
fn the_emergency_flag_takes_the_headers_away_and_shows_in_status() {
    let app = Upstream::text("hello");
    let daemon = public(&app, "", &[("SECURITY_HEADERS_ENABLED", "false")]);
    let root = daemon.place().path("ca.pem");
    let answer = daemon.curl_trusting(&root, &["https://app.example.com/"]);
    for (name, _) in DEFAULTS {
        assert_eq!(answer.field(name), None, "{}", answer.head);
    }
    assert_eq!(answer.field("strict-transport-security"), None);
    let status = daemon.status();
    assert_eq!(status["capabilities"][0]["mode"], "off", "{status:#}");
    assert_eq!(status["capabilities"][0]["configured"], "enforce");
    let told = status["attention"].to_string();
    assert!(told.contains("security_headers is off because SECURITY_HEADERS_ENABLED is false"));
}

#[test]
fn observe_changes_nothing_and_counts_what_it_would_have_changed() {
    let app = Upstream::text("hello");
    let daemon = public(&app, "[capability]\nsecurity_headers = \"observe\"", &[]);
    let root = daemon.place().path("ca.pem");
    let answer = daemon.curl_trusting(&root, &["https://app.example.com/"]);
    for (name, _) in DEFAULTS {
        assert_eq!(answer.field(name), None, "{}", answer.head);
    }
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains("palisade_headers_observed_total 1"), "{metrics}");
}

#[test]
fn the_plain_port_leads_to_https_on_the_same_path() {
    let app = Upstream::text("hello");
    let daemon = site(&app);
    let port = daemon.https().port();
    let answer = daemon.curl_plain(&["http://app.localhost/a/b?c=d"]);
    assert_eq!(answer.status, 308);
    let location = format!("https://app.localhost:{port}/a/b?c=d");
    assert_eq!(answer.field("location"), Some(location.as_str()));
    let unknown = daemon.curl_plain(&["http://evil.example/"]);
    assert_eq!((unknown.status, unknown.field("location")), (404, None), "{}", unknown.head);
    assert!(app.requests().is_empty());
}

#[test]
fn a_request_for_another_site_than_the_connection_is_misdirected() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let daemon = Daemon::start(&format!(
        "[site.\"one.localhost\"]\nupstream = \"{}\"\n[site.\"two.localhost\"]\nupstream = \"{}\"",
        one.address(),
        two.address()
    ));
    for option in ["--http1.1", "--http2"] {
        let answer = daemon.curl(&[option, "https://one.localhost/", "-H", "Host: two.localhost"]);
        assert_eq!(answer.status, 421, "{}", answer.head);
    }
    assert!(two.requests().is_empty() && one.requests().is_empty());
    let line = daemon.wait_for_requests(1).remove(0);
    assert_eq!(line["denied"], "misdirected", "{line}");
    assert!(line["why"].as_str().unwrap().contains("two.localhost"), "{line}");
}

#[test]
fn an_app_that_is_down_gives_a_page_or_a_problem_document_with_the_request_id() {
    let mut app = Upstream::text("hello");
    let daemon = site(&app);
    app.stop();
    let page = daemon.curl(&["-H", "Accept: text/html", "https://app.localhost/"]);
    let id = page.field("x-request-id").expect("an id").to_owned();
    assert_eq!(page.status, 502);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains(&id) && page.text().contains("<html lang"), "{}", page.text());
    assert!(!page.text().contains("127.0.0.1"), "the app's address is nobody's business");
    let json = daemon.curl(&["-H", "Accept: application/json", "https://app.localhost/"]);
    assert_eq!(json.field("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_slice(&json.body).expect("JSON");
    assert_eq!(problem["status"], 502);
    assert_eq!(problem["request_id"].as_str(), json.field("x-request-id"));
    let line = daemon.wait_for_line(|line| line["request_id"] == id.as_str());
    assert_eq!(line["denied"], "upstream_unreachable", "{line}");
    assert!(line["why"].as_str().unwrap().contains(&app.address()), "{line}");
}

#[test]
fn an_app_that_hangs_up_or_says_nothing_gives_502_and_504() {
    let app = Upstream::start(|seen, link| match seen.target() {
        "/hangs-up" => link.close(),
        _ => drop(link.receive()),
    });
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\n[site.\"app.localhost\".route.\"/silent\"]\nfirst_byte_timeout = \"50ms\"",
        app.address()
    ));
    assert_eq!(daemon.curl(&["https://app.localhost/hangs-up"]).status, 502);
    assert_eq!(daemon.curl(&["https://app.localhost/silent"]).status, 504);
    let lines = daemon.wait_for_requests(2);
    let denied: Vec<&Value> = lines.iter().map(|line| &line["denied"]).collect();
    assert_eq!(denied, ["upstream_broke", "upstream_timeout"]);
}

#[test]
fn an_answer_that_breaks_off_never_looks_complete() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let app = Upstream::start(move |seen, link| {
        link.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        if seen.target() == "/when-told" {
            let _ = wait.lock().unwrap().recv();
        }
        link.close();
    });
    let daemon = site(&app);
    let mut connection = connect(&daemon);
    connection.send("GET /when-told HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    connection.read_until("hello\r\n").unwrap();
    go.send(()).unwrap();
    assert_eq!(connection.rest(), b"", "no last chunk");
    for option in ["--http1.1", "--http2"] {
        let answer = daemon.curl(&[option, "https://app.localhost/"]);
        assert_ne!(answer.exit, 0, "curl has to notice: {answer:?}");
    }
    assert!(daemon.wait_for_requests(3).iter().all(|line| line["aborted"].is_string()));
}

#[test]
fn routes_choose_their_app_by_path_method_and_field() {
    let (site, api, refund) =
        (Upstream::text("site"), Upstream::text("api"), Upstream::text("refund"));
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = \"{}\"\n\
         [site.\"app.localhost\".route.\"/api\"]\nupstream = \"{}\"\n\
         [site.\"app.localhost\".route.refund]\nupstream = \"{}\"\n\
         match = {{ path = \"/api/refund\", method = [\"POST\"], header = {{ x-version = \"2\" }} }}",
        site.address(),
        api.address(),
        refund.address()
    ));
    let get = |args: &[&str]| daemon.curl(args).text();
    assert_eq!(get(&["https://app.localhost/"]), "site");
    assert_eq!(get(&["https://app.localhost/apix"]), "site");
    assert_eq!(get(&["https://app.localhost/api"]), "api");
    assert_eq!(get(&["https://app.localhost/api/x"]), "api");
    assert_eq!(get(&["https://app.localhost/api/refund", "-H", "x-version: 2"]), "api");
    let post = ["https://app.localhost/api/refund", "-d", "x", "-H"];
    assert_eq!(get(&[&post[..], &["x-version: 1"]].concat()), "api");
    assert_eq!(get(&[&post[..], &["x-version: 2"]].concat()), "refund");
    let lines = daemon.wait_for_requests(7);
    let routes: Vec<&str> =
        lines.iter().map(|line| line["route"].as_str().unwrap_or("-")).collect();
    assert_eq!(routes, ["-", "-", "/api", "/api", "/api", "/api", "refund"]);
}

#[test]
fn several_apps_take_turns_and_one_that_is_down_costs_no_request() {
    let (a, b) = (Upstream::text("a"), Upstream::text("b"));
    let mut down = Upstream::text("down");
    let daemon = Daemon::start(&format!(
        "[site.\"app.localhost\"]\nupstream = [\"{}\", \"{}\", \"{}\"]",
        a.address(),
        down.address(),
        b.address()
    ));
    down.stop();
    let mut answers = Vec::new();
    for _ in 0..12 {
        let answer = daemon.curl(&["https://app.localhost/"]);
        assert_eq!(answer.status, 200, "{answer:?}");
        answers.push(answer.text());
    }
    assert!(answers.contains(&"a".to_owned()) && answers.contains(&"b".to_owned()), "{answers:?}");
}

#[test]
fn connections_to_the_app_are_used_again() {
    let app = Upstream::text("hello");
    let daemon = site(&app);
    let mut connection = connect(&daemon);
    for _ in 0..20 {
        assert_eq!(connection.get("app.localhost", "/").unwrap().status, 200);
    }
    assert_eq!(app.connections(), 1);
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(
        metrics.contains("palisade_upstream_connections_total{outcome=\"reused\"} 19"),
        "{metrics}"
    );
}

#[test]
fn a_connection_that_the_app_closed_is_not_used_again() {
    let app = Upstream::start(|_, link| {
        link.answer("200 OK", &[("Connection", "close")], "bye");
        link.close();
    });
    let daemon = site(&app);
    let mut connection = connect(&daemon);
    for _ in 0..5 {
        assert_eq!(connection.get("app.localhost", "/").unwrap().text(), "bye");
    }
    assert_eq!(app.connections(), 5);
    let used: Vec<usize> = app.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(used, [0, 1, 2, 3, 4]);
}

#[test]
fn responses_without_a_body_have_none() {
    let app = Upstream::start(|seen, link| match seen.target() {
        "/204" => link.send("HTTP/1.1 204 No Content\r\n\r\n"),
        "/304" => link.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        _ if seen.method() == "HEAD" => link.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        _ => link.answer("200 OK", &[], "hello"),
    });
    let daemon = site(&app);
    for option in ["--http1.1", "--http2"] {
        for (args, status) in
            [(&["https://app.localhost/204"][..], 204), (&["https://app.localhost/304"], 304)]
        {
            let answer = daemon.curl(&[&[option][..], args].concat());
            assert_eq!(
                (answer.status, answer.body.len(), answer.exit),
                (status, 0, 0),
                "{answer:?}"
            );
        }
        let head = daemon.curl(&[option, "--head", "https://app.localhost/"]);
        assert_eq!((head.status, head.field("content-length"), head.exit), (200, Some("5"), 0));
    }
    // On one connection: the framing of each is understood, so the next one is in step.
    let mut connection = connect(&daemon);
    for path in ["/204", "/304", "/"] {
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: app.localhost\r\n\r\n")).unwrap();
        let answer = connection.answer("GET").unwrap();
        assert_eq!(answer.text(), if path == "/" { "hello" } else { "" });
    }
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_here() {
    let app = Upstream::start(|seen, link| link.answer("200 OK", &[], seen.body.len().to_string()));
    let daemon = site(&app);
    let args =
        ["--http1.1", "-H", "Expect: 100-continue", "-d", "0123456789", "https://app.localhost/"];
    let answer = daemon.curl(&args);
    assert_eq!((answer.status, answer.text().as_str()), (200, "10"));
    assert!(answer.heads[0].starts_with("HTTP/1.1 100"), "{:?}", answer.heads);
    assert_eq!(app.only_request().field("expect"), None);
}

#[test]
fn events_of_a_stream_arrive_one_by_one() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let app = Upstream::start(move |_, link| {
        link.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            link.send(format!("{:x}\r\n{event}\r\n", event.len()));
            // The next one is sent only when the client has this one.
            let _ = wait.lock().unwrap().recv();
        }
        link.send("0\r\n\r\n");
    });
    let daemon = site(&app);
    let mut connection = connect(&daemon);
    connection.send("GET /events HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
    let head = connection.read_until("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
    for number in 0..3 {
        let event = connection.read_until("\n\n\r\n").unwrap();
        assert!(event.contains(&format!("data: {number}")), "{event}");
        go.send(()).unwrap();
    }
    assert_eq!(connection.read_until("0\r\n\r\n").unwrap(), "0\r\n\r\n");
}

#[test]
fn cookies_of_an_h2_client_arrive_as_one_field() {
    let app = Upstream::text("hello");
    let daemon = site(&app);
    daemon.curl(&["--http2", "-H", "Cookie: a=1; b=2", "https://app.localhost/"]);
    assert_eq!(app.only_request().fields("cookie"), ["a=1; b=2"]);
}
