//! The audit log as an operator meets it: every change is in it with who wanted it, also after a crash, and nobody
//! changes it unseen.

use std::fs;

use serde_json::Value;

use crate::support::acme_site::AcmePlace;
use crate::support::ca::{Endpoint, Fault, ScriptedCa};
use crate::support::{Authority, Daemon, Place, Upstream};

const SITE: &str = "[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"\n";
const NAME: &str = "app.example.com";

/// What `audit search --json` finds.
fn search(daemon: &Daemon, args: &[&str]) -> Vec<Value> {
    let args: Vec<&str> = ["audit", "search", "--json"].iter().chain(args).copied().collect();
    let exit = daemon.cli(&args);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn verify(daemon: &Daemon) -> Value {
    let exit = daemon.cli(&["audit", "verify", "--json"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    exit.json()
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn every_change_is_written_down_with_who_wanted_it_and_survives_a_crash() {
    let place = Place::new();
    place.configure(SITE);
    let daemon = place.start();
    let text = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), format!("{text}\n[timeout]\nhead = \"7s\"\n")).unwrap();
    daemon.reload();
    fs::write(place.config(), "nonsense").unwrap();
    assert_eq!(daemon.cli(&["reload"]).code, 78);
    fs::write(place.config(), text).unwrap();
    assert_eq!(daemon.cli(&["crypto", "rotate"]).code, 0);
    // As a crash would: right after the answer.
    daemon.sigkill();
    drop(daemon);
    let daemon = place.start();
    let taken = search(&daemon, &["--action", "config.reload"]);
    assert_eq!(taken.len(), 1, "{taken:?}");
    let (taken, path) = (&taken[0], place.config().display().to_string());
    assert_eq!(
        (&taken["actor"]["kind"], &taken["actor"]["uid"]),
        (&"uid".into(), &own_uid().into())
    );
    assert_eq!((&taken["source"], &taken["subject"]), (&"control".into(), &path.into()));
    assert_eq!(taken["after"]["changes"], serde_json::json!(["timeout.head: 10s -> 7s"]));
    assert_eq!(
        (&taken["before"]["generation"], &taken["after"]["generation"]),
        (&1.into(), &2.into())
    );
    assert_eq!(taken["request_id"].as_str().unwrap().len(), 36);
    let refused = search(&daemon, &["--action", "config.reload_refused", "--text", "NONSENSE"]);
    let refused = if refused.is_empty() {
        search(&daemon, &["--action", "config.reload_refused"])
    } else {
        refused
    };
    assert_eq!((refused.len(), &refused[0]["outcome"]), (1, &"refused".into()), "{refused:?}");
    let rotated = search(&daemon, &["--actor", &own_uid().to_string(), "--action", "crypto"]);
    assert_eq!((rotated.len(), &rotated[0]["after"]["key"]), (1, &2.into()), "{rotated:?}");
    assert_eq!(search(&daemon, &["--action", "daemon.start", "--actor", "system"]).len(), 2);
    let verdict = verify(&daemon);
    assert!(verdict["broken"].is_null(), "{verdict}");
    assert_eq!(verdict["records"], 5, "start, reload, refusal, rotation, start: {verdict}");
    daemon.sighup();
    daemon.wait_for_event("reloaded");
    let by_signal = search(&daemon, &["--text", "\"source\":\"signal\"", "--action", "config"]);
    assert_eq!((by_signal.len(), &by_signal[0]["actor"]["kind"]), (1, &"system".into()));
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains("palisade_audit_outbox 0\n"), "{metrics}");
    assert!(metrics.contains("palisade_audit_records_total 6\n"), "{metrics}");
}

#[test]
fn an_orderly_stop_is_the_last_record_of_a_life() {
    let place = Place::new();
    place.configure(SITE);
    assert_eq!(place.start().stop(), 0);
    let daemon = place.start();
    let tail = daemon.cli(&["audit", "tail", "-n", "2"]);
    let lines: Vec<&str> = tail.out.lines().collect();
    assert_eq!(lines.len(), 2, "{tail:?}");
    assert!(lines[0].contains("daemon.stop") && lines[1].contains("daemon.start"), "{tail:?}");
}

#[test]
fn an_export_is_verified_without_the_daemon_and_a_changed_one_is_found() {
    let daemon = Daemon::start(SITE);
    daemon.reload();
    let exit = daemon.cli(&["audit", "export"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    assert!(exit.out.lines().last().unwrap().starts_with("{\"type\":\"checkpoint\""), "{exit:?}");
    let key = verify(&daemon)["key"].as_str().unwrap().to_owned();
    let place = daemon.place().clone();
    assert_eq!(daemon.stop(), 0);
    let file = place.path("audit.ndjson");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        place.palisade(&["audit", "verify", file.to_str().unwrap(), "--key", &key])
    };
    let whole = check(&exit.out);
    assert_eq!((whole.code, whole.out.as_str()), (0, "whole: 2 records, 1 to 2\n"), "{whole:?}");
    let forged = check(&exit.out.replacen("config.reload", "config.nothing", 1));
    assert_eq!(forged.code, 1, "{forged:?}");
    assert!(forged.err.contains("record 2: it is not what was written"), "{forged:?}");
    let short: Vec<&str> = exit.out.lines().take(2).collect();
    let short = check(&format!("{}\n", short.join("\n")));
    assert!(short.code == 1 && short.err.contains("without its checkpoint"), "{short:?}");
    let alone = place.palisade(&["audit", "verify", file.to_str().unwrap()]);
    assert_eq!(alone.code, 2, "a key is needed: {alone:?}");
}

#[test]
fn an_import_is_written_down_with_what_it_brings_and_a_refused_one_with_why() {
    let (app, place) = (Upstream::text("hello"), Place::new());
    place.configure(&format!(
        "[site.\"{NAME}\"]\nupstream = \"{}\"\ntls = \"imported\"\n",
        app.address()
    ));
    let daemon = place.start();
    let authority = Authority::new();
    let import = |name: &str| {
        let (cert, key) = authority.write(place.dir(), "bought", &[name]);
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        daemon.cli(&["cert", "import", NAME, "--cert", cert, "--key", key])
    };
    assert_eq!(import("other.example.com").code, 1);
    assert_eq!(import(NAME).code, 0);
    let records = search(&daemon, &["--action", "certificate.import"]);
    let outcomes: Vec<&Value> = records.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["refused", "done"], "{records:?}");
    let served = &daemon.status()["sites"][0]["certificate"];
    assert_eq!(records[1]["after"]["sha256"], served["sha256"]);
    assert_eq!(records[1]["after"]["not_after"], served["not_after"]);
    assert_eq!(records[1]["actor"]["uid"], own_uid());
    assert!(records.iter().all(|record| !record.to_string().contains("PRIVATE")));
    assert!(verify(&daemon)["broken"].is_null());
}

#[test]
fn a_damaged_or_foreign_audit_log_refuses_the_start_and_is_left_alone() {
    let place = Place::new();
    place.configure(SITE);
    assert_eq!(place.start().stop(), 0);
    let file = place.path("state/audit.redb");
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[..].fill(0);
    damaged[middle] = 1;
    fs::write(&file, &damaged).unwrap();
    let refused = place.palisade(&["run", "--config", place.config().to_str().unwrap()]);
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("audit.redb"), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), damaged);
}

#[test]
fn certificates_from_a_ca_are_written_down_with_whoever_asked_for_them() {
    let place = AcmePlace::new();
    let ca = ScriptedCa::start(&place.doors);
    place.configure(&ca.directory(), &ca.ca_file(), "", &[(NAME, "")]);
    let daemon = place.start();
    daemon.wait_for_event("certificate_in_force");
    assert_eq!(daemon.cli(&["cert", "renew", NAME]).code, 0);
    let records = search(&daemon, &["--action", "certificate", "--subject", NAME]);
    let actions: Vec<&Value> = records.iter().map(|record| &record["action"]).collect();
    assert_eq!(actions, ["certificate.issue", "certificate.renew"], "{records:?}");
    let (issued, renewed) = (&records[0], &records[1]);
    assert_eq!((&issued["actor"]["kind"], &issued["source"]), (&"system".into(), &"acme".into()));
    assert_eq!(
        (&renewed["actor"]["uid"], &renewed["source"]),
        (&own_uid().into(), &"control".into())
    );
    assert_eq!(renewed["before"]["sha256"], issued["after"]["sha256"]);
    assert_ne!(renewed["after"]["sha256"], issued["after"]["sha256"]);
    ca.fault_always(Endpoint::Directory, Fault::Close);
    assert_eq!(daemon.cli(&["cert", "renew", NAME]).code, 1);
    let records = search(&daemon, &["--action", "certificate.renew"]);
    assert_eq!(records.last().unwrap()["outcome"], "refused", "{records:?}");
    assert!(verify(&daemon)["broken"].is_null());
}
