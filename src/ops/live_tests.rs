//! What a query may ask for, and the stream over a real socket.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::watch;

use super::*;
use crate::ops::api::live::{Event, EventsQuery};
use crate::ops::sample::{self, Daemon as Sample};
use crate::ops::{Client, Door, SocketKind, bind_socket, serve_unix};
use crate::telemetry::access::Entry;
use crate::telemetry::events::{Outcome, Step};

fn asked(query: &str) -> Result<Wanted, String> {
    let uri: Uri = format!("/v1/events?{query}").parse().expect("a URI");
    let wanted = pairs(&uri).and_then(wanted);
    wanted.map_err(|problem| problem.detail.unwrap_or_default())
}

#[test]
fn every_filter_is_read() {
    assert_eq!(asked(""), Ok(Wanted::default()));
    let wanted = asked(
        "kinds=request,state&site=App.example&route=%2Flogin&ip=::ffff:192.0.2.1&status=4xx\
         &path=%2Fa%20b&denied=method&slower_us=200000",
    );
    assert_eq!(
        wanted,
        Ok(Wanted {
            kinds: Kinds { requests: true, log: false, state: true },
            site: Some("app.example".into()),
            route: Some("/login".into()),
            ip: Some("192.0.2.1".into()),
            status: Some(StatusWanted::Class(4)),
            path_prefix: Some("/a b".into()),
            denied: Some("method".into()),
            slower_us: Some(200_000),
        })
    );
    assert_eq!(asked("status=404").expect("read").status, Some(StatusWanted::Exactly(404)));
}

#[test]
fn a_request_to_explain_is_read() {
    let uri: Uri = "/v1/explain?url=https%3A%2F%2Fa.example%2F&ip=::1&header=a:b&header=c:d"
        .parse()
        .expect("a URI");
    let query = pairs(&uri).and_then(explain_query).expect("read");
    assert_eq!((query.url.as_str(), query.headers.len()), ("https://a.example/", 2));
    assert_eq!((query.method, query.ip.as_deref()), (None, Some("::1")));
    let uri: Uri = "/v1/explain?uri=x".parse().expect("a URI");
    let problem = pairs(&uri).and_then(explain_query).expect_err("refused");
    assert!(problem.detail.is_some_and(|detail| detail.starts_with("`uri` is unknown")));
}

#[test]
fn what_is_no_filter_is_named() {
    for (query, words) in [
        ("stauts=404", "`stauts` is no filter; there are kinds, site,"),
        ("status=4x", "status must be as 404 or 4xx"),
        ("status=9xx", "status must be as 404 or 4xx"),
        ("status=99", "status must be as 404 or 4xx"),
        ("ip=localhost", "ip must be an IP address"),
        ("kinds=requests", "kinds must be some of request, log, state"),
        ("slower_us=1s", "slower_us must be a number of microseconds"),
    ] {
        let problem = asked(query).expect_err("refused");
        assert!(problem.starts_with(words), "{query}: {problem}");
    }
}

fn entry(path: &str) -> Entry<'_> {
    Entry {
        unix: Duration::from_millis(1_795_292_266_359),
        request_id: b"019-id",
        site: None,
        route: None,
        method: "GET",
        path,
        protocol: "h2",
        status_code: 404,
        latency_us: 359_000,
        response_bytes: 12,
        client_ip: "203.0.113.9",
        upstream: None,
        upstream_us: None,
        tenant_id: None,
        user_id: None,
        denied: Some("unknown_host"),
        why: None,
        aborted: None,
    }
}

/// Runs `calls` against a daemon on a socket of its own, whose hub works until they are done.
async fn with_daemon<F: Future>(calls: impl FnOnce(Client, watch::Sender<bool>) -> F) -> F::Output {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    let listener = UnixListener::from_std(bind_socket(SocketKind::CONTROL, &path).expect("bound"))
        .expect("registered");
    let (stop, stopped) = watch::channel(false);
    let daemon = Arc::new(Sample::default());
    let calls = calls(Client::unix(&path), stop);
    let hub = sample::events().run(stopped.clone());
    tokio::join!(calls, serve_unix(listener, Door::Control, daemon, stopped), hub).0
}

/// One test for everything that a hub of the whole process can be asked: it ends with the first daemon.
#[tokio::test]
async fn events_arrive_until_the_daemon_ends() {
    with_daemon(|client, stop| async move {
        let refused = client.history("5m").await.expect_err("refused").to_string();
        assert_eq!(refused, "resolution must be one of 1s, 10s, 1m");
        let history = client.history("1s").await.expect("answered");
        assert_eq!((history.resolution_s, history.points.len(), history.end_s), (1, 1, 1_001));
        let query = EventsQuery { status: Some("44".into()), ..EventsQuery::default() };
        let refused = client.events(&query).await.err().expect("refused").to_string();
        assert_eq!(refused, "status must be as 404 or 4xx");

        let query = EventsQuery { path: Some("/a b&c".into()), ..EventsQuery::default() };
        let mut events = client.events(&query).await.expect("a stream");
        let hello = events.next().await.expect("heard");
        assert!(matches!(hello, Some(Event::Hello { .. })), "{hello:?}");
        let hub = sample::events();
        let steps =
            || vec![Step { name: "site", outcome: Outcome::Refused, note: "no site".into() }];
        hub.request(0, &entry("/other"), steps);
        hub.request(0, &entry("/a b&c/d"), steps);
        let Some(Event::Request(seen)) = events.next().await.expect("heard") else { panic!() };
        assert_eq!((seen.path.as_str(), seen.at_ms), ("/a b&c/d", 1_795_292_266_000));
        assert_eq!((&*seen.steps[0].outcome, &*seen.steps[0].note), ("refused", "no site"));
        hub.line(Duration::ZERO, br#"{"timestamp":"t","level":"warn","event":"x","n":1}"#);
        hub.changed("draining", None, "finishing what was accepted");
        let Some(Event::Log(line)) = events.next().await.expect("heard") else { panic!() };
        assert_eq!((line.level.as_str(), line.event.as_str()), ("warn", "x"));
        assert_eq!((line.fields.len(), &line.fields["n"]), (1, &1.into()));
        let Some(Event::State(change)) = events.next().await.expect("heard") else { panic!() };
        assert_eq!(change.what, "draining");

        let held: Vec<_> = (0..15)
            .map(|_| hub.subscribe(Wanted::default()).unwrap_or_else(|_| panic!()))
            .collect();
        let query = EventsQuery::default();
        let refused = client.events(&query).await.err().expect("refused").to_string();
        assert!(refused.starts_with("16 watch this daemon already"), "{refused}");
        drop(held);
        stop.send(true).expect("heard");
        assert_eq!(events.next().await.expect("an end, not a fault"), None);
    })
    .await;
}
