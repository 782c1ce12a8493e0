//! An attacker from outside: slowhttptest with heads, bodies and readers that take their time (promise 17). The daemon
//! ends them at its deadlines, and a good client is served meanwhile.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::h2_raw::beside;
use crate::support::{Daemon, Upstream, deadline, left, within};

/// More than every buffer between the app and a client.
const LARGE: usize = 16 << 20;

/// An app that answers the good client briefly and everybody else at length, and a daemon before it.
fn start() -> (Upstream, Daemon) {
    let large = vec![b'x'; LARGE];
    let app = Upstream::start(move |seen, link| {
        let body: &[u8] = if seen.target() == "/good" { b"ok" } else { &large };
        link.answer("200 OK", &[], body);
    });
    // slowhttptest sends no name in its handshake: the address is a site, too.
    let daemon = Daemon::start(&format!(
        "[timeout]\nhead = \"1s\"\nbody_idle = \"1s\"\nwrite_idle = \"1s\"\n\
         [site.\"app.localhost\"]\nupstream = \"{0}\"\n[site.\"127.0.0.1\"]\nupstream = \"{0}\"",
        app.address()
    ));
    (app, daemon)
}

/// Ends with its test.
struct Attacker(Child);

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn attacker(daemon: &Daemon, way: &[&str]) -> Command {
    let mut command = Command::new("slowhttptest");
    let url = format!("https://{}/", daemon.https());
    command.args(way).args(["-c", "100", "-r", "200", "-l", "60", "-p", "20", "-u", &url]);
    command
}

/// The attacker gives up when nothing is left of its connections, long before its own end.
fn loses_everything(way: &[&str]) {
    let (_app, daemon) = start();
    let mut command = attacker(&daemon, way);
    let seen = beside(&daemon, || within(Duration::from_secs(90), &mut command));
    assert!(seen.out.contains("No open connections left"), "{}", seen.out);
    let ends = deadline();
    while daemon.status()["connections"]["open"] != 0 {
        assert!(!left(ends).is_zero(), "{}", daemon.status());
    }
}

#[test]
fn slow_heads_end_at_their_deadline() {
    loses_everything(&["-H", "-i", "5"]);
}

#[test]
fn slow_bodies_end_at_their_deadline() {
    loses_everything(&["-B", "-i", "5", "-s", "8192"]);
}

#[test]
fn slow_readers_end_at_their_deadline() {
    let (_app, daemon) = start();
    let mut command = attacker(&daemon, &["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"]);
    let mut running =
        Attacker(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    // The end reaches a window that is shut as little as the answer does: only the daemon can tell of it.
    beside(&daemon, || {
        let ends = deadline();
        let cut = || daemon.access_lines().iter().filter(|l| l["aborted"] == "client_left").count();
        while cut() < 100 && !left(ends).is_zero() {
            std::thread::yield_now();
        }
        // One more asks whether the site still answers.
        assert!(cut() >= 100, "{}", cut());
        assert_eq!(running.0.try_wait().unwrap(), None, "and it has not left by itself");
    });
}
