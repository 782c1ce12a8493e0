//! A new configuration while requests flow.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{Daemon, Place, Upstream};

fn config(app: &Upstream, more: &str) -> String {
    format!("[site.\"app.localhost\"]\nupstream = \"{}\"\n{more}", app.address())
}

#[test]
fn a_reload_says_what_changed_and_raises_the_generation() {
    let (old, new) = (Upstream::text("old"), Upstream::text("new"));
    let daemon = Daemon::start(&config(&old, ""));
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "old");
    daemon.place().configure(&config(&new, ""));
    let exit = daemon.cli(&["reload"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    assert!(exit.out.contains("generation 2") && exit.out.contains(&new.address()), "{}", exit.out);
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "new");
    assert_eq!(daemon.status()["reload"]["generation"], 2);
    let same = daemon.cli(&["reload"]);
    assert!(same.code == 0 && same.out.contains("nothing changed"), "{same:?}");
}

#[test]
fn a_bad_configuration_is_refused_with_78_and_the_old_one_goes_on() {
    let app = Upstream::text("hello");
    let daemon = Daemon::start(&config(&app, ""));
    daemon.place().configure(&config(&app, "upsteam = \"127.0.0.1:1\""));
    let exit = daemon.cli(&["reload"]);
    assert_eq!(exit.code, 78, "{exit:?}");
    assert!(exit.err.contains("unknown key `upsteam`"), "{}", exit.err);
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "hello");
    let status = daemon.status();
    assert_eq!(status["reload"]["generation"], 1);
    assert!(status["reload"]["last_error"].to_string().contains("upsteam"), "{status:#}");
    let plain = daemon.cli(&[]);
    assert!(plain.out.contains("WARN") && plain.out.contains("upsteam"), "{}", plain.out);
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains("palisade_reloads_refused_total 1"), "{metrics}");
    // Put right, all is well again.
    daemon.place().configure(&config(&app, ""));
    daemon.reload();
    let status = daemon.status();
    assert!(status["reload"]["last_error"].is_null(), "{status:#}");
    assert_eq!(status["attention"].as_array().map(Vec::len), Some(0), "{status:#}");
}

#[test]
fn sighup_reloads_and_a_bad_file_does_not_end_the_daemon() {
    let (old, new) = (Upstream::text("old"), Upstream::text("new"));
    let daemon = Daemon::start(&config(&old, ""));
    daemon.place().configure("[site");
    daemon.sighup();
    let refused = daemon.wait_for_event("reload_refused");
    assert!(refused["why"].as_str().unwrap().contains("palisade.toml"), "{refused}");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "old");
    daemon.place().configure(&config(&new, ""));
    daemon.sighup();
    daemon.wait_for_event("reloaded");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "new");
}

#[test]
fn what_only_a_start_can_change_is_refused_by_name() {
    let app = Upstream::text("hello");
    let place = Place::new();
    place.configure(&config(&app, ""));
    let daemon = place.start();
    let file = std::fs::read_to_string(place.config()).unwrap();
    std::fs::write(place.config(), file.replace("workers = 2", "workers = 3")).unwrap();
    let exit = daemon.cli(&["reload"]);
    assert_eq!(exit.code, 78, "{exit:?}");
    assert!(exit.err.contains("workers: 2 -> 3") && exit.err.contains("restart"), "{}", exit.err);
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "hello");
}

#[test]
fn an_address_may_be_added_and_taken_away() {
    let app = Upstream::text("hello");
    let place = Place::new();
    place.configure(&config(&app, ""));
    let daemon = place.start();
    let file = std::fs::read_to_string(place.config()).unwrap();
    let both = file.replacen("127.0.0.1:0\"]", "127.0.0.1:0\", \"127.0.0.2:0\"]", 1);
    std::fs::write(place.config(), both).unwrap();
    daemon.reload();
    let status = daemon.status();
    let listeners = status["listeners"].as_array().unwrap();
    let added = listeners.iter().filter_map(|l| l["address"].as_str());
    let added = added.filter(|address| address.starts_with("127.0.0.2:")).collect::<Vec<_>>();
    let added: std::net::SocketAddr = added[0].parse().unwrap();
    let mut connection = daemon.client().connect(added, "app.localhost").unwrap();
    assert_eq!(connection.get("app.localhost", "/").unwrap().text(), "hello");
    std::fs::write(place.config(), file).unwrap();
    daemon.reload();
    assert!(daemon.client().connect(added, "app.localhost").is_err(), "nobody listens there");
    assert_eq!(connection.get("app.localhost", "/").unwrap().text(), "hello", "it stays");
    assert_eq!(daemon.curl(&["https://app.localhost/"]).text(), "hello");
}

#[test]
fn twenty_reloads_under_load_cost_no_request_and_no_connection() {
    let app = Upstream::text("hello");
    let daemon = Daemon::start(&config(&app, ""));
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (daemon, stop, served) = (&daemon, &stop, &served);
            scope.spawn(move || {
                let client = daemon.client();
                let mut kept = client.connect(daemon.https(), "app.localhost").unwrap();
                while !stop.load(Ordering::SeqCst) {
                    let answer = kept.get("app.localhost", "/").expect("the connection stays");
                    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
                    let mut fresh = client.connect(daemon.https(), "app.localhost").unwrap();
                    assert_eq!(fresh.get("app.localhost", "/").expect("a new one").status, 200);
                    served.fetch_add(2, Ordering::SeqCst);
                }
            });
        }
        for round in 0..20 {
            let before = served.load(Ordering::SeqCst);
            daemon
                .place()
                .configure(&config(&app, &format!("[timeout]\nhead = \"{}s\"", 10 + round)));
            daemon.reload();
            // Requests flow between any two reloads.
            while served.load(Ordering::SeqCst) < before + 8 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let served = served.load(Ordering::SeqCst);
    assert!(daemon.wait_for_requests(served).iter().all(|line| line["status_code"] == 200));
    assert_eq!(daemon.status()["reload"]["generation"], 21);
}
