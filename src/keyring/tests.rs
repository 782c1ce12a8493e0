//! Promise 48: what opens, what does not, what is counted, and what a cut leaves behind.

use proptest::prelude::*;

use super::sample::{BY, Cut, Memory, all_readable, fill, open, text};
use super::*;
use crate::store::sealed::{ACCOUNT_KEYS, CERTIFICATE_KEYS, ORDER_KEYS, TABLES};

const ROW: &str = "app.example.com";

fn opened(memory: &Memory, seed: u64) -> Keyring {
    open(memory, 'a', None, seed).expect("opened")
}

#[test]
fn what_is_sealed_opens_also_after_a_restart() {
    let memory = Memory::default();
    let sealed = opened(&memory, 1).seal(ORDER_KEYS, ROW, b"secret").expect("sealed");
    assert!(!sealed.ciphertext.windows(6).any(|window| window == b"secret"));
    let plain = opened(&memory, 2).unseal(ORDER_KEYS, ROW, &sealed).expect("opened");
    assert_eq!(plain.as_slice(), b"secret");
}

#[test]
fn a_swapped_ciphertext_does_not_open() {
    let memory = Memory::default();
    let keyring = opened(&memory, 1);
    let sealed = keyring.seal(CERTIFICATE_KEYS, ROW, b"secret").expect("sealed");
    keyring.rotate(&BY).expect("rotated");
    assert!(keyring.unseal(CERTIFICATE_KEYS, ROW, &sealed).is_ok());
    let elsewhere = [
        (ORDER_KEYS, ROW, sealed.key),
        (CERTIFICATE_KEYS, "app.example.co", sealed.key),
        (CERTIFICATE_KEYS, "", sealed.key),
        (CERTIFICATE_KEYS, ROW, 2),
        (CERTIFICATE_KEYS, ROW, 3),
        (CERTIFICATE_KEYS, ROW, 0),
    ];
    for (table, row, key) in elsewhere {
        let moved = Sealed { key, ..sealed.clone() };
        let error = keyring.unseal(table, row, &moved).expect_err("refused");
        assert!(matches!(error, KeyringError::Unopened { .. }), "{error}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn a_swapped_data_key_does_not_open() {
    let memory = Memory::default();
    opened(&memory, 1).rotate(&BY).expect("rotated");
    let before = memory.disk().keys.clone();
    let swap = |memory: &Memory| {
        let mut disk = memory.disk();
        let (one, two) = (disk.keys[&1].clone(), disk.keys[&2].clone());
        disk.keys.insert(1, WrappedKey { id: 1, ..two });
        disk.keys.insert(2, WrappedKey { id: 2, ..one });
    };
    swap(&memory);
    let error = open(&memory, 'a', None, 2).err().expect("refused");
    assert!(matches!(error, KeyringError::KeyDamaged { .. }), "{error}");
    swap(&memory);
    assert_eq!(memory.disk().keys, before, "nothing was written");
    assert!(open(&memory, 'a', None, 3).is_ok());
}

#[test]
fn a_wrong_master_key_is_refused_by_fingerprint_and_nothing_is_written() {
    let memory = Memory::default();
    drop(opened(&memory, 1));
    let snapshot = || {
        let disk = memory.disk();
        (disk.keys.clone(), disk.writes)
    };
    let before = snapshot();
    for (with, previous) in [('b', None), ('b', Some('c'))] {
        let error = open(&memory, with, previous, 2).err().expect("refused").to_string();
        let (given, wanted) = (sample::master('b'), sample::master('a'));
        assert!(error.contains(&master_shown(&given)), "{error}");
        assert!(error.contains(&master_shown(&wanted)), "{error}");
        assert!(error.contains("data key 1") && error.contains("nothing was changed"), "{error}");
        assert!(!error.contains("bbbbbbbb") && !error.contains("aaaaaaaa"), "{error}");
    }
    assert_eq!(snapshot(), before);
}

fn master_shown(master: &MasterKey) -> String {
    super::master::shown(master.fingerprint())
}

#[test]
fn a_changed_master_key_wraps_every_data_key_anew_in_one_write() {
    let memory = Memory::default();
    let keyring = opened(&memory, 1);
    fill(&keyring, &memory, 2);
    keyring.rotate(&BY).expect("rotated");
    drop(keyring);
    let writes = memory.disk().writes;
    let keyring = open(&memory, 'b', Some('a'), 2).expect("opened");
    assert_eq!((keyring.rewrapped(), memory.disk().writes), (2, writes + 1));
    all_readable(&keyring, &memory);
    drop(keyring);
    let again = open(&memory, 'b', Some('a'), 3).expect("the old one may stay in the file");
    assert_eq!((again.rewrapped(), memory.disk().writes), (0, writes + 1));
    assert_eq!(
        all_readable(&open(&memory, 'b', None, 4).expect("opened"), &memory),
        2 * TABLES.len()
    );
    assert!(open(&memory, 'a', None, 5).is_err(), "the old one opens nothing any more");
}

#[test]
fn every_data_key_that_a_wrong_master_key_leaves_closed_is_named() {
    let memory = Memory::default();
    let keyring = opened(&memory, 1);
    keyring.rotate(&BY).expect("rotated");
    keyring.rotate(&BY).expect("rotated");
    drop(keyring);
    let error = open(&memory, 'b', None, 2).err().expect("refused").to_string();
    assert!(error.contains("the one that data keys 1, 2 and 3 are wrapped with"), "{error}");
    // Two master keys at work: that of the newest data key is the one to find.
    drop(open(&memory, 'b', Some('a'), 3).expect("changed"));
    let older = memory.disk().keys[&3].clone();
    drop(open(&memory, 'c', Some('b'), 4).expect("changed"));
    memory.disk().keys.insert(3, older);
    let error = open(&memory, 'd', None, 5).err().expect("refused").to_string();
    assert!(error.contains("the one that data key 3 is wrapped with"), "{error}");
}

#[test]
fn a_change_of_the_master_key_that_is_cut_can_be_done_again() {
    for cut in [Cut::Before, Cut::After] {
        let memory = Memory::default();
        let keyring = opened(&memory, 1);
        fill(&keyring, &memory, 1);
        keyring.rotate(&BY).expect("rotated");
        memory.disk().left = Some((1, cut));
        assert!(open(&memory, 'b', Some('a'), 2).is_err());
        let keyring = open(&memory.reopened(), 'b', Some('a'), 3).expect("opened");
        all_readable(&keyring, &memory);
    }
}

#[test]
fn encryptions_are_counted_ahead_and_never_counted_twice() {
    let memory = Memory::default();
    let used_max = || memory.disk().keys[&1].used_max;
    let keyring = opened(&memory, 1);
    for _ in 0..BLOCK {
        keyring.count_one().expect("counted");
    }
    assert_eq!((used_max(), memory.disk().writes), (BLOCK, 1), "the first block came with the key");
    keyring.count_one().expect("counted");
    assert_eq!(used_max(), 2 * BLOCK);
    drop(keyring);
    let keyring = opened(&memory, 2);
    assert_eq!(used_max(), 2 * BLOCK, "opening counts nothing");
    keyring.count_one().expect("counted");
    assert_eq!(used_max(), 3 * BLOCK, "what was counted ahead is not used again");
}

#[test]
fn a_count_that_cannot_be_written_seals_nothing() {
    let memory = Memory::default();
    drop(opened(&memory, 1));
    let keyring = opened(&memory, 2);
    memory.disk().left = Some((0, Cut::Before));
    assert!(matches!(keyring.seal(ORDER_KEYS, ROW, b"x"), Err(KeyringError::Store(_))));
    memory.disk().left = None;
    assert!(keyring.seal(ORDER_KEYS, ROW, b"x").is_ok());
}

#[test]
fn a_used_up_key_seals_nothing_until_it_is_rotated_and_still_opens() {
    let memory = Memory::default();
    let sealed = opened(&memory, 1).seal(ORDER_KEYS, ROW, b"old").expect("sealed");
    let edit = |used_max| memory.disk().keys.get_mut(&1).expect("there").used_max = used_max;
    edit(ENCRYPTIONS_MAX - BLOCK);
    let keyring = opened(&memory, 2);
    for _ in 0..BLOCK {
        keyring.count_one().expect("the last block");
    }
    let error = keyring.seal(ORDER_KEYS, ROW, b"x").expect_err("refused").to_string();
    assert!(error.contains("data key 1") && error.contains("palisade crypto rotate"), "{error}");
    assert_eq!(keyring.unseal(ORDER_KEYS, ROW, &sealed).expect("opened").as_slice(), b"old");
    keyring.rotate(&BY).expect("rotated");
    assert_eq!(keyring.seal(ORDER_KEYS, ROW, b"x").expect("sealed").key, 2);
}

#[test]
fn a_rotation_reseals_every_row_and_keeps_the_old_key() {
    let memory = Memory::default();
    let keyring = opened(&memory, 1);
    fill(&keyring, &memory, 300);
    assert_eq!(
        keyring.rotate(&BY).expect("rotated"),
        Rotated { key: 2, rows: 300 * TABLES.len() as u64 }
    );
    assert!(memory.disk().rows.values().all(|sealed| sealed.key == 2));
    assert_eq!(memory.disk().keys.keys().copied().collect::<Vec<_>>(), [1, 2]);
    drop(keyring);
    assert_eq!(all_readable(&opened(&memory, 2), &memory), 300 * TABLES.len());
}

#[test]
fn a_row_that_does_not_open_stops_no_other() {
    let memory = Memory::default();
    let keyring = opened(&memory, 1);
    fill(&keyring, &memory, 3);
    let broken = (TABLES[0], "site-0001.example.com".to_owned());
    memory.disk().rows.get_mut(&broken).expect("there").ciphertext[0] ^= 1;
    let error = keyring.rotate(&BY).expect_err("told").to_string();
    assert!(error.contains("site-0001.example.com") && error.contains(TABLES[0]), "{error}");
    memory.disk().rows.remove(&broken);
    assert!(memory.disk().rows.values().all(|sealed| sealed.key == 2));
    assert_eq!(all_readable(&keyring, &memory), 3 * TABLES.len() - 1);
}

#[test]
fn a_row_sealed_before_and_written_behind_the_rotation_is_found() {
    let memory = Memory::default();
    let keyring = opened(&memory, 1);
    let row = (TABLES[0], "late.example.com".to_owned());
    let late = keyring.seal(row.0, &row.1, text(row.0, &row.1).as_bytes()).expect("sealed");
    fill(&keyring, &memory, 3);
    memory.disk().meanwhile = Some((row.clone(), late));
    assert_eq!(keyring.rotate(&BY).expect("rotated").rows, 3 * TABLES.len() as u64 + 1);
    assert_eq!(memory.disk().rows[&row].key, 2);
    assert_eq!(all_readable(&keyring, &memory), 3 * TABLES.len() + 1);
}

#[test]
fn two_rotations_and_new_rows_at_once_are_safe() {
    let memory = Memory::default();
    let keyring = opened(&memory, 1);
    fill(&keyring, &memory, 40);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| keyring.rotate(&BY).expect("rotated").key);
        let two = scope.spawn(|| keyring.rotate(&BY).expect("rotated").key);
        for number in 0..200 {
            let row = format!("new-{number:03}.example.com");
            let sealed = keyring.seal(ACCOUNT_KEYS, &row, text(ACCOUNT_KEYS, &row).as_bytes());
            memory.disk().rows.insert((ACCOUNT_KEYS, row), sealed.expect("sealed"));
        }
        let mut keys = [one.join().expect("no panic"), two.join().expect("no panic")];
        keys.sort_unstable();
        assert_eq!(keys, [2, 3]);
    });
    assert_eq!(all_readable(&keyring, &memory), 40 * TABLES.len() + 200);
    drop(keyring);
    assert_eq!(all_readable(&opened(&memory, 2), &memory), 40 * TABLES.len() + 200);
}

#[test]
fn printing_a_key_shows_nothing_of_it() {
    let master = sample::master('a');
    let shown = format!("{master:?}");
    assert!(shown.contains(&master_shown(&master)) && !shown.contains("aaaa"), "{shown}");
    assert!(!shown.contains("170"), "0xaa in decimal: {shown}");
}

fn cases() -> u32 {
    if std::env::var_os("PALISADE_SOAK").is_some() { 2000 } else { 64 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_rotation_cut_anywhere_leaves_every_row_readable_and_a_second_finishes(
        rows in 0_usize..25,
        cut_after in 0_usize..16,
        before: bool,
    ) {
        let cut = if before { Cut::Before } else { Cut::After };
        let memory = Memory::default();
        let keyring = opened(&memory, 1);
        fill(&keyring, &memory, rows);
        memory.disk().left = Some((cut_after, cut));
        let first = keyring.rotate(&BY);
        // Both the process that was cut off and the one after it can read everything.
        all_readable(&keyring, &memory);
        drop(keyring);
        let keyring = opened(&memory.reopened(), 2);
        all_readable(&keyring, &memory);
        let second = keyring.rotate(&BY).expect("finished");
        prop_assert!(first.is_err() || first.is_ok_and(|first| first.key < second.key));
        prop_assert!(memory.disk().rows.values().all(|sealed| sealed.key == second.key));
        // Promise 50: a key and the word about it are there together.
        prop_assert_eq!(memory.disk().intents.len(), memory.disk().keys.len() - 1);
        prop_assert_eq!(all_readable(&keyring, &memory), rows * TABLES.len());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found(plaintext: Vec<u8>, at: prop::sample::Index) {
        let memory = Memory::default();
        let keyring = opened(&memory, 1);
        let sealed = keyring.seal(ORDER_KEYS, ROW, &plaintext).expect("sealed");
        let bits = (sealed.nonce.len() + sealed.ciphertext.len()) * 8;
        let bit = at.index(bits);
        let mut flipped = sealed.clone();
        let byte = flipped.nonce.iter_mut().chain(&mut flipped.ciphertext).nth(bit / 8);
        *byte.expect("inside") ^= 1 << (bit % 8);
        prop_assert!(keyring.unseal(ORDER_KEYS, ROW, &flipped).is_err());
        let opened = keyring.unseal(ORDER_KEYS, ROW, &sealed).expect("opened");
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
    }

    #[test]
    fn a_ciphertext_opens_in_its_own_place_only(
        row in "[a-z.]{0,12}", other in "[a-z.]{0,12}", table in 0_usize..3, another in 0_usize..3,
    ) {
        let memory = Memory::default();
        let keyring = opened(&memory, 1);
        let sealed = keyring.seal(TABLES[table], &row, b"secret").expect("sealed");
        let opens = keyring.unseal(TABLES[another], &other, &sealed).is_ok();
        prop_assert_eq!(opens, row == other && table == another);
    }
}
