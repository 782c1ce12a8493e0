//! A daemon whose sites get their certificates from CAs of the test.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::ca::ScriptedCa;
use super::{Answered, Daemon, Doors, Pebble, Place, TlsClient, Upstream, curl, deadline, left};

/// One place, one pair of doors, one app; the CAs are the test's.
pub struct AcmePlace {
    pub place: Place,
    pub doors: Doors,
    app: Upstream,
}

impl AcmePlace {
    pub fn new() -> Self {
        Self { place: Place::new(), doors: Doors::reserve(), app: Upstream::text("hello") }
    }

    /// Where the app of every site is.
    pub fn app(&self) -> String {
        self.app.address()
    }

    /// Sites on this app; `acme` goes into `[acme]` behind directory and roots, `sites` lists name and further keys.
    pub fn configure(&self, directory: &str, roots: &Path, acme: &str, sites: &[(&str, &str)]) {
        let text = self.text(directory, roots, acme, sites);
        self.place.configure_at(self.doors.https(), self.doors.http(), &text);
    }

    /// What that writes behind the head of the file.
    pub fn text(
        &self,
        directory: &str,
        roots: &Path,
        acme: &str,
        sites: &[(&str, &str)],
    ) -> String {
        let mut text = format!(
            "[acme]\ndirectory = \"{directory}\"\nca_file = \"{}\"\n{acme}\n",
            roots.display()
        );
        for (name, keys) in sites {
            let app = self.app();
            let _ = write!(text, "[site.\"{name}\"]\nupstream = \"{app}\"\n{keys}\n");
        }
        text
    }

    /// Sites at a scripted CA, without more.
    pub fn sites(&self, ca: &ScriptedCa, names: &[&str]) {
        let sites: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
        self.configure(&ca.directory(), &ca.ca_file(), "", &sites);
    }

    /// Sites at Pebble, with keys for `[acme]`.
    pub fn sites_at_pebble(&self, pebble: &Pebble, acme: &str, names: &[&str]) {
        let sites: Vec<(&str, &str)> = names.iter().map(|name| (*name, "")).collect();
        self.configure(pebble.directory(), &pebble.ca_file(), acme, &sites);
    }

    /// A scripted CA that validates at its doors, and one site.
    pub fn with_ca(name: &str) -> (Self, ScriptedCa) {
        let place = Self::new();
        let ca = ScriptedCa::start(&place.doors);
        place.sites(&ca, &[name]);
        (place, ca)
    }

    pub fn start(&self) -> Daemon {
        self.place.start()
    }
}

/// The control socket as curl sees it.
pub fn control(daemon: &Daemon, method: &str, path: &str, body: Option<&Value>) -> Answered {
    let socket = daemon.control().display().to_string();
    let url = format!("http://localhost{path}");
    let body = body.map(ToString::to_string);
    let mut args = vec!["--unix-socket", &socket, "-X", method, &url];
    if let Some(body) = &body {
        args.extend(["-H", "content-type: application/json", "--data-binary", body]);
    }
    curl(None, &args)
}

/// What `GET /v1/certificates` says of a site.
pub fn certificate(daemon: &Daemon, site: &str) -> Value {
    let answered = control(daemon, "GET", "/v1/certificates", None);
    let list: Value = serde_json::from_slice(&answered.body).expect("JSON");
    let mut items = list["items"].as_array().expect("a list").iter();
    items.find(|item| item["site"] == site).unwrap_or_else(|| panic!("{site}: {list:#}")).clone()
}

/// What it says once it says what is looked for. For what no line of the log reports.
pub fn certificate_when(daemon: &Daemon, site: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let ends = deadline();
    loop {
        let found = certificate(daemon, site);
        if wanted(&found) {
            return found;
        }
        assert!(!left(ends).is_zero(), "{site} has not come so far: {found:#}");
        // Between two looks, not a wait for something to have happened.
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Waits for an event about a site: the one with this number, from 1.
pub fn wait_for_site(daemon: &Daemon, event: &str, site: &str, number: usize) -> Value {
    daemon.wait_for_nth(number, |line| line["event"] == event && line["site"] == site)
}

/// Starts it and waits until the CA's certificate is served.
pub fn start_and_issue(place: &AcmePlace, site: &str) -> Daemon {
    let daemon = place.start();
    wait_for_site(&daemon, "certificate_in_force", site, 1);
    daemon
}

/// `cert renew`, which has to succeed.
pub fn renew(daemon: &Daemon, site: &str) {
    let exit = daemon.cli(&["cert", "renew", site]);
    assert_eq!(exit.code, 0, "{exit:?}");
}

/// The certificate that a visitor is shown, if it is one that the visitor trusts.
pub fn shown(client: &TlsClient, daemon: &Daemon, name: &str) -> Option<Vec<u8>> {
    client.connect(daemon.https(), name).ok().map(|connection| connection.certificate())
}

/// Fails unless a visitor who trusts the CA gets the app's answer under this name.
pub fn assert_serves(client: &TlsClient, daemon: &Daemon, name: &str) {
    let connection = client.connect(daemon.https(), name);
    let mut connection = connection.unwrap_or_else(|error| panic!("{name}: {error}"));
    let answer = connection.get(name, "/").expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
}
