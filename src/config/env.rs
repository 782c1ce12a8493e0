//! The process environment, read once, and the emergency flags in it.
//!
//! Refuses: a flag that is neither `true` nor `false`, and a name so close to a flag that it was surely meant as one:
//! in an emergency a switch that is silently ignored is worse than none.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::defaults;
use super::report::{Diagnostic, Report, Severity};
use crate::base::Capability;

/// A snapshot of the environment. Printing it shows names only, since values may be secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Keeps every variable; the caller takes them from the operating system.
    pub fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(vars.into_iter().collect())
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Wipes and drops what was read and is not needed any more.
    pub fn forget(&mut self, names: &[&str]) {
        for name in names {
            drop(self.0.remove(*name).map(zeroize::Zeroizing::new));
        }
    }

    /// Where systemd put the credentials of the unit (systemd.exec(5), `LoadCredential=`).
    #[must_use]
    pub fn credentials_directory(&self) -> Option<&Path> {
        self.path("CREDENTIALS_DIRECTORY")
    }

    /// The value as a path; an empty one counts as absent (XDG Base Directory Specification).
    fn path(&self, name: &str) -> Option<&Path> {
        self.get(name).filter(|value| !value.is_empty()).map(Path::new)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `$XDG_STATE_HOME/palisade` or `$HOME/.local/state/palisade`.
pub(super) fn user_state_dir(env: &Environment) -> Option<PathBuf> {
    match (env.path("XDG_STATE_HOME"), env.path("HOME")) {
        (Some(state), _) if state.is_absolute() => Some(state.join("palisade")),
        (_, Some(home)) => Some(home.join(".local/state/palisade")),
        _ => None,
    }
}

/// `$XDG_RUNTIME_DIR/palisade/control.sock`.
pub(super) fn user_control(env: &Environment) -> Option<PathBuf> {
    env.path("XDG_RUNTIME_DIR").map(|dir| dir.join("palisade/control.sock"))
}

/// Where a client looks for the control socket: the system's daemon first, then one the user started.
#[must_use]
pub fn default_control_paths(env: &Environment) -> Vec<PathBuf> {
    let of_state = user_state_dir(env).map(|dir| dir.join("control.sock"));
    [Some(PathBuf::from(defaults::CONTROL)), user_control(env), of_state]
        .into_iter()
        .flatten()
        .collect()
}

/// The emergency flags, in the order of [`Capability::ALL`].
pub(super) fn emergency_flags(env: &Environment, report: &mut Report) -> [Option<bool>; 5] {
    for name in env.0.keys() {
        if let Some(flag) = meant_flag(name) {
            report.push(
                Diagnostic::new(Severity::Error, format!("unknown flag {name} in the environment"))
                    .help(format!("did you mean {flag}?")),
            );
        }
    }
    Capability::ALL.map(|capability| {
        let flag = capability.flag();
        match env.get(flag)? {
            "true" => Some(true),
            "false" => Some(false),
            other => {
                let shown: String = other.chars().take(20).filter(|c| !c.is_control()).collect();
                report.push(
                    Diagnostic::new(
                        Severity::Error,
                        format!("{flag} is \"{shown}\" in the environment"),
                    )
                    .help("write true (as configured) or false (off)"),
                );
                None
            }
        }
    })
}

/// The flag that a variable was probably meant to be: equal but for case, underscores and a slip or two.
fn meant_flag(name: &str) -> Option<&'static str> {
    let plain = |text: &str| text.to_ascii_uppercase().replace(['_', '-'], "");
    let flags = Capability::ALL.map(Capability::flag);
    if flags.contains(&name) {
        return None;
    }
    flags
        .into_iter()
        .map(|flag| (strsim::damerau_levenshtein(&plain(name), &plain(flag)), flag))
        .filter(|(distance, flag)| *distance <= flag.len() / 7)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, flag)| flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(vars: &[(&str, &str)]) -> ([Option<bool>; 5], String) {
        let mut report = Report::default();
        let env = Environment::new(vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        (emergency_flags(&env, &mut report), report.to_string())
    }

    #[test]
    fn flags_are_true_or_false_and_nothing_else() {
        let (read, report) =
            flags(&[("RATELIMIT_ENABLED", "false"), ("NEW_QUEUE_ENABLED", "true")]);
        assert_eq!(read, [None, Some(false), None, None, Some(true)]);
        assert_eq!(report, "");
        for wrong in ["", "0", "no", "False", " true"] {
            let (read, report) = flags(&[("RATELIMIT_ENABLED", wrong)]);
            assert_eq!(read, [None; 5]);
            assert!(report.contains("write true (as configured) or false (off)"), "{report}");
        }
    }

    #[test]
    fn a_misspelt_flag_is_refused() {
        for wrong in [
            "RATE_LIMIT_ENABLED",
            "RATELIMIT_ENABLE",
            "ratelimit_enabled",
            "SECURITY_HEADER_ENABLED",
            "ABUSE_GUARD_ENABLED",
            "NEWQUEUE_ENABLED",
            "WEBHOOKS_VERIFY_ALL",
        ] {
            let (_, report) = flags(&[(wrong, "false")]);
            assert!(report.contains("did you mean"), "{wrong}: {report}");
        }
        let (_, report) = flags(&[("PATH", "/bin"), ("FEATURE_ENABLED", "1"), ("QUEUE_URL", "x")]);
        assert_eq!(report, "");
    }

    #[test]
    fn printing_the_environment_shows_no_value() {
        let env = Environment::new([("TOKEN".to_owned(), "hunter2".to_owned())]);
        assert_eq!(format!("{env:?}"), "{\"TOKEN\"}");
    }

    #[test]
    fn clients_look_for_the_system_daemon_first() {
        let vars =
            [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7"), ("XDG_STATE_HOME", "")];
        let env = Environment::new(vars.map(|(k, v)| (k.to_owned(), v.to_owned())));
        let paths: Vec<_> =
            default_control_paths(&env).iter().map(|p| p.display().to_string()).collect();
        assert_eq!(
            paths,
            [
                "/run/palisade/control.sock",
                "/run/user/7/palisade/control.sock",
                "/home/u/.local/state/palisade/control.sock",
            ]
        );
    }
}
