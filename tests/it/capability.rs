//! Switches that are set while palisade runs: on the next request, through restarts, and no longer than was asked.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::support::{Daemon, Exit, FakeClock, Place, TlsClient, Upstream, deadline, left};

const HEADER: &str = "x-content-type-options";
const SET: [&str; 4] = ["capability", "set", "security_headers", "off"];

fn place(app: &Upstream) -> Place {
    let place = Place::new();
    place.configure(&format!("[site.\"app.localhost\"]\nupstream = \"{}\"\n", app.address()));
    place
}

/// Sets `security_headers` without being asked.
fn set(daemon: &Daemon, mode: &str, more: &[&str]) -> Exit {
    let words = ["capability", "set", "security_headers", mode, "--yes"];
    daemon.cli(&words.iter().chain(more).copied().collect::<Vec<_>>())
}

/// What `capability list --json` says of `security_headers`.
fn listed(daemon: &Daemon) -> Value {
    let exit = daemon.cli(&["capability", "list", "--json"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    let all = exit.json();
    let found = all.as_array().unwrap().iter().find(|one| one["name"] == "security_headers");
    found.unwrap_or_else(|| panic!("{all}")).clone()
}

fn records(daemon: &Daemon, action: &str) -> Vec<Value> {
    let exit = daemon.cli(&["audit", "search", "--json", "--action", action]);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn hardened(daemon: &Daemon) -> bool {
    daemon.curl(&["https://app.localhost/"]).field(HEADER).is_some()
}

fn attention(daemon: &Daemon) -> String {
    daemon.status()["attention"].to_string()
}

#[test]
fn a_switch_counts_on_the_next_request_of_an_open_connection_and_through_a_restart_until_its_end() {
    let app = Upstream::text("hello");
    let place = place(&app);
    let clock = FakeClock::ahead_s(&place, 0);
    let daemon = place.start_with(&clock.environment());
    let client = TlsClient::trusting(&daemon.root_pem());
    let mut open = client.connect(daemon.https(), "app.localhost").unwrap();
    let mut has = || open.get("app.localhost", "/").unwrap().field(HEADER).is_some();
    assert!(has());
    let exit = set(&daemon, "off", &["--for", "10m", "--json"]);
    assert_eq!((exit.code, exit.json()["mode"].as_str()), (0, Some("off")), "{exit:?}");
    assert!(!has(), "on the same connection");
    let status = daemon.status();
    assert_eq!(status["reload"]["generation"], 1, "{status}");
    assert!(attention(&daemon).contains("security_headers is set to off until "), "{status}");
    let told = daemon.cli(&["explain", "https://app.localhost/"]);
    assert!(told.out.contains("security_headers is off (set by "), "{told:?}");
    let line = daemon.wait_for_event("capability_set");
    assert_eq!((&line["mode"], line["until"].is_string()), (&"off".into(), true), "{line}");

    assert_eq!(daemon.stop(), 0);
    drop(daemon);
    clock.set_ahead_s(500);
    let daemon = place.start_with(&clock.environment());
    assert!(!hardened(&daemon));
    let line = daemon.wait_for_event("capability_not_enforced");
    assert!(line["why"].as_str().unwrap().starts_with("set by "), "{line}");
    assert!(listed(&daemon)["runtime"]["left_s"].as_i64().unwrap() <= 100);

    clock.set_ahead_s(700);
    let line = daemon.wait_for_event("capability_lapsed");
    assert_eq!((&line["mode"], &line["was"]), (&"enforce".into(), &"off".into()), "{line}");
    assert!(hardened(&daemon));
    let now = listed(&daemon);
    assert_eq!((&now["mode"], &now["runtime"]), (&"enforce".into(), &Value::Null), "{now}");

    let set = records(&daemon, "capability.set");
    let [set] = &set[..] else { panic!("{set:?}") };
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!((&set["subject"], &set["actor"]["uid"]), (&"security_headers".into(), &uid.into()));
    assert_eq!((&set["before"]["mode"], &set["after"]["mode"]), (&"enforce".into(), &"off".into()));
    assert!(set["after"]["until"].is_string(), "{set}");
    let lapsed = records(&daemon, "capability.lapse");
    let [lapsed] = &lapsed[..] else { panic!("{lapsed:?}") };
    assert_eq!(
        (&lapsed["actor"]["kind"], &lapsed["source"]),
        (&"system".into(), &"schedule".into())
    );
    assert_eq!(lapsed["after"]["mode"], "enforce", "{lapsed}");
}

#[test]
fn what_ends_while_palisade_is_stopped_has_ended_at_the_start() {
    let app = Upstream::text("hello");
    let place = place(&app);
    let clock = FakeClock::ahead_s(&place, 0);
    let daemon = place.start_with(&clock.environment());
    assert_eq!(set(&daemon, "observe", &["--for", "10m"]).code, 0);
    assert!(!hardened(&daemon));
    daemon.sigkill();
    drop(daemon);
    clock.set_ahead_s(900);
    let daemon = place.start_with(&clock.environment());
    assert!(hardened(&daemon));
    assert_eq!(records(&daemon, "capability.lapse").len(), 1);
    assert_eq!(listed(&daemon)["runtime"], Value::Null);
    let daemon = daemon_again(daemon, &place, &clock);
    assert_eq!(records(&daemon, "capability.lapse").len(), 1, "once only");
}

fn daemon_again(daemon: Daemon, place: &Place, clock: &FakeClock) -> Daemon {
    assert_eq!(daemon.stop(), 0);
    drop(daemon);
    place.start_with(&clock.environment())
}

#[test]
fn a_reload_keeps_the_switch_and_says_that_it_still_counts() {
    let app = Upstream::text("hello");
    let place = place(&app);
    let daemon = place.start();
    assert_eq!(set(&daemon, "off", &[]).code, 0);
    assert!(
        attention(&daemon).contains("security_headers is set to off until somebody takes it back")
    );
    let text = std::fs::read_to_string(place.config()).unwrap();
    let observe = format!("{text}\n[capability]\nsecurity_headers = \"observe\"\n");
    std::fs::write(place.config(), observe).unwrap();
    let exit = daemon.cli(&["reload"]);
    let wanted = "capability.security_headers: enforce -> observe (still off: set by ";
    assert!(exit.code == 0 && exit.out.contains(wanted), "{exit:?}");
    assert_eq!(listed(&daemon)["mode"], "off");
    // What makes stricter, and what takes back, asks nobody.
    let exit = daemon.cli(&["capability", "set", "security_headers", "enforce"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    assert!(hardened(&daemon));
    let exit = daemon.cli(&["capability", "set", "security_headers", "configured", "--json"]);
    assert_eq!((exit.code, exit.json()["mode"].as_str()), (0, Some("observe")), "{exit:?}");
    assert!(!hardened(&daemon));
    assert_eq!(listed(&daemon)["runtime"], Value::Null);
    // Twice is once.
    assert_eq!(set(&daemon, "configured", &[]).code, 0);
    assert_eq!(records(&daemon, "capability.set").len(), 3);
}

#[test]
fn a_reload_and_a_switch_at_the_same_time_lose_neither() {
    let app = Upstream::text("hello");
    let daemon = place(&app).start();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..8).for_each(|_| daemon.reload()));
        for mode in ["observe", "enforce", "observe", "off"] {
            assert_eq!(set(&daemon, mode, &[]).code, 0);
            assert_eq!(
                (listed(&daemon)["mode"].as_str(), hardened(&daemon)),
                (Some(mode), mode == "enforce")
            );
        }
    });
    assert_eq!(daemon.status()["reload"]["generation"], 9);
    assert!(!hardened(&daemon));
}

#[test]
fn a_flag_that_is_false_refuses_a_switch_and_a_true_one_does_not() {
    let app = Upstream::text("hello");
    let place = place(&app);
    let daemon = place.start_with(&[("SECURITY_HEADERS_ENABLED", "false")]);
    let exit = set(&daemon, "enforce", &[]);
    assert_eq!(exit.code, 1, "{exit:?}");
    for words in ["was not set to enforce", "SECURITY_HEADERS_ENABLED=false", "restart palisade"] {
        assert!(exit.err.contains(words), "{words}: {exit:?}");
    }
    let exit = set(&daemon, "off", &["--json"]);
    assert_eq!((exit.code, &exit.json()["problem"]["status"]), (1, &409.into()), "{exit:?}");
    assert!(!hardened(&daemon));
    let refused = records(&daemon, "capability.set");
    assert!(refused.len() == 2 && refused.iter().all(|one| one["outcome"] == "refused"));
    assert_eq!(daemon.stop(), 0);
    drop(daemon);
    let daemon = place.start_with(&[("SECURITY_HEADERS_ENABLED", "true")]);
    assert!(hardened(&daemon));
    assert_eq!(set(&daemon, "off", &[]).code, 0);
    assert!(!hardened(&daemon));
}

#[test]
fn what_nothing_obeys_and_what_nobody_confirms_is_refused() {
    let app = Upstream::text("hello");
    let place = place(&app);
    let daemon = place.start();
    let exit = daemon.cli(&["capability", "set", "rate_limit", "off", "--yes"]);
    assert!(exit.code == 1 && exit.err.contains("the switch belongs to rate limits"), "{exit:?}");
    assert!(!exit.err.contains("goes without"), "nothing was done: {exit:?}");
    let exit = daemon.cli(&SET);
    assert!(exit.code == 2 && exit.err.contains("add --yes"), "{exit:?}");
    assert!(!exit.err.contains("nothing is looked at"), "nothing was done: {exit:?}");
    let exit = set(&daemon, "configured", &["--for", "5m"]);
    assert!(exit.code == 2 && exit.err.contains("--for does not go"), "{exit:?}");
    let exit = set(&daemon, "off", &["--for", "31d"]);
    assert!(exit.code == 2 && exit.err.contains("from 1s to 30d"), "{exit:?}");
    assert!(hardened(&daemon));
    let table = daemon.cli(&["capability", "list"]);
    assert!(
        table.out.starts_with("CAPABILITY        IN FORCE  CONFIGURED  DECIDED BY\n"),
        "{table:?}"
    );
    assert!(
        table.out.contains("security_headers  enforce   enforce     the configuration"),
        "{table:?}"
    );
}

/// A daemon that meets an error, and no signal, where a file may not grow.
fn start(place: &Place, clock: &FakeClock) -> Daemon {
    let binary = place.command();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(binary.get_program());
    command.arg("run").arg("--config").arg(place.config());
    command.env_clear().env("PATH", "/usr/bin:/bin").envs(clock.environment());
    command.current_dir(place.dir());
    Daemon::spawn(place.clone(), command)
}

/// From now on no byte more, or as many as it likes, may be written into files: what a full disk does.
fn let_write(daemon: &Daemon, writes: bool) {
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap());
    let current = if writes { None } else { Some(0) };
    prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
}

#[test]
fn without_a_disk_nothing_is_set_and_what_was_set_still_ends() {
    let app = Upstream::text("hello");
    let place = place(&app);
    let clock = FakeClock::ahead_s(&place, 0);
    let daemon = start(&place, &clock);
    assert_eq!(set(&daemon, "off", &["--for", "10m"]).code, 0);
    let_write(&daemon, false);
    let exit = set(&daemon, "observe", &["--for", "1h", "--json"]);
    assert_eq!((exit.code, &exit.json()["problem"]["status"]), (1, &503.into()), "{exit:?}");
    assert_eq!(listed(&daemon)["mode"], "off");
    clock.set_ahead_s(700);
    daemon.wait_for_event("capability_lapsed");
    assert!(hardened(&daemon));

    let_write(&daemon, true);
    daemon.wait_for_event("state_writable");
    // A look is due within seconds; nothing says when the log has it.
    let ends = deadline();
    let mut all = records(&daemon, "capability");
    while all.len() < 3 && !left(ends).is_zero() {
        all = records(&daemon, "capability");
    }
    let told: Vec<_> =
        all.iter().map(|one| (one["action"].as_str(), one["outcome"].as_str())).collect();
    let (set, lapse) = (Some("capability.set"), Some("capability.lapse"));
    assert_eq!(
        told,
        [(set, Some("done")), (set, Some("refused")), (lapse, Some("done"))],
        "{all:?}"
    );
    let daemon = daemon_again(daemon, &place, &clock);
    assert_eq!(listed(&daemon)["runtime"], Value::Null);
    assert!(hardened(&daemon));
}
