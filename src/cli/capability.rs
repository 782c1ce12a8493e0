//! `capability`: what is enforced, and switching it while palisade runs.
//!
//! Promises: says what a weaker mode means and asks, unless told `--yes`; what makes stricter never asks.

use std::io::IsTerminal;

use super::args::ClientArgs;
use super::capability_args::{CapabilitySetArgs, Wanted};
use super::connect::{ask, fail};
use super::output::{Page, Tone};
use super::words::{column, soon};
use super::{Exit, Output};
use crate::base::{Capability, Mode};
use crate::config::Environment;
use crate::ops::Client;
use crate::ops::api::CapabilityStatus;
use crate::ops::api::switches::{CapabilityOverride, SetCapability};

/// Where the last column begins.
const DECIDED_AT: usize = 40;

pub(super) fn list(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    match ask(args, environment, |client| async move { client.capabilities().await }) {
        Ok(all) if args.json => out.json(&all),
        Ok(mut all) => {
            all.sort_by_key(|capability| capability.name.index());
            out.page(&table(&all));
        }
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

fn table(all: &[CapabilityStatus]) -> Page {
    let mut page = Page::new();
    page.line("CAPABILITY        IN FORCE  CONFIGURED  DECIDED BY");
    for capability in all {
        let mode = column(capability.mode.word(), 8);
        let weak = capability.available && capability.mode != Mode::Enforce;
        let configured = column(capability.configured.word(), 10);
        page.broken(
            DECIDED_AT,
            [
                (Tone::Plain, format!("{}  ", column(capability.name.key(), 16))),
                (if weak { Tone::Warn } else { Tone::Plain }, mode),
                (Tone::Plain, format!("  {configured}  {}", decider(capability))),
            ],
        );
        if let Some(times) = times(capability) {
            page.broken(6, [(Tone::Plain, format!("    {times}"))]);
        }
    }
    page
}

/// The switch that decides, if one does.
fn deciding(capability: &CapabilityStatus) -> Option<&CapabilityOverride> {
    let counts = capability.available && capability.flag_value != Some(false);
    capability.runtime.as_ref().filter(|_| counts)
}

/// `set by alice`; when is another line, for the two fill more than one.
fn decider(capability: &CapabilityStatus) -> String {
    match deciding(capability) {
        Some(CapabilityOverride { set_by, .. }) => format!("set by {set_by}"),
        None => capability.decided_by(),
    }
}

/// `until 2026-11-21T20:17:46Z, in 29 min; since 2026-…`
fn times(capability: &CapabilityStatus) -> Option<String> {
    let CapabilityOverride { set_at, until, left_s, .. } = deciding(capability)?;
    let left = left_s.map(|left_s| format!(", in {}", soon(left_s))).unwrap_or_default();
    Some(match until {
        Some(until) => format!("until {until}{left}; since {set_at}"),
        None => format!("since {set_at}"),
    })
}

pub(super) fn set(args: &CapabilitySetArgs, environment: &Environment, out: &Output) -> Exit {
    let CapabilitySetArgs { client, name, mode: Wanted(mode), lasts, yes } = args;
    if mode.is_none() && lasts.is_some() {
        out.complain(
            "error: --for does not go with `configured`: the file counts for as long as it says so\n  \
             leave --for away",
        );
        return Exit::Usage;
    }
    if let (Some(mode @ (Mode::Off | Mode::Observe)), false) = (*mode, *yes) {
        if client.json || !std::io::stdin().is_terminal() {
            out.complain("error: this asks before it makes palisade less strict, and nobody is there to answer\n  add --yes");
            return Exit::Usage;
        }
        out.complain(warning(*name, mode));
        if !out.confirm(&format!("Set {} to {}?", name.key(), mode.word())) {
            out.complain("nothing was changed");
            return Exit::Failed;
        }
    }
    let wanted = SetCapability { mode: *mode, for_s: lasts.map(|lasts| lasts.0.as_secs()) };
    let wanted = &wanted;
    let call = |daemon: Client| async move { daemon.set_capability(name.key(), wanted).await };
    match ask(client, environment, call) {
        Ok(status) if client.json => out.json(&status),
        Ok(status) => {
            out.page(&done(&status));
            // Whoever was asked has read it already.
            if let Some(mode @ (Mode::Off | Mode::Observe)) = mode.filter(|_| *yes) {
                out.complain(warning(*name, mode));
            }
        }
        Err(error) => return fail(&error, client.json, out),
    }
    Exit::Done
}

/// What a weaker mode means.
fn warning(name: Capability, mode: Mode) -> String {
    let (key, guards) = (name.key(), name.guards());
    match mode {
        Mode::Off => format!("{key} off: nothing is looked at; palisade goes without {guards}"),
        Mode::Observe | Mode::Enforce => {
            format!("{key} observe: findings are counted, and nothing is done about them")
        }
    }
}

fn done(status: &CapabilityStatus) -> Page {
    let mut page = Page::new();
    let (key, mode) = (status.name.key(), status.mode.word());
    let decider = match deciding(status) {
        None if status.available && status.flag_value != Some(false) => {
            "from the configuration".into()
        }
        _ => decider(status),
    };
    page.line(format!("{key}: {mode} ({decider})"));
    if let Some(times) = times(status) {
        page.line(format!("  {times}"));
    }
    let runtime = status.runtime.as_ref();
    if runtime.is_some_and(|runtime| runtime.until.is_none()) {
        page.line(format!("  until it is taken back: palisade capability set {key} configured"));
    }
    page
}

#[cfg(test)]
#[path = "capability_tests.rs"]
mod tests;
