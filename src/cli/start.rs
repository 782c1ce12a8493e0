//! `run` and `demo`: the verbs that become the daemon.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::args::{DEFAULT_CONFIG, DemoArgs, RunArgs};
use super::{Exit, Output};
use crate::config::{self, Environment};
use crate::daemon::{self, Source, Start, StartError};
use crate::demo;
use crate::ops::api::{CertificateState, Status};

/// Serves until it is told to stop.
pub(super) fn run(args: RunArgs, environment: Environment, out: &Output) -> Exit {
    let file = args.config.clone();
    let source = match args.flags() {
        Some(flags) => Source::Flags(Box::new(flags)),
        None => Source::File(file.unwrap_or_else(|| PathBuf::from(DEFAULT_CONFIG))),
    };
    let usual = config::default_control_paths(&environment);
    let out = *out;
    let announce = std::io::stderr().is_terminal().then(|| {
        let say = move |status: &Status, notes: &[String]| {
            out.complain(announcement(status, notes, &usual));
        };
        Box::new(say) as daemon::Announce
    });
    end(daemon::run(Start { source, environment, announce }), &out)
}

/// The daemon with the built-in app.
pub(super) fn demo(args: DemoArgs, environment: Environment, out: &Output) -> Exit {
    let DemoArgs { https, http, state } = args;
    let screen = *out;
    let print = Box::new(move |text: &str| screen.say(text));
    match demo::run(demo::Options { https, http, state, print }, environment) {
        Ok(()) => Exit::Done,
        Err(demo::Error::Daemon(error)) => end(Err(error), out),
        Err(error) => end(Err(StartError::Failed(error.to_string())), out),
    }
}

fn end(outcome: Result<(), StartError>, out: &Output) -> Exit {
    match outcome {
        Ok(()) => Exit::Done,
        Err(StartError::Config(report)) => {
            out.complain(report.to_string());
            Exit::Config
        }
        Err(StartError::Failed(message)) => {
            out.complain(format!("error: {message}"));
            Exit::Failed
        }
    }
}

/// What a person who started it in a terminal wants to know; logs have the same for everyone else.
fn announcement(status: &Status, notes: &[String], usual: &[PathBuf]) -> String {
    let mut sites: Vec<String> = status.sites.iter().map(|site| site.name.clone()).collect();
    match status.sites_total.saturating_sub(sites.len()) {
        0 => {}
        more => sites.push(format!("{more} more")),
    }
    let addresses = |role: &str| {
        let of_role = status.listeners.iter().filter(|listener| listener.role == role);
        of_role.map(|listener| listener.address.as_str()).collect::<Vec<_>>().join(", ")
    };
    let control = addresses("control");
    let socket = if usual.iter().any(|path| path.as_os_str() == control.as_str()) {
        String::new()
    } else {
        format!(" --socket {control}")
    };
    let certificates = status.sites.iter().map(|site| &site.certificate);
    let lacking = certificates.filter(|info| info.state != CertificateState::Served);
    let lacking = lacking.map(|info| match info.source.as_str() {
        "imported" => format!("\n  note    {0} waits for: palisade cert import {0}", info.site),
        _ => {
            let doing = info.activity.as_deref().unwrap_or("is being ordered");
            format!("\n  note    certificate for {}: {doing}", info.site)
        }
    });
    let notes = notes.iter().map(|note| format!("\n  note    {note}"));
    let notes: String = lacking.chain(notes).collect();
    format!(
        "palisade {} serves {}\n  https   {}\n  http    {}\n  ops     http://{}/health\n  look    palisade status{socket}\n  stop    Ctrl-C{notes}",
        status.version,
        sites.join(", "),
        addresses("https"),
        addresses("http"),
        addresses("ops"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::sample;

    #[test]
    fn the_announcement_names_sites_addresses_and_the_next_command() {
        let text =
            announcement(&sample::status(), &[], &[PathBuf::from("/run/palisade/control.sock")]);
        assert_eq!(
            text,
            "palisade 0.1.0 serves app.example.com, shop.example.com\n  https   [::]:443\n  http    [::]:80\n  ops     http://127.0.0.1:9180/health\n  look    palisade status\n  stop    Ctrl-C"
        );
        let text = announcement(&sample::status(), &["made a key".to_owned()], &[]);
        assert!(text.ends_with("\n  note    made a key"), "{text}");
        assert!(text.contains("palisade status --socket /run/palisade/control.sock"));
    }
}
