//! Upstreams that have names: asked for as long as DNS says, followed where they go, used on while DNS is silent.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

use crate::support::{Daemon, Dns, Upstream};

const NAME: &str = "app.internal";

fn configuration(dns: &Dns, port: u16) -> String {
    format!(
        "[dns]\nservers = [\"{}\"]\n[timeout]\nconnect = \"5s\"\n\
         [site.\"app.localhost\"]\nupstream = \"{NAME}:{port}\"",
        dns.address()
    )
}

/// A daemon with one worker, so that there is one pool.
fn site(dns: &Dns, port: u16) -> Daemon {
    Daemon::start_on(1, &configuration(dns, port))
}

/// Two apps on the same port of different addresses, each of which says which one it is.
fn two_apps() -> (Upstream, Upstream, u16) {
    loop {
        let first = Upstream::start(|_, link| link.answer("200 OK", &[], "first"));
        let port = first.address().parse::<SocketAddr>().unwrap().port();
        // The port may be taken there, by a client of somebody else.
        if let Some(second) = Upstream::at(&format!("127.0.0.2:{port}"), |_, link| {
            link.answer("200 OK", &[], "second");
        }) {
            return (first, second, port);
        }
    }
}

fn get(daemon: &Daemon) -> String {
    daemon.curl(&["https://app.localhost/"]).text()
}

#[test]
fn an_upstream_that_moves_is_followed_when_its_time_to_live_is_over() {
    let dns = Dns::start();
    let (first, second, port) = two_apps();
    dns.set(NAME, &["127.0.0.1"], 1);
    let daemon = site(&dns, port);
    assert_eq!(get(&daemon), "first");
    assert_eq!(get(&daemon), "first");
    assert_eq!(first.connections(), 1, "the connection is kept");
    dns.set(NAME, &["127.0.0.2"], 1);
    let moved = daemon.wait_for_event("name_moved");
    assert_eq!(moved["addresses"][0], "127.0.0.2");
    assert_eq!(get(&daemon), "second", "the kept connection is not used again");
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[test]
fn a_name_is_not_asked_for_before_its_time_to_live_is_over() {
    let dns = Dns::start();
    let app = Upstream::text("ok");
    let port = app.address().parse::<SocketAddr>().unwrap().port();
    dns.set(NAME, &["127.0.0.1"], 200);
    dns.set("clock.internal", &["127.0.0.1"], 1);
    let daemon = Daemon::start(&format!(
        "{}\n[site.\"clock.localhost\"]\nupstream = \"clock.internal:{port}\"",
        configuration(&dns, port)
    ));
    for _ in 0..4 {
        assert_eq!(get(&daemon), "ok");
        dns.wait_for_questions("clock.internal", 1);
    }
    assert_eq!(dns.asked(NAME), 1);
}

#[test]
fn two_upstreams_of_one_name_ask_once() {
    let dns = Dns::start();
    let app = Upstream::text("ok");
    let port = app.address().parse::<SocketAddr>().unwrap().port();
    dns.set(NAME, &["127.0.0.1"], 200);
    let second = format!("[site.\"b.localhost\"]\nupstream = \"{NAME}:1\"");
    let daemon = Daemon::start(&format!("{}\n{second}", configuration(&dns, port)));
    assert_eq!(get(&daemon), "ok");
    assert_eq!(daemon.curl(&["https://b.localhost/"]).status, 502);
    // A reload that adds one asks for nothing that is known.
    let third = format!("[site.\"c.localhost\"]\nupstream = \"{NAME}:{port}\"");
    daemon.place().configure(&format!("{}\n{second}\n{third}", configuration(&dns, port)));
    daemon.reload();
    assert_eq!(daemon.curl(&["https://c.localhost/"]).text(), "ok");
    assert_eq!(dns.asked(NAME), 1);
}

#[test]
fn an_address_that_refuses_is_passed_over() {
    let dns = Dns::start();
    let app = Upstream::text("ok");
    let port = app.address().parse::<SocketAddr>().unwrap().port();
    dns.set(NAME, &["127.0.0.3", "::1", "127.0.0.1", "127.0.0.4"], 60);
    let daemon = site(&dns, port);
    assert_eq!(get(&daemon), "ok");
}

/// A listener whose queue is full: connecting to it hangs.
fn hanging(address: &str) -> Option<(Socket, Vec<Socket>)> {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&address.into()).ok()?;
    socket.listen(0).unwrap();
    let fill = |_| {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address.into());
        client
    };
    Some((socket, (0..4).map(fill).collect()))
}

#[test]
fn an_address_that_says_nothing_does_not_eat_the_deadline() {
    let dns = Dns::start();
    let app = Upstream::text("ok");
    let port = app.address().parse::<SocketAddr>().unwrap().port();
    let _hanging = hanging(&format!("127.0.0.5:{port}")).expect("the port is free there");
    dns.set(NAME, &["127.0.0.5", "127.0.0.1"], 60);
    let daemon = site(&dns, port);
    assert_eq!(get(&daemon), "ok");
}

#[test]
fn the_last_addresses_are_used_while_dns_fails_or_is_silent() {
    let dns = Dns::start();
    let app = Upstream::text("ok");
    let port = app.address().parse::<SocketAddr>().unwrap().port();
    dns.set(NAME, &["127.0.0.1"], 1);
    let daemon = site(&dns, port);
    assert_eq!(get(&daemon), "ok");
    dns.fail();
    let said = daemon.wait_for_event("name_unresolved");
    assert_eq!((said["name"].as_str(), &said["used_on"][0]), (Some(NAME), &"127.0.0.1".into()));
    assert!(said["next"].as_str().unwrap().contains("dns.servers"), "{said}");
    dns.fall_silent();
    dns.wait_for_questions(NAME, 1);
    assert_eq!(get(&daemon), "ok");
    dns.answer_again();
    assert_eq!(daemon.wait_for_event("name_resolved")["addresses"][0], "127.0.0.1");
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(!metrics.contains("palisade_name_failures_total 0"), "{metrics}");
}

#[test]
fn a_name_that_leads_to_nobody_is_named_with_its_address() {
    let dns = Dns::start();
    let (_first, _second, port) = two_apps();
    dns.set(NAME, &["127.0.0.9"], 300);
    let daemon = site(&dns, port);
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 502);
    let line = daemon.wait_for_requests(1).remove(0);
    let begin = format!("{NAME}:{port} (127.0.0.9): Connection refused");
    assert!(line["why"].as_str().is_some_and(|why| why.starts_with(&begin)), "{line}");
}

#[test]
fn a_name_that_is_gone_is_named_with_the_next_step_and_taken_up_when_it_is_back() {
    let dns = Dns::start();
    let app = Upstream::text("ok");
    let port = app.address().parse::<SocketAddr>().unwrap().port();
    let daemon = site(&dns, port);
    let said = daemon.wait_for_event("name_unresolved");
    assert_eq!(said["why"], "there is no such name in DNS");
    assert_eq!(said["sites"][0], "app.localhost");
    assert_eq!(said["servers"][0], dns.address().to_string());
    assert!(said["next"].as_str().unwrap().contains("put the name right"), "{said}");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 502);
    let line = &daemon.wait_for_requests(1)[0];
    let line = line.to_string();
    for words in [NAME, "there is no such name in DNS", "dns.servers"] {
        assert!(line.contains(words), "{words} in {line}");
    }
    assert!(!line.contains("listening"), "the name is the cause, not the app: {line}");
    dns.set(NAME, &["127.0.0.1"], 1);
    daemon.wait_for_event("name_resolved");
    assert_eq!(get(&daemon), "ok");
    dns.remove(NAME);
    daemon.wait_for_event("name_unresolved");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 502);
}

/// Writes a configuration with these servers instead, and has it read.
fn reload_with(daemon: &Daemon, before: &Dns, after: &Dns) {
    let text = std::fs::read_to_string(daemon.place().config()).unwrap();
    let text = text.replace(&before.address().to_string(), &after.address().to_string());
    std::fs::write(daemon.place().config(), text).unwrap();
    daemon.reload();
}

#[test]
fn a_reload_does_not_wait_for_the_servers_that_it_replaces() {
    let (silent, right) = (Dns::start(), Dns::start());
    let app = Upstream::text("ok");
    let port = app.address().parse::<SocketAddr>().unwrap().port();
    silent.fall_silent();
    right.set(NAME, &["127.0.0.1"], 300);
    let daemon = site(&silent, port);
    silent.wait_until_asked(NAME, 1);
    reload_with(&daemon, &silent, &right);
    assert_eq!(get(&daemon), "ok");
    assert_eq!(silent.asked(NAME), 1, "the question was dropped before its second try");
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains("palisade_name_failures_total 0"), "{metrics}");
}

#[test]
fn silent_servers_are_named_as_what_to_look_after() {
    let dns = Dns::start();
    dns.fall_silent();
    let daemon = site(&dns, 9);
    let said = daemon.wait_for_event("name_unresolved");
    assert_eq!(said["why"], "no DNS server answered in time");
    assert_eq!(said["servers"][0], dns.address().to_string());
    assert!(said["next"].as_str().unwrap().starts_with("look after the DNS servers"), "{said}");
}

#[test]
fn a_reload_with_other_servers_asks_them_at_once() {
    let (before, after) = (Dns::start(), Dns::start());
    let (_first, _second, port) = two_apps();
    before.set(NAME, &["127.0.0.1"], 300);
    after.set(NAME, &["127.0.0.2"], 300);
    let daemon = site(&before, port);
    assert_eq!(get(&daemon), "first");
    reload_with(&daemon, &before, &after);
    daemon.wait_for_event("name_moved");
    assert_eq!(get(&daemon), "second");
}
