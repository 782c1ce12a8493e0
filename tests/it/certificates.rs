//! Certificates that palisade keeps itself: what visitors and operators see before, while and after there is one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::ca::{Endpoint, Fault, ScriptedCa};
use crate::support::{Authority, Daemon, Doors, Place, TlsClient, Upstream};

const NAME: &str = "app.example.com";

/// A site whose certificate comes from `ca`.
fn configure(place: &Place, doors: &Doors, ca: &ScriptedCa, app: &Upstream, site: &str) {
    let text = format!(
        "[acme]\ndirectory = \"{}\"\nca_file = \"{}\"\n[site.\"{NAME}\"]\nupstream = \"{}\"\n{site}\n",
        ca.directory(),
        ca.ca_file().display(),
        app.address()
    );
    place.configure_at(doors.https(), doors.http(), &text);
}

/// Why a handshake for the site fails.
fn refusal(daemon: &Daemon, client: &TlsClient) -> String {
    match client.connect(daemon.https(), NAME) {
        Ok(_) => "it does not".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn attention(daemon: &Daemon) -> String {
    daemon.status()["attention"].to_string()
}

#[test]
fn a_public_site_gets_a_certificate_without_a_word_and_keeps_it() {
    let (doors, app, place) = (Doors::reserve(), Upstream::text("hello"), Place::new());
    let ca = ScriptedCa::start(&doors);
    for challenge in ["tls-alpn-01", "http-01"] {
        let place = Place::new();
        configure(&place, &doors, &ca, &app, "");
        let file = fs::read_to_string(place.config()).unwrap();
        let file = file.replace("[acme]\n", &format!("[acme]\nchallenges = \"{challenge}\"\n"));
        fs::write(place.config(), file).unwrap();
        let daemon = place.start();
        daemon.wait_for_event("certificate_in_force");
        let mut connection = ca.client().connect(daemon.https(), NAME).unwrap();
        assert_eq!(connection.get(NAME, "/").unwrap().text(), "hello", "{challenge}");
        assert_eq!(attention(&daemon), "[]");
    }
    configure(&place, &doors, &ca, &app, "");
    let daemon = place.start();
    daemon.wait_for_event("certificate_in_force");
    let first = ca.client().connect(daemon.https(), NAME).unwrap().certificate();
    daemon.sigterm();
    drop(daemon);
    // Promise 1: also right after a restart, and although the CA is down.
    ca.fault_always(Endpoint::Directory, Fault::Close);
    let daemon = place.start();
    assert_eq!(ca.client().connect(daemon.https(), NAME).unwrap().certificate(), first);
    let list = daemon.cli(&["cert", "list", "--json"]).json();
    assert_eq!((&list[0]["source"], &list[0]["state"]), (&"acme".into(), &"served".into()));
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let left = metrics.lines().find_map(|line| {
        line.strip_prefix("palisade_certificate_expiry_seconds{site=\"app.example.com\"} ")
    });
    assert!(left.is_some_and(|left| left.parse::<i64>().unwrap() > 0), "{metrics}");
    assert!(metrics.contains("palisade_certificates_missing 0\n"), "{metrics}");
    assert!(metrics.contains("palisade_state_writable 1\n"), "{metrics}");
}

#[test]
fn without_a_certificate_handshakes_are_refused_and_everybody_is_told_why() {
    let (doors, app, place) = (Doors::reserve(), Upstream::text("hello"), Place::new());
    let ca = ScriptedCa::start(&doors);
    ca.fault_always(Endpoint::Directory, Fault::Close);
    configure(&place, &doors, &ca, &app, "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"");
    let daemon = place.start();
    let refused = refusal(&daemon, &ca.client());
    assert!(refused.contains("InternalError"), "{refused}");
    let redirect = daemon.curl_plain(&[&format!("http://{NAME}/x")]);
    assert_eq!(redirect.status, 308, "{redirect:?}");
    let told = attention(&daemon);
    assert!(told.contains("app.example.com has no certificate") && told.contains("FAIL"), "{told}");
    let status = daemon.status();
    let certificate = &status["sites"][0]["certificate"];
    assert_eq!(certificate["state"], "missing", "{certificate}");
    assert_eq!(certificate["names"], serde_json::json!([NAME]));
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains("palisade_certificates_missing 1\n"), "{metrics}");
    let count = "palisade_tls_handshakes_total{outcome=\"no_certificate\"} 1\n";
    assert!(metrics.contains(count), "{metrics}");
    // The site that has one is served meanwhile.
    daemon.client().connect(daemon.https(), "app.localhost").unwrap();
}

#[test]
fn the_local_ca_stands_in_only_where_that_is_asked_for() {
    let (doors, app, place) = (Doors::reserve(), Upstream::text("hello"), Place::new());
    let ca = ScriptedCa::start(&doors);
    configure(&place, &doors, &ca, &app, "tls = \"local\"");
    let daemon = place.start();
    let mut before = daemon.client().connect(daemon.https(), NAME).unwrap();
    ca.fault_always(Endpoint::Directory, Fault::Close);
    configure(&place, &doors, &ca, &app, "tls = [\"acme\", \"local\"]");
    daemon.reload();
    assert_eq!(daemon.status()["sites"][0]["certificate"]["state"], "stand_in");
    daemon.client().connect(daemon.https(), NAME).unwrap();
    let told = attention(&daemon);
    assert!(told.contains("certificate of the local CA for now"), "{told}");
    assert_eq!(before.get(NAME, "/").unwrap().text(), "hello", "an open connection stays");
    configure(&place, &doors, &ca, &app, "tls = \"acme\"");
    daemon.reload();
    let refused = refusal(&daemon, &daemon.client());
    assert!(refused.contains("InternalError"), "{refused}");
    ca.heal();
    // Another configuration of the authority is tried at once.
    configure(&place, &doors, &ca, &app, "tls = \"acme\"");
    let file = fs::read_to_string(place.config()).unwrap();
    let file = file.replace("[acme]\n", "[acme]\ncontact = \"ops@example.com\"\n");
    fs::write(place.config(), file).unwrap();
    daemon.reload();
    let generation = daemon.status()["reload"]["generation"].clone();
    daemon.cli(&["cert", "renew", NAME]);
    daemon.wait_for_event("certificate_in_force");
    ca.client().connect(daemon.https(), NAME).unwrap();
    assert_eq!(daemon.status()["reload"]["generation"], generation, "no reload was needed");
    assert_eq!(before.get(NAME, "/").unwrap().text(), "hello", "still");
}

#[test]
fn a_site_that_waits_for_an_import_says_so_and_serves_what_it_is_given() {
    let app = Upstream::text("hello");
    let site = format!("[site.\"{NAME}\"]\nupstream = \"{}\"\ntls = \"imported\"", app.address());
    let daemon = Daemon::start(&site);
    let told = attention(&daemon);
    assert!(told.contains("waiting for palisade cert import app.example.com"), "{told}");
    let ca = Authority::new();
    let (cert, key) = ca.write(daemon.place().dir(), "made-elsewhere", &[NAME]);
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let exit = daemon.cli(&["cert", "import", NAME, "--cert", &cert, "--key", &key]);
    assert_eq!(exit.code, 0, "{exit:?}");
    let mut connection = TlsClient::trusting(ca.pem()).connect(daemon.https(), NAME).unwrap();
    assert_eq!(connection.get(NAME, "/").unwrap().text(), "hello", "at once");
    let certificate = &daemon.status()["sites"][0]["certificate"];
    assert_eq!(certificate["source"], "imported", "{certificate}");
    let exit = daemon.cli(&["cert", "renew", "other.example.com"]);
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("no site other.example.com"), "{}", exit.err);
}

#[test]
fn four_options_are_a_site_with_a_certificate_of_a_private_authority() {
    let (doors, app, place) = (Doors::reserve(), Upstream::text("hello"), Place::new());
    let ca = ScriptedCa::start(&doors);
    let mut command = place.command();
    command.args(["run", "--site", NAME, "--upstream", &app.address()]);
    command.args(["--acme-directory", &ca.directory()]).arg("--acme-ca").arg(ca.ca_file());
    // The usual places are not a test's to use.
    command.args(["--https", &doors.https().to_string(), "--http", &doors.http().to_string()]);
    command.args(["--ops", "127.0.0.1:0"]).arg("--control").arg(place.path("control.sock"));
    command.arg("--state").arg(place.path("state"));
    let daemon = Daemon::spawn(place, command);
    daemon.wait_for_event("certificate_in_force");
    let mut connection = ca.client().connect(daemon.https(), NAME).unwrap();
    assert_eq!(connection.get(NAME, "/").unwrap().text(), "hello");
}

#[test]
fn a_state_that_is_not_ours_alone_or_not_palisades_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"");
    let state = place.path("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let run = || place.palisade(&["run", "--config", "palisade.toml"]);
    let exit = run();
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("chmod 700"), "{}", exit.err);
    assert!(!place.path("control.sock").exists(), "nothing is left behind");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let file = state.join("core.redb");
    fs::write(&file, "somebody else's").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let exit = run();
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("core.redb"), "{}", exit.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), "somebody else's");
}

#[test]
fn the_first_start_makes_a_master_key_and_says_where_and_check_makes_nothing() {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"");
    let exit = place.palisade(&["check", "--config", "palisade.toml"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    assert!(!place.path("state").exists(), "check makes nothing");
    let daemon = place.start();
    let made = daemon.wait_for_event("master_key_generated");
    assert!(made["path"].as_str().unwrap().ends_with("state/master.key"), "{made}");
    drop(daemon);
    let key = fs::read(place.path("state/master.key")).unwrap();
    place.start();
    assert_eq!(fs::read(place.path("state/master.key")).unwrap(), key);
    fs::remove_file(place.path("state/master.key")).unwrap();
    let exit = place.palisade(&["run", "--config", "palisade.toml"]);
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("the master key is missing"), "{}", exit.err);
}

#[test]
fn check_warns_of_roots_that_cannot_be_read_and_a_start_goes_on() {
    let place = Place::new();
    // Nobody listens there: no authority is asked.
    place.configure(&format!(
        "[acme]\ndirectory = \"https://127.0.0.1:9/dir\"\nca_file = \"gone.pem\"\n[site.\"{NAME}\"]\nupstream = \"127.0.0.1:9\""
    ));
    let exit = place.palisade(&["check", "--config", "palisade.toml"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    assert!(exit.err.contains("gone.pem cannot be read"), "{}", exit.err);
    let daemon = place.start();
    assert!(attention(&daemon).contains("has no certificate"));
    let said = |text: &str| {
        fs::write(place.path("gone.pem"), text).unwrap();
        place.palisade(&["check", "--config", "palisade.toml"]).err
    };
    assert!(said("\n").contains("gone.pem is empty"));
    assert!(said("# roots\n").contains("gone.pem holds no `BEGIN CERTIFICATE` block"));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(said(broken).contains("gone.pem holds a certificate that cannot be read"));
    assert!(said(Authority::new().pem()).is_empty());
}

#[test]
fn check_refuses_the_key_of_an_account_binding_that_is_no_base64url() {
    let place = Place::new();
    let key = place.path("eab");
    place.configure(&format!(
        "[acme]\ndirectory = \"https://127.0.0.1:9/dir\"\neab = {{ kid = \"k\", hmac = {{ file = {key:?} }} }}\n[site.\"{NAME}\"]\nupstream = \"127.0.0.1:9\""
    ));
    let check = |text: &str| {
        fs::write(&key, text).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        place.palisade(&["check", "--config", "palisade.toml"])
    };
    let exit = check("not a key: hunter2\n");
    assert_eq!(exit.code, 78, "{exit:?}");
    assert!(exit.err.contains("holds no key in base64url"), "{}", exit.err);
    assert!(!exit.err.contains("hunter2"), "{}", exit.err);
    assert_eq!(check("CQkJCQkJCQkJCQkJCQkJCQ==\n").code, 0);
}
