//! `cert trust`: makes this machine's clients accept the local CA.
//!
//! Promises: says what it will touch and asks, unless told `--yes`; touches trust stores only, adds one
//! certificate under a name of its own and removes none.
//! Refuses: the system store without root; NSS databases without `certutil`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::args::TrustArgs;
use super::connect::{ask, fail, tell_as};
use super::{Exit, Output};
use crate::config::Environment;
use crate::ops::api::LocalCa;
use crate::{sys, work::certs};

/// Where Debian takes additional roots from (update-ca-certificates(8)).
const SYSTEM_DIR: &str = "/usr/local/share/ca-certificates";

/// A store that can be told to trust the CA.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Store {
    System,
    Nss(PathBuf),
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => write!(f, "the system store ({SYSTEM_DIR})"),
            Self::Nss(dir) => write!(f, "the browser database {}", dir.display()),
        }
    }
}

/// What this machine has and this user may do.
#[derive(Debug, Clone, Default)]
struct Machine {
    root: bool,
    /// Root by way of `sudo`, so that the home is not the person's.
    sudo: bool,
    /// `update-ca-certificates` and its directory are there.
    debian_store: bool,
    certutil: bool,
    /// NSS databases of this user.
    databases: Vec<PathBuf>,
}

impl Machine {
    fn look(environment: &Environment) -> Self {
        let path = environment.get("PATH").unwrap_or("/usr/sbin:/usr/bin:/sbin:/bin");
        let on_path = |tool: &str| std::env::split_paths(path).any(|dir| dir.join(tool).is_file());
        let home = environment.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        Self {
            root: rustix::process::geteuid().is_root(),
            sudo: environment.get("SUDO_USER").is_some(),
            debian_store: Path::new(SYSTEM_DIR).is_dir() && on_path("update-ca-certificates"),
            certutil: on_path("certutil"),
            databases: home.map(|home| databases(&home)).unwrap_or_default(),
        }
    }

    fn stores(&self) -> Vec<Store> {
        let system = (self.root && self.debian_store).then_some(Store::System);
        let nss = self.databases.iter().filter(|_| self.certutil).cloned().map(Store::Nss);
        system.into_iter().chain(nss).collect()
    }

    /// What else could trust it, and how.
    fn hints(&self) -> Vec<&'static str> {
        let mut hints = Vec::new();
        if !self.root {
            hints.push("the whole machine (curl and most programs): sudo palisade cert trust");
        } else if !self.debian_store {
            hints.push("the whole machine: palisade cert trust --print, into the trust store of this distribution");
        }
        if self.root && self.sudo {
            hints.push("your own browsers: palisade cert trust, once more without sudo");
        }
        if !self.databases.is_empty() && !self.certutil {
            hints.push("Chromium and Firefox: apt install libnss3-tools, then palisade cert trust");
        }
        hints
    }
}

/// Chromium's database and one per Firefox profile, native and snap.
fn databases(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let chromium = home.join(".pki/nssdb");
    if chromium.join("cert9.db").is_file() {
        found.push(chromium);
    }
    for profiles in [".mozilla/firefox", "snap/firefox/common/.mozilla/firefox"] {
        let Ok(entries) = std::fs::read_dir(home.join(profiles)) else { continue };
        let mut dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        dirs.retain(|dir| dir.join("cert9.db").is_file());
        dirs.sort();
        found.append(&mut dirs);
    }
    found
}

pub(super) fn trust(args: &TrustArgs, environment: &Environment, out: &Output) -> Exit {
    let ca = match &args.state {
        Some(dir) => match certs::LocalCa::read_public(dir) {
            Ok(ca) => ca,
            Err(error) => return failed(&error.to_string(), args, out),
        },
        None => {
            match ask(&args.client, environment, |client| async move { client.local_ca().await }) {
                Ok(ca) => ca,
                Err(error) => return fail(&error, args.client.json, out),
            }
        }
    };
    if args.print {
        out.say(&ca.pem);
        return Exit::Done;
    }
    let machine = Machine::look(environment);
    let stores = match &args.nssdb {
        Some(_) if !machine.certutil => {
            return failed(
                "certutil is not installed\n  run: apt install libnss3-tools",
                args,
                out,
            );
        }
        Some(dir) => vec![Store::Nss(dir.clone())],
        None => machine.stores(),
    };
    let hints = if args.nssdb.is_some() { Vec::new() } else { machine.hints() };
    if stores.is_empty() {
        return nothing_to_do(&ca, &hints, args, out);
    }
    if !args.yes {
        if args.client.json || !std::io::stdin().is_terminal() {
            out.complain("error: this asks before it changes trust stores, and nobody is there to answer\n  add --yes");
            return Exit::Usage;
        }
        out.complain(plan(&ca, &stores));
        if !out.confirm("Trust it?") {
            out.complain("nothing was changed");
            return Exit::Failed;
        }
    }
    apply(&ca, &stores, &hints, args, out)
}

fn failed(message: &str, args: &TrustArgs, out: &Output) -> Exit {
    tell_as(message, Exit::Failed, args.client.json, out)
}

fn plan(ca: &LocalCa, stores: &[Store]) -> String {
    let stores: String = stores.iter().map(|store| format!("\n  {store}")).collect();
    format!(
        "The local CA {}\nSHA-256 {}\nwill be trusted for every site by{stores}\nWhoever has its key can then pose as any site to you; the key is sealed in the state beside it.",
        ca.path, ca.sha256
    )
}

fn nothing_to_do(ca: &LocalCa, hints: &[&str], args: &TrustArgs, out: &Output) -> Exit {
    if args.client.json {
        out.json(&json!({ "path": ca.path, "sha256": ca.sha256, "trusted": [], "failed": [] }));
        return Exit::Done;
    }
    out.say(format!("The local CA is {}\nSHA-256 {}", ca.path, ca.sha256));
    out.say("This user can change no trust store here. To have it trusted by");
    for hint in hints {
        out.say(format!("  {hint}"));
    }
    out.say(format!("  one program: curl --cacert {}", ca.path));
    Exit::Done
}

fn apply(ca: &LocalCa, stores: &[Store], hints: &[&str], args: &TrustArgs, out: &Output) -> Exit {
    let outcomes: Vec<(String, Result<(), String>)> =
        stores.iter().map(|store| (store.to_string(), add(ca, store))).collect();
    let good = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    if args.client.json {
        let trusted: Vec<_> = outcomes.iter().filter(|(_, o)| o.is_ok()).map(|(s, _)| s).collect();
        let failed: Vec<_> = outcomes
            .iter()
            .filter_map(|(store, o)| {
                o.as_ref().err().map(|why| json!({ "store": store, "error": why }))
            })
            .collect();
        out.json(
            &json!({ "path": ca.path, "sha256": ca.sha256, "trusted": trusted, "failed": failed }),
        );
    } else {
        for (store, outcome) in &outcomes {
            match outcome {
                Ok(()) => out.say(format!("trusted by {store}")),
                Err(why) => out.complain(format!("error: not trusted by {store}: {why}")),
            }
        }
        for hint in hints {
            out.say(format!("also possible: {hint}"));
        }
    }
    if good { Exit::Done } else { Exit::Failed }
}

fn add(ca: &LocalCa, store: &Store) -> Result<(), String> {
    match store {
        Store::System => add_to_system(ca),
        Store::Nss(dir) => add_to_nss(ca, dir),
    }
}

/// One file per root, named by its fingerprint: a second machine's CA does not replace the first.
fn nickname(ca: &LocalCa) -> String {
    format!("palisade-local-ca-{}", ca.sha256.get(..12).unwrap_or("unknown"))
}

fn add_to_system(ca: &LocalCa) -> Result<(), String> {
    let path = Path::new(SYSTEM_DIR).join(format!("{}.crt", nickname(ca)));
    match sys::files::write_new(&path, ca.pem.as_bytes(), 0o644) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(format!("cannot write {}: {error}", path.display())),
    }
    call(&mut Command::new("update-ca-certificates"), "")
}

fn add_to_nss(ca: &LocalCa, dir: &Path) -> Result<(), String> {
    let database = format!("sql:{}", dir.display());
    if !dir.join("cert9.db").is_file() {
        sys::files::make_dir(dir, 0o700).map_err(|error| error.to_string())?;
        call(Command::new("certutil").args(["-N", "--empty-password", "-d", &database]), "")?;
    }
    // "C,,": a trusted CA for servers, not for mail or code.
    let add = ["-A", "-d", &database, "-t", "C,,", "-n", &nickname(ca)];
    call(Command::new("certutil").args(add), &ca.pem)
}

/// Runs a tool with `input`; its own words are the reason when it fails.
fn call(command: &mut Command, input: &str) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let fault = |error: std::io::Error| format!("{program}: {error}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fault)?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes()); // a tool that does not read it says why itself
    }
    let output = child.wait_with_output().map_err(fault)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} failed ({}): {}", output.status, said.trim()))
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
