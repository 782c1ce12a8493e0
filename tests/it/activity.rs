//! Routes with `audit`: what an action leaves in the audit log, that it never happens unrecorded, and that a crash takes
//! no record of what a client was told.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::mpsc;

use serde_json::Value;

use crate::support::no_room::{let_write, start_enduring};
use crate::support::{Daemon, Place, Upstream};

fn sites(app: &Upstream) -> String {
    let app = app.address();
    format!(
        "[site.\"app.localhost\"]\nupstream = \"{app}\"\n\
         [site.\"app.localhost\".route.\"/refund\"]\naudit = \"refund\"\n\
         [site.\"shop.localhost\"]\nupstream = \"{app}\"\naudit = \"shop\"\n"
    )
}

/// The records of actions.
fn actions(daemon: &Daemon) -> Vec<Value> {
    let exit = daemon.cli(&["audit", "search", "--json", "--action", "route"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_whole(daemon: &Daemon) {
    let exit = daemon.cli(&["audit", "verify", "--json"]);
    assert!(exit.code == 0 && exit.json()["broken"].is_null(), "{exit:?}");
}

#[test]
fn an_action_is_in_the_log_when_it_is_answered_and_nothing_secret_with_it() {
    let app = Upstream::text("hello");
    let place = Place::new();
    place.configure(&sites(&app));
    let daemon = place.start();
    let answered = daemon.curl(&[
        "https://app.localhost/refund/7?token=S3cret",
        "--data",
        "card=S3cret",
        "--header",
        "Authorization: Bearer S3cret",
    ]);
    assert_eq!(answered.text(), "hello");
    let other = daemon.curl(&["https://app.localhost/other"]);
    assert_eq!(other.text(), "hello");
    assert_eq!(daemon.curl(&["https://shop.localhost/"]).text(), "hello");
    daemon.sigkill();
    drop(daemon);
    let daemon = place.start();
    let actions = actions(&daemon);
    let names: Vec<&str> =
        actions.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(names, ["route.refund", "route.shop"], "{actions:?}");
    let refund = &actions[0];
    assert_eq!(refund["request_id"].as_str(), answered.field("x-request-id"), "{refund}");
    assert_eq!((&refund["source"], &refund["outcome"]), (&"edge".into(), &"done".into()));
    assert_eq!(
        (&refund["subject"], &refund["actor"]["kind"]),
        (&"/refund/7".into(), &"client".into())
    );
    assert_eq!(refund["actor"]["ip"], "127.0.0.1");
    let after = &refund["after"];
    assert_eq!((&after["site"], &after["route"]), (&"app.localhost".into(), &"/refund".into()));
    assert_eq!((&after["method"], &after["status"]), (&"POST".into(), &200.into()));
    let export = daemon.cli(&["audit", "export"]).out;
    assert!(export.contains("route.refund") && !export.contains("S3cret"), "{export}");
    assert_whole(&daemon);
}

#[test]
fn a_websocket_on_such_a_route_is_recorded_when_it_opens() {
    let app = Upstream::start(|_, link| {
        link.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        link.receive();
        link.close();
    });
    let daemon = Daemon::start(&sites(&app));
    let mut client = daemon.client().connect(daemon.https(), "app.localhost").unwrap();
    let handshake = "GET /refund/live HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n";
    client.send(handshake).unwrap();
    let head = client.read_until("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // It is on disk, and on its way from there into the log.
    let recorded = loop {
        if let [record] = &actions(&daemon)[..] {
            break record.clone();
        }
    };
    assert_eq!(recorded["after"]["status"], 101, "{recorded}");
}

#[test]
fn while_the_state_cannot_be_written_no_action_begins_and_afterwards_they_do_by_themselves() {
    let app = Upstream::text("hello");
    let place = Place::new();
    place.configure(&sites(&app));
    let daemon = start_enduring(&place, []);
    let_write(&daemon, false);
    // Somebody has to notice.
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 1);
    daemon.wait_for_event("state_unwritable");
    // HTTP/1.1: curl 7.88 drops an HTTP/2 answer that comes before it has sent its body.
    let refund = [
        "--http1.1",
        "https://app.localhost/refund",
        "--data",
        "x",
        "--header",
        "Accept: application/json",
    ];
    let refused = daemon.curl(&refund);
    assert_eq!((refused.status, refused.field("retry-after")), (503, Some("5")), "{refused:?}");
    assert!(refused.text().contains("cannot be recorded right now"), "{refused:?}");
    assert_eq!(daemon.curl(&["https://app.localhost/other"]).text(), "hello");
    assert_eq!(app.only_request().target(), "/other", "the action did not reach the app");
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains("palisade_denials_total{reason=\"not_recordable\"} 1\n"), "{metrics}");

    let_write(&daemon, true);
    daemon.wait_for_event("state_writable");
    let answered = daemon.curl(&refund);
    assert_eq!(answered.text(), "hello");
    daemon.sigkill();
    drop(daemon);
    let daemon = place.start();
    let actions = actions(&daemon);
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert_eq!(actions[0]["request_id"].as_str(), answered.field("x-request-id"));
}

/// What happens in which order is the machine's choice; when the daemon dies is the seed's.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*, as good as needed here.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

const CLIENTS: usize = 4;
const ROUNDS: usize = 3;

/// Sends actions until the daemon is gone; tells of each that was answered.
fn act(daemon: &Daemon, name: &str, answered: &mpsc::Sender<String>) {
    let Ok(mut client) = daemon.client().connect(daemon.https(), "app.localhost") else { return };
    for number in 0.. {
        let path = format!("/refund/{name}/{number}");
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\n\r\n");
        match client.send(request).and_then(|()| client.answer("POST")) {
            Ok(answer) => assert_eq!(answer.status, 200, "{path}"),
            Err(_) => return,
        }
        if answered.send(path).is_err() {
            return;
        }
    }
}

#[test]
fn what_a_client_was_told_has_its_record_once_whenever_the_daemon_is_killed() {
    let seed = std::env::var("PALISADE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0)) | 1;
    println!("PALISADE_SEED={seed}");
    let mut dice = Dice(seed);
    let app = Upstream::text("hello");
    let place = Place::new();
    place.configure(&sites(&app));
    let mut told: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let daemon = place.start();
        let (tell, answers) = mpsc::channel();
        let enough = 1 + dice.below(80);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (daemon, tell) = (&daemon, tell.clone());
                scope.spawn(move || act(daemon, &format!("{round}-{client}"), &tell));
            }
            for _ in 0..enough {
                told.push(answers.recv().unwrap());
            }
            for _ in 0..dice.below(200_000) {
                std::hint::spin_loop();
            }
            daemon.sigkill();
        });
        drop(tell);
        told.extend(answers);
    }
    let daemon = place.start();
    let mut records: BTreeMap<String, usize> = BTreeMap::new();
    for record in actions(&daemon) {
        *records.entry(record["subject"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let missing: Vec<_> = told.iter().filter(|path| !records.contains_key(*path)).collect();
    assert!(missing.is_empty(), "seed {seed}: told and not recorded: {missing:?}");
    let doubled: Vec<_> = records.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "seed {seed}: recorded twice: {doubled:?}");
    assert!(told.len() >= ROUNDS, "seed {seed}");
    assert_whole(&daemon);
}
