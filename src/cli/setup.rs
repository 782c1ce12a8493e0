//! `init` and `check`: the configuration before it is used.

use std::io;
use std::path::Path;

use serde_json::json;

use super::args::{CheckArgs, DEFAULT_CONFIG, InitArgs};
use super::connect::tell_as;
use super::{Exit, Output};
use crate::config::{self, Environment, Report};
use crate::{daemon, sys};

/// Writes the commented default file.
pub(super) fn init(args: &InitArgs, out: &Output) -> Exit {
    match write_template(&args.path) {
        Ok(()) if args.json => {
            out.json(&json!({ "path": args.path.display().to_string(), "written": true }));
            Exit::Done
        }
        Ok(()) => {
            out.say(written(&args.path));
            Exit::Done
        }
        Err(error) => tell_as(&not_written(&args.path, &error), Exit::Failed, args.json, out),
    }
}

fn write_template(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    sys::files::make_dir(&sys::files::parent(path), 0o755)?;
    sys::files::write_new(path, config::TEMPLATE.as_bytes(), 0o644)
}

fn written(path: &Path) -> String {
    let option = config_option(path);
    format!(
        "wrote {}\n  edit    the name of your site and where your app listens\n  check   palisade check{option}\n  serve   palisade run{option}",
        path.display()
    )
}

fn config_option(path: &Path) -> String {
    if path == Path::new(DEFAULT_CONFIG) {
        String::new()
    } else {
        format!(" --config {}", path.display())
    }
}

fn not_written(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{shown} exists and is left as it is\n  for a fresh one beside it: palisade init {shown}.new"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "cannot write {shown}: permission denied\n  run it as root (sudo palisade init), or write elsewhere: palisade init ./palisade.toml"
        ),
        _ => format!("cannot write {shown}: {error}\n  choose another path: palisade init PATH"),
    }
}

/// Reads the configuration, keys and certificates as a start would, and opens no socket.
pub(super) fn check(args: &CheckArgs, environment: &Environment, out: &Output) -> Exit {
    let (report, sites) = examine(&args.config, environment);
    let exit = if report.errors() > 0 { Exit::Config } else { Exit::Done };
    if args.json {
        out.json(&report.to_json());
        return exit;
    }
    if !report.is_empty() {
        out.complain(report.to_string());
    }
    if exit == Exit::Done {
        let plural = if sites == 1 { "" } else { "s" };
        out.say(format!("ok: {} ({sites} site{plural})", args.config.display()));
    }
    exit
}

/// Everything found, and the number of sites.
fn examine(path: &Path, environment: &Environment) -> (Report, usize) {
    let loaded = match config::load_file(path, environment) {
        Ok(loaded) => loaded,
        Err(report) => return (report, 0),
    };
    let mut report = loaded.warnings.clone();
    if let Err(found) = daemon::check(&loaded, environment) {
        report.extend(found);
    }
    (report, loaded.settings.sites.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_written_once_and_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("etc/palisade/palisade.toml");
        write_template(&path).expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), config::TEMPLATE);
        std::fs::write(&path, "mine").expect("edited");
        let error = write_template(&path).expect_err("refused");
        assert!(not_written(&path, &error).contains("exists and is left as it is"));
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), "mine");
    }

    #[test]
    fn a_dangling_link_is_not_written_through() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("palisade.toml");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).expect("linked");
        assert_eq!(
            write_template(&path).expect_err("refused").kind(),
            io::ErrorKind::AlreadyExists
        );
        assert!(!dir.path().join("elsewhere").exists());
    }

    #[test]
    fn the_next_command_names_the_file_unless_it_is_the_default() {
        assert!(written(Path::new(DEFAULT_CONFIG)).ends_with("palisade run"));
        assert!(written(Path::new("./p.toml")).ends_with("palisade run --config ./p.toml"));
    }
}
