//! From `--socket` or the usual places to an answer of the daemon.

use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;

use serde_json::json;

use super::args::ClientArgs;
use super::output::{Page, Tone, one_line};
use super::{Exit, Output};
use crate::base::words::skew;
use crate::config::{self, Environment};
use crate::ops::api::{API_VERSION, Problem};
use crate::ops::{Client, ClientError};

/// The environment's `--totp`.
const TOTP_VARIABLE: &str = "PALISADE_TOTP";

/// How far what belongs to an error stands in.
const HANG: usize = 2;

/// Asks the daemon at `--socket`, or the first one that answers where daemons usually listen. Where it wants a code of a
/// second factor, none was given and somebody is there, that is asked for and the call made once more.
pub(super) fn ask<T, F>(
    args: &ClientArgs,
    environment: &Environment,
    call: impl Fn(Client) -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let paths = match &args.socket {
        Some(path) => vec![path.clone()],
        None => config::default_control_paths(environment),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ClientError::Garbled(format!("no runtime: {error}")))?;
    let out = Output::of(environment);
    let given = args.totp.as_deref().or_else(|| environment.get(TOTP_VARIABLE));
    let given = given.filter(|code| !code.is_empty());
    let (mut answer, theirs) = runtime.block_on(first(&paths, given, &call));
    if let Some(theirs) = theirs {
        tell_skew(args, &theirs, &out);
    }
    if let Err(error) = &answer
        && error.wants_code()
        && given.is_none()
        && somebody_is_there()
        && let Some(code) = out.ask("Code of your second factor:")
    {
        answer = runtime.block_on(first(&paths, Some(&code), &call)).0;
    }
    answer
}

/// Whether a question would be seen and could be answered.
pub(super) fn somebody_is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Says once per command, to people, that the daemon is another version.
pub(super) fn tell_skew(args: &ClientArgs, theirs: &str, out: &Output) {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours || args.json || args.skew_told.replace(true) {
        return;
    }
    out.complain(format!("note: {}", skew(theirs, ours, "command")));
}

/// The answer, and which palisade gave it.
async fn first<T, F>(
    paths: &[PathBuf],
    code: Option<&str>,
    call: impl Fn(Client) -> F,
) -> (Result<T, ClientError>, Option<String>)
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut missed: Option<ClientError> = None;
    for path in paths {
        let client = Client::unix(path);
        let client = if let Some(code) = code { client.with_code(code) } else { client };
        match call(client.clone()).await {
            // A socket that is there and may not be used says more than one that is not there.
            Err(error @ ClientError::Unreachable { .. }) if !path.exists() => {
                missed = missed.or(Some(error));
            }
            Err(error @ (ClientError::Unreachable { .. } | ClientError::NotPermitted { .. })) => {
                missed = Some(error);
            }
            answer => return (answer, client.daemon_version().map(str::to_owned)),
        }
    }
    let missed = missed.unwrap_or_else(|| ClientError::Unreachable {
        path: PathBuf::from("(no path)"),
        why: "name its control socket with --socket PATH".into(),
    });
    (Err(missed), None)
}

/// Tells why there is no answer and with which code to end.
pub(super) fn fail(error: &ClientError, json: bool, out: &Output) -> Exit {
    fail_as(error, Exit::Failed, json, out)
}

/// The same where a refusal by the daemon has a code of its own.
pub(super) fn fail_as(error: &ClientError, refusal: Exit, json: bool, out: &Output) -> Exit {
    let exit = exit_code(error, refusal);
    match error {
        _ if json => out.json(&error_json(error, exit)),
        // The problem names the header fields that others send; here there are options.
        ClientError::Refused(problem) if error.wants_code() => {
            tell(&format!("{}{}", problem.title, next_step(error)), out);
        }
        ClientError::Refused(problem) => out.complain_page(&refused(problem)),
        _ => tell(&format!("{error}{}", next_step(error)), out),
    }
    exit
}

fn exit_code(error: &ClientError, refusal: Exit) -> Exit {
    match error {
        ClientError::Unreachable { .. }
        | ClientError::NotPermitted { .. }
        | ClientError::Silent { .. }
        | ClientError::Cut { .. } => Exit::Unreachable,
        ClientError::Refused(_) => refusal,
        ClientError::Version { .. } | ClientError::Garbled(_) => Exit::Failed,
    }
}

/// What the daemon refused: what, and below it why and what to do.
pub(super) fn refused(problem: &Problem) -> Page {
    let mut page = Page::new();
    said(&mut page, 0, &format!("error: {}", one_line(&problem.title)));
    for line in problem.detail.iter().flat_map(|detail| detail.lines()) {
        said(&mut page, HANG, line);
    }
    page
}

/// An error whose first line says what, and whose other lines, indented, say what to do.
pub(super) fn tell(text: &str, out: &Output) {
    let mut page = Page::new();
    for (at, line) in text.lines().enumerate() {
        let line = if at == 0 { format!("error: {line}") } else { line.to_owned() };
        said(&mut page, 0, &line);
    }
    out.complain_page(&page);
}

/// The same for people, or as `{"error": "…", "hint": "…", "exit_code": 1}`.
pub(super) fn tell_as(text: &str, exit: Exit, json: bool, out: &Output) -> Exit {
    if json {
        let (error, hint) = text.split_once('\n').unwrap_or((text, ""));
        let hint = hint.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        let hint = Some(hint).filter(|hint| !hint.is_empty());
        out.json(&json!({ "error": error, "hint": hint, "exit_code": exit as u8 }));
    } else {
        tell(text, out);
    }
    exit
}

/// A line that breaks at words on a terminal, its rest as far in as what belongs to an error stands.
fn said(page: &mut Page, indent: usize, line: &str) {
    let line = line.trim_end();
    let inner = line.len() - line.trim_start().len();
    let hang = (indent + inner).max(HANG);
    page.broken(hang, [(Tone::Plain, format!("{}{line}", " ".repeat(indent)))]);
}

fn next_step(error: &ClientError) -> &'static str {
    match error {
        ClientError::NotPermitted { .. } => {
            "\n  run the command as root, or as a member of the group palisade (usermod -aG palisade USER, then log in again)\n  \
             the group gets the socket when the daemon starts: if it was made later, restart palisade"
        }
        ClientError::Unreachable { .. } => {
            "\n  start one (palisade run, systemctl start palisade) or name its socket: --socket PATH"
        }
        ClientError::Silent { .. } => {
            "\n  look at its log, and at its state: systemctl status palisade"
        }
        ClientError::Cut { changes: true } => {
            "\n  see whether it runs and why it stopped: palisade status, systemctl status palisade\n  \
             what it has done: palisade audit tail, palisade cert list"
        }
        ClientError::Cut { changes: false } => {
            "\n  see whether it runs and why it stopped: palisade status, systemctl status palisade"
        }
        ClientError::Version { theirs } => version_step(theirs.as_deref()),
        ClientError::Garbled(_) => "\n  is it palisade that listens on that socket?",
        ClientError::Refused(_) if error.wants_code() => {
            "\n  this wants a code of a second factor: --totp CODE, or PALISADE_TOTP in the environment; on a terminal it \
             is asked for"
        }
        ClientError::Refused(_) => "",
    }
}

/// What to do about a daemon of another API.
fn version_step(theirs: Option<&str>) -> &'static str {
    let number = |text: &str| text.parse::<u64>().ok();
    match (theirs.and_then(number), number(API_VERSION)) {
        (Some(theirs), Some(ours)) if theirs > ours => {
            "\n  the daemon is the newer one: use the palisade that it was started from, or update this one"
        }
        (Some(_), Some(_)) => {
            "\n  the daemon is the older one: restart it with this palisade (systemctl restart palisade), or use the \
             palisade that it was started from"
        }
        _ => "\n  is it palisade that listens on that socket?",
    }
}

/// `{"error": "…", "exit_code": 3}`; where the daemon sent a problem document, its title, and the document beside it.
fn error_json(error: &ClientError, exit: Exit) -> serde_json::Value {
    let (text, problem) = match error {
        ClientError::Refused(problem) => (problem.title.clone(), Some(problem)),
        _ => (error.to_string(), None),
    };
    json!({ "error": text, "exit_code": exit as u8, "problem": problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> ClientError {
        ClientError::Unreachable {
            path: "/run/p.sock".into(),
            why: "there is no such socket".into(),
        }
    }

    #[test]
    fn each_fault_has_its_exit_code() {
        let code = |error: &ClientError| exit_code(error, Exit::Config);
        assert_eq!(code(&unreachable()), Exit::Unreachable);
        let silent = ClientError::Silent { path: "/run/p.sock".into(), after_s: 10 };
        assert_eq!(code(&silent), Exit::Unreachable);
        assert_eq!(code(&ClientError::Cut { changes: false }), Exit::Unreachable);
        assert_eq!(code(&ClientError::Version { theirs: None }), Exit::Failed);
        let refused = ClientError::Refused(Problem::new(422, "No", "no"));
        assert_eq!(code(&refused), Exit::Config);
        assert_eq!(exit_code(&refused, Exit::Failed), Exit::Failed);
    }

    #[test]
    fn a_refusal_shows_what_and_below_it_why_and_no_escape() {
        let problem = Problem::new(404, "There is no site x\x1b", "one\n  two");
        assert_eq!(refused(&problem).plain(), "error: There is no site x␛\n  one\n    two\n");
    }

    #[test]
    fn a_socket_that_may_not_be_used_is_no_daemon_to_start() {
        let denied = ClientError::NotPermitted { path: "/run/p.sock".into() };
        assert_eq!(exit_code(&denied, Exit::Failed), Exit::Unreachable);
        let step = next_step(&denied);
        assert!(!step.contains("palisade run") && step.contains("usermod"), "{step}");
        assert!(step.contains("restart palisade"), "{step}");
        let json = error_json(&denied, Exit::Unreachable);
        assert_eq!(
            json["error"],
            "the control socket /run/p.sock may not be used: permission denied"
        );
    }

    #[test]
    fn only_a_call_that_changes_something_leaves_something_to_look_for() {
        assert!(next_step(&ClientError::Cut { changes: true }).contains("what it has done"));
        assert!(!next_step(&ClientError::Cut { changes: false }).contains("what it has done"));
    }

    #[test]
    fn a_code_that_is_missing_is_asked_for_by_option_and_not_by_header() {
        let kind = crate::ops::api::access::TOTP_REQUIRED.to_owned();
        let problem = Problem { kind, ..Problem::new(403, "A code is needed", "palisade-totp") };
        let step = next_step(&ClientError::Refused(problem));
        assert!(step.contains("--totp CODE, or PALISADE_TOTP"), "{step}");
    }

    #[test]
    fn a_fault_in_json_has_text_and_code() {
        let json = error_json(&unreachable(), Exit::Unreachable);
        assert_eq!(json["error"], "no palisade answers at /run/p.sock: there is no such socket");
        assert_eq!(json["exit_code"], 3);
        assert!(json["problem"].is_null());
    }

    #[test]
    fn a_refusal_in_json_says_its_detail_once() {
        let refused = ClientError::Refused(Problem::new(422, "No", "line 1\nline 2"));
        let json = error_json(&refused, Exit::Config);
        assert_eq!(json["error"], "No");
        assert_eq!(json["problem"]["detail"], "line 1\nline 2");
    }
}
