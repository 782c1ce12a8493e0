//! Who is asked, who is spared and what is sent again, where a site has upstreams that are full, slow, broken or gone
//! (promises 22 and 23).

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::support::wire::{RawApp, head, send};
use crate::support::{Answer, Connection, Daemon, Seen, Upstream, deadline, left};

/// A daemon with so many workers and this site.
fn site(workers: usize, keys: &str) -> Daemon {
    Daemon::start_on(workers, &format!("[site.\"app.localhost\"]\n{keys}"))
}

/// A client that has sent a request and waits.
fn waits(daemon: &Daemon, method: &str, path: &str) -> Connection {
    let mut client = daemon.http1();
    client.send(format!("{method} {path} HTTP/1.1\r\nHost: app.localhost\r\n\r\n")).unwrap();
    client
}

fn asks(daemon: &Daemon, method: &str, path: &str) -> Answer {
    waits(daemon, method, path).answer(method).unwrap()
}

fn counted(daemon: &Daemon, name: &str, at: &str) -> u64 {
    let series = format!("palisade_upstream_{name}{{upstream=\"{at}\"}} ");
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.unwrap_or_else(|| panic!("{series} is missing in\n{metrics}")).parse().unwrap()
}

fn wait_until(daemon: &Daemon, name: &str, at: &str, value: u64) {
    let ends = deadline();
    while counted(daemon, name, at) != value {
        assert!(!left(ends).is_zero(), "{name}: {}", counted(daemon, name, at));
    }
}

/// An app that holds each request until it is let go, and knows how many it has at once.
struct Holding {
    app: Upstream,
    go: Sender<()>,
    most: Arc<AtomicUsize>,
}

impl Holding {
    fn start() -> Self {
        let (go, told): (_, Receiver<()>) = channel();
        let (told, most) = (Mutex::new(told), Arc::new(AtomicUsize::new(0)));
        let (now, theirs) = (AtomicUsize::new(0), Arc::clone(&most));
        let app = Upstream::start(move |_, link| {
            theirs.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _ = told.lock().unwrap().recv();
            now.fetch_sub(1, Ordering::SeqCst);
            link.answer("200 OK", &[], "ok");
        });
        Self { app, go, most }
    }

    fn let_go(&self, requests: usize) {
        (0..requests).for_each(|_| self.go.send(()).unwrap());
    }
}

/// An app that ends every connection as soon as it has read a request, and reports what it read.
fn breaking() -> RawApp {
    RawApp::start(|mut stream: TcpStream, _, reports: &Sender<String>| {
        let seen = head(&mut stream);
        let _ = reports.send(seen);
    })
}

fn text(body: &'static str) -> Upstream {
    Upstream::start(move |_: &Seen, link| link.answer("200 OK", &[], body))
}

#[test]
fn shares_follow_the_weights() {
    let (a, b) = (text("a"), text("b"));
    let (of_a, of_b) = (a.address(), b.address());
    let daemon = site(1, &format!("upstream = [{{ to = \"{of_a}\", weight = 3 }}, \"{of_b}\"]"));
    let mut client = daemon.http1();
    for _ in 0..8 {
        assert_eq!(client.get("app.localhost", "/").unwrap().status, 200);
    }
    assert_eq!((a.requests().len(), b.requests().len()), (6, 2));
}

#[test]
fn the_least_loaded_is_asked_whoever_loads_the_other() {
    let (held, free) = (Holding::start(), text("free"));
    let (of_held, of_free) = (held.app.address(), free.address());
    let daemon =
        site(2, &format!("upstream = [\"{of_held}\", \"{of_free}\"]\nbalance = \"least-loaded\""));
    let mut clients = Vec::new();
    while held.app.requests().is_empty() {
        let seen = held.app.requests().len() + free.requests().len();
        clients.push(waits(&daemon, "GET", "/"));
        let ends = deadline();
        while held.app.requests().len() + free.requests().len() == seen {
            assert!(!left(ends).is_zero(), "nobody was asked");
        }
    }
    for _ in 0..6 {
        assert_eq!(asks(&daemon, "GET", "/").text(), "free");
    }
    assert_eq!(held.app.requests().len(), 1);
    held.let_go(1);
}

#[test]
fn an_app_never_has_more_requests_than_its_cap_and_everyone_gets_a_turn() {
    const MAX: usize = 3;
    let held = Holding::start();
    let at = held.app.address();
    let keys = format!(
        "upstream = {{ to = \"{at}\", requests_max = {MAX} }}\nwait_queue = {{ requests = 9, wait = \"1m\" }}"
    );
    let daemon = site(4, &keys);
    let mut clients: Vec<Connection> = (0..12).map(|_| waits(&daemon, "POST", "/")).collect();
    wait_until(&daemon, "requests_waiting", &at, 9);
    assert_eq!(counted(&daemon, "requests_in_flight", &at), 3);
    for answered in 0..9 {
        held.let_go(1);
        // The place goes to one that waits, whichever worker it is at.
        held.app.wait_for_requests(MAX + answered + 1);
        assert_eq!(held.most.load(Ordering::SeqCst), MAX);
    }
    held.let_go(MAX);
    assert!(clients.iter_mut().all(|client| client.answer("POST").unwrap().status == 200));
    assert_eq!(held.most.load(Ordering::SeqCst), MAX);
    wait_until(&daemon, "requests_in_flight", &at, 0);
}

#[test]
fn a_queue_is_as_long_and_as_patient_as_it_may_be() {
    let held = Holding::start();
    let at = held.app.address();
    let keys = format!(
        "upstream = {{ to = \"{at}\", requests_max = 1 }}\nwait_queue = {{ requests = 1, wait = \"1s\" }}"
    );
    let daemon = site(2, &keys);
    let mut first = waits(&daemon, "GET", "/");
    held.app.wait_for_requests(1);
    let mut second = waits(&daemon, "GET", "/second");
    wait_until(&daemon, "requests_waiting", &at, 1);
    let third = asks(&daemon, "GET", "/third");
    assert_eq!((third.status, third.field("retry-after").is_some()), (503, true));
    assert_eq!(second.answer("GET").unwrap().status, 503);
    let why = |path: &str| {
        let line = daemon.wait_for_line(|line| line["path"] == path);
        assert_eq!(line["denied"], "upstream_busy", "{line}");
        line["why"].as_str().unwrap().to_owned()
    };
    assert!(why("/third").contains("requests_max allows (1), and 1 more wait already"));
    assert!(why("/second").contains("within 1 s; raise `wait` of wait_queue"));
    assert_eq!(counted(&daemon, "busy_total", &at), 2);
    let [(level, message)] = &attention(&daemon)[..] else { panic!("{:?}", attention(&daemon)) };
    let told = format!(
        "2 requests were refused in the last 2 minutes for want of a place at {at} (1 at once)"
    );
    assert!(level == "WARN" && message.contains(&told), "{level} {message}");
    held.let_go(1);
    assert_eq!(first.answer("GET").unwrap().status, 200);
    assert_eq!(held.app.requests().len(), 1);
}

#[test]
fn a_client_that_leaves_leaves_the_queue() {
    let held = Holding::start();
    let at = held.app.address();
    let keys = format!(
        "upstream = {{ to = \"{at}\", requests_max = 1 }}\nwait_queue = {{ requests = 2, wait = \"1m\" }}"
    );
    let daemon = site(2, &keys);
    let mut first = waits(&daemon, "GET", "/first");
    held.app.wait_for_requests(1);
    let second = waits(&daemon, "GET", "/second");
    wait_until(&daemon, "requests_waiting", &at, 1);
    let mut third = waits(&daemon, "GET", "/third");
    wait_until(&daemon, "requests_waiting", &at, 2);
    drop(second);
    wait_until(&daemon, "requests_waiting", &at, 1);
    held.let_go(2);
    assert_eq!(first.answer("GET").unwrap().status, 200);
    assert_eq!(third.answer("GET").unwrap().status, 200);
    let seen = held.app.requests();
    assert!(seen.iter().all(|seen| seen.target() != "/second"), "{seen:?}");
}

#[test]
fn a_place_is_free_again_however_its_request_ended() {
    let held = Holding::start();
    let at = held.app.address();
    let keys = format!("upstream = {{ to = \"{at}\", requests_max = 1 }}\nwait_queue = \"off\"");
    let daemon = site(2, &keys);
    let leaves = waits(&daemon, "GET", "/leaves");
    held.app.wait_for_requests(1);
    assert_eq!(asks(&daemon, "GET", "/").status, 503);
    drop(leaves);
    wait_until(&daemon, "requests_in_flight", &at, 0);
    held.let_go(2);
    assert_eq!(asks(&daemon, "GET", "/").status, 200);
}

/// An app that agrees to a WebSocket and ends it when it hears something.
fn socket() -> Upstream {
    Upstream::start(|_, link| {
        link.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        link.receive();
        link.close();
    })
}

#[test]
fn a_websocket_counts_while_it_is_open() {
    let app = socket();
    let at = app.address();
    let keys = format!("upstream = {{ to = \"{at}\", requests_max = 1 }}\nwait_queue = \"off\"");
    let daemon = site(2, &keys);
    let mut open = daemon.http1();
    open.send(
        "GET /ws HTTP/1.1\r\nHost: app.localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    .unwrap();
    assert!(open.read_until("\r\n\r\n").unwrap().starts_with("HTTP/1.1 101"));
    assert_eq!(counted(&daemon, "requests_in_flight", &at), 1);
    assert_eq!(asks(&daemon, "GET", "/").status, 503);
    open.send("bye").unwrap();
    open.rest();
    assert_eq!(counted(&daemon, "requests_in_flight", &at), 1, "the client has not ended it yet");
    drop(open);
    wait_until(&daemon, "requests_in_flight", &at, 0);
}

/// Many ask at the same time, again and again, until some of them are not refused any more: what those were told.
fn until_probed(daemon: &Daemon) -> Vec<u16> {
    let ends = deadline();
    let mut clients: Vec<Connection> = (0..8).map(|_| daemon.http1()).collect();
    loop {
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").unwrap();
        }
        let told = clients.iter_mut().map(|client| client.answer("GET").unwrap().status);
        let told: Vec<u16> = told.filter(|status| *status != 503).collect();
        if !told.is_empty() {
            return told;
        }
        assert!(!left(ends).is_zero(), "no probe came");
    }
}

#[test]
fn an_app_that_hangs_is_left_alone_but_for_one_probe_and_a_reload_forgets_nothing() {
    let held = Holding::start();
    let at = held.app.address();
    let keys = format!(
        "upstream = \"{at}\"\nbreaker = {{ failures = 2, open = \"2s\" }}\n[timeout]\nfirst_byte = \"200ms\""
    );
    let daemon = site(4, &keys);
    for _ in 0..2 {
        assert_eq!(asks(&daemon, "GET", "/").status, 504);
    }
    let opened = daemon.wait_for_event("upstream_failing");
    assert_eq!(
        (&opened["upstream"], &opened["why"]),
        (&at.clone().into(), &"no answer within 200ms".into())
    );
    assert_eq!(counted(&daemon, "state", &at), 2);
    assert_eq!(counted(&daemon, "breaker_opened_total", &at), 1);
    daemon.reload();
    let refused = asks(&daemon, "GET", "/refused");
    assert_eq!(refused.status, 503);
    assert!(matches!(refused.field("retry-after"), Some("1" | "2")), "{}", refused.head);
    let line = daemon.wait_for_line(|line| line["path"] == "/refused");
    assert_eq!(line["denied"], "upstream_down", "{line}");
    assert_eq!(held.app.requests().len(), 2, "it was left alone");
    // The first request after the pause is the probe; the others are refused while it waits for its answer.
    assert_eq!(until_probed(&daemon), [504]);
    assert_eq!(asks(&daemon, "GET", "/").status, 503, "the next pause is longer");
    assert_eq!(held.app.requests().len(), 3);
    // It answers what it holds, the next one, and whoever comes after that.
    held.let_go(3 + 8);
    assert!(until_probed(&daemon).contains(&200));
    daemon.wait_for_event("upstream_recovered");
    assert_eq!(counted(&daemon, "state", &at), 0);
}

#[test]
fn who_asks_for_something_slow_takes_the_site_from_nobody() {
    let app = Upstream::start(|seen, link| {
        if seen.target() == "/slow" {
            link.receive(); // until whoever asked has given up
            return link.close();
        }
        link.answer("200 OK", &[], "ok");
    });
    let at = app.address();
    let keys = "breaker = { failures = 2, open = \"1m\" }\n[timeout]\nfirst_byte = \"1s\"";
    let daemon = site(1, &format!("upstream = \"{at}\"\n{keys}"));
    let slow: Vec<Connection> = (0..6).map(|_| waits(&daemon, "GET", "/slow")).collect();
    let slow = std::thread::spawn(move || {
        let told = slow.into_iter().map(|mut client| client.answer("GET").unwrap().status);
        told.collect::<Vec<u16>>()
    });
    while !slow.is_finished() {
        assert_eq!(asks(&daemon, "GET", "/").status, 200);
    }
    assert_eq!(slow.join().unwrap(), [504; 6]);
    assert_eq!(asks(&daemon, "GET", "/").status, 200);
    assert_eq!(counted(&daemon, "breaker_opened_total", &at), 0);
}

#[test]
fn a_client_that_pauses_inside_its_request_is_no_failure_of_the_app() {
    let app = text("ok");
    let at = app.address();
    let keys = "breaker = { failures = 1, open = \"1m\" }\n[timeout]\nfirst_byte = \"200ms\"";
    let daemon = site(1, &format!("upstream = \"{at}\"\n{keys}"));
    let mut pauses = daemon.http1();
    pauses.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 9\r\n\r\nabc").unwrap();
    assert_eq!(pauses.answer("POST").unwrap().status, 504);
    assert_eq!(
        (counted(&daemon, "state", &at), counted(&daemon, "breaker_opened_total", &at)),
        (0, 0)
    );
    assert_eq!(asks(&daemon, "GET", "/").text(), "ok");
}

#[test]
fn an_app_that_restarts_is_back_with_the_first_request() {
    let mut app = text("old");
    let at = app.address();
    let daemon =
        site(2, &format!("upstream = \"{at}\"\nbreaker = {{ failures = 2, open = \"1m\" }}"));
    assert_eq!(asks(&daemon, "GET", "/").text(), "old");
    app.stop();
    for _ in 0..4 {
        assert_eq!(asks(&daemon, "POST", "/").status, 502);
    }
    daemon.wait_for_event("upstream_failing");
    let _new = Upstream::start_at(&at, |_, link| link.answer("200 OK", &[], "new"));
    assert_eq!(asks(&daemon, "POST", "/").text(), "new");
    daemon.wait_for_event("upstream_recovered");
    assert_eq!(counted(&daemon, "breaker_opened_total", &at), 1);
}

#[test]
fn nobody_notices_that_one_of_two_is_gone() {
    let (mut gone, app) = (text("gone"), text("ok"));
    let (of_gone, of_app) = (gone.address(), app.address());
    gone.stop();
    let keys = "breaker = { failures = 3, open = \"1m\" }\nretry = \"off\"";
    let daemon = site(1, &format!("upstream = [\"{of_gone}\", \"{of_app}\"]\n{keys}"));
    for _ in 0..20 {
        assert_eq!(asks(&daemon, "POST", "/").text(), "ok");
    }
    assert_eq!(counted(&daemon, "retries_total", &of_gone), 3, "then it was left alone");
    assert_eq!(counted(&daemon, "state", &of_gone), 2);
    assert_eq!(counted(&daemon, "state", &of_app), 0);
}

#[test]
fn what_may_have_been_done_is_never_done_again() {
    let (broken, app) = (breaking(), text("ok"));
    let (of_broken, of_app) = (broken.address(), app.address());
    let keys = "retry = \"100%\"\nbreaker = \"off\"";
    let daemon = site(1, &format!("upstream = [\"{of_broken}\", \"{of_app}\"]\n{keys}"));
    assert!((0..4).all(|_| asks(&daemon, "GET", "/get").status == 200));
    let (first, second) = (broken.reported(), app.requests());
    assert_eq!((first.len(), second.len()), (2, 4), "every other one went there first");
    let same = |head: &String| second.iter().any(|seen| seen.head == *head);
    assert!(first.iter().all(same), "the same bytes: {first:?} {second:?}");
    let statuses: Vec<u16> = (0..4).map(|_| asks(&daemon, "POST", "/post").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    let seen = app.requests().iter().filter(|seen| seen.method() == "POST").count();
    assert_eq!((broken.reported().len(), seen), (2, 2), "each once");
    assert_eq!(counted(&daemon, "retries_total", &of_broken), 2);
}

#[test]
fn a_dying_app_is_not_hit_twice_as_hard() {
    let (broken, app) = (breaking(), text("ok"));
    let (of_broken, of_app) = (broken.address(), app.address());
    let keys = "retry = \"10%\"\nbreaker = \"off\"";
    let daemon = site(1, &format!("upstream = [\"{of_broken}\", \"{of_app}\"]\n{keys}"));
    let mut client = daemon.http1();
    let statuses: Vec<u16> =
        (0..80).map(|_| client.get("app.localhost", "/").unwrap().status).collect();
    let lost = statuses.iter().filter(|status| **status == 502).count() as u64;
    let (again, spared) = (
        counted(&daemon, "retries_total", &of_broken),
        counted(&daemon, "retries_spared_total", &of_broken),
    );
    assert_eq!((again + spared, spared), (40, lost));
    assert!(lost > 0, "{again} were sent again");
    assert!(again >= 10, "some are for every site: {again}");
}

#[test]
fn a_spent_budget_or_none_leaves_what_broke_broken() {
    let (broken, app) = (breaking(), text("ok"));
    let (of_broken, of_app) = (broken.address(), app.address());
    let keys = "retry = \"off\"\nbreaker = \"off\"";
    let daemon = site(1, &format!("upstream = [\"{of_broken}\", \"{of_app}\"]\n{keys}"));
    let statuses: Vec<u16> = (0..2).map(|_| asks(&daemon, "GET", "/").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 1, "{statuses:?}");
    assert_eq!(broken.reported().len(), 1);
}

#[test]
fn one_that_takes_requests_and_answers_none_is_passed_over_until_it_answers() {
    let (held, app) = (Holding::start(), text("ok"));
    let (of_held, of_app) = (held.app.address(), app.address());
    let daemon = site(1, &format!("upstream = [\"{of_held}\", \"{of_app}\"]"));
    let mut clients: Vec<Connection> = (0..8).map(|_| waits(&daemon, "GET", "/")).collect();
    held.app.wait_for_requests(4);
    wait_until(&daemon, "state", &of_held, 4);
    for _ in 0..6 {
        assert_eq!(asks(&daemon, "GET", "/").text(), "ok");
    }
    assert_eq!(held.app.requests().len(), 4);
    held.let_go(4);
    assert!(clients.iter_mut().all(|client| client.answer("GET").unwrap().status == 200));
    wait_until(&daemon, "state", &of_held, 0);
    held.let_go(2);
    assert!((0..4).all(|_| asks(&daemon, "GET", "/").status == 200));
    assert_eq!(held.app.requests().len(), 6, "it gets its share again");
}

#[test]
fn a_502_says_how_the_app_failed_and_nothing_else() {
    let app = RawApp::start(|mut stream: TcpStream, _, _: &Sender<String>| {
        let seen = head(&mut stream);
        let answer = match seen.split(' ').nth(1) {
            Some("/midway") => "HTTP/1.1 200 OK\r\nX-Sec",
            Some("/nonsense") => "SSH-2.0-secret\r\n",
            _ => "",
        };
        send(&mut stream, answer);
    });
    let daemon = site(1, &format!("upstream = \"{}\"", app.address()));
    for (path, words) in [
        ("/silent", "ended the connection without an answer"),
        ("/midway", "broke off in the middle of its answer"),
        ("/nonsense", "gave an answer that cannot be understood"),
    ] {
        let answer = asks(&daemon, "GET", path);
        assert_eq!(answer.status, 502, "{path}");
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
        assert!(!answer.text().contains("SSH") && !answer.text().contains(&app.address()));
    }
}

#[test]
fn a_removed_upstream_ends_its_requests_in_order() {
    let (old, new) = (Holding::start(), text("new"));
    let daemon = site(2, &format!("upstream = \"{}\"", old.app.address()));
    let mut under_way = waits(&daemon, "GET", "/");
    old.app.wait_for_requests(1);
    let file = daemon.place().config();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&old.app.address(), &new.address())).unwrap();
    daemon.reload();
    assert_eq!(asks(&daemon, "GET", "/").text(), "new");
    old.let_go(1);
    assert_eq!(under_way.answer("GET").unwrap().text(), "ok");
}

fn attention(daemon: &Daemon) -> Vec<(String, String)> {
    let status = daemon.status();
    let about = status["attention"].as_array().unwrap().iter();
    let word = |found: &serde_json::Value, key: &str| found[key].as_str().unwrap().to_owned();
    let found = about.map(|found| (word(found, "level"), word(found, "message")));
    let about = ["is out", "are out", "too busy"];
    found.filter(|(_, message)| about.iter().any(|words| message.contains(words))).collect()
}

/// What the API knows of an upstream.
fn known(daemon: &Daemon, at: &str) -> palisade::ops::api::upstreams::UpstreamStatus {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = palisade::ops::Client::unix(daemon.control());
    let page = runtime.block_on(client.upstreams(&Default::default())).unwrap();
    page.items.into_iter().find(|upstream| upstream.upstream == at).unwrap()
}

#[test]
fn an_operator_sees_which_upstream_is_out_and_why_until_it_is_back() {
    let (a, mut b) = (text("a"), text("b"));
    let (of_a, of_b) = (a.address(), b.address());
    let daemon = site(2, &format!("upstream = [\"{of_a}\", {{ to = \"{of_b}\", weight = 2 }}]"));
    let states = || [&of_a, &of_b].map(|at| known(&daemon, at).state.word());
    assert_eq!((states(), attention(&daemon)), (["unknown", "unknown"], vec![]));
    let mut client = daemon.http1();
    let mut ask = || client.get("app.localhost", "/").unwrap().status;
    let ends = deadline();
    while states() != ["up", "up"] {
        assert_eq!(ask(), 200);
        assert!(!left(ends).is_zero(), "{:?}", states());
    }
    assert!(daemon.cli(&["status"]).out.contains("  2 of 2 up  "));

    b.stop();
    while attention(&daemon).is_empty() {
        assert_eq!(ask(), 200, "the other one answers");
        assert!(!left(ends).is_zero(), "{:?}", states());
    }
    let [(level, message)] = &attention(&daemon)[..] else { panic!("one sentence") };
    let begins = format!("app.localhost: upstream {of_b} is out (1 of 2): ");
    assert!(level == "WARN" && message.starts_with(&begins), "{level} {message}");
    let out = known(&daemon, &of_b);
    assert!(out.state.is_out() && message.contains(&out.why.clone().unwrap()), "{out:?}");
    assert!(out.since.is_some() && out.probe_in_ms.is_some() && out.tallies.opened > 0, "{out:?}");
    let used = &out.used_by[..];
    assert_eq!((out.used_by_total, used[0].site.as_str(), used[0].weight), (1, "app.localhost", 2));
    let status = daemon.cli(&["status"]).out;
    assert!(status.contains("  1 of 2 up  ") && status.contains(&of_b), "{status}");

    let _back = Upstream::start_at(&of_b, |_, link| link.answer("200 OK", &[], "b"));
    while !attention(&daemon).is_empty() || states() != ["up", "up"] {
        assert_eq!(ask(), 200);
        assert!(!left(ends).is_zero(), "{:?}", states());
    }
    let back = known(&daemon, &of_b);
    assert_eq!((back.state.word(), back.why), ("up", None));
    assert!(daemon.cli(&["status"]).out.contains("  2 of 2 up  "));
}

#[test]
fn an_app_that_nobody_asks_is_seen_to_be_back() {
    let mut app = text("a");
    let at = app.address();
    let daemon =
        site(1, &format!("upstream = \"{at}\"\nbreaker = {{ failures = 1, open = \"1s\" }}"));
    app.stop();
    assert_eq!(asks(&daemon, "GET", "/").status, 502);
    assert_eq!(attention(&daemon).len(), 1);
    let failing = daemon.wait_for_event("upstream_failing");
    let next = failing["next"].as_str().unwrap();
    assert!(next.starts_with("see whether the app runs") && !next.contains("other"), "{failing}");
    assert_eq!(failing["sites"], "app.localhost", "{failing}");
    let back = Upstream::start_at(&at, |_, link| link.answer("200 OK", &[], "b"));
    daemon.wait_for_event("upstream_recovered");
    assert_eq!((attention(&daemon), back.requests().len()), (vec![], 0));
    assert_eq!(asks(&daemon, "GET", "/").text(), "b");
}

#[test]
fn a_site_whose_upstreams_are_all_out_needs_somebody_at_once() {
    let mut app = text("a");
    let at = app.address();
    let daemon =
        site(1, &format!("upstream = \"{at}\"\nbreaker = {{ failures = 1, open = \"1m\" }}"));
    app.stop();
    assert_eq!(asks(&daemon, "GET", "/").status, 502);
    let [(level, message)] = &attention(&daemon)[..] else { panic!("one sentence") };
    let begins = format!("app.localhost: its upstream {at} is out: ");
    assert!(level == "FAIL" && message.starts_with(&begins), "{level} {message}");
    assert!(daemon.cli(&["status"]).out.contains("out: 127.0.0.1:"));
    assert_eq!(
        daemon.curl_ops("/readyz", &[]).status,
        200,
        "a request can find out that it is back"
    );
}
