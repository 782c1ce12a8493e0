//! `[crypto]`: where the master key is kept, and fetching it.
//!
//! Promises: no message carries a key or a part of it. Refuses: a key that is written into the file itself.

use std::io::ErrorKind;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::env::Environment;
use super::read::{Cx, Section};
use super::secret::{SecretError, resolve_secret};
use super::secret_ref;
use super::settings::{Crypto, Settings};
use crate::base::{Secret, SecretRef};

/// Where a master key is looked for in the environment. Removed from it at every start, whether they are used or not.
pub const MASTER_KEY_VARIABLES: [&str; 2] = ["PALISADE_MASTER_KEY", "ENCRYPTION_KEY"];
/// Name of the systemd credential that is looked for.
const CREDENTIAL: &str = "master-key";
/// Name of the file inside the state directory.
const FILE: &str = "master.key";

pub(super) fn crypto(cx: &mut Cx, top: &mut Section<'_>) -> Crypto {
    let mut section = top.section(cx, "crypto", "crypto");
    let master = section.entry(cx, "master_key");
    let master_key = master.and_then(|entry| secret_ref::read(cx, entry, "crypto.master_key"));
    let previous = section.entry(cx, "previous_master_key");
    let previous_master_key =
        previous.and_then(|entry| secret_ref::read(cx, entry, "crypto.previous_master_key"));
    if let (Some(master), Some(previous), true) =
        (master, previous, master_key.is_some() && master_key == previous_master_key)
    {
        let message = "the new master key and the previous one are kept in one place";
        let label = "name the place of the old one, or remove the line";
        cx.clash(message, (&previous.node.place, label), &master.node.place);
    }
    section.finish(cx);
    Crypto { master_key, previous_master_key }
}

/// Where a master key is made if there is none.
#[must_use]
pub fn master_key_file(settings: &Settings) -> PathBuf {
    settings.state_dir.join(FILE)
}

/// The master key, from the first of these that has one: `crypto.master_key`, the systemd credential `master-key`,
/// the environment (where two variables may name it), `master.key` in the state directory. Empty on a first start.
///
/// # Errors
/// It is there and cannot be fetched.
pub fn master_keys(settings: &Settings, env: &Environment) -> Result<Vec<Secret>, SecretError> {
    if let Some(place) = &settings.crypto.master_key {
        return Ok(vec![fetch(place, env)?]);
    }
    if env.credentials_directory().is_some()
        && let Some(secret) = if_there(&SecretRef::Credential(CREDENTIAL.to_owned()), env)?
    {
        return Ok(vec![secret]);
    }
    let set = MASTER_KEY_VARIABLES.into_iter().filter(|name| env.get(name).is_some());
    let found: Vec<Secret> =
        set.map(|name| fetch(&SecretRef::Env(name.to_owned()), env)).collect::<Result<_, _>>()?;
    if !found.is_empty() {
        return Ok(found);
    }
    let file = SecretRef::File(master_key_file(settings));
    Ok(if_there(&file, env)?.into_iter().collect())
}

/// The file that [`master_keys`] takes the key from, if it is one. Ask before the variables are forgotten.
#[must_use]
pub fn master_key_source(settings: &Settings, env: &Environment) -> Option<PathBuf> {
    let in_credentials = |name: &str| Some(env.credentials_directory()?.join(name));
    match &settings.crypto.master_key {
        Some(SecretRef::File(path)) => return Some(path.clone()),
        Some(SecretRef::Credential(name)) => return in_credentials(name),
        Some(SecretRef::Env(_)) => return None,
        None => {}
    }
    if let Some(path) = in_credentials(CREDENTIAL).filter(|path| path.exists()) {
        return Some(path);
    }
    let in_variable = MASTER_KEY_VARIABLES.iter().any(|name| env.get(name).is_some());
    (!in_variable).then(|| master_key_file(settings))
}

/// The key that the state may still be wrapped with.
///
/// # Errors
/// As [`master_keys`].
pub fn previous_master_key(
    settings: &Settings,
    env: &Environment,
) -> Result<Option<Secret>, SecretError> {
    settings.crypto.previous_master_key.as_ref().map(|place| fetch(place, env)).transpose()
}

fn fetch(place: &SecretRef, env: &Environment) -> Result<Secret, SecretError> {
    let bytes = Zeroizing::new(resolve_secret(place, env)?);
    Ok(Secret { bytes, place: place.to_string() })
}

/// Nothing where there is no such file.
fn if_there(place: &SecretRef, env: &Environment) -> Result<Option<Secret>, SecretError> {
    match fetch(place, env) {
        Err(SecretError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound => {
            Ok(None)
        }
        fetched => fetched.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::config::tests::{load, settings};

    const SITE: &str = "[site.localhost]\nupstream = \"127.0.0.1:3000\"\n";

    /// A state directory, a credentials directory, and an environment that names the latter.
    struct Machine {
        dir: tempfile::TempDir,
        vars: Vec<(String, String)>,
    }

    impl Machine {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let credentials = dir.path().join("credentials").display().to_string();
            std::fs::create_dir(&credentials).expect("made");
            Self { dir, vars: vec![("CREDENTIALS_DIRECTORY".into(), credentials)] }
        }

        fn file(&self, name: &str, text: &str, mode: u32) {
            let path = self.dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        }

        fn set(&mut self, name: &str, value: &str) {
            self.vars.push((name.into(), value.into()));
        }

        fn found(&self, crypto: &str) -> Result<Vec<(String, String)>, SecretError> {
            let mut settings = settings(&format!("{crypto}\n{SITE}"));
            settings.state_dir = self.dir.path().to_owned();
            let env = Environment::new(self.vars.clone());
            let secrets = master_keys(&settings, &env)?;
            let text = |secret: Secret| String::from_utf8_lossy(&secret.bytes).into_owned();
            Ok(secrets.into_iter().map(|s| (s.place.clone(), text(s))).collect())
        }
    }

    fn base(path: &str) -> &str {
        Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
    }

    #[test]
    fn the_first_place_that_has_a_key_counts() {
        let mut machine = Machine::new();
        assert_eq!(machine.found("").expect("looked"), []);
        machine.file("master.key", "state", 0o600);
        let found = machine.found("").expect("looked");
        assert_eq!((base(&found[0].0), found[0].1.as_str()), ("master.key", "state"));
        machine.set("ENCRYPTION_KEY", "two");
        machine.set("PALISADE_MASTER_KEY", "one");
        let found = machine.found("").expect("looked");
        let one = ("environment variable PALISADE_MASTER_KEY".to_owned(), "one".to_owned());
        let two = ("environment variable ENCRYPTION_KEY".to_owned(), "two".to_owned());
        assert_eq!(found, [one, two], "both, so that they can be compared");
        machine.file("credentials/master-key", "credential", 0o400);
        let found = machine.found("").expect("looked");
        assert_eq!(found, [("credential master-key".to_owned(), "credential".to_owned())]);
        machine.set("MINE", "configured");
        let found = machine.found("crypto.master_key = { env = \"MINE\" }").expect("looked");
        assert_eq!(found, [("environment variable MINE".to_owned(), "configured".to_owned())]);
    }

    #[test]
    fn a_place_that_is_named_must_have_the_key() {
        let machine = Machine::new();
        for missing in ["\"/nonexistent\"", "{ credential = \"x\" }", "{ env = \"X\" }"] {
            assert!(machine.found(&format!("crypto.master_key = {missing}")).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_or_an_empty_one_is_no_reason_to_look_elsewhere() {
        let mut machine = Machine::new();
        machine.file("master.key", "hunter2", 0o644);
        let error = machine.found("").expect_err("refused").to_string();
        assert!(error.contains("chmod o=") && !error.contains("hunter2"), "{error}");
        machine.set("PALISADE_MASTER_KEY", "");
        let error = machine.found("").expect_err("refused").to_string();
        assert_eq!(error, "environment variable PALISADE_MASTER_KEY is empty");
    }

    #[test]
    fn every_variable_that_may_hold_a_key_is_to_be_removed() {
        let text = format!(
            "crypto = {{ master_key = {{ env = \"A\" }}, previous_master_key = {{ env = \"B\" }} }}\n{SITE}"
        );
        let loaded = load(&text).expect("settings");
        assert_eq!(loaded.secret_env, ["A", "B", "ENCRYPTION_KEY", "PALISADE_MASTER_KEY"]);
        assert_eq!(
            load(SITE).expect("settings").secret_env,
            ["ENCRYPTION_KEY", "PALISADE_MASTER_KEY"]
        );
    }

    #[test]
    fn the_previous_key_is_fetched_from_where_it_is_named() {
        let crypto = "crypto.previous_master_key = { env = \"OLD\" }\n";
        let env = Environment::new([("OLD".to_owned(), "old".to_owned())]);
        let with = previous_master_key(&settings(&format!("{crypto}{SITE}")), &env);
        assert_eq!(with.expect("fetched").expect("named").bytes.as_slice(), b"old");
        assert!(previous_master_key(&settings(SITE), &env).expect("nothing to fetch").is_none());
    }
}
