//! Second factors at the doors: what is asked of them, what is written down of it, and what others are told.

use super::control::Daemon;
use crate::base::audit::action;
use crate::ops::api::Problem;
use crate::ops::api::access::{Elevated, TotpInfo, TotpSecret};
use crate::ops::{Caller, Proof};
use crate::telemetry::Level;
use crate::work::certs;
use crate::work::totp::{Factors, Refused};

/// What watchers are told of.
const WHAT: &str = "totp";

impl Daemon {
    pub(super) fn confirm_now(
        &self,
        caller: &Caller,
        call: &'static str,
        proof: &Proof,
    ) -> Result<String, Problem> {
        self.factor_work(caller, call, |factors| match proof {
            // What the call changes names the factor; the code has no record of its own.
            Proof::Code(code) => factors.confirm(code, |_| None),
            Proof::Elevation(elevation) => factors.elevated(&caller.by(), elevation),
        })
    }

    pub(super) fn enroll_now(&self, caller: &Caller, name: &str) -> Result<TotpSecret, Problem> {
        let host = certs::hostname();
        self.factor_work(caller, "enroll_totp", |all| all.enroll(&caller.by(), name, &host))
    }

    pub(super) fn activate_now(
        &self,
        caller: &Caller,
        name: &str,
        code: &str,
    ) -> Result<TotpInfo, Problem> {
        let (by, creator) = (caller.by(), caller.name());
        let factor = self.factor_work(caller, "activate_totp", |factors| {
            factors.activate(&by, &creator, name, code)
        })?;
        self.shared.log.event(Level::Info, "second_factor_enrolled", |line| {
            line.text("name", name).text("by", &creator);
        });
        let text = format!("second factor {name} is active: what destroys or grants wants a code");
        self.shared.events.changed(WHAT, Some(name.to_owned()), text);
        Ok(factor)
    }

    pub(super) fn remove_factor_now(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<TotpInfo, Problem> {
        let by = caller.by();
        let factor =
            self.factor_work(caller, "remove_totp", |factors| factors.remove(&by, name))?;
        let wanted = self.state.factors.wanted();
        self.shared.log.event(Level::Warn, "second_factor_removed", |line| {
            line.text("name", name).text("by", &caller.name());
            if !wanted {
                line.text("next", "no call wants a code any more: palisade totp enroll NAME");
            }
        });
        let left = if wanted { "" } else { "; no call wants a code any more" };
        let text = format!("second factor {name} was removed{left}");
        self.shared.events.changed(WHAT, Some(name.to_owned()), text);
        Ok(factor)
    }

    pub(super) fn elevate_now(&self, caller: &Caller, code: &str) -> Result<Elevated, Problem> {
        let by = caller.by();
        self.factor_work(caller, "elevate", |factors| factors.elevate(&by, code))
    }

    /// Waits for the disk, and for whoever has a code looked at. A guess is written down; how many there are is bounded
    /// by how many are looked at.
    fn factor_work<T>(
        &self,
        caller: &Caller,
        call: &'static str,
        work: impl FnOnce(&Factors) -> Result<T, Refused>,
    ) -> Result<T, Problem> {
        tokio::task::block_in_place(|| {
            work(&self.state.factors).map_err(|refused| {
                let problem = refused.problem();
                if refused.is_guess() {
                    self.record_guess(caller, call, &problem);
                }
                problem
            })
        })
    }

    fn record_guess(&self, caller: &Caller, call: &'static str, problem: &Problem) {
        self.shared.log.event(Level::Warn, "second_factor_refused", |line| {
            line.text("call", call).text("by", &caller.name()).text("why", &problem.title).text(
                "next",
                "if nobody of yours mistyped a code, somebody has a login or a token of yours: palisade audit search --action access",
            );
        });
        let intent = self.state.audit.intent(&caller.by(), action::ACCESS_REFUSED);
        self.state.audit.record(intent.on(call).refused(&problem.title));
    }
}
