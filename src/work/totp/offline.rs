//! Removing a factor without a code, for whoever has lost every device: by the state itself, with the daemon stopped.
//!
//! Promises: a state that a daemon has open is not touched; none is made where there is none; the audit log is told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::audit::{Actor, By, Intent, Source, action};
use crate::ports::Clock;
use crate::store::{CORE_FILE, Store};
use crate::telemetry::Log;
use crate::telemetry::log::Writer;

/// A state that is held open; no daemon can start meanwhile.
pub struct Offline {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Writes what nobody reads; the store wants to tell somebody of its troubles, and its errors tell them here.
    _log: Writer,
}

impl Offline {
    /// # Errors
    /// There is no state, or it is in use: what and the next step.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let file: PathBuf = dir.join(CORE_FILE);
        match std::fs::metadata(&file) {
            Ok(found) if found.is_file() => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let file = file.display();
                return Err(format!("{file}: permission denied\n  run the command as root"));
            }
            Ok(_) | Err(_) => {
                return Err(format!(
                    "there is no state {}\n  name the state directory of the daemon: --state DIR (`state_dir`)",
                    file.display()
                ));
            }
        }
        let log = Log::open(Some(Path::new("/dev/null")), Arc::clone(&clock));
        let (log, writer) = log.map_err(|error| format!("/dev/null: {error}"))?;
        let store = Store::open(dir, Arc::clone(&clock), log).map_err(|error| error.to_string())?;
        Ok(Self { store, clock, _log: writer })
    }

    /// # Errors
    /// The state cannot be read.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let (factors, _) = self.store.readable_factors().map_err(|error| error.to_string())?;
        Ok(factors.into_iter().map(|factor| factor.name).collect())
    }

    /// Removes a factor on behalf of a user of this machine; answers how many are left.
    ///
    /// # Errors
    /// There is none of the name, or the state cannot be written.
    pub fn remove(&self, name: &str, uid: u32, user: Option<String>) -> Result<u64, String> {
        let at_ms = i64::try_from(self.clock.unix().as_millis()).unwrap_or(i64::MAX);
        let (actor, source) = (Actor::Uid { uid, user }, Source::Process);
        let by = By { actor, source, request_id: None, confirmed: None };
        let intent = Intent::new(at_ms, by, action::TOTP_REMOVE).on(name);
        let removed = self.store.remove_factor(name, intent).wait();
        if !removed.map_err(|error| error.to_string())? {
            return Err(format!("there is no second factor {name:?}"));
        }
        self.store.factor_count().map_err(|error| error.to_string())
    }
}
