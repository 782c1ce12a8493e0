//! Runtime switches of capabilities: set, taken back, and ended when their time is over.
//!
//! Promises: a switch and its audit record are on disk before it takes effect; it takes effect on the next request, of
//! open connections too, and is kept by reloads and restarts. An end takes effect at its time, whatever the state of the
//! disk, and is written down as soon as that can be. Refuses: a switch that an emergency flag holds, one that nothing
//! obeys, and everything while the state cannot be written.
//! Bounds: [`FOR_S`] seconds; [`LATE_MAX`] changes that wait for the state; a look every [`LOOK`] while one can end.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::StartError;
use super::control::{Daemon, Inner};
use super::state::State;
use crate::base::audit::{By, Intent, Source, action};
use crate::base::timestamp::rfc3339;
use crate::base::{Capability, Mode, Override};
use crate::config::settings::Capabilities;
use crate::ops::api::switches::{CapabilityOverride, SetCapability};
use crate::ops::api::{Attention, CapabilityStatus, Level, Problem};
use crate::ops::{Answer, Caller, Switches};
use crate::store::switches::{Switch, SwitchChange};
use crate::store::{Health, StoreError};
use crate::telemetry::{Level as Severity, Log};

/// How long a switch may be set for, in seconds: up to 30 days.
const FOR_S: RangeInclusive<u64> = 1..=30 * 86_400;
/// Somebody may set the clock: no wait for an end is longer than this.
const LOOK: Duration = Duration::from_secs(2);
/// Ends and refusals that wait for a state that cannot be written.
const LATE_MAX: usize = 100;

/// What orders the changes of switches.
#[derive(Default)]
pub(super) struct Switchboard {
    /// Held by whoever changes a switch, around the write and its effect; `Inner` is locked inside and never around it.
    /// What is not on disk yet.
    late: Mutex<Vec<SwitchChange>>,
    /// Rung when there is another end to wait for.
    changed: Notify,
}

impl Switchboard {
    fn hold(&self) -> MutexGuard<'_, Vec<SwitchChange>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the stored switches into `capabilities`, without those whose time is over.
///
/// # Errors
/// The state cannot be read.
pub(super) fn load(
    state: &State,
    log: &Log,
    capabilities: &mut Capabilities,
    now: Duration,
) -> Result<Switchboard, StartError> {
    let (stored, unreadable) =
        state.store.readable_switches().map_err(|error| StartError::Failed(error.to_string()))?;
    for error in unreadable {
        log.event(Severity::Error, "capability_record_unreadable", |line| {
            line.text("why", &error.to_string())
                .text("next", "it does not count; set it anew: palisade capability set");
        });
    }
    for Switch { name, mode, set_by, set_at_s, until_s } in stored {
        // One that only another version knows stays for that version.
        if let Some(name) = Capability::of_key(&name) {
            capabilities.set_runtime(name, Some(Override { mode, set_by, set_at_s, until_s }));
        }
    }
    let board = Switchboard::default();
    let lapsed = take_lapsed(capabilities, now);
    lapsed.iter().for_each(|lapsed| lapsed.log(log));
    let mut late = board.hold();
    late.extend(lapsed.into_iter().map(|lapsed| lapsed.change));
    write_late(state, &mut late);
    drop(late);
    Ok(board)
}

/// A switch whose time was over.
#[derive(Debug)]
struct Lapsed {
    name: Capability,
    was: Override,
    /// In force now.
    mode: Mode,
    change: SwitchChange,
}

impl Lapsed {
    fn log(&self, log: &Log) {
        log.event(Severity::Info, "capability_lapsed", |line| {
            line.text("capability", self.name.key())
                .text("mode", self.mode.word())
                .text("was", self.was.mode.word())
                .text("set_by", &self.was.set_by);
        });
    }
}

/// Takes the switches back whose time is over by the clock that people read.
fn take_lapsed(capabilities: &mut Capabilities, now: Duration) -> Vec<Lapsed> {
    let by = By::system(Source::Schedule);
    let over = |name: &Capability| {
        capabilities.runtime(*name).is_some_and(|runtime| runtime.has_lapsed(seconds(now)))
    };
    let due: Vec<Capability> = Capability::ALL.into_iter().filter(over).collect();
    let lapsed = due.into_iter().filter_map(|name| {
        let intent = Intent::new(millis(now), by.clone(), action::CAPABILITY_LAPSE).on(name.key());
        let intent = told(intent, capabilities, name, BEFORE);
        let was = capabilities.set_runtime(name, None)?;
        let intent = told(intent, capabilities, name, AFTER);
        let change = SwitchChange { name: name.key().to_owned(), to: None, intent };
        Some(Lapsed { name, was, mode: capabilities.mode(name), change })
    });
    lapsed.collect()
}

/// Until there is something to look at again; `None` where nothing ends by itself.
fn next_look(capabilities: &Capabilities, late: bool, now: Duration) -> Option<Duration> {
    let ends = |name| capabilities.runtime(name)?.until_s;
    let first = Capability::ALL.into_iter().filter_map(ends).min();
    let left = first.map(|until_s| {
        Duration::from_secs(u64::try_from(until_s).unwrap_or(0)).saturating_sub(now)
    });
    left.or(late.then_some(LOOK)).map(|left| left.min(LOOK))
}

type Add = fn(Intent, &str, &str) -> Intent;
const BEFORE: Add = |intent, name, text| intent.before(name, text);
const AFTER: Add = |intent, name, text| intent.after(name, text);

/// Adds what is in force to a record, as it is before or after.
fn told(intent: Intent, capabilities: &Capabilities, name: Capability, add: Add) -> Intent {
    let intent = add(intent, "mode", capabilities.mode(name).word());
    let Some(runtime) = capabilities.runtime(name) else { return intent };
    let intent = add(intent, "set_by", &runtime.set_by);
    match runtime.until_s {
        Some(until_s) => add(intent, "until", &rfc3339(until_s)),
        None => intent,
    }
}

/// Writes what waits, all of it or nothing. Blocks.
fn write_late(state: &State, late: &mut Vec<SwitchChange>) {
    if late.is_empty() || state.store.health() != Health::Writable {
        return;
    }
    if state.store.change_switches(late.clone()).wait().is_ok() {
        late.clear();
    }
}

impl Daemon {
    pub(super) fn capabilities_of(&self, inner: &Inner) -> Vec<CapabilityStatus> {
        let capabilities = &inner.settings.capabilities;
        Capability::ALL.map(|name| shown(capabilities, name, self.now_s())).into()
    }

    /// What is not enforced although this version could, and why.
    pub(super) fn about_switches(&self, inner: &Inner) -> Vec<Attention> {
        let capabilities = &inner.settings.capabilities;
        let held = Capability::ALL.into_iter().filter(|name| {
            // What the file says is what the operator wants.
            name.is_available() && capabilities.mode(*name) != Mode::Enforce
        });
        let held = held.filter_map(|name| {
            let (key, mode) = (name.key(), capabilities.mode(name).word());
            let message = match capabilities.runtime(name) {
                _ if capabilities.flag(name) == Some(false) => {
                    format!("{key} is off because {} is false", name.flag())
                }
                Some(Override { set_by, until_s: Some(until_s), .. }) => {
                    format!("{key} is set to {mode} until {} (by {set_by})", rfc3339(*until_s))
                }
                Some(Override { set_by, .. }) => {
                    format!("{key} is set to {mode} until somebody takes it back (by {set_by})")
                }
                None => return None,
            };
            Some(Attention { level: Level::Warn, message })
        });
        held.collect()
    }

    /// # Errors
    /// Why this is refused, whatever the state of the disk.
    fn permitted(&self, name: Capability, wanted: &SetCapability) -> Result<(), Problem> {
        let key = name.key();
        let bad = |detail: &str| Err(Problem::new(400, "Bad Request", detail));
        match wanted.for_s {
            Some(_) if wanted.mode.is_none() => {
                return bad(
                    "for_s goes with a mode: the configuration counts for as long as it says so",
                );
            }
            Some(for_s) if !FOR_S.contains(&for_s) => {
                return bad("for_s is from one second to 30 days (2592000)");
            }
            _ => {}
        }
        let Some(mode) = wanted.mode else { return Ok(()) };
        let refused = |detail| {
            Err(Problem::new(409, format!("{key} was not set to {}", mode.word()), detail))
        };
        if !name.is_available() {
            return refused(format!(
                "the switch belongs to {}, which this version of palisade does not have: nothing would obey it",
                name.guards()
            ));
        }
        if self.inner().settings.capabilities.flag(name) == Some(false) {
            let flag = name.flag();
            return refused(format!(
                "{flag}=false switches it off, whatever else is set: it stands in the environment that the daemon \
                 was started with\ntake it out there (for a service: systemctl edit palisade) and restart palisade"
            ));
        }
        Ok(())
    }

    /// Writes the switch down and puts it in force. Blocks.
    fn switch(
        &self,
        caller: &Caller,
        name: Capability,
        wanted: &SetCapability,
    ) -> Result<CapabilityStatus, Problem> {
        let mut late = self.switchboard.hold();
        let (now, now_s) = (self.shared.clock.unix(), self.now_s());
        let before = self.inner().settings.capabilities.clone();
        let runtime = wanted.mode.map(|mode| Override {
            mode,
            set_by: caller.name(),
            set_at_s: now_s,
            until_s: wanted.for_s.map(|s| now_s.saturating_add(i64::try_from(s).unwrap_or(0))),
        });
        if runtime.is_none() && before.runtime(name).is_none() {
            return Ok(shown(&before, name, now_s));
        }
        let mut after = before.clone();
        after.set_runtime(name, runtime.clone());
        let key = name.key().to_owned();
        let intent = Intent::new(millis(now), caller.by(), action::CAPABILITY_SET).on(&key);
        let intent = told(intent, &before, name, BEFORE);
        let to = runtime.as_ref().map(|runtime| row(name, runtime));
        let done = told(intent.clone(), &after, name, AFTER);
        let mut changes = late.clone();
        changes.push(SwitchChange { name: key.clone(), to, intent: done });
        if let Err(error) = self.state.store.change_switches(changes).wait() {
            let problem = unwritten(name, &error);
            if late.len() < LATE_MAX {
                // A write that failed may be on disk all the same: what counts is written over it.
                let to = before.runtime(name).map(|runtime| row(name, runtime));
                let intent = intent.refused(&error.to_string());
                late.push(SwitchChange { name: key, to, intent });
            }
            self.switchboard.changed.notify_one();
            return Err(problem);
        }
        late.clear();
        let inner = self.put_in_force(|capabilities| drop(capabilities.set_runtime(name, runtime)));
        let status = shown(&inner.settings.capabilities, name, now_s);
        drop(inner);
        self.switchboard.changed.notify_one();
        self.tell_of_switch(&status, &caller.name());
        Ok(status)
    }

    /// A new policy of the same generation, with the certificates of the old one.
    fn put_in_force(&self, change: impl FnOnce(&mut Capabilities)) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner();
        change(&mut inner.settings.capabilities);
        let policy = self.shared.policy.load_full();
        let policy = policy.with_capabilities(inner.settings.capabilities.clone());
        self.shared.policy.store(Arc::new(policy));
        inner
    }

    fn tell_of_switch(&self, status: &CapabilityStatus, by: &str) {
        let level = if status.mode == Mode::Enforce { Severity::Info } else { Severity::Warn };
        let until = status.runtime.as_ref().and_then(|runtime| runtime.until.as_deref());
        self.shared.log.event(level, "capability_set", |line| {
            line.text("capability", status.name.key()).text("mode", status.mode.word());
            line.text("by", by);
            match (&status.runtime, until) {
                (Some(_), Some(until)) => line.text("until", until),
                (Some(_), None) => line,
                (None, _) => line.text("why", "as configured again"),
            };
        });
        let text = match (&status.runtime, until) {
            (Some(_), Some(until)) => format!("{} until {until}, by {by}", status.mode.word()),
            (Some(_), None) => format!("{}, by {by}", status.mode.word()),
            (None, _) => format!("{} as configured again, by {by}", status.mode.word()),
        };
        self.shared.events.changed("capability", Some(status.name.key().to_owned()), text);
    }

    /// Ends what is over, and writes down what could not be written before. Blocks.
    fn look_at_switches(&self) -> Option<Duration> {
        let mut late = self.switchboard.hold();
        let now = self.shared.clock.unix();
        let due = {
            let inner = self.inner();
            let runtime = |name| inner.settings.capabilities.runtime(name);
            let over = |name| runtime(name).is_some_and(|set| set.has_lapsed(seconds(now)));
            Capability::ALL.into_iter().any(over)
        };
        if due {
            let mut lapsed = Vec::new();
            drop(self.put_in_force(|capabilities| lapsed = take_lapsed(capabilities, now)));
            for lapsed in lapsed {
                lapsed.log(&self.shared.log);
                let text = format!("{} as configured: its time is over", lapsed.mode.word());
                self.shared.events.changed("capability", Some(lapsed.change.name.clone()), text);
                late.push(lapsed.change);
            }
        }
        write_late(&self.state, &mut late);
        next_look(&self.inner().settings.capabilities, !late.is_empty(), now)
    }
}

/// Ends switches at their time until `stop`.
pub(super) async fn watch(daemon: Arc<Daemon>, mut stop: watch::Receiver<bool>) {
    loop {
        let wait = tokio::task::block_in_place(|| daemon.look_at_switches());
        let over = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = daemon.switchboard.changed.notified() => {}
            () = over => {}
        }
    }
    // What waits may be written now; an end that cannot be is made up for at the next start.
    let _ = tokio::task::block_in_place(|| daemon.look_at_switches());
}

impl Switches for Daemon {
    fn capabilities(&self) -> Vec<CapabilityStatus> {
        self.capabilities_of(&self.inner())
    }

    fn set_capability<'a>(
        &'a self,
        caller: &'a Caller,
        name: Capability,
        wanted: SetCapability,
    ) -> Answer<'a, CapabilityStatus> {
        Box::pin(async move {
            let by = caller.by();
            let permitted = self.permitted(name, &wanted);
            self.or_record(permitted, (&by, action::CAPABILITY_SET, name.key())).await?;
            tokio::task::block_in_place(|| self.switch(caller, name, &wanted))
        })
    }
}

fn shown(capabilities: &Capabilities, name: Capability, now_s: i64) -> CapabilityStatus {
    let runtime = capabilities.runtime(name).map(|runtime| CapabilityOverride {
        mode: runtime.mode,
        set_by: runtime.set_by.clone(),
        set_at: rfc3339(runtime.set_at_s),
        until: runtime.until_s.map(rfc3339),
        left_s: runtime.until_s.map(|until_s| until_s.saturating_sub(now_s)),
    });
    CapabilityStatus {
        name,
        mode: capabilities.mode(name),
        configured: capabilities.file_mode(name),
        available: name.is_available(),
        flag: name.flag().to_owned(),
        flag_value: capabilities.flag(name),
        runtime,
    }
}

fn row(name: Capability, runtime: &Override) -> Switch {
    let Override { mode, set_by, set_at_s, until_s } = runtime.clone();
    Switch { name: name.key().to_owned(), mode, set_by, set_at_s, until_s }
}

fn unwritten(name: Capability, error: &StoreError) -> Problem {
    let title = format!("{} was not switched, nothing has changed", name.key());
    let detail = format!(
        "{error}\na switch has to survive a restart; until it can be stored, change [capability] in the file and \
         run palisade reload"
    );
    Problem::new(503, title, detail)
}

fn seconds(unix: Duration) -> i64 {
    i64::try_from(unix.as_secs()).unwrap_or(i64::MAX)
}

fn millis(unix: Duration) -> i64 {
    i64::try_from(unix.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "switches_tests.rs"]
mod tests;
