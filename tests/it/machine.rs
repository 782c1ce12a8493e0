//! What happens to the machine under palisade: its state directory moves, its key file changes, its clock is unset.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::acme_site::{AcmePlace, wait_for_site};
use crate::support::ca::Endpoint;
use crate::support::{Daemon, FakeClock, Place, deadline, left, palisade};

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

/// To some day in January 1970, as a machine without a battery begins.
fn to_1970() -> i64 {
    20 * 86_400 - time::OffsetDateTime::now_utc().unix_timestamp()
}

#[test]
fn a_clock_that_nobody_has_set_is_named_served_with_and_grown_out_of() {
    let place = Place::new();
    place.configure(SITE);
    let clock = FakeClock::ahead_s(&place, to_1970());
    let daemon = place.start_with(&clock.environment());
    let attention = daemon.status()["attention"].to_string();
    assert!(attention.contains("this machine's clock says 1970-"), "{attention}");
    assert_eq!(daemon.curl(&["--insecure", "https://app.localhost/"]).status, 502, "it serves");
    clock.set_ahead_s(0);
    daemon.wait_for_event("certificates_reloaded");
    let attention = daemon.status()["attention"].to_string();
    assert!(!attention.contains("clock"), "{attention}");
    // With the root that was made in 1970.
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 502);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_clock_that_nobody_has_set_orders_nothing_until_it_is_set() {
    let name = "app.example.com";
    let (place, ca) = AcmePlace::with_ca(name);
    let clock = FakeClock::ahead_s(&place.place, to_1970());
    let daemon = place.place.start_with(&clock.environment());
    let failed = wait_for_site(&daemon, "certificate_failed", name, 1);
    let likely = failed["likely"].as_str().unwrap();
    assert!(likely.contains("this machine says it is 1970-"), "{failed}");
    assert_eq!(ca.seen().asked(Endpoint::NewAccount), 0);
    clock.set_ahead_s(0);
    // It looks at the clock by itself, but not within the time of a test.
    daemon.reload();
    wait_for_site(&daemon, "certificate_in_force", name, 1);
    assert_eq!(ca.seen().orders.len(), 1);
}

#[test]
fn a_clock_before_1970_is_refused_with_words() {
    let place = Place::new();
    place.configure(SITE);
    let clock = FakeClock::ahead_s(&place, to_1970() - 3_650 * 86_400);
    let mut command = place.command();
    command.args(["run", "--config", "palisade.toml"]).envs(clock.environment());
    let exit = palisade(&mut command);
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("clock stands before 1970\n  set it"), "{}", exit.err);
    assert!(!place.path("state").exists(), "nothing is left behind");
}
