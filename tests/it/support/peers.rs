//! Programs of others that the tests talk through.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::http::field;

/// A program that has to be there; a test without it fails and says how to get it.
pub fn peer(program: &str, install: &str) -> Command {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    let found = found || Path::new(program).is_absolute() && Path::new(program).is_file();
    assert!(found, "this test needs {program}: {install}");
    Command::new(program)
}

/// What curl got.
#[derive(Debug, Clone)]
pub struct Answered {
    /// 0 when there was no response.
    pub status: u16,
    /// The last head: first line and fields.
    pub head: String,
    /// Every head, interim responses and redirects included.
    pub heads: Vec<String>,
    pub body: Vec<u8>,
    /// Exit code of curl.
    pub exit: i32,
    pub errors: String,
}

impl Answered {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs curl; with `roots` it trusts only these.
pub fn curl<S: AsRef<OsStr>>(roots: Option<&Path>, args: &[S]) -> Answered {
    let scratch = tempfile::tempdir().expect("a directory");
    let heads: PathBuf = scratch.path().join("heads");
    let mut command = peer("curl", "apt-get install curl");
    command.env_clear().args(["--silent", "--show-error", "--max-time", "60"]);
    command.arg("--dump-header").arg(&heads);
    if let Some(roots) = roots {
        command.arg("--cacert").arg(roots);
    }
    let output = command.args(args).output().expect("curl runs");
    let heads = std::fs::read(&heads).unwrap_or_default();
    let heads = String::from_utf8_lossy(&heads).replace("\r\n", "\n");
    let heads: Vec<String> =
        heads.split("\n\n").filter(|head| !head.is_empty()).map(str::to_owned).collect();
    let head = heads.last().cloned().unwrap_or_default();
    Answered {
        status: head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0),
        head,
        heads,
        body: output.stdout,
        exit: output.status.code().unwrap_or(-1),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A program that serves until the test ends; it says in its first line where.
pub struct Service {
    child: Child,
    pub first_line: String,
}

impl Service {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut first_line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut first_line).expect("its first line");
        Self { child, first_line: first_line.trim().to_owned() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian's own Python, which has Debian's packages.
pub fn python(script: &str) -> Command {
    let install = "apt-get install python3 python3-websockets";
    let mut probe = peer("/usr/bin/python3", install);
    let there = probe.args(["-c", "import websockets"]).stderr(Stdio::null()).status();
    assert!(there.is_ok_and(|status| status.success()), "this test needs websockets: {install}");
    let mut command = peer("/usr/bin/python3", install);
    command.args(["-c", script]);
    command
}
