//! Who may do what: roles on the sockets, tokens on the ops address, and what is written down of both.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Answered, Daemon, Exit, FakeClock, Place, curl, peer};

const SITE: &str = "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"\n";

/// Makes a token; the whole answer of the command.
fn made(daemon: &Daemon, args: &[&str]) -> Exit {
    let args: Vec<&str> = ["token", "create"].iter().chain(args).copied().collect();
    let exit = daemon.cli(&args);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit
}

/// Its secret, as a script gets it.
fn token(daemon: &Daemon, args: &[&str]) -> String {
    made(daemon, args).out.trim_end_matches('\n').to_owned()
}

fn with(daemon: &Daemon, token: &str, method: &str, path: &str) -> Answered {
    let header = format!("Authorization: Bearer {token}");
    daemon.curl_ops(path, &["-X", method, "-H", &header])
}

fn status(daemon: &Daemon, token: &str, method: &str, path: &str) -> u16 {
    with(daemon, token, method, path).status
}

fn audited(daemon: &Daemon, action: &str) -> Vec<Value> {
    let exit = daemon.cli(&["audit", "search", "--json", "--action", action]);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_token_opens_what_its_role_and_its_scopes_allow() {
    let daemon = Daemon::start(SITE);
    let exit = made(&daemon, &["ci", "--role", "operator", "--expires", "30d"]);
    assert_eq!(exit.out.lines().count(), 1, "the secret alone: {exit:?}");
    assert!(exit.out.starts_with("palisade_") && exit.out.len() == 66, "{exit:?}");
    assert!(exit.err.contains("token ci") && !exit.err.contains(exit.out.trim()), "{exit:?}");
    let operator = exit.out.trim();
    assert_eq!(status(&daemon, operator, "GET", "/v1/status"), 200);
    assert_eq!(status(&daemon, operator, "POST", "/v1/reload"), 200);
    assert_eq!(status(&daemon, operator, "POST", "/v1/crypto/rotate"), 403);
    assert_eq!(status(&daemon, operator, "GET", "/v1/tokens"), 403);
    let who: Value =
        serde_json::from_slice(&with(&daemon, operator, "GET", "/v1/whoami").body).unwrap();
    assert_eq!((&who["name"], &who["role"]), (&"ci".into(), &"operator".into()));
    let viewer = token(&daemon, &["look", "--role", "viewer", "--scope", "audit,status"]);
    assert_eq!(status(&daemon, &viewer, "GET", "/v1/audit"), 200);
    assert_eq!(status(&daemon, &viewer, "POST", "/v1/reload"), 403);
    assert_eq!(status(&daemon, &viewer, "GET", "/v1/certificates"), 403, "not its scope");
    for nobody in ["", "palisade_0123456789ab_", operator.split_at(60).0, "Basic"] {
        let answer = with(&daemon, nobody, "GET", "/v1/status");
        assert_eq!(answer.status, 401, "{nobody}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"palisade\""));
    }
    let header = format!("Authorization: Bearer {operator}");
    let page = ["-H", &header, "-H", "Origin: https://evil.example"];
    assert_eq!(daemon.curl_ops("/v1/status", &page).status, 403, "not from a web page");
    let reloads = audited(&daemon, "config.reload");
    assert_eq!(reloads[0]["actor"]["name"], "ci", "{reloads:?}");
    assert_eq!(reloads[0]["source"], "ops");
}

#[test]
fn a_token_makes_none_that_is_more_than_itself() {
    let daemon = Daemon::start(SITE);
    let make = |token: &str, body: Value| {
        let header = format!("Authorization: Bearer {token}");
        let body = body.to_string();
        daemon.curl_ops("/v1/tokens", &["-H", &header, "-d", &body]).status
    };
    let scoped = token(&daemon, &["scoped", "--role", "admin", "--scope", "access"]);
    let brief = token(&daemon, &["brief", "--role", "admin", "--expires", "1h"]);
    let operator = token(&daemon, &["operator", "--role", "operator"]);
    assert_eq!(make(&scoped, json!({ "name": "a", "role": "viewer" })), 403);
    assert_eq!(make(&operator, json!({ "name": "a", "role": "viewer" })), 403);
    assert_eq!(make(&brief, json!({ "name": "a", "role": "viewer" })), 403, "it would outlive it");
    let minute = json!({ "name": "a", "role": "admin", "expires_in_s": 60 });
    assert_eq!(make(&brief, minute.clone()), 200);
    assert_eq!(make(&brief, minute), 409, "the name is taken");
    let refused = daemon.cli(&["token", "create", "brief", "--role", "viewer"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.out.is_empty() && refused.err.contains("token revoke brief"), "{refused:?}");
    assert_eq!(daemon.cli(&["token", "create", "a b", "--role", "viewer"]).code, 1);
    assert_eq!(daemon.cli(&["token", "create", "x", "--role", "root"]).code, 2);
    let created = audited(&daemon, "token.create");
    let by = &created.last().unwrap()["actor"];
    assert_eq!((&by["kind"], &by["name"]), (&"token".into(), &"brief".into()), "{created:?}");
}

#[test]
fn a_token_survives_a_restart_and_its_end_is_told_to_its_holder() {
    let place = Place::new();
    place.configure(SITE);
    let clock = FakeClock::ahead_s(&place, 0);
    let daemon = place.start_with(&clock.environment());
    let secret = token(&daemon, &["brief", "--role", "viewer", "--expires", "1h"]);
    assert_eq!(daemon.stop(), 0);
    drop(daemon);
    let daemon = place.start_with(&clock.environment());
    assert_eq!(status(&daemon, &secret, "GET", "/v1/status"), 200);
    let list = daemon.cli(&["token", "list", "--json"]).json();
    assert_eq!((&list[0]["name"], &list[0]["expired"]), (&"brief".into(), &false.into()));
    assert!(list[0]["last_used_at"].is_string() && !list.to_string().contains(&secret), "{list}");
    clock.set_ahead_s(3601);
    let ended = with(&daemon, &secret, "GET", "/v1/status");
    assert_eq!(ended.status, 401);
    let words = ended.text();
    assert!(words.contains("the token brief ended at"), "{words}");
    assert!(words.contains("palisade token create brief --role viewer"), "{words}");
    let other = format!("{}_{}", secret.split_at(21).0, "A".repeat(43));
    assert!(!with(&daemon, &other, "GET", "/v1/status").text().contains("brief"));
    assert!(daemon.cli(&["token", "list"]).out.contains("expired at"));
    clock.set_ahead_s(3601 + 30 * 86_400);
    assert_eq!(daemon.cli(&["token", "list", "--json"]).json(), json!([]));
}

#[test]
fn a_revoked_token_stops_at_once_and_takes_its_stream_along() {
    let daemon = Daemon::start(SITE);
    let secret = token(&daemon, &["watcher", "--role", "viewer"]);
    let header = format!("Authorization: Bearer {secret}");
    let url = format!("http://{}/v1/events", daemon.ops());
    let mut command = peer("curl", "apt-get install curl");
    command.args(["--silent", "--no-buffer", "--max-time", "20", "-H", &header, &url]);
    let mut stream = command.stdout(Stdio::piped()).spawn().expect("curl runs");
    let mut lines = BufReader::new(stream.stdout.take().expect("piped"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("the first line");
    assert!(first.contains("hello"), "{first}");
    let revoked = daemon.cli(&["token", "revoke", "watcher"]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    assert_eq!(status(&daemon, &secret, "GET", "/v1/status"), 401);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("its end");
    let ended = stream.wait().expect("curl ends");
    assert!(ended.success(), "it ends before curl loses its patience: {ended} {rest}");
    assert!(!rest.contains("watcher"), "nothing is shown any more: {rest}");
    assert_eq!(daemon.cli(&["token", "revoke", "watcher"]).code, 1);
    let daemon = daemon.restart();
    assert_eq!(status(&daemon, &secret, "GET", "/v1/status"), 401);
}

fn holds(dir: &Path, needle: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        let found =
            |path: &Path| fs::read(path).unwrap().windows(needle.len()).any(|part| part == needle);
        if kind.is_dir() { holds(&path, needle) } else { kind.is_file() && found(&path) }
    })
}

#[test]
fn the_secret_of_a_token_is_kept_nowhere() {
    let daemon = Daemon::start(SITE);
    let text = token(&daemon, &["canary", "--role", "operator"]);
    let secret = text.splitn(3, '_').nth(2).expect("a secret").to_owned();
    assert_eq!(status(&daemon, &text, "POST", "/v1/reload"), 200);
    assert_eq!(status(&daemon, &text, "POST", "/v1/crypto/rotate"), 403);
    let nearly = format!("{}A", text.split_at(text.len() - 1).0);
    status(&daemon, &nearly, "GET", "/v1/status");
    let part = secret.split_at(20).0;
    let audit = daemon.cli(&["audit", "export"]).out;
    assert!(audit.contains("token.create") && !audit.contains(part), "{audit}");
    for verb in [["token", "list"], ["token", "revoke"]] {
        let more: &[&str] = if verb[1] == "revoke" { &["canary"] } else { &[] };
        let exit = daemon.cli(&[&verb[..], more].concat());
        assert!(exit.out.contains("canary") && !exit.out.contains(part), "{exit:?}");
    }
    let place = daemon.place().clone();
    assert!(holds(&place.path("state"), b"canary"), "the search finds what is there");
    assert_eq!(daemon.stop(), 0);
    let log: String = daemon.lines().iter().map(|line| format!("{line}\n")).collect();
    assert!(log.contains("token_created") && log.contains("token_revoked"), "{log}");
    assert!(!log.contains(part) && !daemon.errors().contains(part), "{log}");
    assert!(!holds(&place.path("state"), part.as_bytes()));
}

#[test]
fn a_refused_call_is_written_down_and_a_flood_of_them_is_counted() {
    let daemon = Daemon::start(SITE);
    let viewer = token(&daemon, &["look", "--role", "viewer"]);
    for _ in 0..15 {
        assert_eq!(status(&daemon, &viewer, "POST", "/v1/reload"), 403);
    }
    assert_eq!(status(&daemon, &viewer, "GET", "/v1/tokens"), 403);
    let refused = audited(&daemon, "access.refused");
    assert_eq!(refused.len(), 10, "{refused:?}");
    let first = &refused[0];
    assert_eq!((&first["subject"], &first["outcome"]), (&"reload".into(), &"refused".into()));
    assert_eq!(first["actor"]["name"], "look");
    assert!(first["why"].as_str().unwrap().contains("needs the role operator"), "{first}");
    assert_eq!(first["after"]["path"], "/v1/reload", "{first}");
    let line = daemon.wait_for_event("call_refused");
    assert_eq!((&line["call"], &line["by"]), (&"reload".into(), &"look".into()), "{line}");
}

/// curl over a Unix socket.
fn over(socket: &Path, args: &[&str]) -> Answered {
    let socket = socket.to_str().expect("UTF-8");
    let all: Vec<&str> =
        ["--unix-socket", socket].into_iter().chain(args.iter().copied()).collect();
    curl(None, &all)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode()
        & 0o777
}

#[test]
fn the_socket_of_the_app_is_there_for_the_app_alone_and_gone_at_the_end() {
    let daemon = Daemon::start(SITE);
    let app = daemon.app();
    assert_eq!(app, daemon.place().path("app.sock"));
    let activity =
        over(&app, &["-d", "{\"action\":\"order.refund\"}", "http://localhost/v1/activity"]);
    assert!(![0, 401, 403, 404, 405].contains(&activity.status), "{activity:?}");
    for path in ["/v1/status", "/v1/tokens", "/v1/audit"] {
        let url = format!("http://localhost{path}");
        assert_eq!(over(&app, &[&url]).status, 404, "{path}");
        assert_eq!(over(&daemon.control(), &[&url]).status, 200, "{path}");
    }
    let rotate = over(&app, &["-X", "POST", "http://localhost/v1/crypto/rotate"]);
    assert_eq!(rotate.status, 404);
    let status = daemon.status();
    let listeners = status["listeners"].as_array().unwrap();
    let shown = listeners.iter().find(|listener| listener["role"] == "app").expect("shown");
    assert_eq!(shown["address"].as_str(), app.to_str());
    let control = daemon.control();
    for socket in [&app, &control] {
        // The groups need not exist on this machine; nobody else gets in either way.
        assert!([0o600, 0o660].contains(&mode(socket)), "{:o}", mode(socket));
    }
    assert_eq!(daemon.stop(), 0);
    assert!(!app.exists() && !control.exists());
}

#[test]
fn what_a_crash_left_of_the_app_s_socket_is_replaced() {
    let place = Place::new();
    place.configure(SITE);
    let daemon = place.start();
    let app = daemon.app();
    daemon.sigkill();
    drop(daemon);
    assert!(fs::metadata(&app).unwrap().file_type().is_socket());
    let daemon = place.start();
    assert_ne!(over(&daemon.app(), &["http://localhost/health"]).status, 0);
}

#[test]
fn two_daemons_with_sockets_in_one_directory_do_not_meet() {
    let place = Place::new();
    let start = |name: &str| {
        let mut command = place.command();
        let (state, control) = (place.path(name), place.path(&format!("{name}.sock")));
        command.args(["run", "--site", "app.localhost", "--upstream", "127.0.0.1:9"]);
        for flag in ["--https", "--http", "--ops"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.arg("--state").arg(state).arg("--control").arg(control);
        Daemon::spawn(place.clone(), command)
    };
    let (one, two) = (start("one"), start("two"));
    assert_eq!(one.app(), place.path("one-app.sock"));
    assert_eq!(two.app(), place.path("two-app.sock"));
}

#[test]
fn a_directory_that_is_made_for_the_sockets_lets_others_through_and_shows_them_nothing() {
    let place = Place::new();
    let run = place.path("run");
    let text = format!("app = \"{}/app.sock\"\n{SITE}", run.display());
    place.configure(&text);
    let _daemon = place.start();
    assert_eq!(mode(&run), 0o751);
}

/// A user without a name on any machine.
const STRANGER: u32 = 64_123;
const GROUP: u32 = 64_124;

/// What a user gets at the path of a socket.
fn as_user(socket: &Path, (uid, gid, groups): (u32, u32, &[u32]), args: &[&str]) -> u16 {
    let mut command = peer("setpriv", "apt-get install util-linux");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    match groups.is_empty() {
        true => command.arg("--clear-groups"),
        false => command.arg(format!("--groups={}", groups.join(","))),
    };
    command.args(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
    command.args(["--max-time", "20", "--unix-socket"]).arg(socket).args(args);
    let output = command.output().expect("setpriv runs");
    String::from_utf8_lossy(&output.stdout).parse().unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn users_have_the_roles_of_the_file_by_themselves_and_by_their_groups() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root becomes other users");
        return;
    }
    let place = Place::new();
    // The way to the sockets is open for this test: what is asked here is who may do what, not who may connect.
    fs::set_permissions(place.dir(), Permissions::from_mode(0o755)).unwrap();
    let with_roles = |roles: &str| place.configure(&format!("{SITE}{roles}"));
    with_roles(&format!(
        "[role]\nviewer = {{ user = [{STRANGER}] }}\noperator = {{ group = [{GROUP}] }}\n\
         app = {{ group = [{GROUP}] }}\n"
    ));
    let daemon = place.start();
    let (control, app) = (daemon.control(), daemon.app());
    let stranger = (STRANGER + 10, STRANGER + 10, [].as_slice());
    let status = ["http://localhost/v1/status"];
    assert_eq!(as_user(&control, stranger, &status), 0, "it cannot even connect");
    for socket in [&control, &app] {
        fs::set_permissions(socket, Permissions::from_mode(0o666)).unwrap();
    }
    let reload = ["-X", "POST", "http://localhost/v1/reload"];
    let rotate = ["-X", "POST", "http://localhost/v1/crypto/rotate"];
    assert_eq!(as_user(&control, stranger, &status), 403);
    let viewer = (STRANGER, STRANGER, [].as_slice());
    assert_eq!(as_user(&control, viewer, &status), 200);
    assert_eq!(as_user(&control, viewer, &reload), 403);
    for operator in [
        (STRANGER + 10, GROUP, [].as_slice()),
        (STRANGER + 10, STRANGER + 10, &[GROUP]),
        (STRANGER, STRANGER, &[7, GROUP]),
    ] {
        assert_eq!(as_user(&control, operator, &reload), 200, "{operator:?}");
        assert_eq!(as_user(&control, operator, &rotate), 403, "{operator:?}");
    }
    let activity = ["-d", "{\"action\":\"order.refund\"}", "http://localhost/v1/activity"];
    assert_eq!(as_user(&app, viewer, &activity), 403);
    let member = as_user(&app, (STRANGER, STRANGER, &[GROUP]), &activity);
    assert!(![0, 401, 403, 404, 405].contains(&member), "{member}");
    let refused = audited(&daemon, "access.refused");
    assert_eq!(refused[0]["actor"]["uid"], STRANGER, "{refused:?}");
    with_roles(&format!("[role]\nadmin = {{ user = [{STRANGER}] }}\n"));
    daemon.reload();
    assert_eq!(as_user(&control, viewer, &rotate), 200, "a reload gives a role");
    let operator = (STRANGER + 10, STRANGER + 10, [GROUP].as_slice());
    assert_eq!(as_user(&control, operator, &status), 403, "and takes one away");
    assert_eq!(daemon.cli(&["status"]).code, 0, "root stays");
}

#[test]
fn a_name_that_this_machine_does_not_know_is_refused_with_its_place() {
    let place = Place::new();
    place.configure(&format!("{SITE}[role]\nadmin = {{ user = [\"nobody-of-this-name\"] }}\n"));
    let exit = place.palisade(&["check", "--config", place.config().to_str().unwrap()]);
    assert_eq!(exit.code, 78, "{exit:?}");
    assert!(exit.err.contains("no user \"nobody-of-this-name\""), "{exit:?}");
    assert!(exit.err.contains("palisade.toml:"), "{exit:?}");
}
