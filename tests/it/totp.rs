//! Second factors as their owners meet them: codes made by another program, against the real daemon.

use std::fs;

use serde_json::{Value, json};

use crate::support::totp::Stopped;
use crate::support::{Daemon, Exit, Place, curl};

const SITE: &str = "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"\n";

fn site() -> (Place, Stopped) {
    let place = Place::new();
    place.configure(SITE);
    let clock = Stopped::now(&place);
    (place, clock)
}

fn rotate(daemon: &Daemon, code: &str) -> Exit {
    daemon.cli(&["crypto", "rotate", "--totp", code])
}

fn audit(daemon: &Daemon, action: &str) -> Vec<Value> {
    let exit = daemon.cli(&["audit", "search", "--json", "--action", action]);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A call on the control socket: its status and its answer.
fn call(daemon: &Daemon, path: &str, header: &str, body: &Value) -> (u16, Value) {
    let (socket, body) = (daemon.control().display().to_string(), body.to_string());
    let url = format!("http://localhost{path}");
    let args = ["--unix-socket", &socket, "-X", "POST", &url, "-H", header, "--data-binary", &body];
    let answered = curl(None, &args);
    (answered.status, serde_json::from_slice(&answered.body).expect("JSON"))
}

#[test]
fn once_there_is_a_factor_a_rotation_wants_a_code_that_was_never_used() {
    let (place, clock) = site();
    let daemon = clock.start(&place);
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 0, "no factor, no code");
    let secret = clock.enroll(&daemon, "phone", &[]);
    let used = clock.code(&secret);
    let exit = rotate(&daemon, &used);
    assert!(exit.code == 1 && exit.err.contains("used already"), "it has activated: {exit:?}");
    let exit = daemon.cli(&["crypto", "rotate"]);
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("--totp CODE, or PALISADE_TOTP"), "{}", exit.err);
    let exit = daemon.cli(&["crypto", "rotate", "--json"]);
    assert_eq!(exit.json()["problem"]["type"], "urn:palisade:totp-required");
    let code = clock.next_code(&secret);
    let exit = rotate(&daemon, &code);
    assert_eq!(exit.code, 0, "{exit:?}");
    let again = |daemon: &Daemon, when: &str| {
        let exit = rotate(daemon, &code);
        assert_eq!(exit.code, 1, "{when}: {exit:?}");
        assert!(exit.err.contains("The code was used already"), "{when}: {}", exit.err);
    };
    again(&daemon, "at once");
    daemon.sigkill();
    drop(daemon);
    let daemon = clock.start(&place);
    again(&daemon, "after a restart");
    clock.set_back(30);
    again(&daemon, "on a clock that was set back");
    let exit = rotate(&daemon, &clock.code(&secret));
    assert!(exit.err.contains("used already"), "a code before the last one: {exit:?}");
    let mut command = daemon.place().command();
    command.env("PALISADE_TOTP", clock.next_code(&secret)).args(["crypto", "rotate", "--socket"]);
    let exit = crate::support::palisade(command.arg(daemon.control()));
    assert_eq!(exit.code, 0, "sealed anew three times, and its codes count: {exit:?}");
    let confirmed: Vec<Value> =
        audit(&daemon, "crypto.rotate").iter().map(|record| record["confirmed"].clone()).collect();
    assert_eq!(confirmed, [Value::Null, json!("phone"), json!("phone")]);
    assert_eq!(audit(&daemon, "totp.enroll")[0]["subject"], "phone");
    let refused = audit(&daemon, "access.refused");
    assert_eq!(refused.len(), 5, "{refused:?}");
    assert!(refused.iter().all(|record| record["subject"] == "rotate_keys"), "{refused:?}");
    daemon.wait_for_event("second_factor_refused");
}

#[test]
fn who_guesses_has_to_wait_and_an_elevation_goes_on() {
    let (place, clock) = site();
    let daemon = clock.start(&place);
    let secret = clock.enroll(&daemon, "phone", &[]);
    let code = json!({ "code": clock.next_code(&secret) });
    let (status, elevated) = call(&daemon, "/v1/elevation", "x-none: 1", &code);
    assert_eq!((status, &elevated["expires_in_s"]), (200, &json!(600)), "{elevated}");
    let elevation = elevated["elevation"].as_str().unwrap().to_owned();
    let wrong = clock.code_in(&secret, 3_600);
    for guess in 1..=5 {
        let exit = rotate(&daemon, &wrong);
        assert_eq!(exit.code, 1, "{guess}: {exit:?}");
        assert!(
            exit.err.contains("Wrong code") && exit.err.contains("timedatectl"),
            "{}",
            exit.err
        );
    }
    let exit = rotate(&daemon, &clock.next_code(&secret));
    assert!(exit.code == 1 && exit.err.contains("Too many wrong codes"), "{exit:?}");
    assert!(exit.err.contains("wait "), "{}", exit.err);
    let header = format!("palisade-elevation: {elevation}");
    let (status, rotated) = call(&daemon, "/v1/crypto/rotate", &header, &json!({}));
    assert_eq!(status, 200, "{rotated}");
    assert_eq!(audit(&daemon, "crypto.rotate")[0]["confirmed"], "phone");
    assert_eq!(audit(&daemon, "totp.elevate")[0]["confirmed"], "phone");
    let other = format!("palisade-elevation: {}", "0".repeat(64));
    let (status, problem) = call(&daemon, "/v1/crypto/rotate", &other, &json!({}));
    assert_eq!((status, &problem["type"]), (403, &json!("urn:palisade:totp-required")));
    assert_eq!(audit(&daemon, "access.refused").len(), 5, "one for each guess that was looked at");
}

#[test]
fn a_second_device_wants_a_code_of_the_first_and_replaces_it() {
    let (place, clock) = site();
    let daemon = clock.start(&place);
    let phone = clock.enroll(&daemon, "phone", &[]);
    let exit = daemon.cli(&["totp", "enroll", "tablet", "--json"]);
    assert_eq!(exit.code, 1, "{exit:?}");
    let tablet = clock.enroll(&daemon, "tablet", &["--totp", &clock.next_code(&phone)]);
    assert_eq!(audit(&daemon, "totp.enroll")[1]["confirmed"], "phone");
    let list = daemon.cli(&["totp", "list", "--json"]).json();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["phone", "tablet"]);
    let code = clock.next_code(&tablet);
    assert_eq!(daemon.cli(&["totp", "remove", "phone", "--totp", &code]).code, 2, "it asks first");
    let exit = daemon.cli(&["totp", "remove", "phone", "--yes", "--totp", &code]);
    assert!(exit.code == 0 && exit.out.contains("the others count"), "{exit:?}");
    let exit = rotate(&daemon, &clock.next_code(&phone));
    assert!(exit.err.contains("Wrong code"), "{exit:?}");
    let code = clock.code(&tablet);
    let exit = daemon.cli(&["totp", "remove", "tablet", "--yes", "--totp", &code]);
    assert!(exit.out.contains("no call wants a code any more"), "{exit:?}");
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 0);
}

#[test]
fn with_every_device_lost_root_removes_a_factor_from_the_stopped_state() {
    let (place, clock) = site();
    let daemon = clock.start(&place);
    clock.enroll(&daemon, "phone", &[]);
    let state = place.path("state").display().to_string();
    let remove = ["totp", "remove", "phone", "--state", &state, "--yes"];
    let exit = place.palisade(&remove);
    assert!(exit.code == 1 && exit.err.contains("in use"), "{exit:?}");
    assert_eq!(daemon.stop(), 0);
    drop(daemon);
    assert_eq!(place.palisade(&remove[..5]).code, 2, "it asks first");
    let exit = place.palisade(&["totp", "remove", "fone", "--state", &state, "--yes"]);
    assert!(exit.code == 1 && exit.err.contains("there are: phone"), "{exit:?}");
    let exit = place.palisade(&remove);
    assert!(exit.code == 0 && exit.out.contains("it was the last one"), "{exit:?}");
    let exit = place.palisade(&["totp", "remove", "phone", "--state", "/nonexistent", "--yes"]);
    assert!(exit.code == 1 && exit.err.contains("there is no state"), "{exit:?}");
    let daemon = clock.start(&place);
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 0);
    let removed = &audit(&daemon, "totp.remove")[0];
    assert_eq!((&removed["subject"], &removed["source"]), (&json!("phone"), &json!("process")));
    assert_eq!(removed["actor"]["uid"], json!(rustix::process::getuid().as_raw()));
}

#[test]
fn the_secret_is_told_once_and_stands_nowhere() {
    let (place, clock) = site();
    let daemon = clock.start(&place);
    let secret = clock.enroll(&daemon, "phone", &[]);
    let code = clock.next_code(&secret);
    assert_eq!(rotate(&daemon, &code).code, 0);
    assert_eq!(rotate(&daemon, "000000").code, 1);
    let mut seen = daemon.cli(&["audit", "export"]).out;
    seen.push_str(&daemon.cli(&["totp", "list", "--json"]).out);
    daemon.wait_for_event("second_factor_enrolled");
    assert_eq!(daemon.stop(), 0);
    for line in daemon.lines() {
        seen.push_str(&line.to_string());
    }
    seen.push_str(&daemon.errors());
    let bytes = base32(&secret);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for text in [&secret, &hex] {
        assert!(!seen.contains(text.as_str()), "{text} is told");
    }
    drop(daemon);
    for file in fs::read_dir(place.path("state")).unwrap() {
        let path = file.unwrap().path();
        let content = fs::read(&path).unwrap();
        let holds = |needle: &[u8]| content.windows(needle.len()).any(|part| part == needle);
        assert!(!holds(&bytes) && !holds(secret.as_bytes()), "{}", path.display());
    }
    assert!(place.path("state").join("core.redb").is_file(), "it was looked into");
}

/// The bytes behind a secret as it is typed.
fn base32(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            _ => panic!("{text} is no base32"),
        };
        (bits, held) = (bits << 5 | u32::from(value), held + 5);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    assert_eq!(bytes.len(), 20);
    bytes
}
