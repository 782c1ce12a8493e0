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
use crate::ops::api::switches::SetCapability;

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
        page.spans([
            (Tone::Plain, format!("{}  ", column(capability.name.key(), 16))),
            (if weak { Tone::Warn } else { Tone::Plain }, mode),
            (
                Tone::Plain,
                format!("  {}  {}", column(capability.configured.word(), 10), decider(capability)),
            ),
        ]);
    }
    page
}

/// `set by alice until 2026-11-21T20:17:46Z, in 29 min; since 2026-…`
fn decider(capability: &CapabilityStatus) -> String {
    let mut text = capability.decided_by();
    let counts = capability.available && capability.flag_value != Some(false);
    if let Some(runtime) = capability.runtime.as_ref().filter(|_| counts) {
        if let Some(left_s) = runtime.left_s {
            text.push_str(&format!(", in {}", soon(left_s)));
        }
        text.push_str(&format!("; since {}", runtime.set_at));
    }
    text
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
    if let Some(mode @ (Mode::Off | Mode::Observe)) = *mode {
        if !client.json {
            out.complain(warning(*name, mode));
        }
        if !yes {
            if client.json || !std::io::stdin().is_terminal() {
                out.complain("error: this asks before it makes palisade less strict, and nobody is there to answer\n  add --yes");
                return Exit::Usage;
            }
            if !out.confirm(&format!("Set {} to {}?", name.key(), mode.word())) {
                out.complain("nothing was changed");
                return Exit::Failed;
            }
        }
    }
    let wanted = SetCapability { mode: *mode, for_s: lasts.map(|lasts| lasts.0.as_secs()) };
    let wanted = &wanted;
    let call = |daemon: Client| async move { daemon.set_capability(name.key(), wanted).await };
    match ask(client, environment, call) {
        Ok(status) if client.json => out.json(&status),
        Ok(status) => out.page(&done(&status)),
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
    page.line(format!("{key}: {mode}, {}", decider(status)));
    let runtime = status.runtime.as_ref();
    if runtime.is_some_and(|runtime| runtime.until.is_none()) {
        page.line(format!("  until it is taken back: palisade capability set {key} configured"));
    }
    page
}

#[cfg(test)]
#[path = "capability_tests.rs"]
mod tests;
