//! Socket activation: systemd opens the sockets, palisade finds them by name.

use std::process::Command;

use crate::support::{Daemon, Place, Upstream};

/// Does what systemd does: opens the sockets as descriptors 3 and 4, announces them, becomes palisade.
const LIKE_SYSTEMD: &str = r#"
import fcntl, os, socket, sys
kept = []
for name in sys.argv[1].split(":"):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    kept.append(fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 10))
for number, descriptor in enumerate(kept):
    os.dup2(descriptor, 3 + number, inheritable=True)
names = sys.argv[1]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(names.count(":") + 1), LISTEN_FDNAMES=names)
os.execv(sys.argv[2], sys.argv[2:])
"#;

fn activated(place: &Place, names: &str) -> Command {
    let usual = place.command();
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", LIKE_SYSTEMD, names]).arg(usual.get_program()).arg("run");
    command.args(["--config".as_ref(), place.config().as_os_str()]);
    command
}

#[test]
fn sockets_of_systemd_are_served_by_their_names() {
    let app = Upstream::text("behind an inherited socket");
    let place = Place::new();
    place.configure(&format!("[site.\"app.localhost\"]\nupstream = \"{}\"\n", app.address()));
    let command = activated(&place, "https:http");
    let daemon = Daemon::spawn(place, command);
    let answer = daemon.curl(&["https://app.localhost/"]);
    assert_eq!(answer.text(), "behind an inherited socket");
    let redirect = daemon.curl_plain(&["http://app.localhost/a"]);
    let to = format!("https://app.localhost:{}/a", daemon.https().port());
    assert_eq!((redirect.status, redirect.field("location")), (308, Some(to.as_str())));
}

#[test]
fn a_socket_with_an_unknown_name_is_refused_with_the_names_there_are() {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:3000\"\n");
    let output = activated(&place, "web").output().expect("python3: apt-get install python3");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a socket named \"web\"") && said.contains("https, http, ops"), "{said}");
}
