//! From `--socket` or the usual places to an answer of the daemon.

use std::future::Future;
use std::io::IsTerminal;
use std::path::PathBuf;

use serde_json::json;

use super::args::ClientArgs;
use super::output::one_line;
use super::{Exit, Output};
use crate::base::words::skew;
use crate::config::{self, Environment};
use crate::ops::api::Problem;
use crate::ops::{Client, ClientError};

/// The environment's `--totp`.
const TOTP_VARIABLE: &str = "PALISADE_TOTP";

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
            Err(error @ ClientError::Unreachable { .. }) => missed = Some(error),
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
        ClientError::Refused(problem) => {
            out.complain(format!("{}{}", refused(problem), next_step(error)));
        }
        _ => out.complain(format!("error: {error}{}", next_step(error))),
    }
    exit
}

fn exit_code(error: &ClientError, refusal: Exit) -> Exit {
    match error {
        ClientError::Unreachable { .. } | ClientError::Silent { .. } | ClientError::Cut => {
            Exit::Unreachable
        }
        ClientError::Refused(_) => refusal,
        ClientError::Version { .. } | ClientError::Garbled(_) => Exit::Failed,
    }
}

/// What the daemon refused: what, and below it why and what to do.
pub(super) fn refused(problem: &Problem) -> String {
    let mut text = format!("error: {}", one_line(&problem.title));
    for line in problem.detail.iter().flat_map(|detail| detail.lines()) {
        text.push_str("\n  ");
        text.push_str(line.trim_end());
    }
    text
}

fn next_step(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unreachable { .. } => {
            "\n  start one (palisade run, systemctl start palisade) or name its socket: --socket PATH"
        }
        ClientError::Silent { .. } => {
            "\n  look at its log, and at its state: systemctl status palisade"
        }
        ClientError::Cut => {
            "\n  see whether it runs and why it stopped: palisade status, systemctl status palisade\n  \
             what it has done: palisade cert list"
        }
        ClientError::Garbled(_) => "\n  is it palisade that listens on that socket?",
        ClientError::Refused(_) if error.wants_code() => {
            "\n  give one: --totp CODE, or PALISADE_TOTP in the environment; on a terminal it is asked for"
        }
        ClientError::Refused(_) | ClientError::Version { .. } => "",
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
        assert_eq!(code(&ClientError::Cut), Exit::Unreachable);
        assert_eq!(code(&ClientError::Version { theirs: None }), Exit::Failed);
        let refused = ClientError::Refused(Problem::new(422, "No", "no"));
        assert_eq!(code(&refused), Exit::Config);
        assert_eq!(exit_code(&refused, Exit::Failed), Exit::Failed);
    }

    #[test]
    fn a_refusal_shows_what_and_below_it_why_and_no_escape() {
        let problem = Problem::new(404, "There is no site x\x1b", "one\n  two");
        assert_eq!(refused(&problem), "error: There is no site x\n  one\n    two");
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
