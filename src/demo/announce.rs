//! What the demo prints once it is ready: what to open, and what to type next.
//!
//! Promises: every command can be pasted into a shell as it stands, from the directory the demo was
//! started in; no control character of a path reaches the terminal.
//! Bounds: 80 columns, unless a single path is longer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::ops::api::Status;

const COLUMNS: usize = 80;
const INDENT: &str = "  ";
const CONTINUED: &str = " \\\n      ";

/// How the user of this process would write a command.
#[derive(Debug, Clone)]
pub struct Shell {
    /// The program as it was called, so that `cargo run` needs no installed palisade.
    program: String,
    /// Written as `~`.
    home: Option<PathBuf>,
}

impl Shell {
    #[must_use]
    pub fn of_this_process(home: Option<OsString>) -> Self {
        let called = std::env::args_os().next().map(PathBuf::from);
        let by_path = called.filter(|program| program.components().count() > 1);
        let home = home.map(PathBuf::from).filter(|home| home.is_absolute());
        Self {
            program: by_path.map_or_else(|| "palisade".to_owned(), |path| quoted(&path)),
            home: home.filter(|home| home.parent().is_some()),
        }
    }

    /// The command that trusts the local authority, on one line.
    #[must_use]
    pub fn trust(&self, control: &Path) -> String {
        format!("{} cert trust --socket {}", self.program, self.path(control))
    }

    /// A path as a word of a command.
    fn path(&self, path: &Path) -> String {
        let below = self.home.as_ref().and_then(|home| path.strip_prefix(home).ok());
        match below.map(quoted) {
            Some(below) if !below.starts_with('\'') => format!("~/{below}"),
            _ => quoted(path),
        }
    }
}

/// The announcement, with a line break at its end.
#[must_use]
pub fn announcement(status: &Status, state: &Path, shell: &Shell) -> String {
    let site = url("https", port(status, "https"), 443);
    let plain = url("http", port(status, "http"), 80);
    let socket = format!("--socket {}", shell.path(&state.join("control.sock")));
    let authority = format!("--cacert {}", shell.path(&state.join("local-ca.pem")));
    let ask = |verb: &str| command(&[&format!("{} {verb}", shell.program), &socket]);
    let curl = |options: &str, path: &str| {
        command(&[&format!("curl {options}"), &authority, &format!("{site}{path}")])
    };
    format!(
        "palisade {version} is ready, in front of a small demo app.

  Open  {site}
  (or {plain}, which sends you there)

Your browser will warn you once. No public authority signs for \"localhost\", so
palisade made its own on this machine, and your browser has not met it yet. The
connection is encrypted all the same. Proceed, or trust that authority:

{trust}
Choose how the app fails, then see what visitors see:

  {site}/fail

Ask palisade, or the app through it:

{ask_status}{headers}{events}
The log is {log}
Ctrl-C stops everything.
",
        version = status.version,
        trust = ask("cert trust"),
        ask_status = ask("status"),
        headers = curl("-s", "/headers"),
        events = curl("-N", "/events"),
        log = shell.path(&state.join("palisade.log")),
    )
}

/// Port of the first listener with this role, as bound.
fn port(status: &Status, role: &str) -> Option<u16> {
    let listener = status.listeners.iter().find(|listener| listener.role == role)?;
    listener.address.rsplit_once(':')?.1.parse().ok()
}

fn url(scheme: &str, port: Option<u16>, default: u16) -> String {
    match port {
        Some(port) if port != default => format!("{scheme}://localhost:{port}"),
        _ => format!("{scheme}://localhost"),
    }
}

/// Joins the parts of a command, continued on the next line where it would grow too long.
fn command(parts: &[&str]) -> String {
    let mut text = INDENT.to_owned();
    let mut column = INDENT.len();
    for (index, part) in parts.iter().enumerate() {
        let width = part.chars().count();
        // Two columns stay free for the backslash.
        if index > 0 && column + 1 + width > COLUMNS - 2 {
            text.push_str(CONTINUED);
            column = CONTINUED.len() - 3;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(part);
        column += width;
    }
    text.push('\n');
    text
}

/// A path as one word of a POSIX shell.
fn quoted(path: &Path) -> String {
    let text: String = path
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::api::{Connections, Listener, ReloadStatus, State, Traffic};

    fn status() -> Status {
        let listener = |role: &str, address: &str| Listener {
            role: role.to_owned(),
            address: address.to_owned(),
        };
        Status {
            version: "0.1.0".to_owned(),
            pid: 1,
            uptime_s: 0,
            config: None,
            state_dir: "/home/ada/.local/state/palisade-demo".to_owned(),
            workers: 2,
            state: State::Ready,
            listeners: vec![
                listener("https", "127.0.0.1:8443"),
                listener("https", "[::1]:8443"),
                listener("http", "[::1]:8080"),
            ],
            sites: Vec::new(),
            sites_total: 0,
            capabilities: Vec::new(),
            connections: Connections { open: 0, max: 10_000, refused: 0 },
            traffic: Traffic {
                requests: 0,
                responses_4xx: 0,
                responses_5xx: 0,
                panics: 0,
                log_lines_dropped: 0,
            },
            reload: ReloadStatus { generation: 1, loaded_at: String::new(), last_error: None },
            attention: Vec::new(),
        }
    }

    fn shell(program: &str) -> Shell {
        Shell { program: program.to_owned(), home: Some(PathBuf::from("/home/ada")) }
    }

    const GOLDEN: &str = r#"palisade 0.1.0 is ready, in front of a small demo app.

  Open  https://localhost:8443
  (or http://localhost:8080, which sends you there)

Your browser will warn you once. No public authority signs for "localhost", so
palisade made its own on this machine, and your browser has not met it yet. The
connection is encrypted all the same. Proceed, or trust that authority:

  target/release/palisade cert trust \
      --socket ~/.local/state/palisade-demo/control.sock

Choose how the app fails, then see what visitors see:

  https://localhost:8443/fail

Ask palisade, or the app through it:

  target/release/palisade status \
      --socket ~/.local/state/palisade-demo/control.sock
  curl -s --cacert ~/.local/state/palisade-demo/local-ca.pem \
      https://localhost:8443/headers
  curl -N --cacert ~/.local/state/palisade-demo/local-ca.pem \
      https://localhost:8443/events

The log is ~/.local/state/palisade-demo/palisade.log
Ctrl-C stops everything.
"#;

    #[test]
    fn the_announcement_says_what_to_open_and_what_to_type() {
        let state = Path::new("/home/ada/.local/state/palisade-demo");
        let text = announcement(&status(), state, &shell("target/release/palisade"));
        assert_eq!(text, GOLDEN);
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS));
    }

    #[test]
    fn an_installed_palisade_needs_one_line_per_command() {
        let state = Path::new("/home/ada/.local/state/palisade-demo");
        let text = announcement(&status(), state, &shell("palisade"));
        let trust = "\n  palisade cert trust --socket ~/.local/state/palisade-demo/control.sock\n";
        assert!(text.contains(trust), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS));
    }

    #[test]
    fn default_ports_are_not_written() {
        assert_eq!(url("https", Some(443), 443), "https://localhost");
        assert_eq!(url("http", Some(8080), 80), "http://localhost:8080");
    }

    #[test]
    fn a_path_stays_one_word_of_the_shell() {
        let shell = shell("palisade");
        for (path, word) in [
            ("/var/lib/demo", "/var/lib/demo"),
            ("/home/ada/x", "~/x"),
            ("/home/adam/x", "/home/adam/x"),
            ("/home/ada/my demo", "'/home/ada/my demo'"),
            ("/tmp/it's", r"'/tmp/it'\''s'"),
            ("/tmp/$(id)", "'/tmp/$(id)'"),
            ("/tmp/a\u{1b}[2J", "'/tmp/a\u{fffd}[2J'"),
        ] {
            assert_eq!(shell.path(Path::new(path)), word);
        }
    }
}
