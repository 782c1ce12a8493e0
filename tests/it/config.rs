//! What is wrong with a configuration is said before anything is served, all of it at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Authority, Daemon, Exit, Place, Upstream};

/// `check` and `run` refuse this configuration alike.
fn refused(place: &Place, text: &str) -> String {
    place.configure(text);
    let check = place.palisade(&["check", "--config", "palisade.toml"]);
    let run = place.palisade(&["run", "--config", "palisade.toml"]);
    assert_eq!((check.code, run.code), (78, 78), "{check:?}\n{run:?}");
    assert_eq!(check.err, run.err, "both say the same");
    assert!(!place.path("control.sock").exists(), "nothing was bound");
    check.err
}

fn with_files(place: &Place, cert: &str, key: &str) -> String {
    let dir = place.dir().display();
    format!(
        "[site.\"app.example.com\"]\nupstream = \"127.0.0.1:9\"\n\
         tls = {{ cert = \"{dir}/{cert}\", key = \"{dir}/{key}\" }}"
    )
}

#[test]
fn a_key_that_every_user_can_read_is_refused() {
    let place = Place::new();
    let (_, key) = Authority::new().write(place.dir(), "app", &["app.example.com"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let text = refused(&place, &with_files(&place, "app.pem", "app.key"));
    assert!(text.contains("can be read by every user"), "{text}");
    assert!(text.contains(&format!("chmod 600 {}", key.display())), "{text}");
}

#[test]
fn a_certificate_that_does_not_belong_to_its_key_is_refused() {
    let place = Place::new();
    let ca = Authority::new();
    ca.write(place.dir(), "app", &["app.example.com"]);
    ca.write(place.dir(), "other", &["app.example.com"]);
    let text = refused(&place, &with_files(&place, "app.pem", "other.key"));
    assert!(text.contains("does not belong to the private key"), "{text}");
}

#[test]
fn a_certificate_of_another_name_is_refused() {
    let place = Place::new();
    Authority::new().write(place.dir(), "app", &["shop.example.com"]);
    let text = refused(&place, &with_files(&place, "app.pem", "app.key"));
    assert!(text.contains("does not cover app.example.com"), "{text}");
    assert!(text.contains("it is for shop.example.com"), "{text}");
}

#[test]
fn a_key_that_cannot_be_read_is_named_with_the_reason() {
    let place = Place::new();
    Authority::new().write(place.dir(), "app", &["app.example.com"]);
    let text = refused(&place, &with_files(&place, "app.pem", "gone.key"));
    assert!(text.contains("gone.key") && text.contains("cannot read the private key"), "{text}");
    fs::create_dir(place.path("dir.key")).unwrap();
    let text = refused(&place, &with_files(&place, "app.pem", "dir.key"));
    assert!(text.contains("dir.key"), "{text}");
    fs::write(place.path("app.key"), "not a key").unwrap();
    let text = refused(&place, &with_files(&place, "app.pem", "app.key"));
    assert!(text.contains("holds no unencrypted private key"), "{text}");
}

/// A site whose app is verified by this file, which is named in line 11 of the configuration.
fn with_roots(place: &Place, file: &str) -> String {
    format!(
        "[site.\"app.localhost\"]\nupstream = [\"https://127.0.0.1:9\", \"https://127.0.0.1:8\"]\n\
         upstream_tls = {{ ca_file = \"{}\" }}",
        place.path(file).display()
    )
}

#[test]
fn a_file_of_roots_that_is_of_no_use_is_shown_where_it_is_named() {
    let place = Place::new();
    Authority::new().write(place.dir(), "app", &["app.example.com"]);
    fs::write(place.path("empty.pem"), "").unwrap();
    for (file, words) in [
        ("gone.pem", "cannot be read"),
        ("empty.pem", "holds no `BEGIN CERTIFICATE` block"),
        ("app.key", "holds no `BEGIN CERTIFICATE` block"),
    ] {
        let text = refused(&place, &with_roots(&place, file));
        assert!(text.contains(words) && text.contains("palisade.toml:11:28"), "{text}");
        assert!(text.contains("11 | upstream_tls = { ca_file = "), "{text}");
        assert!(text.contains("^^^ put there, as PEM"), "{text}");
        assert!(text.contains("1 error;"), "once for both upstreams: {text}");
        let json = place.palisade(&["check", "--config", "palisade.toml", "--json"]).json();
        let told = &json["diagnostics"][0]["places"][0];
        let length = place.path(file).display().to_string().len() + 2;
        assert_eq!((&told["line"], &told["length"]), (&11.into(), &length.into()), "{json:#}");
        assert!(told["label"].as_str().unwrap().contains("as PEM"), "{json:#}");
    }
}

#[test]
fn a_listed_certificate_whose_time_is_over_is_a_warning() {
    let place = Place::new();
    let mut params = rcgen::CertificateParams::new(vec!["app.internal".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    fs::write(place.path("app.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    place.configure(&with_roots(&place, "app.pem"));
    let check = place.palisade(&["check", "--config", "palisade.toml"]);
    assert_eq!(check.code, 0, "{check:?}");
    let text = format!("{}{}", check.out, check.err);
    assert!(text.contains("has expired on 2021-01-01T00:00:00Z"), "{text}");
    assert!(text.contains("palisade.toml:11:28") && text.contains("1 warning;"), "{text}");
    let daemon = place.start();
    let attention = daemon.status()["attention"].to_string();
    assert!(attention.contains("has expired on 2021-01-01T00:00:00Z"), "{attention}");
}

#[test]
fn a_wildcard_without_a_certificate_says_what_to_write() {
    let place = Place::new();
    let text = refused(&place, "[site.\"*.example.com\"]\nupstream = \"127.0.0.1:9\"");
    assert!(text.contains("tls = "), "{text}");
}

#[test]
fn one_name_cannot_belong_to_two_sites() {
    let place = Place::new();
    let text = refused(
        &place,
        "[site.\"a.localhost\"]\nalso = [\"c.localhost\"]\nupstream = \"127.0.0.1:9\"\n\
         [site.\"b.localhost\"]\nalso = [\"c.localhost\"]\nupstream = \"127.0.0.1:9\"",
    );
    assert!(text.contains("c.localhost is given twice"), "{text}");
}

#[test]
fn all_errors_are_told_at_once_with_line_and_nearest_spelling() {
    let place = Place::new();
    let text = refused(
        &place,
        "[site.\"app.localhost\"]\nupsteam = \"127.0.0.1:9\"\n\n[timeout]\nhead = \"10 parsecs\"",
    );
    assert!(text.contains("unknown key `upsteam`") && text.contains("`upstream`"), "{text}");
    assert!(text.contains("palisade.toml:10:1"), "{text}");
    assert!(text.contains("10 parsecs"), "{text}");
}

#[test]
fn check_says_ok_and_opens_nothing() {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"");
    let exit = place.palisade(&["check", "--config", "palisade.toml"]);
    assert_eq!((exit.code, exit.out.trim()), (0, "ok: palisade.toml (1 site)"), "{exit:?}");
    assert!(!place.path("state").exists() && !place.path("control.sock").exists());
}

#[test]
fn check_answers_scripts_in_json() {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupsteam = \"127.0.0.1:9\"");
    let Exit { code, out, err } = place.palisade(&["check", "--config", "palisade.toml", "--json"]);
    assert_eq!((code, err.as_str()), (78, ""));
    let found: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let text = found.to_string();
    assert!(text.contains("upsteam") && text.contains("\"line\":9"), "{found:#}");
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"");
    let good = place.palisade(&["check", "--config", "palisade.toml", "--json"]);
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.json().is_object() || good.json().is_array(), "{good:?}");
}

#[test]
fn files_in_conf_d_add_sites_and_a_reload_takes_new_ones() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let place = Place::new();
    fs::create_dir(place.path("conf.d")).unwrap();
    place.configure("");
    let site = |name: &str, app: &Upstream| {
        let text = format!("[site.\"{name}.localhost\"]\nupstream = \"{}\"\n", app.address());
        fs::write(place.path(&format!("conf.d/{name}.toml")), text).unwrap();
    };
    site("one", &one);
    let daemon = place.start();
    assert_eq!(daemon.curl(&["https://one.localhost/"]).text(), "one");
    assert_eq!(daemon.curl(&["https://two.localhost/"]).status, 0, "no such site yet");
    site("two", &two);
    daemon.reload();
    assert_eq!(daemon.curl(&["https://two.localhost/"]).text(), "two");
    assert_eq!(daemon.curl(&["https://one.localhost/"]).text(), "one");
}

#[test]
fn a_key_from_the_environment_is_used_and_removed_from_it() {
    let place = Place::new();
    let ca = Authority::new();
    let issued = ca.issue(&["app.example.com"]);
    let (cert, _) = issued.write(place.dir(), "app");
    fs::remove_file(place.path("app.key")).unwrap();
    let app = Upstream::text("hello");
    place.configure(&format!(
        "[site.\"app.example.com\"]\nupstream = \"{}\"\ntls = {{ cert = \"{}\", key = {{ env = \"SITE_KEY\" }} }}",
        app.address(),
        cert.display()
    ));
    let daemon = place.start_with(&[("SITE_KEY", &issued.key)]);
    fs::write(place.path("ca.pem"), ca.pem()).unwrap();
    let answer = daemon.curl_trusting(&place.path("ca.pem"), &["https://app.example.com/"]);
    assert_eq!(answer.text(), "hello", "{answer:?}");
    let environment = fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    let secret = issued.key.lines().nth(1).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains(secret));
    // A reload still knows it.
    daemon.reload();
    let answer = daemon.curl_trusting(&place.path("ca.pem"), &["https://app.example.com/"]);
    assert_eq!(answer.text(), "hello", "{answer:?}");
    assert_eq!(Daemon::stop(&daemon), 0);
}
