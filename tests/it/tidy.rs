//! The rules of the code base that no compiler checks.
//!
//! Promises: each rule is one test; each checker also has a test that shows it can fail. A finding names the file,
//! the line and what to do instead. Refuses to judge what is not tracked: build output and installed packages.

mod documents;
mod imports;
mod source;
mod tree;

use std::path::Path;
use std::process::Command;

/// One file of the repository, by its path from the root.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    /// A file made up by a test.
    fn made(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }
}

/// Every tracked or trackable path, as the version control lists it.
fn paths() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("git lists the files of this checkout: install git");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("paths are UTF-8");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<String> = listed
        .split_terminator('\0')
        .filter(|path| root.join(path).is_file())
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    assert!(paths.len() > 10, "this checkout has only {} files", paths.len());
    paths
}

/// Every text file; the rest (images, certificates in DER) has no lines to check.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    paths()
        .into_iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(root.join(&path)).ok()?;
            Some(File { path, text })
        })
        .collect()
}

/// The Rust files of the crate itself.
fn sources() -> Vec<File> {
    let sources: Vec<File> = files()
        .into_iter()
        .filter(|file| file.path.starts_with("src/") && file.path.ends_with(".rs"))
        .collect();
    assert!(sources.len() > 5, "src/ has only {} files", sources.len());
    sources
}

fn document(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with every finding at once.
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn modules_import_only_what_the_architecture_allows() {
    let table = imports::Table::parse(&document("docs/ARCHITECTURE.md"));
    let table = table.expect("the import table of docs/ARCHITECTURE.md");
    none(&imports::check(&table, &sources()));
}

#[test]
fn production_files_stay_readable_in_one_sitting() {
    none(&source::too_long(&sources(), 600));
}

#[test]
fn every_module_opens_by_saying_what_it_is_for() {
    let mut judged = sources();
    judged.extend(files().into_iter().filter(|file| {
        file.path.ends_with(".rs")
            && (file.path.starts_with("tests/") || file.path.starts_with("fuzz/"))
    }));
    none(&source::without_head(&judged));
}

#[test]
fn metrics_are_named_in_one_file_only() {
    none(&source::stray_metric_names(&sources()));
}

#[test]
fn unsafe_code_stays_in_its_folder() {
    none(&source::unsafe_outside_sys(&sources()));
}

#[test]
fn every_key_of_the_default_file_is_documented() {
    let template = document("templates/palisade.toml");
    none(&documents::undocumented_keys(&template, &document("docs/CONFIGURATION.md")));
}

#[test]
fn every_emergency_flag_is_documented() {
    let flags: Vec<&str> = palisade::base::Capability::ALL.iter().map(|c| c.flag()).collect();
    none(&documents::undocumented_flags(&flags, &document("docs/CONFIGURATION.md")));
}

#[test]
fn every_metric_and_every_log_event_is_documented() {
    let names = document("src/telemetry/names.rs");
    let files = files();
    let sources: Vec<&str> = files
        .iter()
        .filter(|file| file.path.starts_with("src/"))
        .map(|file| file.text.as_str())
        .collect();
    let manual = document("docs/OPERATIONS.md");
    none(&documents::undocumented_signals(&names, &sources, &manual));
}

#[test]
fn emergency_flags_keep_their_published_names() {
    let mut flags: Vec<&str> = palisade::base::Capability::ALL.iter().map(|c| c.flag()).collect();
    flags.sort_unstable();
    assert_eq!(
        flags,
        [
            "ABUSE_GUARDS_ENABLED",
            "NEW_QUEUE_ENABLED",
            "RATELIMIT_ENABLED",
            "SECURITY_HEADERS_ENABLED",
            "WEBHOOK_VERIFY_ALL",
        ]
    );
}

#[test]
fn no_file_tells_where_it_was_written() {
    none(&tree::machine_traces(&files()));
}

#[test]
fn nothing_lies_about_at_the_top() {
    none(&tree::strays(&paths()));
}
