//! Second factors (TOTP, RFC 6238): devices whose codes confirm what destroys or grants something.
//!
//! Promises: a code works once, also across a restart and under a clock that is set back: its step is on disk before
//! the call that it confirms goes on (57); a secret is sealed, and told once, to whoever enrolls it.
//! Refuses: every code of somebody for a while, once too many in a row were wrong; what was given an elevation goes on.
//! Bounds: 20 factors; 5 wrong codes in 5 minutes of each caller, 30 of all; 8 enrolments and 64 elevations of 10 minutes, in memory.

pub mod core;
mod elevation;
mod offline;
mod pending;
mod refused;
#[cfg(test)]
mod tests;
mod throttle;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use self::core::{base32, is_code, is_name, step_of, uri};
use self::elevation::{Elevations, Who};
pub use self::offline::Offline;
use self::pending::{Pending, Waiting};
pub use self::refused::Refused;
use self::throttle::Throttle;
use crate::base::audit::{By, Intent, action};
use crate::base::timestamp::rfc3339;
use crate::keyring::Keyring;
use crate::ops::api::access::{Elevated, TotpInfo, TotpSecret};
use crate::ports::{Clock, Entropy};
use crate::store::Store;
use crate::store::sealed::TOTP_KEYS;
use crate::store::totp::{Added, Factor, Used};
use crate::telemetry::{Level, Log};

/// What second factors are kept with.
pub struct Parts {
    pub store: Store,
    pub keyring: Arc<Keyring>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub log: Log,
}

/// The second factors of a daemon. What writes blocks: not inside a task, unless that may wait. Nothing of it can be
/// left half done by a caller who goes away.
pub struct Factors {
    parts: Parts,
    /// Held while a code is looked at, through its commit: of two calls with one code the second sees the first.
    desk: Mutex<Desk>,
    /// By itself, so that an elevation works while a code waits for the disk.
    elevations: Mutex<Elevations>,
}

#[derive(Default)]
struct Desk {
    throttle: Throttle,
    waiting: Waiting,
}

impl Factors {
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, desk: Mutex::default(), elevations: Mutex::default() }
    }

    /// Whether calls want a code. Where that cannot be read, they do.
    #[must_use]
    pub fn wanted(&self) -> bool {
        !matches!(self.parts.store.factor_count(), Ok(0))
    }

    /// By name; one whose record cannot be read is left out, and the log says so.
    #[must_use]
    pub fn list(&self) -> Vec<TotpInfo> {
        let (factors, refused) = self.parts.store.readable_factors().unwrap_or_default();
        for error in refused {
            self.unreadable(&error.to_string());
        }
        factors.iter().map(info).collect()
    }

    /// Begins a factor. `host` stands beside its name in the app.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn enroll(&self, by: &By, name: &str, host: &str) -> Result<TotpSecret, Refused> {
        if !is_name(name) {
            return Err(Refused::Name);
        }
        if self.is_factor(name) {
            return Err(Refused::Taken);
        }
        let mut secret = Zeroizing::new([0; core::SECRET_BYTES]);
        self.random(&mut *secret)?;
        let text = base32(&*secret);
        let uri = uri(name, host, &text);
        let now = self.parts.clock.now();
        let (confirmed, ends) = (by.confirmed.clone(), now + pending::LASTS);
        let pending = Pending { name: name.to_owned(), secret, confirmed, ends };
        let mut desk = held(&self.desk);
        self.confirmed_still(by)?;
        desk.waiting.add(pending, now);
        Ok(TotpSecret { name: name.to_owned(), secret: text, uri })
    }

    /// Makes a factor count, by a code of it, which is used up; `creator` is who it is for people.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn activate(
        &self,
        by: &By,
        creator: &str,
        name: &str,
        code: &str,
    ) -> Result<TotpInfo, Refused> {
        well_formed(code)?;
        let mut desk = held(&self.desk);
        let now = self.parts.clock.now();
        let pending = desk.waiting.get(name, now);
        let pending = pending.ok_or_else(|| Refused::NotBegun { name: name.to_owned() })?;
        let who = look(&mut desk.throttle, by, now)?;
        let Some(step) = step_of(&*pending.secret, code, self.now_s().unsigned_abs()) else {
            desk.throttle.wrong(&who, now);
            return Err(Refused::Wrong);
        };
        let sealed = self.parts.keyring.seal(TOTP_KEYS, name, &*pending.secret);
        let sealed = sealed.map_err(|error| Refused::Unable { why: error.to_string() })?;
        let factor = Factor {
            name: name.to_owned(),
            created_at_s: self.now_s(),
            created_by: creator.to_owned(),
            last_step: step,
            last_used_at_s: self.now_s(),
        };
        let first = pending.confirmed.is_none();
        let by = By { confirmed: pending.confirmed, ..by.clone() };
        self.confirmed_still(&by)?;
        let intent = self.intent(by, action::TOTP_ENROLL).on(name);
        match self.parts.store.add_factor(factor.clone(), sealed, first, intent).wait()? {
            Added::Done => {}
            Added::Taken => return Err(Refused::Taken),
            Added::Full => return Err(Refused::Full),
            Added::NotFirst => return Err(Refused::NotFirst),
        }
        desk.throttle.right(&who);
        desk.waiting.activated(name);
        Ok(info(&factor))
    }

    /// Uses a code up, of whichever factor; answers its name. `intent` is what the audit log is to say of that, if
    /// anything.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn confirm(
        &self,
        by: &By,
        code: &str,
        intent: impl Fn(&str) -> Option<Intent>,
    ) -> Result<String, Refused> {
        well_formed(code)?;
        let mut desk = held(&self.desk);
        let now = self.parts.clock.now();
        let who = look(&mut desk.throttle, by, now)?;
        let mut refused = Refused::Wrong;
        for (name, step) in self.matching(code)? {
            let used = self.parts.store.use_step(&name, step, self.now_s(), intent(&name));
            match used.wait()? {
                Used::Done => {
                    desk.throttle.right(&who);
                    return Ok(name);
                }
                Used::Before => refused = Refused::UsedBefore,
                Used::Gone => {}
            }
        }
        desk.throttle.wrong(&who, now);
        Err(refused)
    }

    /// Gives for a code what stands for one for a while.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn elevate(&self, by: &By, code: &str) -> Result<Elevated, Refused> {
        if !self.wanted() {
            return Err(Refused::NoFactor);
        }
        // Before the code is used up: without randomness it is not.
        let mut secret = Zeroizing::new([0; elevation::SECRET_BYTES]);
        self.random(&mut *secret)?;
        let expires_in_s = elevation::LASTS.as_secs();
        let confirmed = self.confirm(by, code, |factor| {
            let by = By { confirmed: Some(factor.to_owned()), ..by.clone() };
            let intent = self.intent(by, action::TOTP_ELEVATE).on(factor);
            Some(intent.after("ends_in_s", i64::try_from(expires_in_s).unwrap_or(i64::MAX)))
        })?;
        let now = self.parts.clock.now();
        let elevation = held(&self.elevations).add(by, &confirmed, &secret, now);
        let elevation = elevation.ok_or(Refused::NotElevated)?;
        // Removed since its code was used up, by somebody who found no elevation of it to end.
        if !self.is_factor(&confirmed) {
            held(&self.elevations).end(&confirmed);
            return Err(Refused::NotElevated);
        }
        Ok(Elevated { elevation, confirmed, expires_in_s })
    }

    /// The factor behind an elevation.
    ///
    /// # Errors
    /// It has ended, or is somebody else's.
    pub fn elevated(&self, by: &By, elevation: &str) -> Result<String, Refused> {
        let elevations = held(&self.elevations);
        let factor = elevations.factor(by, elevation, self.parts.clock.now());
        factor.map(str::to_owned).ok_or(Refused::NotElevated)
    }

    /// Removes a factor, and ends the elevations that it gave and the enrolments that it confirmed.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn remove(&self, by: &By, name: &str) -> Result<TotpInfo, Refused> {
        let unknown = || Refused::Unknown { name: name.to_owned() };
        let mut desk = held(&self.desk);
        let found = self.list().into_iter().find(|factor| factor.name == name);
        let found = found.ok_or_else(unknown)?;
        let intent = self.intent(by.clone(), action::TOTP_REMOVE).on(name);
        if !self.parts.store.remove_factor(name, intent).wait()? {
            return Err(unknown());
        }
        held(&self.elevations).end(name);
        desk.waiting.removed(name, self.wanted());
        Ok(found)
    }

    /// # Errors
    /// The factor that confirmed the call is gone by now.
    fn confirmed_still(&self, by: &By) -> Result<(), Refused> {
        let gone = by.confirmed.as_deref().is_some_and(|factor| !self.is_factor(factor));
        if gone { Err(Refused::Void) } else { Ok(()) }
    }

    fn is_factor(&self, name: &str) -> bool {
        self.list().iter().any(|factor| factor.name == name)
    }

    /// Every factor that has this code now, with the step that it is of.
    fn matching(&self, code: &str) -> Result<Vec<(String, u64)>, Refused> {
        let (factors, refused) = self.parts.store.readable_factors()?;
        let now_s = self.now_s().unsigned_abs();
        let mut why = refused.into_iter().map(|error| error.to_string()).collect::<Vec<_>>();
        let (mut looked, mut found) = (0, Vec::new());
        for Factor { name, .. } in factors {
            match self.secret(&name) {
                // No early end: how long it takes does not tell which factor it was.
                Ok(secret) => {
                    looked += 1;
                    found.extend(step_of(&secret, code, now_s).map(|step| (name, step)));
                }
                Err(error) => why.push(error),
            }
        }
        why.iter().for_each(|why| self.unreadable(why));
        match why.into_iter().next() {
            Some(why) if looked == 0 => Err(Refused::Unreadable { why }),
            _ => Ok(found),
        }
    }

    fn secret(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, String> {
        let sealed = self.parts.store.sealed(TOTP_KEYS, name).map_err(|error| error.to_string())?;
        let sealed = sealed.ok_or_else(|| format!("the secret of {name} is missing"))?;
        self.parts.keyring.unseal(TOTP_KEYS, name, &sealed).map_err(|error| error.to_string())
    }

    fn unreadable(&self, why: &str) {
        self.parts.log.event(Level::Error, "second_factor_unreadable", |line| {
            line.text("why", why).text(
                "next",
                "remove it and enroll it again; without another one: palisade totp remove NAME --state DIR, with the daemon stopped",
            );
        });
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Refused> {
        let filled = self.parts.entropy.fill(bytes);
        filled.map_err(|error| Refused::Unable { why: format!("no randomness: {error}") })
    }

    fn intent(&self, by: By, action: &str) -> Intent {
        let at_ms = i64::try_from(self.parts.clock.unix().as_millis()).unwrap_or(i64::MAX);
        Intent::new(at_ms, by, action)
    }

    fn now_s(&self) -> i64 {
        i64::try_from(self.parts.clock.unix().as_secs()).unwrap_or(i64::MAX)
    }
}

/// What is no code is told so, and costs nobody a guess.
fn well_formed(code: &str) -> Result<(), Refused> {
    if is_code(code) { Ok(()) } else { Err(Refused::NoCode) }
}

/// Whose guess it would be, if a code of theirs is looked at now.
fn look(throttle: &mut Throttle, by: &By, now: tokio::time::Instant) -> Result<Who, Refused> {
    let who = Who::of(by).ok_or(Refused::NotElevated)?;
    let wait = |wait: std::time::Duration| Refused::TooMany { wait_s: wait.as_secs() + 1 };
    throttle.look(&who, is_own(&who), now).map_err(wait)?;
    Ok(who)
}

/// Root, and whoever palisade runs as, are not kept waiting by others.
fn is_own(who: &Who) -> bool {
    matches!(who, Who::User(uid) if *uid == 0 || *uid == rustix::process::geteuid().as_raw())
}

fn info(factor: &Factor) -> TotpInfo {
    TotpInfo {
        name: factor.name.clone(),
        created_at: rfc3339(factor.created_at_s),
        created_by: factor.created_by.clone(),
        last_used_at: Some(rfc3339(factor.last_used_at_s)),
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
