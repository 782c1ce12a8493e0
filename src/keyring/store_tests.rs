//! The keyring over the real state file.

use std::path::Path;
use std::time::Duration;

use super::sample::{BY, Counting};
use super::*;
use crate::base::Secret;
use crate::ports::fake::FakeClock;
use crate::store::certs::{Account, Order};
use crate::store::sealed::{ACCOUNT_KEYS, ORDER_KEYS};
use crate::telemetry::Log;

const DIRECTORY: &str = "https://ca.example.com/directory";
const SITE: &str = "app.example.com";

fn clock() -> Arc<FakeClock> {
    Arc::new(FakeClock::at(Duration::from_secs(1_795_292_266)))
}

fn store(dir: &Path) -> Store {
    let log = Log::open(Some(&dir.with_extension("log")), clock()).expect("a log").0;
    Store::open(dir, clock(), log).expect("opened")
}

/// As the daemon starts: the master key, then the keyring.
fn start(
    dir: &Path,
    store: &Store,
    seed: u64,
) -> Result<(Keyring, Option<std::path::PathBuf>), KeyringError> {
    let file = dir.join("master.key");
    let given = std::fs::read(&file)
        .map(|bytes| Secret { bytes: Zeroizing::new(bytes), place: file.display().to_string() });
    let given: Vec<Secret> = given.into_iter().collect();
    let loaded = MasterKey::load(&given, &file, store, &Counting::from(seed))?;
    let entropy = Arc::new(Counting::from(seed + 1));
    let keyring = Keyring::open(store.clone(), loaded.key, None, clock(), entropy)?;
    Ok((keyring, loaded.generated))
}

#[test]
fn secrets_outlive_restarts_and_rotations_in_the_real_state() {
    let parent = tempfile::tempdir().expect("a directory");
    let dir = parent.path().join("state");
    let state = store(&dir);
    let (keyring, generated) = start(&dir, &state, 1).expect("started");
    assert_eq!(generated, Some(dir.join("master.key")));
    let account =
        Account { directory: DIRECTORY.into(), url: None, contact: None, created_at_s: 0 };
    let order = Order {
        site: SITE.into(),
        names: vec![SITE.into()],
        directory: DIRECTORY.into(),
        url: None,
        replaces: None,
        profile: None,
        rehearsal: false,
        created_at_s: 0,
    };
    let sealed = keyring.seal(ACCOUNT_KEYS, DIRECTORY, b"account").expect("sealed");
    state.put_account(account, Some(sealed)).wait().expect("written");
    let sealed = keyring.seal(ORDER_KEYS, SITE, b"order").expect("sealed");
    state.put_order(order, Some(sealed)).wait().expect("written");
    assert_eq!(keyring.rotate(&BY).expect("rotated"), Rotated { key: 2, rows: 2 });
    drop((keyring, state));

    let state = store(&dir);
    let (keyring, generated) = start(&dir, &state, 3).expect("started again");
    assert_eq!(generated, None);
    for (table, row, plain) in [(ACCOUNT_KEYS, DIRECTORY, "account"), (ORDER_KEYS, SITE, "order")] {
        let sealed = state.sealed(table, row).expect("read").expect("there");
        assert_eq!(sealed.key, 2);
        let opened = keyring.unseal(table, row, &sealed).expect("opened");
        assert_eq!(opened.as_slice(), plain.as_bytes());
    }
    drop((keyring, state));

    std::fs::remove_file(dir.join("master.key")).expect("lost");
    let state = store(&dir);
    let error = start(&dir, &state, 5).err().expect("refused").to_string();
    assert!(error.contains("the master key is missing"), "{error}");
    assert!(!dir.join("master.key").exists());
}
