//! `totp`: second factors of the daemon.
//!
//! Promises: a secret is shown once, where it was asked for; nothing is removed before it was said what that means.
//! Refuses: enrolling without somebody to type the code, unless `--json` says that a script does it.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::ClientArgs;
use super::connect::{ask, fail, refused, somebody_is_there, tell_as};
use super::output::Page;
use super::totp_args::{TotpActivateArgs, TotpArgs, TotpRemoveArgs};
use super::{Exit, Output};
use crate::config::Environment;
use crate::ops::api::access::{TOTP_WRONG, TotpInfo, TotpSecret};
use crate::ops::api::page::PageQuery;
use crate::ops::{Client, ClientError};
use crate::ports::system::SystemClock;
use crate::sys;
use crate::work::totp::Offline;

/// How often a code may be mistyped before the command ends.
const TRIES: usize = 3;
/// What calls want from now on, or do not want any more.
const WANTED: &str = "what destroys or grants something";

pub(super) fn enroll(args: &TotpArgs, environment: &Environment, out: &Output) -> Exit {
    let (client, name) = (&args.client, args.name.as_str());
    if !client.json && !somebody_is_there() {
        out.complain(
            "error: this shows a secret and asks for a code, and nobody is there to answer\n  \
             in a script: palisade totp enroll NAME --json, then palisade totp activate NAME",
        );
        return Exit::Usage;
    }
    let call = |daemon: Client| async move { daemon.enroll_totp(name).await };
    let begun = match ask(client, environment, call) {
        Ok(begun) => begun,
        Err(error) => return fail(&error, client.json, out),
    };
    if client.json {
        out.json(&begun);
        return Exit::Done;
    }
    out.page(&shown(&begun));
    for left in (0..TRIES).rev() {
        let Some(code) = out.ask("Code that the device shows now:") else { break };
        match activated(client, environment, name, &code) {
            Ok(factor) => {
                out.page(&counts(&factor));
                return Exit::Done;
            }
            Err(ClientError::Refused(problem)) if problem.kind == TOTP_WRONG && left > 0 => {
                out.complain_page(&refused(&problem));
            }
            Err(error) => return fail(&error, false, out),
        }
    }
    out.complain(format!(
        "error: no code was given, {name} does not count\n  within 10 minutes: palisade totp activate {name}"
    ));
    Exit::Failed
}

/// In fours, as people type it.
fn shown(begun: &TotpSecret) -> Page {
    let letters: Vec<char> = begun.secret.chars().collect();
    let fours: Vec<String> = letters.chunks(4).map(|four| four.iter().collect()).collect();
    let mut page = Page::new();
    page.line(format!(
        "Give this to the authenticator app as {}; it is not shown again:",
        begun.name
    ));
    page.line(format!("  secret  {}", fours.join(" ")));
    page.line(format!("  or      {}", begun.uri));
    page
}

fn counts(factor: &TotpInfo) -> Page {
    let mut page = Page::new();
    page.line(format!("{} is active: {WANTED} wants a code from now on", factor.name));
    page.line(
        "  enroll a second device, for when this one is lost; see palisade totp remove --help",
    );
    page
}

pub(super) fn activate(args: &TotpActivateArgs, environment: &Environment, out: &Output) -> Exit {
    let (client, name) = (&args.client, args.name.as_str());
    let code = match &args.code {
        Some(code) => Some(code.clone()),
        None if somebody_is_there() => out.ask("Code that the device shows now:"),
        None => Output::answer(),
    };
    let Some(code) = code else {
        return failed("no code was given\n  palisade totp activate NAME CODE", client.json, out);
    };
    match activated(client, environment, name, &code) {
        Ok(factor) if client.json => out.json(&factor),
        Ok(factor) => out.page(&counts(&factor)),
        Err(error) => return fail(&error, client.json, out),
    }
    Exit::Done
}

fn activated(
    client: &ClientArgs,
    environment: &Environment,
    name: &str,
    code: &str,
) -> Result<TotpInfo, ClientError> {
    ask(client, environment, |daemon| async move { daemon.activate_totp(name, code).await })
}

pub(super) fn list(args: &ClientArgs, environment: &Environment, out: &Output) -> Exit {
    // There are at most 20, fewer than a page holds.
    let call = |daemon: Client| async move { daemon.factors(&PageQuery::default()).await };
    match ask(args, environment, call) {
        Ok(list) if args.json => out.json(&list.items),
        Ok(list) => out.page(&listed(&list.items)),
        Err(error) => return fail(&error, args.json, out),
    }
    Exit::Done
}

fn listed(factors: &[TotpInfo]) -> Page {
    let mut page = Page::new();
    if factors.is_empty() {
        page.line("there is no second factor, and no call wants a code");
        page.line("  palisade totp enroll NAME makes one");
    }
    let width = factors.iter().map(|factor| factor.name.len()).max().unwrap_or_default();
    for factor in factors {
        let used = factor.last_used_at.as_deref().unwrap_or("never");
        page.line(format!(
            "{:<width$}  since {} by {}, last used {used}",
            factor.name, factor.created_at, factor.created_by
        ));
    }
    page
}

pub(super) fn remove(args: &TotpRemoveArgs, environment: &Environment, out: &Output) -> Exit {
    match &args.state {
        Some(dir) => remove_stopped(args, dir, out),
        None => remove_running(args, environment, out),
    }
}

fn remove_running(args: &TotpRemoveArgs, environment: &Environment, out: &Output) -> Exit {
    let (client, name) = (&args.client, args.name.as_str());
    let touches =
        format!("Codes of {name} will not count any more, and what they have elevated ends.");
    if let Err(exit) = agreed(&touches, args, out) {
        return exit;
    }
    let call = |daemon: Client| async move {
        let removed = daemon.remove_totp(name).await?;
        // It is gone already: whatever this answers is no failure.
        Ok((removed, daemon.whoami().await.ok().map(|me| me.totp)))
    };
    match ask(client, environment, call) {
        Ok((factor, wanted)) if client.json => {
            out.json(&json!({ "removed": factor, "totp": wanted }));
        }
        Ok((_, wanted)) => out.say(removed(name, wanted != Some(false))),
        Err(error) => return fail(&error, client.json, out),
    }
    Exit::Done
}

fn remove_stopped(args: &TotpRemoveArgs, dir: &Path, out: &Output) -> Exit {
    let (name, json) = (args.name.as_str(), args.client.json);
    let opened = Offline::open(dir, Arc::new(SystemClock));
    let opened = opened.and_then(|state| state.names().map(|names| (state, names)));
    let (state, names) = match opened {
        Ok(opened) => opened,
        Err(why) => return failed(&why, json, out),
    };
    let last = if names.len() <= 1 { " It is the last one: no call will want a code." } else { "" };
    let touches = format!(
        "The second factor {name} will be removed from {}, without a code.{last}",
        dir.display()
    );
    if let Err(exit) = agreed(&touches, args, out) {
        return exit;
    }
    let uid = rustix::process::getuid().as_raw();
    match state.remove(name, uid, sys::users::name(uid)) {
        Ok(left) if json => out.json(&json!({ "removed": { "name": name }, "totp": left > 0 })),
        Ok(left) => out.say(removed(name, left > 0)),
        Err(why) => return failed(&format!("{why}\n  there are: {}", names.join(", ")), json, out),
    }
    Exit::Done
}

fn removed(name: &str, wanted: bool) -> String {
    let rest = match wanted {
        true => "the others count as before",
        false => "it was the last one: no call wants a code any more",
    };
    format!("{name} was removed; {rest}")
}

/// # Errors
/// Nobody agreed, and what to end with.
fn agreed(touches: &str, args: &TotpRemoveArgs, out: &Output) -> Result<(), Exit> {
    if args.yes {
        return Ok(());
    }
    if args.client.json || !somebody_is_there() {
        out.complain(
            "error: this asks before it removes, and nobody is there to answer\n  add --yes",
        );
        return Err(Exit::Usage);
    }
    out.complain(touches);
    if out.confirm("Remove it?") {
        return Ok(());
    }
    out.complain("nothing was changed");
    Err(Exit::Failed)
}

fn failed(why: &str, json: bool, out: &Output) -> Exit {
    tell_as(why, Exit::Failed, json, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stands_in_fours_beside_its_address() {
        let (secret, uri) = ("GEZDGNBVGY".to_owned(), "otpauth://totp/x".to_owned());
        let text = shown(&TotpSecret { name: "phone".into(), secret, uri }).plain();
        assert!(text.contains("\n  secret  GEZD GNBV GY\n  or      otpauth://totp/x\n"), "{text}");
    }

    #[test]
    fn the_list_says_when_a_code_was_last_used_and_that_there_is_none() {
        let factor = |name: &str, used: Option<&str>| TotpInfo {
            name: name.into(),
            created_at: "2026-11-21T20:17:46Z".into(),
            created_by: "anna".into(),
            last_used_at: used.map(str::to_owned),
        };
        let text = listed(&[factor("a", None), factor("phone", Some("2026-11-22T01:02:03Z"))]);
        assert_eq!(
            text.plain(),
            "a      since 2026-11-21T20:17:46Z by anna, last used never\n\
             phone  since 2026-11-21T20:17:46Z by anna, last used 2026-11-22T01:02:03Z\n"
        );
        assert!(listed(&[]).plain().contains("no call wants a code"));
    }

    #[test]
    fn removing_the_last_one_says_what_that_means() {
        assert!(removed("phone", false).ends_with("no call wants a code any more"));
        assert!(removed("phone", true).ends_with("count as before"));
    }
}
