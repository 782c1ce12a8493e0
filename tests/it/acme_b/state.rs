//! A state file or directory that cannot be used: refused by name, left as it is, with the way back.
#![expect(clippy::disallowed_types, reason = "a file is made that the product would not make")]

use redb::{Database, ReadableDatabase, TableDefinition};

use super::{SITE, assert_says, refused_start, served, set_mode};
use crate::support::Place;
use crate::support::acme_site::shown;

#[test]
fn a_state_file_that_cannot_be_used_is_refused_unchanged_and_the_backup_works() {
    let (place, ca, daemon) = served();
    assert_eq!(daemon.stop(), 0);
    let file = place.place.path("state/core.redb");
    let good = std::fs::read(&file).unwrap();
    let flipped: Vec<u8> = good.iter().map(|byte| byte ^ 0x55).collect();
    let mut torn = good.clone();
    let middle = good.len() / 4..good.len();
    torn[middle].fill(0);
    for (what, bytes, words) in [
        ("foreign", b"SQLite format 3\0 and more of it".repeat(200), "was not written by palisade"),
        ("empty", Vec::new(), "core.redb"),
        ("inverted", flipped, "core.redb"),
        ("truncated", good[..good.len() / 2].to_vec(), "is damaged"),
        ("zeroed", torn, "is damaged"),
        ("newer", newer(&good), "has format 99, and this version of palisade knows formats up to"),
    ] {
        std::fs::write(&file, &bytes).unwrap();
        let refused = refused_start(&place.place, &[]);
        assert_eq!(refused.code, 1, "{what}: {refused:?}");
        assert_says(&refused.err, &["core.redb", words, "it was left as it is"]);
        assert!(std::fs::read(&file).unwrap() == bytes, "{what}: the file has changed");
    }
    std::fs::write(&file, &good).unwrap();
    let daemon = place.start();
    assert_eq!(shown(&ca.client(), &daemon, SITE), Some(ca.wait_for_certificate(1).der));
    assert_eq!(daemon.stop(), 0);
    assert_eq!(ca.seen().orders.len(), 1);
}

/// The same file as a later version would write it.
fn newer(good: &[u8]) -> Vec<u8> {
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("core.redb");
    std::fs::write(&path, good).unwrap();
    let database = Database::open(&path).unwrap();
    let reading = database.begin_read().unwrap();
    let mut row =
        reading.open_table(META).unwrap().get("format").unwrap().unwrap().value().to_vec();
    drop(reading);
    assert_eq!(row.pop(), Some(1), "the last byte is the number of the format");
    row.push(99);
    let writing = database.begin_write().unwrap();
    writing.open_table(META).unwrap().insert("format", row.as_slice()).unwrap();
    writing.commit().unwrap();
    drop(database);
    std::fs::read(&path).unwrap()
}

#[test]
fn a_state_directory_that_others_may_enter_is_refused_with_the_command() {
    let (place, ca, daemon) = served();
    assert_eq!(daemon.stop(), 0);
    let state = place.place.path("state");
    set_mode(&state, 0o755);
    let refused = refused_start(&place.place, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_says(&refused.err, &["is open to every user", "(mode 0755)", "chmod 700"]);
    set_mode(&state, 0o700);
    let daemon = place.start();
    assert!(shown(&ca.client(), &daemon, SITE).is_some());
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_and_the_first_serves_on() {
    let (place, ca, daemon) = served();
    let second = Place::new();
    second.configure(&format!("[site.\"{SITE}\"]\nupstream = \"127.0.0.1:9\""));
    let text = std::fs::read_to_string(second.config()).unwrap();
    let (own, theirs) = (second.path("state"), place.place.path("state"));
    let text = text.replace(own.to_str().unwrap(), theirs.to_str().unwrap());
    std::fs::write(second.config(), text).unwrap();
    let refused = refused_start(&second, &[]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_says(&refused.err, &["core.redb", "is in use by another process", "stop the other"]);
    assert_eq!(daemon.cli(&["cert", "renew", SITE]).code, 0);
    assert!(shown(&ca.client(), &daemon, SITE).is_some());
}
