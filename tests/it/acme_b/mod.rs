//! Certificates in the hands of their operator: when they are renewed, what is shown and said about them, what is
//! imported, which keys they are kept under, and what a bad configuration or a bad file comes to.
//!
//! The daemon is the real one, the CA a scripted one or Pebble.

mod clock;
mod crypto;
mod directory;
mod import;
mod keys;
mod lifetimes;
mod operator;
mod pacing;
mod reload;
mod renewal;
mod staging;
mod state;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::acme_site::{AcmePlace, certificate_when};
use crate::support::ca::ScriptedCa;
use crate::support::{Daemon, Exit, Place, deadline, left, palisade};

const SITE: &str = "app.example.com";
const DAY_S: i64 = 86_400;

/// What a look finds, once it finds something. For what no event reports.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let ends = deadline();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(!left(ends).is_zero(), "not in time: {what}");
        // Between two looks, not a wait for something to have happened.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A daemon that serves the certificate that it got for its only site.
fn served() -> (AcmePlace, ScriptedCa, Daemon) {
    let (place, ca) = AcmePlace::with_ca(SITE);
    ca.set(|knobs| knobs.processing_polls = 0);
    let daemon = place.start();
    is_served(&daemon, SITE);
    (place, ca, daemon)
}

/// Runs the same test with each of the cases, side by side: nearly all of it is waiting.
fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| test(case));
        }
    });
}

/// Waits until the site is served what it asks for.
fn is_served(daemon: &Daemon, site: &str) -> Value {
    certificate_when(daemon, site, |info| info["state"] == "served")
}

/// Waits until an attempt has failed, and returns why.
fn failure(daemon: &Daemon, site: &str) -> Value {
    certificate_when(daemon, site, |info| info["failure"].is_object())["failure"].clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key}: {value:#}"))
}

/// Fails unless the text has all of the words.
#[track_caller]
fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

/// The metric with this name and these labels, as it is written.
fn metric(daemon: &Daemon, series: &str) -> Option<f64> {
    let text = daemon.curl_ops("/metrics", &[]).text();
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(s, _)| s == series));
    line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok())
}

/// A start that has to fail, to its end.
fn refused_start(place: &Place, environment: &[(&str, &str)]) -> Exit {
    let mut command = place.command();
    command.arg("run").arg("--config").arg(place.config()).envs(environment.iter().copied());
    let exit = palisade(&mut command);
    assert!(exit.code > 0, "{exit:?}");
    exit
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}
