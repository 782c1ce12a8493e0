//! Starting: from a file, from options, and everything that keeps it from starting.

use crate::support::{Daemon, Upstream};

#[test]
fn a_three_line_file_serves_a_site() {
    let app = Upstream::text("hello from the app");
    let daemon = Daemon::site("app.localhost", &app.address());
    let answer = daemon.curl(&["https://app.localhost/"]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello from the app"));
}
