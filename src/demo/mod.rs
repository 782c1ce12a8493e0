//! `palisade demo`: the real daemon in front of a small built-in app. No file, no privileges.
//!
//! Promises: the app listens on loopback only, on a port the system picks; the daemon is started as
//! `palisade run` starts it; everything it writes lies in one directory, made readable by this user only.
//! Refuses: to reuse a temporary directory that it did not make.
//! Bounds: after the daemon has ended, the app gets two seconds.

mod announce;
pub mod app;
mod bodies;
mod fail;
mod live;
#[cfg(test)]
mod over_loopback;
mod pages;

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::config::{Environment, Flags};
use crate::daemon::{self, Source, Start, StartError};
use announce::{Shell, announcement};
use app::Story;

/// What the command line chose.
pub struct Options {
    pub https: u16,
    pub http: u16,
    /// `None`: below `$XDG_STATE_HOME` or the home directory, else a fresh temporary directory.
    pub state: Option<PathBuf>,
    /// Prints the announcement; the command line owns standard output.
    pub print: Box<dyn FnOnce(&str) + Send>,
}

/// Why the demo did not start, or how it ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make the directory {} for the demo: {why}. Choose another with --state", path.display())]
    State { path: PathBuf, why: io::Error },
    #[error("the demo app cannot listen on a loopback port: {0}")]
    App(#[source] io::Error),
    #[error(transparent)]
    Daemon(#[from] StartError),
}

/// Runs app and daemon until the daemon is told to stop.
///
/// # Errors
/// When the directory or the app cannot be made, or the daemon does not start.
pub fn run(options: Options, environment: Environment) -> Result<(), Error> {
    let variable = |name| environment.get(name).map(std::ffi::OsString::from);
    let shell = Shell::of_this_process(variable("HOME"));
    let state = match options.state {
        Some(path) => private(path)?,
        None => match default_state(variable("XDG_STATE_HOME"), variable("HOME")) {
            Some(path) => private(path)?,
            None => fresh(&std::env::temp_dir())?,
        },
    };
    let control = state.join("control.sock");
    let demo_app = DemoApp::start(Story { trust: shell.trust(&control) }).map_err(Error::App)?;
    let flags = Flags {
        site: Some("localhost".to_owned()),
        upstream: vec![demo_app.address.to_string()],
        https: loopback(options.https),
        http: loopback(options.http),
        ops: Some("127.0.0.1:0".to_owned()),
        app: Some(state.join("app.sock")),
        tls: Some("local".to_owned()),
        log_file: Some(state.join("palisade.log")),
        control: Some(control),
        state: Some(state.clone()),
        ..Flags::default()
    };
    let print = options.print;
    let outcome = daemon::run(Start {
        source: Source::Flags(Box::new(flags)),
        environment,
        announce: Some(Box::new(move |status, _| print(&announcement(status, &state, &shell)))),
    });
    demo_app.end();
    outcome.map_err(Error::Daemon)
}

/// The app on its own thread, with its own small runtime: a slow demo never slows the daemon.
#[derive(Debug)]
struct DemoApp {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<io::Result<()>>,
}

impl DemoApp {
    fn start(story: Story) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::Builder::new().name("demo-app".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                app::serve(listener, story, stopped).await
            })
        })?;
        Ok(Self { address, stop, thread })
    }

    /// The app ends by itself within its grace time, so that waiting for it is bounded. How it
    /// ended no longer matters to anybody.
    fn end(self) {
        self.stop.send_replace(true);
        let _ = self.thread.join();
    }
}

/// Both loopback addresses, or only the IPv4 one on a machine without IPv6.
fn loopback(port: u16) -> Vec<String> {
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string()];
    // With port 0 the two would get different ports, and one URL could not name both.
    if port != 0 && TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push(SocketAddr::from((Ipv6Addr::LOCALHOST, port)).to_string());
    }
    addresses
}

/// As the XDG base directory specification has it: a path that is not absolute is ignored.
fn default_state(xdg_state_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|p| p.is_absolute());
    absolute(xdg_state_home)
        .or_else(|| absolute(home).map(|home| home.join(".local/state")))
        .map(|base| base.join("palisade-demo"))
}

/// Makes the directory, and those above it, readable by this user only, unless it is there.
/// Paths in commands have to work from any directory, so the answer is absolute.
fn private(path: PathBuf) -> Result<PathBuf, Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .and_then(|()| path.canonicalize())
        .map_err(|why| Error::State { path, why })
}

/// A directory that was not there before: in a directory everybody can write to, one that was there
/// may be somebody else's.
fn fresh(parent: &Path) -> Result<PathBuf, Error> {
    let path = parent.join(format!("palisade-demo-{}", std::process::id()));
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => Ok(path),
        Err(why) => Err(Error::State { path, why }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn os(text: &str) -> Option<OsString> {
        Some(OsString::from(text))
    }

    #[test]
    fn the_state_lies_where_the_desktop_specification_says() {
        for (xdg, home, state) in [
            (os("/x"), os("/home/a"), Some("/x/palisade-demo")),
            (None, os("/home/a"), Some("/home/a/.local/state/palisade-demo")),
            (os(""), os("/home/a"), Some("/home/a/.local/state/palisade-demo")),
            (os("relative"), os("/home/a"), Some("/home/a/.local/state/palisade-demo")),
            (None, os(""), None),
            (None, None, None),
        ] {
            assert_eq!(default_state(xdg, home), state.map(PathBuf::from));
        }
    }

    #[test]
    fn a_new_state_directory_is_private_and_an_old_one_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        let path = private(parent.path().join("a/b")).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("kept"), "x").unwrap();
        assert!(private(path).unwrap().join("kept").exists());
    }

    #[test]
    fn a_temporary_directory_that_is_already_there_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let path = fresh(parent.path()).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(fresh(parent.path()), Err(Error::State { .. })));
    }

    #[test]
    fn the_app_starts_on_loopback_and_ends_when_told() {
        let demo = DemoApp::start(Story { trust: String::new() }).unwrap();
        assert!(demo.address.ip().is_loopback());
        assert_ne!(demo.address.port(), 0);
        demo.end();
    }

    #[test]
    fn addresses_are_loopback_with_the_chosen_port() {
        let addresses = loopback(8443);
        assert_eq!(addresses.first().map(String::as_str), Some("127.0.0.1:8443"));
        assert!(addresses.iter().skip(1).all(|address| address == "[::1]:8443"));
        assert_eq!(loopback(0), ["127.0.0.1:0"]);
    }
}
