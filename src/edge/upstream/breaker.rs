//! When an upstream that fails is left alone, and who may ask it whether it is back.
//!
//! Promises: while all is well a request costs a load; of all workers exactly one request is the probe of a pause.
//! Refuses to judge what an answer says: any answer is a sign of life. Bounds: pauses, by [`Breaker::OPEN_MAX`].
//!
//! Pure but for the atomic: the time, milliseconds of one clock of all workers, and the chance are handed in.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::settings::Breaker;

/// The state of one upstream, for all workers.
#[derive(Debug, Default)]
pub struct Switch(AtomicU64);

/// What a switch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Requests pass. So many have failed in a row.
    Closed { failures: u32 },
    /// Requests stay away until then, when one may be the probe.
    Open { until_ms: u64, pauses: u8, how: Failing, probing: bool },
}

/// How the last failure was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// Refused or broken off: trying costs nobody any time.
    Quick,
    /// A deadline has passed: trying costs a visitor's patience.
    Slow,
}

/// Why a request is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    Usual,
    /// It finds out for all others.
    Probe,
    /// Nobody else was there to ask.
    Anyway,
}

/// Settings in the unit of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub failures: u32,
    pub open_ms: u64,
}

impl From<&Breaker> for Rules {
    fn from(settings: &Breaker) -> Self {
        Self { failures: settings.failures, open_ms: millis(settings.open) }
    }
}

impl Rules {
    /// The pause after so many others: each twice as long as the one before. `chance` shortens all but the first by up
    /// to a fifth, so that what failed at the same moment is not asked at the same moment for ever.
    fn pause_ms(self, pauses: u8, chance: u32) -> u64 {
        let factor = 1_u64.checked_shl(u32::from(pauses)).unwrap_or(u64::MAX);
        let pause = self.open_ms.saturating_mul(factor).min(millis(Breaker::OPEN_MAX)).max(1);
        if pauses == 0 { pause } else { pause - pause / 5 * u64::from(chance % 1000) / 1000 }
    }
}

impl State {
    /// A request has failed.
    #[must_use]
    pub fn failed(self, pass: Pass, how: Failing, now_ms: u64, rules: Rules, chance: u32) -> Self {
        match (self, pass) {
            (Self::Closed { failures }, _) if failures.saturating_add(1) < rules.failures => {
                Self::Closed { failures: failures + 1 }
            }
            (Self::Closed { .. }, _) => {
                let until_ms = now_ms.saturating_add(rules.pause_ms(0, chance));
                Self::Open { until_ms, pauses: 0, how, probing: false }
            }
            // It began before: what it says is known.
            (Self::Open { .. }, Pass::Usual) => self,
            (Self::Open { until_ms, pauses, probing, .. }, Pass::Anyway) => {
                Self::Open { until_ms, pauses, how, probing }
            }
            // Another probe has said so already.
            (Self::Open { probing: false, .. }, Pass::Probe) => self,
            (Self::Open { pauses, .. }, Pass::Probe) => {
                let pauses = pauses.saturating_add(1);
                let until_ms = now_ms.saturating_add(rules.pause_ms(pauses, chance));
                Self::Open { until_ms, pauses, how, probing: false }
            }
        }
    }

    /// Open, and the pause is over: the state in which this request is the probe. Another one follows after the same
    /// pause if this one has not been answered by then: whoever asks for something slow must not hold the place of all.
    #[must_use]
    pub fn probed(self, now_ms: u64, rules: Rules, chance: u32) -> Option<Self> {
        let Self::Open { until_ms, pauses, how, .. } = self else { return None };
        if now_ms < until_ms {
            return None;
        }
        let until_ms = now_ms.saturating_add(rules.pause_ms(pauses, chance));
        Some(Self::Open { until_ms, pauses, how, probing: true })
    }

    /// The probe has ended without an answer and without a failure: the next request is the probe.
    #[must_use]
    pub const fn unprobed(self) -> Self {
        match self {
            Self::Open { pauses, how, probing: true, .. } => {
                Self::Open { until_ms: 0, pauses, how, probing: false }
            }
            other => other,
        }
    }

    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }

    fn pack(self) -> u64 {
        match self {
            Self::Closed { failures } => u64::from(failures),
            Self::Open { until_ms, pauses, how, probing } => {
                let flag = |set: bool, bit: u32| u64::from(set) << bit;
                flag(true, OPEN)
                    | flag(probing, PROBING)
                    | flag(how == Failing::Slow, SLOW)
                    | (u64::from(pauses) << PAUSES)
                    | until_ms.min(TIME)
            }
        }
    }

    const fn unpack(bits: u64) -> Self {
        if bits >> OPEN == 0 {
            #[expect(clippy::cast_possible_truncation, reason = "only a u32 was packed")]
            return Self::Closed { failures: bits as u32 };
        }
        let how = if bits >> SLOW & 1 == 1 { Failing::Slow } else { Failing::Quick };
        let pauses = (bits >> PAUSES & 0xff) as u8;
        Self::Open { until_ms: bits & TIME, pauses, how, probing: bits >> PROBING & 1 == 1 }
    }
}

const OPEN: u32 = 63;
const PROBING: u32 = 62;
const SLOW: u32 = 61;
const PAUSES: u32 = 48;
/// Nine thousand years of milliseconds.
const TIME: u64 = (1 << PAUSES) - 1;

impl Switch {
    pub fn state(&self) -> State {
        State::unpack(self.0.load(Ordering::Relaxed))
    }

    /// A request has failed. True if that opened it.
    pub fn failed(&self, pass: Pass, how: Failing, now_ms: u64, rules: Rules, chance: u32) -> bool {
        let next = |state: State| Some(state.failed(pass, how, now_ms, rules, chance));
        self.update(next).is_some_and(|(before, after)| !before.is_open() && after.is_open())
    }

    /// A request was answered. True if that closed it.
    pub fn answered(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0 && self.reset()
    }

    /// Forgets everything. True if it was open.
    pub fn reset(&self) -> bool {
        State::unpack(self.0.swap(0, Ordering::Relaxed)).is_open()
    }

    /// Whether this request is the probe.
    pub fn probe(&self, now_ms: u64, rules: Rules, chance: impl Fn() -> u32) -> bool {
        match self.state() {
            State::Open { until_ms, .. } if until_ms <= now_ms => {
                let chance = chance();
                self.update(|state| state.probed(now_ms, rules, chance)).is_some()
            }
            _ => false,
        }
    }

    pub fn unprobed(&self) {
        self.update(|state| Some(state.unprobed()));
    }

    /// The state before and after; `None` if `next` wants no change.
    fn update(&self, next: impl Fn(State) -> Option<State>) -> Option<(State, State)> {
        let change = |bits| next(State::unpack(bits)).map(State::pack);
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).ok()?;
        let before = State::unpack(before);
        Some((before, next(before)?))
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(TIME)
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
