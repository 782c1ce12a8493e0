//! The demo: the first thing that anybody types.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::{Daemon, Place, palisade, peer, within};

fn demo() -> Daemon {
    let place = Place::new();
    let mut command = place.command();
    command.args(["demo", "--https", "0", "--http", "0", "--state"]).arg(place.path("state"));
    let log = place.path("state/palisade.log");
    Daemon::spawn_reading(place, command, Some(&log))
}

#[test]
fn the_demo_serves_its_pages_and_says_what_to_type_next() {
    let daemon = demo();
    let url = format!("https://localhost:{}/", daemon.https().port());
    let told = daemon.wait_for_words("cert trust");
    assert!(told.contains(url.trim_end_matches('/')) && told.contains("curl "), "{told}");
    let page = daemon.curl(&[&url]);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text().contains("<html lang=\"en\">"), "{}", page.text());
    let exit = daemon.cli(&["status"]);
    assert!(exit.code == 0 && exit.out.contains("localhost"), "{exit:?}");
    let failing = daemon.curl(&[&format!("{url}nothing-here")]);
    assert_eq!(failing.status, 404);
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn the_demo_says_so_when_its_port_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let place = Place::new();
    let mut command = place.command();
    command.args(["demo", "--http", "0", "--https", &port, "--state"]).arg(place.path("state"));
    let exit = palisade(&mut command);
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("is listening there"), "{}", exit.err);
}

#[test]
fn a_browser_walks_through_the_demo_without_a_complaint() {
    let browser = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(
        browser.join("node_modules").is_dir(),
        "this test needs the driver of the browser: npm ci --prefix tests/browser"
    );
    let daemon = demo();
    let shots: PathBuf = daemon.place().path("shots");
    let mut walk = peer("node", "apt-get install nodejs");
    walk.arg(browser.join("demo.mjs")).arg("palisade").env("CA_FILE", daemon.root());
    walk.env("BASE_URL", format!("https://localhost:{}", daemon.https().port()));
    walk.env("OUT_DIR", &shots).env("TMPDIR", daemon.place().dir());
    let exit = within(Duration::from_secs(110), &mut walk);
    assert_eq!(exit.code, 0, "{}\n{}", exit.out, exit.err);
    let found = exit.json();
    assert_eq!(found["ok"], true, "{found:#}");
    assert_eq!(daemon.stop(), 0);
}
