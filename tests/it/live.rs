//! What operators watch while it happens, and what they may ask beforehand.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use palisade::ops::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{DEADLINE, Daemon, Upstream, deadline, left};

/// `palisade logs`, running.
struct Watch {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

impl Watch {
    /// Starts it and waits until it is heard.
    fn start(daemon: &Daemon, args: &[&str]) -> Self {
        let mut command = daemon.place().command();
        command.arg("logs").args(args).arg("--socket").arg(daemon.control());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        let watch = Self { child, out, err };
        let hello = if args.contains(&"--json") { watch.line() } else { watch.err() };
        assert!(hello.contains("watching palisade") || hello.contains("\"hello\""), "{hello}");
        watch
    }

    fn line(&self) -> String {
        self.out
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("no line; {:?}", self.err.try_recv()))
    }

    fn err(&self) -> String {
        self.err.recv_timeout(DEADLINE).expect("a line of standard error")
    }

    /// The next line of JSON of this type.
    fn event(&self, kind: &str) -> Value {
        loop {
            let event: Value = serde_json::from_str(&self.line()).unwrap();
            if event["type"] == kind {
                return event;
            }
        }
    }

    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    fn exit(&mut self) -> Option<i32> {
        let ends = deadline();
        while !left(ends).is_zero() {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            // Between two looks at a process, not a wait for something to have happened.
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        panic!("it does not end");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn steps(event: &Value) -> Vec<(String, String)> {
    let text = |step: &Value, name: &str| step[name].as_str().unwrap().to_owned();
    let steps = event["steps"].as_array().unwrap();
    steps.iter().map(|step| (text(step, "name"), text(step, "outcome"))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn requests_are_seen_with_the_steps_they_met() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let watch = Watch::start(&daemon, &["--json", "--kind", "request"]);
    daemon.curl(&["https://app.localhost/a/b?token=hidden"]);
    let seen = watch.event("request");
    assert_eq!((seen["path"].as_str(), seen["status"].as_u64()), (Some("/a/b"), Some(200)));
    assert_eq!(
        (seen["site"].as_str(), seen["method"].as_str()),
        (Some("app.localhost"), Some("GET"))
    );
    assert_eq!(seen["upstream"], app.address());
    assert!(!seen.to_string().contains("hidden"), "{seen}");
    assert_eq!(
        steps(&seen),
        pairs(&[
            ("client", "passed"),
            ("site", "passed"),
            ("redirect", "skipped"),
            ("route", "skipped"),
            ("admit", "passed"),
            ("intake", "passed"),
            ("websocket", "skipped"),
            ("upstream", "answered"),
            ("headers", "passed"),
        ])
    );
    daemon.curl(&["https://app.localhost/", "-H", "Host: no.example"]);
    let seen = watch.event("request");
    assert_eq!(
        (seen["status"].as_u64(), seen["denied"].as_str()),
        (Some(404), Some("unknown_host"))
    );
    assert_eq!(steps(&seen)[1..], pairs(&[("site", "refused"), ("headers", "passed")]));
    daemon.curl_plain(&["http://app.localhost/x"]);
    let seen = watch.event("request");
    assert_eq!(
        steps(&seen)[1..],
        pairs(&[("site", "passed"), ("redirect", "answered"), ("headers", "passed")])
    );
}

#[test]
fn a_filter_lets_only_its_own_requests_through() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let some = Watch::start(
        &daemon,
        &["--json", "--kind", "request", "--path", "/api", "--status", "2xx"],
    );
    let none = Watch::start(&daemon, &["--json", "--slower", "10m"]);
    for path in ["/", "/api/1", "/other", "/api/2"] {
        daemon.curl(&[&format!("https://app.localhost{path}")]);
    }
    assert_eq!(some.event("request")["path"], "/api/1");
    assert_eq!(some.event("request")["path"], "/api/2");
    daemon.reload();
    let quiet = none.event("state");
    assert_eq!(quiet["what"], "reloaded", "no request came before it");
    let mistake = daemon.cli(&["logs", "--status", "4x"]);
    assert_eq!((mistake.code, mistake.err.contains("status must be as 404 or 4xx")), (1, true));
}

#[test]
fn people_read_lines_and_end_them_with_ctrl_c() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    let mut watch = Watch::start(&daemon, &[]);
    daemon.curl(&["--globoff", "--path-as-is", "https://app.localhost/shown%1b[31m"]);
    let line = watch.line();
    assert!(
        line.contains("  200 ok        GET  ") && line.contains("app.localhost/shown"),
        "{line}"
    );
    daemon.reload();
    let more = [watch.line(), watch.line()].join("\n");
    assert!(more.contains("log info") && more.contains("  reloaded"), "{more}");
    assert!(more.contains("state "), "{more}");
    watch.interrupt();
    assert_eq!(watch.exit(), Some(0));
}

#[test]
fn the_stream_ends_with_the_daemon_after_its_last_word() {
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    let mut watch = Watch::start(&daemon, &["--json"]);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(watch.event("state")["what"], "draining");
    assert!(watch.err().contains("palisade has stopped"));
    assert_eq!(watch.exit(), Some(3));
}

#[test]
fn explain_says_what_a_request_would_meet() {
    let daemon = Daemon::start(
        "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"\n\
         [site.\"app.localhost\".route.\"/api\"]\nupstream = \"127.0.0.1:10\"\n",
    );
    let port = daemon.https().port();
    let told =
        daemon.cli(&["explain", "https://app.localhost/api/x", "--ip", "203.0.113.9", "--json"]);
    let told = told.json();
    assert_eq!(
        (told["route"].as_str(), told["decided_by"].as_str()),
        (Some("/api"), Some("upstream"))
    );
    assert_eq!(told["upstreams"][0], "127.0.0.1:10");
    assert_eq!(told["client_ip"], "203.0.113.9");
    let redirect = daemon.cli(&["explain", "http://app.localhost/x"]);
    let words = format!("308 to https://app.localhost:{port}/x  (this decides)");
    assert!(redirect.code == 0 && redirect.out.contains(&words), "{redirect:?}");
    let unknown = daemon.cli(&["explain", "https://no.example/"]);
    assert!(unknown.out.contains("no site has the name no.example"), "{unknown:?}");
    let mistake = daemon.cli(&["explain", "app.localhost"]);
    assert_eq!(mistake.code, 1);
    assert!(mistake.err.contains("must begin with https:// or http://"), "{mistake:?}");
}

#[test]
fn the_history_has_what_happened_second_by_second() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    daemon.curl(&["https://app.localhost/"]);
    daemon.curl(&["https://app.localhost/", "-H", "Host: no.example"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::unix(daemon.control());
    let ask = |resolution: &str| runtime.block_on(client.history(resolution));
    let ends = deadline();
    let points = loop {
        let points = ask("1s").unwrap().points;
        if points.iter().map(|point| point.requests).sum::<u64>() == 2 {
            break points;
        }
        assert!(!left(ends).is_zero(), "{points:?}");
        // Between two looks at a clock that ticks once a second.
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    };
    assert_eq!(points.iter().map(|point| point.responses_4xx).sum::<u64>(), 1);
    assert_eq!(points.iter().map(|point| point.denied).sum::<u64>(), 1);
    let last = points.iter().rfind(|point| point.requests > 0).unwrap();
    assert!(last.rss_bytes > 1 << 20 && last.p50_us > 0 && last.p50_us <= last.p99_us, "{last:?}");
    assert_eq!(ask("1m").unwrap().resolution_s, 60);
    let unknown = ask("5m").unwrap_err().to_string();
    assert_eq!(unknown, "resolution must be one of 1s, 10s, 1m");
}

#[test]
fn an_action_is_seen_with_the_record_that_it_got() {
    let app = Upstream::text("hello");
    let route = "[site.\"app.localhost\".route.\"/refund\"]\naudit = \"refund\"";
    let site = format!("[site.\"app.localhost\"]\nupstream = \"{}\"\n{route}\n", app.address());
    let daemon = Daemon::start(&site);
    let watch = Watch::start(&daemon, &["--json"]);
    daemon.curl(&["https://app.localhost/refund"]);
    let seen = watch.event("request");
    let steps = seen["steps"].as_array().unwrap();
    let at = steps.iter().position(|step| step["name"] == "audit").unwrap();
    assert_eq!(steps[at]["outcome"], "passed", "{seen}");
    assert_eq!(steps[at]["note"], "recorded as route.refund before the answer leaves");
    assert_eq!(steps[at + 1]["name"], "upstream", "{seen}");
}
