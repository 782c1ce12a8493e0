//! Very many sites: every list of them is bounded, and every command that shows them still works.

use serde_json::Value;

use crate::support::{Authority, Daemon, Place};

const SITES: usize = 2_000;

/// A daemon with one certificate for all of them; making a key for each would be another test.
fn crowded() -> Daemon {
    let place = Place::new();
    let issued = Authority::new().issue(&["*.example.com"]);
    let (cert, key) = issued.write(place.dir(), "many");
    let (cert, key) = (cert.display(), key.display());
    let site = |number: usize| {
        format!(
            "[site.\"app-{number:04}.example.com\"]\nupstream = \"127.0.0.1:9\"\n\
             tls = {{ cert = \"{cert}\", key = \"{key}\" }}\n"
        )
    };
    place.configure(&(0..SITES).map(site).collect::<String>());
    place.start()
}

#[test]
fn two_thousand_sites_are_listed_whole_and_shown_within_bounds() {
    let daemon = crowded();
    let status = daemon.status();
    assert_eq!(status["sites_total"], SITES);
    assert_eq!(status["sites"].as_array().map(Vec::len), Some(100));
    let exit = daemon.cli(&["status"]);
    assert_eq!((exit.code, exit.err.as_str()), (0, ""));
    assert!(exit.out.contains("app-0099.example.com"), "{}", exit.out);
    assert!(exit.out.contains("  1,900 more: palisade cert list"), "{}", exit.out);
    let exit = daemon.cli(&["cert", "list"]);
    assert_eq!(exit.code, 0, "{}", exit.err);
    assert_eq!(exit.out.lines().filter(|line| line.starts_with("app-")).count(), SITES);
    let list = daemon.cli(&["cert", "list", "--json"]).json();
    let names: Vec<&str> =
        list.as_array().expect("a list").iter().filter_map(|info| info["site"].as_str()).collect();
    assert_eq!(names.len(), SITES);
    assert!(names.is_sorted(), "by name");
    assert_eq!(names.last(), Some(&"app-1999.example.com"));
    let exit = daemon.cli(&["top", "--once"]);
    assert_eq!((exit.code, exit.err.as_str()), (0, ""));
    assert!(exit.out.contains("+1999"), "{}", exit.out);
    let json: Value = daemon.cli(&["top", "--once", "--json"]).json();
    assert_eq!(json["status"]["sites_total"], SITES);
}
