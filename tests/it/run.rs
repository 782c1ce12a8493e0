//! Starting and asking: from a file, from options, and what each command ends with.

use std::net::TcpListener;
use std::process::id;

use crate::support::{Daemon, Place, Upstream, palisade};

#[test]
fn a_three_line_file_serves_a_site() {
    let app = Upstream::text("hello from the app");
    let daemon = Daemon::site("app.localhost", &app.address());
    let answer = daemon.curl(&["https://app.localhost/"]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello from the app"));
}

/// The options that keep a daemon inside its directory.
fn options(place: &Place, upstream: &str) -> Vec<String> {
    let path = |name: &str| place.path(name).display().to_string();
    let mut args: Vec<String> = ["run", "--site", "app.localhost", "--upstream", upstream]
        .into_iter()
        .map(str::to_owned)
        .collect();
    for (option, value) in [("--control", path("control.sock")), ("--state", path("state"))] {
        args.extend([option.to_owned(), value]);
    }
    for option in ["--https", "--http", "--ops"] {
        args.extend([option.to_owned(), "127.0.0.1:0".to_owned()]);
    }
    args
}

#[test]
fn options_alone_serve_a_site() {
    let app = Upstream::text("hello without a file");
    let place = Place::new();
    let mut command = place.command();
    command.args(options(&place, &app.address()));
    let daemon = Daemon::spawn(place, command);
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "hello without a file");
    assert!(daemon.status()["config"].is_null());
}

#[test]
fn a_state_directory_that_also_holds_the_socket_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let own = place.path("own");
    let mut args = options(&place, "127.0.0.1:9");
    for (option, path) in [("--control", own.join("control.sock")), ("--state", own.clone())] {
        let at = args.iter().position(|arg| arg == option).unwrap();
        args[at + 1] = path.display().to_string();
    }
    let mut command = place.command();
    command.args(args);
    let _daemon = Daemon::spawn(place, command);
    assert_eq!(std::fs::metadata(own).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn the_second_of_two_daemons_on_one_port_says_who_has_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    let mut args = options(&place, "127.0.0.1:3000");
    args.extend(["--https".to_owned(), address.clone()]);
    let exit = place.palisade(&args);
    assert_eq!(exit.code, 1, "{exit:?}");
    let told = format!("cannot listen on {address} (https)");
    assert!(exit.err.contains(&told), "{}", exit.err);
    assert!(exit.err.contains(&format!("(pid {}) is listening there", id())), "{}", exit.err);
    assert!(!place.path("control.sock").exists(), "nothing is left behind");
}

#[test]
fn two_daemons_do_not_share_a_control_socket() {
    let app = Upstream::text("first");
    let daemon = Daemon::site("app.localhost", &app.address());
    let exit = daemon.place().palisade(&["run", "--config", "palisade.toml"]);
    assert_eq!(exit.code, 1, "{exit:?}");
    assert!(exit.err.contains("control.sock"), "{}", exit.err);
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "first");
    assert_eq!(daemon.status()["pid"], daemon.pid());
}

#[test]
fn a_socket_left_by_a_killed_daemon_does_not_keep_the_next_from_starting() {
    let app = Upstream::text("again");
    let place = Place::new();
    place.configure(&format!("[site.\"app.localhost\"]\nupstream = \"{}\"", app.address()));
    let killed = place.start();
    killed.sigkill();
    drop(killed);
    assert!(place.path("control.sock").exists());
    assert_eq!(place.start().curl(&["https://app.localhost/"]).text(), "again");
}

#[test]
fn a_missing_configuration_is_a_bad_configuration() {
    let place = Place::new();
    for verb in ["run", "check"] {
        let exit = place.palisade(&[verb, "--config", "nowhere.toml"]);
        assert_eq!(exit.code, 78, "{exit:?}");
        assert!(exit.err.contains("nowhere.toml"), "{}", exit.err);
    }
}

#[test]
fn a_mistyped_command_ends_with_2_and_a_hint() {
    let place = Place::new();
    let exit = place.palisade(&["statsu"]);
    assert_eq!(exit.code, 2, "{exit:?}");
    assert!(exit.err.contains("status"), "{}", exit.err);
    assert_eq!(place.palisade(&["run", "--site", "a.localhost"]).code, 2);
}

#[test]
fn every_client_verb_without_a_daemon_ends_with_3() {
    let place = Place::new();
    let socket = place.path("nobody.sock").display().to_string();
    let verbs: [&[&str]; 4] = [&[], &["status"], &["reload"], &["cert", "list"]];
    for verb in verbs {
        let exit = palisade(place.command().args(verb).args(["--socket", &socket]));
        assert_eq!(exit.code, 3, "{verb:?}: {exit:?}");
        assert!(exit.err.contains("nobody.sock") && exit.out.is_empty(), "{exit:?}");
        let json = palisade(place.command().args(verb).args(["--json", "--socket", &socket]));
        assert_eq!(json.code, 3, "{verb:?}: {json:?}");
        assert_eq!(json.json()["exit_code"], 3);
    }
}

#[test]
fn plain_palisade_without_a_daemon_names_the_next_commands() {
    let place = Place::new();
    let socket = place.path("nobody.sock").display().to_string();
    let exit = place.palisade(&["--socket", &socket]);
    assert_eq!(exit.code, 3);
    for word in ["palisade demo", "palisade init", "palisade run", "systemctl start"] {
        assert!(exit.err.contains(word), "{word} is missing in {}", exit.err);
    }
}

#[test]
fn plain_palisade_and_status_show_what_runs() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 200);
    let plain = daemon.cli(&[]);
    assert_eq!(plain.code, 0, "{plain:?}");
    assert!(plain.out.contains("OK") && plain.out.contains("app.localhost"), "{}", plain.out);
    assert!(plain.out.contains("Nothing needs attention."), "{}", plain.out);
    let text = daemon.cli(&["status"]);
    assert_eq!(text.code, 0, "{text:?}");
    let (https, pid) = (daemon.https().to_string(), format!("pid {}", daemon.pid()));
    for word in ["app.localhost", &app.address(), &https, &pid, "security_headers"] {
        assert!(text.out.contains(word), "{word} is missing in {}", text.out);
    }
    assert!(text.out.lines().all(|line| !line.contains('\x1b')), "no colour in a pipe");
    let status = daemon.status();
    assert_eq!(status["state"], "ready");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["sites"][0]["name"], "app.localhost");
    assert_eq!(status["sites"][0]["certificate"]["source"], "local");
    assert_eq!(status["capabilities"].as_array().map(Vec::len), Some(5));
    assert_eq!(status["attention"].as_array().map(Vec::len), Some(0), "{status:#}");
}

#[test]
fn certificates_in_use_are_listed_and_the_root_is_printed() {
    let daemon = Daemon::site("app.localhost", "127.0.0.1:9");
    let list = daemon.cli(&["cert", "list", "--json"]);
    assert_eq!(list.json()[0]["site"], "app.localhost", "{list:?}");
    let root = daemon.cli(&["cert", "trust", "--print"]);
    assert_eq!((root.code, root.out.trim()), (0, daemon.root_pem().trim()));
}

#[test]
fn init_writes_a_file_that_says_what_to_fill_in_and_never_writes_over_one() {
    let place = Place::new();
    let first = place.palisade(&["init", "etc/palisade.toml"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.out.contains("palisade check --config etc/palisade.toml"), "{}", first.out);
    let written = std::fs::read_to_string(place.path("etc/palisade.toml")).unwrap();
    assert!(written.contains("[site.") && written.contains("upstream"), "{written}");
    std::fs::write(place.path("etc/palisade.toml"), "mine").unwrap();
    let second = place.palisade(&["init", "etc/palisade.toml"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("exists and is left as it is"), "{}", second.err);
    assert_eq!(std::fs::read_to_string(place.path("etc/palisade.toml")).unwrap(), "mine");
}

#[test]
fn every_verb_has_help_with_an_example() {
    let place = Place::new();
    let verbs: [&[&str]; 9] = [
        &["run"],
        &["demo"],
        &["init"],
        &["check"],
        &["reload"],
        &["status"],
        &["top"],
        &["cert", "list"],
        &["cert", "trust"],
    ];
    for verb in verbs {
        let exit = palisade(place.command().args(verb).arg("--help"));
        assert_eq!(exit.code, 0, "{verb:?}");
        assert!(exit.out.contains("Example"), "{verb:?}: {}", exit.out);
    }
    let version = place.palisade(&["--version"]);
    assert_eq!(version.out.trim(), concat!("palisade ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_and_manual_pages_are_printed() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let exit = place.palisade(&["completions", shell]);
        assert!(exit.code == 0 && exit.out.contains("reload"), "{shell}: {exit:?}");
    }
    let page = place.palisade(&["man", "run"]);
    assert!(page.code == 0 && page.out.contains(".TH palisade-run 1"), "{page:?}");
}

#[test]
fn a_variable_that_is_nearly_a_flag_keeps_the_daemon_from_starting() {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"");
    for (name, value) in [("SECURITY_HEADER_ENABLED", "false"), ("RATELIMIT_ENABLED", "no")] {
        let mut command = place.command();
        command.args(["run", "--config", "palisade.toml"]).env(name, value);
        let exit = palisade(&mut command);
        assert_eq!(exit.code, 78, "{exit:?}");
        assert!(exit.err.contains(name), "{}", exit.err);
    }
}
