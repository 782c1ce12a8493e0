//! The command line: argv in, exit code out.
//!
//! Promises: the same exit codes for every verb; everything printed passes through `output`.
//! Refuses: behaviour of its own: each verb asks config, the daemon or the client.

mod args;
mod audit;
mod audit_args;
mod audit_words;
mod capability;
mod capability_args;
mod cert;
mod cert_change;
mod connect;
mod crypto;
mod explain;
mod failure;
mod logs;
mod output;
mod setup;
mod shell;
mod start;
mod status;
mod token;
mod token_args;
mod top;
mod totp;
mod totp_args;
mod trust;
mod words;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::config::Environment;
use args::{CertVerb, Cli, CryptoVerb, Verb};
use audit_args::AuditVerb;
use capability_args::CapabilityVerb;
pub use output::Output;
use token_args::TokenVerb;
use totp_args::TotpVerb;

/// What a command ends with (sysexits.h for 78; systemd does not restart on it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs one command. Call it on the first thread, before any other is started.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> Exit {
    let environment = Environment::new(crate::sys::env::snapshot());
    let out = Output::of(&environment);
    let cli = match Cli::try_parse_from(argv) {
        Ok(cli) => cli,
        Err(error) => return usage(&out, &error),
    };
    let Some(mut verb) = cli.verb else {
        return status::overview(&cli.client, &environment, &out);
    };
    if let Err(why) = verb.take_general(&cli.client) {
        out.complain(format!("error: {why}"));
        return Exit::Usage;
    }
    match verb {
        Verb::Run(args) => start::run(*args, environment, &out),
        Verb::Demo(args) => start::demo(args, environment, &out),
        Verb::Init(args) => setup::init(&args, &out),
        Verb::Check(args) => setup::check(&args, &environment, &out),
        Verb::Reload(args) => status::reload(&args, &environment, &out),
        Verb::Status(args) => status::status(&args, &environment, &out),
        Verb::Top(args) => top::top(&args, &environment, &out),
        Verb::Logs(args) => logs::logs(&args, &environment, &out),
        Verb::Explain(args) => explain::explain(&args, &environment, &out),
        Verb::Cert(group) => match group.verb {
            CertVerb::List(args) => cert::list(&args, &environment, &out),
            CertVerb::Renew(args) => cert_change::renew(&args, &environment, &out),
            CertVerb::Import(args) => cert_change::import(&args, &environment, &out),
            CertVerb::Trust(args) => trust::trust(&args, &environment, &out),
        },
        Verb::Crypto(group) => match group.verb {
            CryptoVerb::Rotate(args) => crypto::rotate(&args, &environment, &out),
        },
        Verb::Audit(group) => match group.verb {
            AuditVerb::Tail(args) => audit::tail(&args, &environment, &out),
            AuditVerb::Search(args) => audit::search(&args, &environment, &out),
            AuditVerb::Verify(args) => audit::verify(&args, &environment, &out),
            AuditVerb::Export(args) => audit::export(&args, &environment, &out),
        },
        Verb::Token(group) => match group.verb {
            TokenVerb::Create(args) => token::create(&args, &environment, &out),
            TokenVerb::List(args) => token::list(&args, &environment, &out),
            TokenVerb::Revoke(args) => token::revoke(&args, &environment, &out),
        },
        Verb::Totp(group) => match group.verb {
            TotpVerb::Enroll(args) => totp::enroll(&args, &environment, &out),
            TotpVerb::Activate(args) => totp::activate(&args, &environment, &out),
            TotpVerb::List(args) => totp::list(&args, &environment, &out),
            TotpVerb::Remove(args) => totp::remove(&args, &environment, &out),
        },
        Verb::Capability(group) => match group.verb {
            CapabilityVerb::List(args) => capability::list(&args, &environment, &out),
            CapabilityVerb::Set(args) => capability::set(&args, &environment, &out),
        },
        Verb::Completions { shell } => shell::completions(shell, &out),
        Verb::Man { verb } => shell::man(&verb, &out),
    }
}

/// Help and version are answers, everything else is a mistake.
fn usage(out: &Output, error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            out.say(text);
            Exit::Done
        }
        _ => {
            out.complain(text);
            Exit::Usage
        }
    }
}

#[cfg(test)]
mod manual_tests;
#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
