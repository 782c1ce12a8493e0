//! What happens to the machine under palisade: its state directory moves, its key file changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Daemon, Place, deadline, left};

const SITE: &str = "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"";

fn attention_until(daemon: &Daemon, wanted: impl Fn(&str) -> bool) {
    let ends = deadline();
    loop {
        let attention = daemon.status()["attention"].to_string();
        if wanted(&attention) {
            return;
        }
        assert!(!left(ends).is_zero(), "{attention}");
        // Between two looks, not a wait for something to have happened.
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_state_directory_that_is_moved_away_is_noticed_and_goes_on_when_it_is_back() {
    let place = Place::new();
    place.configure(SITE);
    let daemon = place.start();
    assert_eq!(daemon.curl_ops("/readyz", &[]).status, 200);
    let (state, aside) = (place.path("state"), place.path("state.old"));
    fs::rename(&state, &aside).unwrap();
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let event = daemon.wait_for_event("state_unwritable");
    assert!(event["why"].as_str().unwrap().contains("moved, replaced or removed"), "{event}");
    let ready = daemon.curl_ops("/readyz", &[]);
    assert!(ready.status == 503 && ready.text().contains("put it back"), "{ready:?}");
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 1);
    fs::remove_dir(&state).unwrap();
    fs::rename(&aside, &state).unwrap();
    daemon.wait_for_event("state_writable");
    assert_eq!(daemon.curl_ops("/readyz", &[]).status, 200);
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 0);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn keys_are_not_rotated_under_a_master_key_that_the_next_start_would_not_find() {
    let place = Place::new();
    place.configure(SITE);
    let daemon = place.start();
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 0);
    let file = place.path("state/master.key");
    let key = fs::read(&file).unwrap();
    for other in [Some("b".repeat(64)), None] {
        match &other {
            Some(key) => fs::write(&file, key).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let refused = daemon.cli(&["crypto", "rotate"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let words = if other.is_some() { "was replaced" } else { "cannot be had any more" };
        assert!(refused.err.contains(words) && !refused.err.contains("bbbb"), "{}", refused.err);
        attention_until(&daemon, |attention| {
            attention.contains("the next start will be refused") && attention.contains(words)
        });
    }
    fs::write(&file, key).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    attention_until(&daemon, |attention| !attention.contains("the next start"));
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 0);
}
