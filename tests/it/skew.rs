//! A command and a daemon of different versions, between an upgrade and the restart that finishes it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::{Daemon, Place, Upstream};

/// A daemon of another version: it answers what a real one has answered.
struct Other {
    /// Ends before its socket goes.
    _served: Upstream,
    place: Place,
    socket: PathBuf,
    fields: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

impl Other {
    fn start() -> Self {
        let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
        let status = daemon.status().to_string();
        let json = daemon.cli(&["top", "--once", "--json"]).json();
        let history = json["history"].to_string();
        let place = Place::new();
        let socket = place.path("other.sock");
        let fields: Arc<Mutex<Vec<_>>> = Arc::default();
        let theirs = Arc::clone(&fields);
        let served = Upstream::unix(&socket, move |seen, link| {
            let body = if seen.target().contains("history") { &history } else { &status };
            let mut fields = theirs.lock().unwrap().clone();
            fields.push(("content-type", "application/json"));
            link.answer("200 OK", &fields, body);
        });
        Self { place, socket, fields, _served: served }
    }

    /// What a command says to an answer with these fields: to people, and to programs.
    fn told(
        &self,
        fields: &[(&'static str, &'static str)],
        args: &[&str],
    ) -> (i32, String, String) {
        *self.fields.lock().unwrap() = fields.to_vec();
        let socket = self.socket.display().to_string();
        let all: Vec<&str> = args.iter().copied().chain(["--socket", &socket]).collect();
        let exit = self.place.palisade(&all);
        (exit.code, exit.out, exit.err)
    }
}

#[test]
fn a_command_says_once_to_people_that_the_daemon_is_another_version() {
    let other = Other::start();
    let older = [("palisade-api", "1"), ("palisade-version", "0.0.9")];
    let own = env!("CARGO_PKG_VERSION");
    let note = format!(
        "note: the daemon is palisade 0.0.9, this command {own}; restart the daemon to finish the upgrade\n"
    );
    for args in [&["status"][..], &["top", "--once"]] {
        let (code, out, err) = other.told(&older, args);
        assert_eq!((code, err.as_str()), (0, note.as_str()), "{args:?}");
        assert!(out.contains("app.localhost"), "{out}");
    }
    let newer = [("palisade-api", "1"), ("palisade-version", "99.0.0")];
    let (_, _, err) = other.told(&newer, &["status"]);
    assert!(err.contains("use the command that came with the daemon"), "{err}");
    for args in [&["status", "--json"][..], &["top", "--once", "--json"]] {
        let (code, out, err) = other.told(&older, args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        assert!(serde_json::from_str::<Value>(&out).is_ok(), "{out}");
    }
}

#[test]
fn the_same_version_or_none_is_nothing_to_talk_about() {
    let other = Other::start();
    let own = [("palisade-api", "1"), ("palisade-version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(other.told(&own, &["status"]).2, "");
    assert_eq!(other.told(&[("palisade-api", "1")], &["status"]).2, "");
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    assert_eq!(daemon.cli(&["status"]).err, "");
}

#[test]
fn another_version_of_the_api_is_an_error_with_both_and_what_to_do() {
    let other = Other::start();
    let (code, out, err) = other.told(&[("palisade-api", "2")], &["status"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("speaks version 1 of the API, the daemon version 2"), "{err}");
    assert!(err.contains("the daemon is the newer one"), "{err}");
    let (_, _, err) = other.told(&[("palisade-api", "0")], &["status"]);
    assert!(err.contains("the daemon is the older one") && err.contains("restart"), "{err}");
    let (code, out, _) = other.told(&[("palisade-api", "2")], &["status", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &told["exit_code"]), (1, &1.into()));
    assert!(!told["error"].as_str().unwrap().contains('\n'), "{told}");
}
