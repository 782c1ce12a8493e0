//! A state that cannot be written: nothing is ordered that would be lost, and everything goes on by itself later.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::acme_site::{
    AcmePlace, assert_serves, certificate, certificate_when, shown, wait_for_site,
};
use crate::support::ca::{Endpoint, Moment};
use crate::support::{Daemon, FakeClock};

const NAME: &str = "app.example.com";

/// A daemon that meets an error, and no signal, where a file may not grow.
fn start(place: &AcmePlace, clock: &FakeClock) -> Daemon {
    let place = &place.place;
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
fn nothing_is_ordered_while_the_state_cannot_be_written_and_it_is_once_it_can() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    place.configure(&ca.directory(), &ca.ca_file(), "", &[("app.localhost", "")]);
    let daemon = start(&place, &clock);
    let_write(&daemon, false);
    let sites = [("app.localhost", ""), (NAME, "")];
    place.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    daemon.reload();
    let failed = wait_for_site(&daemon, "certificate_failed", NAME, 1);
    assert_eq!(failed["class"], "state", "{failed}");
    assert!(failed["likely"].as_str().unwrap().contains("disk"), "{failed}");
    let seen = ca.seen();
    assert_eq!((seen.asked(Endpoint::NewAccount), seen.asked(Endpoint::NewOrder)), (0, 0));
    daemon.wait_for_event("state_unwritable");
    let attention = daemon.status()["attention"].to_string();
    assert!(attention.contains("the state cannot be written"), "{attention}");
    let ready = daemon.curl_ops("/readyz", &[]);
    assert!(ready.status == 503 && ready.text().contains("state: "), "{ready:?}");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "hello");

    let_write(&daemon, true);
    daemon.wait_for_event("state_writable");
    assert_eq!(daemon.curl_ops("/readyz", &[]).status, 200);
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let seen = ca.seen();
    assert_eq!((seen.accounts, seen.orders.len()), (1, 1), "{seen}");
}

#[test]
fn a_certificate_that_cannot_be_stored_is_served_and_stored_later() {
    let (place, ca) = AcmePlace::with_ca(NAME);
    let clock = FakeClock::ahead_s(&place.place, 0);
    let download = ca.hold(Endpoint::Certificate, Moment::Before);
    let daemon = start(&place, &clock);
    download.wait();
    let_write(&daemon, false);
    download.release();
    wait_for_site(&daemon, "certificate_not_stored", NAME, 1);
    wait_for_site(&daemon, "certificate_in_force", NAME, 1);
    assert_serves(&ca.client(), &daemon, NAME);
    let issued = shown(&ca.client(), &daemon, NAME);
    let failure = &certificate(&daemon, NAME)["failure"];
    assert!(failure["detail"].as_str().unwrap().contains("could not be stored"), "{failure}");

    let_write(&daemon, true);
    daemon.wait_for_event("state_writable");
    wait_for_site(&daemon, "certificate_stored", NAME, 1);
    certificate_when(&daemon, NAME, |listed| listed["failure"].is_null());
    daemon.sigkill();
    drop(daemon);
    ca.set(|knobs| knobs.down = true);
    let daemon = start(&place, &clock);
    assert_eq!(shown(&ca.client(), &daemon, NAME), issued);
    assert_eq!(ca.seen().orders.len(), 1);
}
