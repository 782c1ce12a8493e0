//! Configuration: files or flags in, [`Settings`] or a complete [`Report`] out.
//!
//! Promises: every error at once, each with its place and the next step; settings carry every default resolved.
//! Refuses: unknown keys, secrets in the file, anything that cannot mean what it says.
//! Bounds: files of 4 MiB, 200 files in `conf.d`.

mod acme;
mod check;
mod crypto;
pub mod defaults;
mod diff;
mod dns;
mod env;
mod flags;
mod intake;
mod later;
mod placed;
mod read;
mod report;
mod role;
mod route;
mod secret;
mod secret_ref;
pub mod settings;
mod site;
mod source;
#[cfg(test)]
mod tests;
mod tls;
mod upstreams;
mod values;
mod wire;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crypto::{
    MASTER_KEY_VARIABLES, master_key_file, master_key_source, master_keys, previous_master_key,
};
pub use diff::{Changes, diff};
pub use env::{Environment, default_control_paths};
pub use flags::{Flags, from_flags};
pub use placed::CaFiles;
pub use report::Report;
pub use secret::{SecretError, resolve_secret};
pub use settings::Settings;

use read::Cx;
use source::{Place, Source};
use wire::Table;

/// Most files in `conf.d`.
const CONF_D_MAX: usize = 200;

/// The commented default file, as `palisade init` writes it.
pub const TEMPLATE: &str = include_str!("../../templates/palisade.toml");

/// A configuration that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub settings: Settings,
    /// What is probably not meant.
    pub warnings: Report,
    /// Environment variables that hold secrets: to be read once and removed.
    pub secret_env: Vec<String>,
}

impl Loaded {
    fn from_parts(mut cx: Cx, settings: Settings) -> Result<Self, Report> {
        cx.report.sort();
        if cx.report.errors() > 0 {
            return Err(cx.report);
        }
        cx.secret_env.extend(MASTER_KEY_VARIABLES.map(str::to_owned));
        cx.secret_env.sort();
        cx.secret_env.dedup();
        Ok(Self { settings, warnings: cx.report, secret_env: cx.secret_env })
    }
}

/// Reads a configuration file and the `conf.d/*.toml` beside it.
///
/// # Errors
/// Everything that is wrong with them, and with the emergency flags in the environment.
pub fn load_file(path: &Path, env: &Environment) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let mut sources = Vec::new();
    let mut read = |path: &Path| match source::read_file(path) {
        Ok(source) => sources.push(source),
        Err(error) => report.extend(error),
    };
    read(path);
    match further_files(path) {
        Ok(files) => files.iter().for_each(|path| read(path)),
        Err(error) => report.extend(error),
    }
    load_sources(&sources, env, report).0
}

/// `conf.d/*.toml` beside the file, sorted by name; hidden files are left out.
fn further_files(path: &Path) -> Result<Vec<PathBuf>, Report> {
    let folder = path.parent().unwrap_or(Path::new("")).join("conf.d");
    let fail =
        |what: String, help: &str| Report::error(format!("{}: {what}", folder.display()), help);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(fail(
                error.to_string(),
                "let the user palisade runs as read it, or remove it",
            ));
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| fail(error.to_string(), "check the disk"))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".toml") && !name.starts_with('.') {
            files.push(entry.path());
        }
    }
    if files.len() > CONF_D_MAX {
        return Err(fail(format!("it has more than {CONF_D_MAX} files"), "join some of them"));
    }
    files.sort();
    Ok(files)
}

/// Everything after reading. Also gives the keys that were asked for.
fn load_sources(
    sources: &[Arc<Source>],
    env: &Environment,
    unread: Report,
) -> (Result<Loaded, Report>, BTreeSet<String>) {
    let mut cx = Cx { broken: unread.errors() > 0, report: unread, ..Cx::default() };
    let flags = env::emergency_flags(env, &mut cx.report);
    let mut syntax = Report::default();
    let mut root = Table::default();
    let mut unread_places: Vec<Place> = Vec::new();
    for source in sources {
        let (table, places) = wire::parse(source, &mut syntax);
        unread_places.extend(places);
        wire::merge(&mut root, table, &[], &mut cx.report);
    }
    cx.broken |= syntax.errors() > 0;
    let settings = check::build(&mut cx, &root, &check::Paths::default(), flags);
    // What follows from text that could not be read is noise.
    let unread = |place: &Place| unread_places.iter().any(|unread| unread.contains(place));
    cx.report.retain(|diagnostic| !diagnostic.place().is_some_and(unread));
    cx.report.extend(syntax);
    let known = std::mem::take(&mut cx.known);
    (Loaded::from_parts(cx, settings), known)
}

/// Every key of the configuration, as `section.key` with `*` for names. For tests and documentation.
#[must_use]
pub fn known_keys() -> BTreeSet<String> {
    let everything: String =
        TEMPLATE.lines().map(|line| format!("{}\n", uncommented(line, true))).collect();
    // The template shows two forms of `tls` and of `upstream`, of which a file can only have one.
    let files = "[site.files]\ntls = { cert = \"c\", key = { file = \"k\" } }\nupstream = { to = \"a:1\" }\n";
    let sources = [Source::file("template", everything), Source::file("files", files)];
    load_sources(&sources, &Environment::default(), Report::default()).1
}

/// A line of the template as it would be used: `# key = …` is a default, `## key = …` an example.
fn uncommented(line: &str, examples: bool) -> &str {
    let is_key = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match (line.strip_prefix("## "), line.strip_prefix("# ")) {
        (Some(example), _) if examples => example,
        (None, Some(text))
            if text.starts_with('[')
                || text.split_once(" = ").is_some_and(|(key, _)| is_key(key)) =>
        {
            text
        }
        _ => line,
    }
}
