//! The real binary, started on free ports in a directory of its own, and ended by its id.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::peers::{Answered, curl};
use super::wire::preface;
use super::{Connection, DEADLINE, TlsClient, deadline, left};

/// A directory for configuration, state and sockets; it may outlive a daemon.
#[derive(Clone)]
pub struct Place(Arc<tempfile::TempDir>);

impl Place {
    pub fn new() -> Self {
        Self(Arc::new(tempfile::tempdir().expect("a directory")))
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("palisade.toml")
    }

    /// Writes the configuration: free ports, everything in this directory, then `text`. The head ends inside
    /// `[listen]`, so `text` may begin with keys of that section.
    pub fn configure(&self, text: &str) {
        let free = (Ipv4Addr::LOCALHOST, 0).into();
        self.configure_at(free, free, text);
    }

    /// The same on these addresses for HTTPS and HTTP.
    pub fn configure_at(&self, https: SocketAddr, http: SocketAddr, text: &str) {
        let dir = self.dir().display();
        let file = format!(
            "state_dir = \"{dir}/state\"\nworkers = 2\n\n[listen]\nhttps = [\"{https}\"]\n\
             http = [\"{http}\"]\nops = \"127.0.0.1:0\"\ncontrol = \"{dir}/control.sock\"\n{text}\n"
        );
        std::fs::write(self.config(), file).expect("a configuration file");
    }

    /// Another number of workers in what was written than two: with one there is one pool of connections.
    pub fn set_workers(&self, count: usize) {
        let text = std::fs::read_to_string(self.config()).expect("configured");
        let text = text.replace("workers = 2", &format!("workers = {count}"));
        std::fs::write(self.config(), text).expect("a configuration file");
    }

    /// A command of the binary, without the caller's environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade"));
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", self.dir());
        command.current_dir(self.dir()).stdin(Stdio::null());
        command
    }

    /// Starts what [`configure`](Self::configure) wrote.
    pub fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    pub fn start_with(&self, environment: &[(&str, &str)]) -> Daemon {
        let mut command = self.command();
        command.arg("run").arg("--config").arg(self.config()).envs(environment.iter().copied());
        Daemon::spawn(self.clone(), command)
    }

    /// The same where the configuration sends the log to a file: its lines are read from there.
    pub fn start_logging_to(&self, log: &Path) -> Daemon {
        let mut command = self.command();
        command.arg("run").arg("--config").arg(self.config());
        Daemon::spawn_reading(self.clone(), command, Some(log))
    }

    /// One command line to its end.
    pub fn palisade<S: AsRef<OsStr>>(&self, args: &[S]) -> Exit {
        palisade(self.command().args(args))
    }
}

/// What a finished command left.
#[derive(Debug)]
pub struct Exit {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Exit {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command to its end, at most until the deadline.
pub fn palisade(command: &mut Command) -> Exit {
    within(DEADLINE, command)
}

/// The same for a command that takes longer.
pub fn within(limit: Duration, command: &mut Command) -> Exit {
    let mut child = Running(
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs"),
    );
    let out = drain(child.0.stdout.take().expect("piped"));
    let err = drain(child.0.stderr.take().expect("piped"));
    let status = child.wait(limit);
    let text = |thread: JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&thread.join().expect("read")).into_owned()
    };
    Exit { code: status.and_then(|s| s.code()).unwrap_or(-1), out: text(out), err: text(err) }
}

fn drain(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all
    })
}

/// A child that does not outlive its test.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }

    /// `None` when it does not end in time; it is killed then.
    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let ends = deadline() + limit.saturating_sub(DEADLINE);
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Some(status);
            }
            if left(ends).is_zero() {
                let _ = self.0.kill();
                let _ = self.0.wait();
                return None;
            }
            // Between two looks at a process, not a wait for something to have happened.
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A daemon that serves.
pub struct Daemon {
    place: Place,
    child: Mutex<Running>,
    log: Arc<Log>,
    started: Value,
}

#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    grew: Condvar,
}

#[derive(Default)]
struct LogState {
    lines: Vec<Value>,
    /// Everything for people: standard error, and standard output where the log goes to a file.
    errors: String,
    /// Events that a wait has returned already, by name.
    taken: HashMap<String, usize>,
    /// The daemon will write no more.
    ended: bool,
    /// The test is over.
    abandoned: bool,
}

impl Daemon {
    /// A daemon with one site on a certificate of the local CA.
    pub fn site(name: &str, upstream: &str) -> Self {
        Self::start(&format!("[site.\"{name}\"]\nupstream = \"{upstream}\"\n"))
    }

    /// A daemon with this configuration; see [`Place::configure`].
    pub fn start(text: &str) -> Self {
        let place = Place::new();
        place.configure(text);
        place.start()
    }

    /// The same with so many workers.
    pub fn start_on(workers: usize, text: &str) -> Self {
        let place = Place::new();
        place.configure(text);
        place.set_workers(workers);
        place.start()
    }

    /// [`site`](Self::site) `app.localhost` on one worker.
    pub fn one_pool(upstream: &str) -> Self {
        Self::start_on(1, &format!("[site.\"app.localhost\"]\nupstream = \"{upstream}\""))
    }

    /// Starts `command` and waits until it serves.
    pub fn spawn(place: Place, command: Command) -> Self {
        Self::spawn_reading(place, command, None)
    }

    /// The same where the log goes to a file.
    pub fn spawn_reading(place: Place, mut command: Command, file: Option<&Path>) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let log = Arc::new(Log::default());
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let theirs = Arc::clone(&log);
        match file.map(Path::to_owned) {
            None => drop(std::thread::spawn(move || theirs.read_lines(out))),
            Some(file) => drop(std::thread::spawn(move || {
                let screen = Arc::clone(&theirs);
                std::thread::spawn(move || screen.read_errors(out));
                let tail = Tail { file: None, path: file, log: Arc::clone(&theirs) };
                theirs.read_lines(tail);
            })),
        }
        let theirs = Arc::clone(&log);
        std::thread::spawn(move || theirs.read_errors(err));
        let child = Mutex::new(Running(child));
        let mut daemon = Self { place, child, log, started: Value::Null };
        daemon.started = daemon.wait_for_event("started");
        daemon
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().0.id()
    }

    /// The address of a listener, as the `started` line has it.
    fn address(&self, role: &str) -> SocketAddr {
        let address = self.started[role][0].as_str().unwrap_or_else(|| panic!("{}", self.started));
        address.parse().expect("an address")
    }

    pub fn https(&self) -> SocketAddr {
        self.address("https")
    }

    pub fn http(&self) -> SocketAddr {
        self.address("http")
    }

    pub fn ops(&self) -> SocketAddr {
        self.address("ops")
    }

    pub fn control(&self) -> PathBuf {
        PathBuf::from(self.started["control"][0].as_str().expect("a path"))
    }

    pub fn app(&self) -> PathBuf {
        PathBuf::from(self.started["app"][0].as_str().expect("a path"))
    }

    /// Where the root of the local CA is.
    pub fn root(&self) -> PathBuf {
        self.place.path("state/local-ca.pem")
    }

    pub fn root_pem(&self) -> String {
        std::fs::read_to_string(self.root()).expect("the root of the local CA")
    }

    /// A client that trusts the local CA.
    pub fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.root_pem())
    }

    /// A connection to the site `app.localhost` that speaks HTTP/1.1.
    pub fn http1(&self) -> Connection {
        self.client().alpn(&["http/1.1"]).connect(self.https(), "app.localhost").unwrap()
    }

    /// The same with HTTP/2; the preface is sent.
    pub fn http2(&self) -> Connection {
        let client = self.client().alpn(&["h2"]);
        let mut connection = client.connect(self.https(), "app.localhost").unwrap();
        connection.send(preface()).unwrap();
        connection
    }

    /// curl, trusting the local CA; every `https://` name and port leads to this daemon.
    pub fn curl(&self, args: &[&str]) -> Answered {
        self.curl_trusting(&self.root(), args)
    }

    pub fn curl_trusting(&self, roots: &Path, args: &[&str]) -> Answered {
        let to = format!("::{}", self.https());
        let all: Vec<&str> =
            ["--connect-to", &to].into_iter().chain(args.iter().copied()).collect();
        curl(Some(roots), &all)
    }

    /// The same to the plain port.
    pub fn curl_plain(&self, args: &[&str]) -> Answered {
        let to = format!("::{}", self.http());
        let all: Vec<&str> =
            ["--connect-to", &to].into_iter().chain(args.iter().copied()).collect();
        curl(None, &all)
    }

    /// The same to the ops address.
    pub fn curl_ops(&self, path: &str, args: &[&str]) -> Answered {
        let url = format!("http://{}{path}", self.ops());
        let all: Vec<&str> = args.iter().copied().chain([url.as_str()]).collect();
        curl(None, &all)
    }

    /// A client verb against this daemon's control socket.
    pub fn cli(&self, args: &[&str]) -> Exit {
        palisade(self.place.command().args(args).arg("--socket").arg(self.control()))
    }

    /// `status --json`.
    pub fn status(&self) -> Value {
        let exit = self.cli(&["status", "--json"]);
        assert_eq!(exit.code, 0, "{exit:?}");
        exit.json()
    }

    /// `reload` that has to succeed.
    pub fn reload(&self) {
        let exit = self.cli(&["reload"]);
        assert_eq!(exit.code, 0, "{exit:?}");
    }

    pub fn sighup(&self) {
        self.child.lock().unwrap().signal(Signal::HUP);
    }

    pub fn sigterm(&self) {
        self.child.lock().unwrap().signal(Signal::TERM);
    }

    /// Ends it as a crash would.
    pub fn sigkill(&self) {
        let mut child = self.child.lock().unwrap();
        child.signal(Signal::KILL);
        child.wait(DEADLINE);
    }

    /// Waits for the end and returns its code.
    pub fn wait_exit(&self) -> i32 {
        let status = self.child.lock().unwrap().wait(DEADLINE);
        let status = status.unwrap_or_else(|| panic!("it does not end\n{}", self.everything()));
        status.code().unwrap_or_else(|| panic!("{status}\n{}", self.everything()))
    }

    /// SIGTERM, and the exit code.
    pub fn stop(&self) -> i32 {
        self.sigterm();
        self.wait_exit()
    }

    /// Stops, and starts again with the same configuration and state.
    pub fn restart(self) -> Self {
        assert_eq!(self.stop(), 0);
        let place = self.place.clone();
        drop(self);
        place.start()
    }

    /// The log so far.
    pub fn lines(&self) -> Vec<Value> {
        self.log.state.lock().unwrap().lines.clone()
    }

    /// Lines of requests so far.
    pub fn access_lines(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["event"] == "request").collect()
    }

    /// Standard error so far.
    pub fn errors(&self) -> String {
        self.log.state.lock().unwrap().errors.clone()
    }

    /// Waits until this has been said to whoever started it in a terminal.
    pub fn wait_for_words(&self, words: &str) -> String {
        self.wait(|state| state.errors.contains(words).then(|| state.errors.clone()))
    }

    /// The first line that `wanted` accepts, of those that were and those to come.
    pub fn wait_for_line(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait(|state| state.lines.iter().find(|line| wanted(line)).cloned())
    }

    /// The next event of this name: each wait returns a later one.
    pub fn wait_for_event(&self, name: &str) -> Value {
        self.wait(|state| {
            let taken = state.taken.get(name).copied().unwrap_or(0);
            let mut of_name = state.lines.iter().filter(|line| line["event"] == name);
            let found = of_name.nth(taken).cloned()?;
            state.taken.insert(name.to_owned(), taken + 1);
            Some(found)
        })
    }

    /// Waits for `count` lines of requests in all.
    pub fn wait_for_requests(&self, count: usize) -> Vec<Value> {
        self.wait(|state| {
            let lines = state.lines.iter().filter(|line| line["event"] == "request");
            let lines: Vec<Value> = lines.cloned().collect();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Waits for the line with this number, from 1, of those that `wanted` accepts.
    pub fn wait_for_nth(&self, number: usize, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait(|state| state.lines.iter().filter(|line| wanted(line)).nth(number - 1).cloned())
    }

    fn wait<T>(&self, mut look: impl FnMut(&mut LogState) -> Option<T>) -> T {
        let ends = deadline();
        let mut state = self.log.state.lock().unwrap();
        loop {
            if let Some(found) = look(&mut state) {
                return found;
            }
            let wait = left(ends);
            if wait.is_zero() || state.ended {
                drop(state);
                panic!("the awaited line has not come\n{}", self.everything());
            }
            state = self.log.grew.wait_timeout(state, wait).unwrap().0;
        }
    }

    fn everything(&self) -> String {
        let state = self.log.state.lock().unwrap_or_else(|e| e.into_inner());
        let lines: Vec<String> = state.lines.iter().map(ToString::to_string).collect();
        format!("log:\n{}\nstandard error:\n{}", lines.join("\n"), state.errors)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.log.state.lock().unwrap_or_else(|e| e.into_inner()).abandoned = true;
        if std::thread::panicking() {
            eprintln!("{}", self.everything());
        }
    }
}

/// A log file that is being written, read for as long as somebody waits for its lines; a file that was moved is read on.
struct Tail {
    file: Option<std::fs::File>,
    path: PathBuf,
    log: Arc<Log>,
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while !self.log.state.lock().unwrap().abandoned {
            if self.file.is_none() {
                self.file = std::fs::File::open(&self.path).ok();
            }
            let read = self.file.as_mut().map_or(Ok(0), |file| file.read(buffer))?;
            if read > 0 {
                return Ok(read);
            }
            // Between two looks at a file, not a wait for something to have happened.
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(0)
    }
}

impl Log {
    fn read_lines(&self, from: impl Read) {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { break };
            let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
            self.state.lock().unwrap().lines.push(line);
            self.grew.notify_all();
        }
        self.state.lock().unwrap().ended = true;
        self.grew.notify_all();
    }

    fn read_errors(&self, from: impl Read) {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { break };
            let mut state = self.state.lock().unwrap();
            state.errors.push_str(&line);
            state.errors.push('\n');
            drop(state);
            self.grew.notify_all();
        }
    }
}
