//! `cert renew` and `cert import`: what changes the certificate of one site.
//!
//! Promises: the outcome of an attempt is waited for and told in the CA's own words; a private key that others can
//! read is refused before it is sent anywhere.
//! Bounds: certificates and keys of 1 MiB each.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::args::{ImportArgs, RenewArgs};
use super::connect::{ask, fail, refused, tell_as};
use super::output::Page;
use super::words::expiry;
use super::{Exit, Output, failure};
use crate::base::{Host, SecretRef};
use crate::config::{Environment, resolve_secret};
use crate::ops::api::{CertificateInfo, CertificateState, ImportCertificate};
use crate::ops::{Client, ClientError};
use crate::work::certs::{self, CertError};

/// How often the daemon is asked what it is doing while an attempt is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const CERT_BYTES_MAX: u64 = 1024 * 1024;
/// The attempt failed (`Control::renew_certificate`).
const BAD_GATEWAY: u16 = 502;

pub(super) fn renew(args: &RenewArgs, environment: &Environment, out: &Output) -> Exit {
    let client = &args.client;
    let progress = (!client.json).then_some(*out);
    let call = |daemon: Client| attempt(daemon, args.name.clone(), progress);
    let outcome = ask(client, environment, call);
    if let Some(out) = progress {
        out.progress_end();
    }
    match outcome {
        Ok(info) if client.json => out.json(&info),
        Ok(info) => out.page(&done(&info)),
        Err(ClientError::Refused(problem)) if problem.status == BAD_GATEWAY && !client.json => {
            // The daemon knows more about the failure than fits into a problem document.
            let list =
                ask(client, environment, |daemon| async move { daemon.certificates().await });
            match list.ok().and_then(|list| failed(&list, &args.name)) {
                Some(page) => out.complain_page(&page),
                None => out.complain_page(&refused(&problem)),
            }
            return Exit::Failed;
        }
        Err(error) => return fail(&error, client.json, out),
    }
    Exit::Done
}

/// The call, and what the daemon says it is doing meanwhile.
async fn attempt(
    client: Client,
    name: String,
    progress: Option<Output>,
) -> Result<CertificateInfo, ClientError> {
    let mut call = pin!(client.renew_certificate(&name));
    let started = Instant::now();
    let mut looks = interval_at(started + LOOK_EVERY, LOOK_EVERY);
    let mut said = String::new();
    loop {
        tokio::select! {
            biased;
            outcome = call.as_mut() => return outcome,
            _ = looks.tick() => {}
        }
        if let Some(out) = progress {
            let list = client.certificates().await.unwrap_or_default();
            let doing = activity(&list, &name);
            out.progress(&doing, started.elapsed().as_secs(), &mut said);
        }
    }
}

fn activity(list: &[CertificateInfo], name: &str) -> String {
    let site = list.iter().find(|info| is_named(info, name));
    let activity = site.and_then(|info| info.activity.as_deref());
    activity
        .map_or_else(|| format!("{name}: waiting for the CA…"), |doing| format!("{name}: {doing}"))
}

/// A site answers to each of its names.
fn is_named(info: &CertificateInfo, name: &str) -> bool {
    info.site.eq_ignore_ascii_case(name)
        || info.names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

fn failed(list: &[CertificateInfo], name: &str) -> Option<Page> {
    let info = list.iter().find(|info| is_named(info, name))?;
    info.failure.as_ref()?;
    let mut page = Page::new();
    failure::block(&mut page, info, "");
    Some(page)
}

fn done(info: &CertificateInfo) -> Page {
    let mut page = Page::new();
    let state = match info.state {
        CertificateState::Served => "is served",
        CertificateState::StandIn => "is stored; one of the local CA still stands in",
        CertificateState::Missing => "is stored and not served yet",
    };
    page.line(format!("certificate for {}: {state}", info.site));
    page.line(format!("  names: {}", info.names.join(", ")));
    if let Some(issuer) = &info.issuer {
        page.line(format!("  issuer: {issuer}"));
    }
    if let (Some(until), Some(in_s)) = (&info.not_after, info.expires_in_s) {
        page.line(format!("  until: {until} ({})", expiry(in_s)));
    }
    for warning in &info.warnings {
        page.line(format!("  warning: {warning}"));
    }
    if let Some(renewal) = &info.renewal {
        page.line(format!("  renews: {}, {}", renewal.at, renewal.why));
    }
    page
}

pub(super) fn import(args: &ImportArgs, environment: &Environment, out: &Output) -> Exit {
    let json = args.client.json;
    let pair = match read_pair(args, environment) {
        Ok(pair) => pair,
        Err(why) => {
            return tell_as(&format!("{why}\n  nothing was changed"), Exit::Failed, json, out);
        }
    };
    let (name, pair) = (&args.name, &pair);
    let call = |client: Client| async move { client.import_certificate(name, pair).await };
    match ask(&args.client, environment, call) {
        Ok(info) if json => out.json(&info),
        Ok(info) => out.page(&imported(&info)),
        Err(error) => return fail(&error, json, out),
    }
    Exit::Done
}

fn imported(info: &CertificateInfo) -> Page {
    let mut page = done(info);
    if info.source == "acme" {
        page.line("  note: the site has tls = \"acme\": when this one is due, ACME replaces it");
    }
    page
}

/// Both files, read as the user who asks: the daemon may not be able to, and need not.
fn read_pair(args: &ImportArgs, environment: &Environment) -> Result<ImportCertificate, String> {
    // The certificate first: where the two are swapped, the mode of the other file is not what is wrong.
    let cert_pem = pem(read_cert(&args.cert)?, &args.cert, &CERT)?;
    let key = resolve_secret(&SecretRef::File(args.key.clone()), environment)
        .map_err(|error| error.to_string())?;
    let key_pem = pem(key, &args.key, &KEY)?;
    if key_pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || key_pem.contains("4,ENCRYPTED") {
        let key = args.key.display();
        return Err(format!(
            "the private key {key} is encrypted\n  palisade needs it without a passphrase and seals it \
             itself: (umask 077; openssl pkey -in {key} -out {key}.plain)"
        ));
    }
    belong_together(args, &key_pem)?;
    Ok(ImportCertificate { cert_pem, key_pem })
}

/// Refuses what files of a site would be refused for, in the same words. Names and dates are the daemon's to judge.
fn belong_together(args: &ImportArgs, key_pem: &str) -> Result<(), String> {
    let Ok(site) = args.name.parse::<Host>() else { return Ok(()) };
    let shown = args.key.display().to_string();
    let key = certs::Key::Pem { pem: key_pem.as_bytes(), shown: &shown };
    match certs::load(&site, &[], &args.cert, key, 0) {
        Err(error @ (CertError::Mismatch { .. } | CertError::Unusable { .. })) => {
            Err(error.to_string())
        }
        _ => Ok(()),
    }
}

fn read_cert(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let unread = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    // Without NONBLOCK, opening a pipe would wait for a writer.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblock).open(path);
    let file = file.map_err(unread)?;
    if !file.metadata().map_err(unread)?.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(CERT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > CERT_BYTES_MAX {
        return Err(format!("{shown} is larger than 1MiB: it is no certificate"));
    }
    Ok(bytes)
}

/// What an option asks for, and how it is told from what the other one asks for.
struct Wanted {
    option: &'static str,
    what: &'static str,
    marker: &'static str,
    other: &'static str,
    other_marker: &'static str,
}

const CERT_MARKER: &str = "-----BEGIN CERTIFICATE-----";
const KEY_MARKER: &str = "PRIVATE KEY-----";
const CERT: Wanted = Wanted {
    option: "--cert",
    what: "certificate",
    marker: CERT_MARKER,
    other: "private key",
    other_marker: KEY_MARKER,
};
const KEY: Wanted = Wanted {
    option: "--key",
    what: "private key",
    marker: KEY_MARKER,
    other: "certificate",
    other_marker: CERT_MARKER,
};

/// The text, if it has what the option asks for. The message never repeats it.
fn pem(bytes: Vec<u8>, path: &Path, wanted: &Wanted) -> Result<String, String> {
    let Wanted { option, what, marker, other, other_marker } = wanted;
    let shown = path.display();
    match String::from_utf8(bytes) {
        Ok(text) if text.contains(marker) => Ok(text),
        Ok(text) if text.contains(other_marker) => Err(format!(
            "{option} wants the {what}, and {shown} holds a {other}\n  are --cert and --key swapped?"
        )),
        _ => Err(format!("{shown} holds no {what} in PEM form; {option} wants one")),
    }
}

#[cfg(test)]
#[path = "cert_change_tests.rs"]
mod tests;
