//! A state to keep a local CA in, for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{LocalCa, Vault};
use crate::base::Secret;
use crate::keyring::{Keyring, MasterKey};
use crate::ports::fake::FakeClock;
use crate::ports::system::SystemEntropy;
use crate::store::Store;
use crate::telemetry::Log;

/// 2026-01-01
pub const NOW: i64 = 1_767_225_600;

/// An open state with its keys.
pub struct State {
    pub store: Store,
    pub keyring: Keyring,
    log: Log,
    dir: PathBuf,
}

impl State {
    /// Opens or makes the one in `dir`; its log is beside it.
    pub fn open(dir: &Path) -> Self {
        let clock = Arc::new(FakeClock::at(Duration::from_secs(NOW.unsigned_abs())));
        let log = Log::open(Some(&dir.with_extension("log")), clock.clone()).expect("a log").0;
        let store = Store::open(dir, clock.clone(), log.clone()).expect("opened");
        let bytes = Zeroizing::new(vec![b'a'; 64]);
        let master = MasterKey::parse(&Secret { bytes, place: "the test".into() }).expect("a key");
        let keyring = Keyring::open(store.clone(), master, None, clock, Arc::new(SystemEntropy));
        Self { store, keyring: keyring.expect("opened"), log, dir: dir.to_owned() }
    }

    pub fn vault(&self) -> Vault<'_> {
        let Self { store, keyring, log, dir } = self;
        Vault { store, keyring, log, state_dir: dir }
    }

    /// What was logged so far.
    pub fn logged(&self) -> String {
        self.log.flush();
        std::fs::read_to_string(self.dir.with_extension("log")).expect("a log")
    }
}

/// Makes a CA in `dir`.
pub fn local_ca(dir: &Path) -> LocalCa {
    LocalCa::open(&State::open(dir).vault(), "web-1", NOW).expect("made")
}
