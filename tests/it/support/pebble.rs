//! The real Pebble with a name server of the test's own: an ACME server that rejects nonces on purpose.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::peers::{curl, peer};
use super::ports::{Doors, Port};
use super::{Authority, deadline, left};

/// How Pebble behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Percentage of good nonces that are rejected.
    pub reject_nonces_percent: u8,
    /// Percentage of orders that get a valid authorization of an earlier one.
    pub reuse_authorizations_percent: u8,
    /// Key id and key (base64url) of an external account: without one that fits, nobody gets an account.
    pub external_account: Option<(String, String)>,
    /// Lifetime of what it issues; 0 for Pebble's own, five years.
    pub lifetime_s: u64,
}

/// A running Pebble; ends with the test.
pub struct Pebble {
    directory: String,
    management: String,
    names: String,
    scratch: tempfile::TempDir,
    log: Arc<Log>,
    _own: [Port; 4],
    _processes: [Process; 2],
}

const INSTALL: &str = "apt-get install pebble";

impl Pebble {
    /// A Pebble that validates at these doors.
    pub fn start(doors: &Doors, options: &Options) -> Self {
        let own: [Port; 4] = std::array::from_fn(|_| Port::reserve());
        let [acme, management, dns, dns_management] = own.each_ref().map(Port::address);
        let scratch = tempfile::tempdir().expect("a directory");
        let authority = Authority::new();
        fs::write(scratch.path().join("ca.pem"), authority.pem()).expect("a root");
        let (certificate, key) = authority.write(scratch.path(), "endpoint", &["127.0.0.1"]);
        let mut config = json!({
            "listenAddress": acme.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": doors.http().port(),
            "tlsPort": doors.https().port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": options.external_account.is_some(),
            "certificateValidityPeriod": options.lifetime_s,
        });
        if let Some((id, key)) = &options.external_account {
            config["externalAccountMACKeys"] = json!({ (id.as_str()): key });
        }
        let file = scratch.path().join("pebble.json");
        fs::write(&file, json!({ "pebble": config }).to_string()).expect("a configuration");

        let log = Arc::new(Log::default());
        let names = Self::name_server(dns, dns_management, &log);
        let mut command = peer("pebble", INSTALL);
        command.arg("-config").arg(&file).args(["-dnsserver", &dns.to_string(), "-strict"]);
        command.env_clear().env("PEBBLE_VA_NOSLEEP", "1");
        command.env("PEBBLE_WFE_NONCEREJECT", options.reject_nonces_percent.to_string());
        command.env("PEBBLE_AUTHZREUSE", options.reuse_authorizations_percent.to_string());
        let server = Process::start(&mut command, &log);

        let pebble = Self {
            directory: format!("https://{acme}/dir"),
            management: format!("https://{management}"),
            names: format!("http://{dns_management}"),
            scratch,
            log,
            _own: own,
            _processes: [server, names],
        };
        pebble.wait_until_it_answers();
        pebble
    }

    fn name_server(dns: SocketAddr, management: SocketAddr, log: &Arc<Log>) -> Process {
        let mut command = peer("pebble-challtestsrv", INSTALL);
        command.env_clear().args(["-dns01", &dns.to_string()]);
        command.args(["-management", &management.to_string()]);
        command.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        Process::start(&mut command, log)
    }

    fn wait_until_it_answers(&self) {
        let ends = deadline();
        let answers = |url: &str| curl(Some(&self.ca_file()), &[url]).status != 0;
        while !(answers(&self.directory) && answers(&self.management) && answers(&self.names)) {
            assert!(!left(ends).is_zero(), "pebble does not answer\n{}", self.log());
            // Between two looks at a port that nobody reports on.
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The root of its endpoint, for ACME clients.
    pub fn ca_file(&self) -> PathBuf {
        self.scratch.path().join("ca.pem")
    }

    /// The root of what it issues, for TLS clients.
    pub fn root_pem(&self) -> String {
        self.manage("/roots/0")
    }

    fn manage(&self, path: &str) -> String {
        let url = format!("{}{path}", self.management);
        let answered = curl(Some(&self.ca_file()), &[url]);
        assert_eq!(answered.status, 200, "{answered:?}");
        answered.text()
    }

    /// Everything that it and its name server have said.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// How many accounts it has made.
    pub fn accounts(&self) -> usize {
        self.said("accounts in memory")
    }

    /// How many orders it has taken.
    pub fn orders(&self) -> usize {
        self.said("orders in the db")
    }

    /// How many certificates it has issued.
    pub fn certificates(&self) -> usize {
        self.said("Issued certificate serial")
    }

    fn said(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(words)).count()
    }

    /// The name server fails for `host`.
    pub fn name_fails(&self, host: &str) {
        self.tell_names("set-servfail", &json!({ "host": host }));
    }

    /// The name server answers for `host` again.
    pub fn name_recovers(&self, host: &str) {
        self.tell_names("clear-servfail", &json!({ "host": host }));
    }

    fn tell_names(&self, verb: &str, what: &Value) {
        let url = format!("{}/{verb}", self.names);
        let answered = curl(None, &["--data", &what.to_string(), &url]);
        assert_eq!(answered.status, 200, "{answered:?}");
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("pebble:\n{}", self.log());
        }
    }
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
}

impl Log {
    fn read(&self, from: impl Read) {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { break };
            let mut text = self.text.lock().unwrap();
            text.push_str(&line);
            text.push('\n');
        }
    }
}

/// A child whose output goes to the log; killed by its id.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Arc<Log>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let (out, err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (first, second) = (Arc::clone(log), Arc::clone(log));
        std::thread::spawn(move || first.read(out));
        std::thread::spawn(move || second.read(err));
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
