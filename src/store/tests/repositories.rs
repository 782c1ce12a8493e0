//! Rows: what goes together, what survives, what is forgotten.

use super::super::certs::{Account, Ari, Certificate, History, Order, Origin};
use super::super::sealed::{
    ACCOUNT_KEYS, CERTIFICATE_KEYS, ORDER_KEYS, Row, Sealed, TABLES, WrappedKey,
};
use super::super::switches::{Switch, SwitchChange};
use super::*;
use crate::base::Mode;
use crate::base::audit::{By, Intent, Source, action};

fn sealed(key: u32, byte: u8) -> Sealed {
    Sealed { key, nonce: [byte; 12], ciphertext: vec![byte; 40] }
}

fn account(directory: &str) -> Account {
    Account { directory: directory.into(), url: None, contact: None, created_at_s: 5 }
}

fn order(site: &str) -> Order {
    Order {
        site: site.into(),
        names: vec![site.into()],
        directory: "https://ca.example/dir".into(),
        url: None,
        replaces: None,
        profile: None,
        rehearsal: false,
        created_at_s: 6,
    }
}

fn certificate(site: &str, not_after_s: i64) -> Certificate {
    Certificate {
        site: site.into(),
        names: vec![site.into()],
        chain: vec![vec![0x30; 500], vec![0x30; 700]],
        origin: Origin::Acme,
        directory: None,
        profile: None,
        not_before_s: 0,
        not_after_s,
        stored_at_s: 1,
        jitter: 2,
        ari: None,
    }
}

fn history(site: &str, failures: u32) -> History {
    History { site: site.into(), failures, ..History::default() }
}

fn ari(start_s: i64) -> Ari {
    Ari { start_s, end_s: start_s + 9, explanation_url: None, asked_at_s: 1, ask_again_at_s: 2 }
}

/// What the audit log would be told.
fn intent() -> Intent {
    Intent::new(1, By::system(Source::Acme), action::CERTIFICATE_RENEW)
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    store.put_account(account("d"), Some(sealed(1, 1))).wait().expect("written");
    store.put_order(order("a"), Some(sealed(1, 2))).wait().expect("written");
    store
        .put_certificate(certificate("b", 9), sealed(1, 3), history("b", 0), None)
        .wait()
        .expect("written");
    let keys: Vec<WrappedKey> = [2, 10, 1].map(wrapped).into();
    store.put_wrapped_keys(keys, None).wait().expect("written");
    drop(store);
    let store = open(dir.path()).expect("opened at once, in the same process");
    assert_eq!(store.account("d").expect("read"), Some(account("d")));
    assert_eq!(store.account("e").expect("read"), None);
    assert_eq!(store.sealed(ACCOUNT_KEYS, "d").expect("read"), Some(sealed(1, 1)));
    assert_eq!(store.orders().expect("read"), [order("a")]);
    assert_eq!(store.certificates().expect("read"), [certificate("b", 9)]);
    assert_eq!(store.histories().expect("read"), [history("b", 0)]);
    let ids: Vec<u32> = store.wrapped_keys().expect("read").iter().map(|key| key.id).collect();
    assert_eq!(ids, [1, 2, 10]);
}

fn wrapped(id: u32) -> WrappedKey {
    WrappedKey {
        id,
        master: [7; 8],
        nonce: [8; 12],
        ciphertext: vec![9; 48],
        created_at_s: 1,
        used_max: u64::MAX,
    }
}

#[test]
fn a_record_without_a_new_secret_keeps_the_old_one_and_both_go_together() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    store.put_account(account("d"), Some(sealed(1, 1))).wait().expect("written");
    let known = Account { url: Some("https://ca.example/acct/1".into()), ..account("d") };
    store.put_account(known.clone(), None).wait().expect("written");
    assert_eq!(store.account("d").expect("read"), Some(known));
    assert_eq!(store.sealed(ACCOUNT_KEYS, "d").expect("read"), Some(sealed(1, 1)));
    store.remove_account("d").wait().expect("written");
    assert_eq!(store.account("d").expect("read"), None);
    assert_eq!(store.sealed(ACCOUNT_KEYS, "d").expect("read"), None);
}

#[test]
fn a_certificate_ends_the_order_it_came_from() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    for site in ["a", "b", "c"] {
        store.put_order(order(site), Some(sealed(1, 2))).wait().expect("written");
    }
    store
        .put_certificate(certificate("a", 9), sealed(1, 3), history("a", 0), None)
        .wait()
        .expect("written");
    let imported = Certificate { origin: Origin::Imported, ..certificate("b", 9) };
    store.put_certificate(imported, sealed(1, 4), history("b", 0), None).wait().expect("written");
    store.conclude(None, true, history("c", 3)).wait().expect("written");
    assert_eq!(store.orders().expect("read"), [order("b")], "an import came from no order");
    assert_eq!(store.sealed(ORDER_KEYS, "a").expect("read"), None);
    assert_eq!(store.sealed(ORDER_KEYS, "c").expect("read"), None);
    assert_eq!(store.sealed(CERTIFICATE_KEYS, "a").expect("read"), Some(sealed(1, 3)));
    let failures: Vec<u32> = store.histories().expect("read").iter().map(|h| h.failures).collect();
    assert_eq!(failures, [0, 0, 3]);
}

#[test]
fn a_renewal_window_is_recorded_only_for_the_certificate_it_was_asked_for() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    store
        .put_certificate(certificate("a", 9), sealed(1, 3), history("a", 0), None)
        .wait()
        .expect("written");
    store.put_ari("a", 8, ari(1)).wait().expect("nothing to do");
    store.put_ari("missing", 9, ari(1)).wait().expect("nothing to do");
    assert_eq!(store.certificates().expect("read")[0].ari, None);
    store.put_ari("a", 9, ari(2)).wait().expect("written");
    assert_eq!(store.certificates().expect("read")[0].ari, Some(ari(2)));
}

#[test]
fn orders_placed_more_than_a_week_ago_are_forgotten() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    const DAY_S: i64 = 86_400;
    for at_s in [0, 6 * DAY_S, 3 * DAY_S, 7 * DAY_S + 1] {
        store.order_placed("d", at_s).wait().expect("written");
    }
    store.order_placed("e", 4).wait().expect("written");
    assert_eq!(store.orders_placed("d").expect("read"), [3 * DAY_S, 6 * DAY_S, 7 * DAY_S + 1]);
    assert_eq!(store.orders_placed("e").expect("read"), [4]);
    assert_eq!(store.orders_placed("f").expect("read"), [0; 0]);
}

#[test]
fn a_rotation_finds_every_row_under_an_old_key_page_by_page() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    for n in 0..5_u8 {
        let row = account(&format!("d{n}"));
        let key = sealed(if n == 2 { 2 } else { 1 }, n);
        store.put_account(row, Some(key)).wait().expect("written");
    }
    let mut found = Vec::new();
    while let Ok(page) =
        store.rows_to_reseal(ACCOUNT_KEYS, found.last().map(|row: &Row| row.row.as_str()), 2, 3)
        && !page.is_empty()
    {
        found.extend(page);
    }
    let names: Vec<&str> = found.iter().map(|row| row.row.as_str()).collect();
    assert_eq!(names, ["d0", "d1", "d3", "d4"]);
    assert_eq!(store.rows_to_reseal(ACCOUNT_KEYS, None, 2, 0).expect("read"), []);

    // One was replaced, one removed meanwhile: neither is touched.
    store.put_account(account("d1"), Some(sealed(2, 99))).wait().expect("written");
    store.remove_account("d3").wait().expect("written");
    let rows = found.iter().map(|row| (row.clone(), sealed(2, row.sealed.nonce[0]))).collect();
    assert_eq!(store.reseal(rows).wait().expect("written"), 2);
    assert_eq!(store.sealed(ACCOUNT_KEYS, "d1").expect("read"), Some(sealed(2, 99)));
    assert_eq!(store.sealed(ACCOUNT_KEYS, "d3").expect("read"), None);
    for table in TABLES {
        assert_eq!(store.rows_to_reseal(table, None, 2, 10).expect("read"), []);
    }
    assert!(matches!(store.sealed("orders", "a"), Err(StoreError::Record { .. })));
}

#[test]
fn a_receipt_can_be_awaited() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { store.probe().await }).expect("written");
    let figures = store.figures();
    assert_eq!((figures.commits, figures.rows, figures.failures), (1, 1, 0));
    assert!(figures.file_bytes > 0);
    assert_eq!(store.health(), Health::Writable);
}

#[test]
fn an_attempt_writes_nothing_over_a_certificate_that_it_did_not_start_from() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    let from = store.leaf("a").expect("read");
    let mut imported = certificate("a", 9);
    imported.chain = vec![vec![7; 3]];
    store
        .put_certificate(imported.clone(), sealed(1, 3), history("a", 0), None)
        .wait()
        .expect("written");
    let mut issued = certificate("a", 10);
    issued.chain = vec![vec![8; 3]];
    let late = store.replace_certificate(
        from.clone(),
        issued.clone(),
        sealed(1, 4),
        history("a", 0),
        intent(),
    );
    assert!(!late.wait().expect("answered"));
    assert_eq!(store.outbox().expect("read"), (1, 0), "nothing happened, so nothing is told");
    assert!(!store.conclude(from, true, history("a", 5)).wait().expect("answered"));
    assert_eq!(store.certificates().expect("read"), [imported]);
    assert_eq!(store.histories().expect("read"), [history("a", 0)]);
    let from = store.leaf("a").expect("read");
    assert!(store.conclude(from.clone(), true, history("a", 1)).wait().expect("answered"));
    let next =
        store.replace_certificate(from, issued.clone(), sealed(1, 4), history("a", 0), intent());
    assert!(next.wait().expect("answered"));
    assert_eq!(store.certificates().expect("read"), [issued]);
    assert_eq!(store.intents(9).expect("read"), [(1, intent())]);
}

fn switch(name: &str, mode: Mode, until_s: Option<i64>) -> Switch {
    Switch { name: name.into(), mode, set_by: "alice".into(), set_at_s: 7, until_s }
}

fn switched(name: &str, to: Option<Switch>, action: &str) -> SwitchChange {
    let intent = Intent::new(1, By::system(Source::Control), action).on(name);
    SwitchChange { name: name.into(), to, intent }
}

#[test]
fn a_switch_and_its_record_are_there_after_a_restart_and_several_changes_go_together() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    let queue = switch("queue", Mode::Observe, Some(i64::MAX));
    let other = switch("of_a_later_version", Mode::Off, None);
    let set =
        |switch: &Switch| switched(&switch.name, Some(switch.clone()), action::CAPABILITY_SET);
    let changes = vec![set(&queue), set(&other), set(&switch("queue", Mode::Off, None))];
    store.change_switches(changes.clone()).wait().expect("written");
    drop(store);
    let store = open(dir.path()).expect("opened");
    let (there, refused) = store.readable_switches().expect("read");
    assert_eq!(there, [other.clone(), switch("queue", Mode::Off, None)]);
    assert!(refused.is_empty(), "{refused:?}");
    let told: Vec<Intent> = store.intents(9).expect("read").into_iter().map(|(_, i)| i).collect();
    let intents: Vec<Intent> = changes.into_iter().map(|change| change.intent).collect();
    assert_eq!(told, intents);
    let back = switched("queue", None, action::CAPABILITY_LAPSE);
    store.change_switches(vec![back]).wait().expect("written");
    assert_eq!(store.readable_switches().expect("read").0, [other]);
    assert_eq!(store.outbox().expect("read"), (5, 4));
}

#[test]
fn a_switch_that_cannot_be_written_leaves_neither_a_row_nor_a_record() {
    let dir = folder();
    let store = open(dir.path()).expect("opened");
    let good = switch("queue", Mode::Off, None);
    let long = Switch { set_by: "x".repeat(codec::RECORD_BYTES_MAX), ..good.clone() };
    let set = |switch: Switch| switched("queue", Some(switch), action::CAPABILITY_SET);
    let refused = store.change_switches(vec![set(good), set(long)]).wait();
    assert!(matches!(refused, Err(StoreError::Record { .. })), "{refused:?}");
    assert!(store.readable_switches().expect("read").0.is_empty());
    assert_eq!(store.outbox().expect("read"), (1, 0));
}
