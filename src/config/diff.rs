//! What a reload would change, in words. Pure: two settings in, lines out.

mod upstreams;

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::settings::{Capabilities, Listen, Origins, Route, Settings, Site, TlsSource};
use crate::base::audit::ActionName;
use crate::base::units::HumanDuration;
use crate::base::{Capability, Role, SecretRef};
use crate::work::acme::settings::Acme;

/// The difference between two settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// One line per change, for people: `timeout.head: 10s -> 20s`.
    pub lines: Vec<String>,
    /// Those among them that a reload cannot make: they wait for the next start.
    pub restart: Vec<String>,
}

impl Changes {
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn note<T: PartialEq>(&mut self, key: &str, old: &T, new: &T, show: impl Fn(&T) -> String) {
        if old != new {
            self.lines.push(format!("{key}: {} -> {}", show(old), show(new)));
        }
    }

    fn shown<T: PartialEq + Display>(&mut self, key: &str, old: &T, new: &T) {
        self.note(key, old, new, T::to_string);
    }

    fn time(&mut self, key: &str, old: Duration, new: Duration) {
        self.note(key, &old, &new, |d| HumanDuration(*d).to_string());
    }

    fn list<T: PartialEq + Display>(&mut self, key: &str, old: &[T], new: &[T]) {
        self.note(key, &old, &new, |list| words(list));
    }

    /// Like the others, for what only a start can change.
    fn at_start(&mut self, note: impl FnOnce(&mut Self)) {
        let before = self.lines.len();
        note(self);
        self.restart.extend(self.lines.iter().skip(before).cloned());
    }
}

fn words<T: Display>(list: &[T]) -> String {
    match list {
        [] => "none".to_owned(),
        list => list.iter().map(T::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Compares running settings with new ones.
#[must_use]
pub fn diff(old: &Settings, new: &Settings) -> Changes {
    let mut changes = Changes::default();
    changes.at_start(|c| {
        c.note("state_dir", &old.state_dir, &new.state_dir, |path| path.display().to_string());
        c.shown("workers", &old.workers, &new.workers);
        sockets(c, &old.listen, &new.listen);
        c.note("log.file", &old.log.file, &new.log.file, |file| {
            file.as_ref().map_or_else(|| "standard output".to_owned(), |f| f.display().to_string())
        });
        let kept = |place: &Option<SecretRef>| {
            place.as_ref().map_or_else(|| "not named".to_owned(), SecretRef::to_string)
        };
        let (a, b) = (&old.crypto, &new.crypto);
        c.note("crypto.master_key", &a.master_key, &b.master_key, kept);
        let (a, b) = (&a.previous_master_key, &b.previous_master_key);
        c.note("crypto.previous_master_key", a, b, kept);
    });
    changes.list("listen.https", &old.listen.https, &new.listen.https);
    changes.list("listen.http", &old.listen.http, &new.listen.http);
    if old.listen.trusted_proxies != new.listen.trusted_proxies {
        changes.lines.push("listen.trusted_proxies: changed".to_owned());
    }
    if old.listen.proxy_protocol_from != new.listen.proxy_protocol_from {
        changes.lines.push("listen.proxy_protocol_from: changed".to_owned());
    }
    changes.note("dns.servers", &old.dns.servers, &new.dns.servers, |list| match list.as_slice() {
        [] => "those of the system".to_owned(),
        list => words(list),
    });
    changes.shown("log.access", &old.log.access, &new.log.access);
    changes.time("audit.keep", old.audit.keep, new.audit.keep);
    for role in Role::ALL {
        let (a, b) = (old.roles.people(role), new.roles.people(role));
        changes.shown(&format!("role.{}", role.word()), a, b);
    }
    changes.shown("role.app", &old.roles.app, &new.roles.app);
    limits(&mut changes, old, new);
    acme(&mut changes, &old.acme, &new.acme);
    for capability in Capability::ALL {
        switch(&mut changes, capability, &old.capabilities, &new.capabilities);
    }
    sites(&mut changes, &old.sites, &new.sites);
    changes
}

/// What the file says. A reload changes neither flags nor what was set at runtime: where one of them counts more, the
/// line says that nothing changes yet.
fn switch(changes: &mut Changes, name: Capability, old: &Capabilities, new: &Capabilities) {
    let (before, after) = (old.file_mode(name), new.file_mode(name));
    if before != after {
        let (key, before, after) = (name.key(), before.word(), after.word());
        let still =
            old.decider(name).map(|why| format!(" (still {}: {why})", old.mode(name).word()));
        let still = still.unwrap_or_default();
        changes.lines.push(format!("capability.{key}: {before} -> {after}{still}"));
    }
}

fn sockets(c: &mut Changes, old: &Listen, new: &Listen) {
    c.shown("listen.ops", &old.ops, &new.ops);
    c.note("listen.control", &old.control, &new.control, |path| path.display().to_string());
    c.note("listen.app", &old.app, &new.app, |path| path.display().to_string());
}

fn limits(c: &mut Changes, old: &Settings, new: &Settings) {
    let (a, b) = (&old.timeout, &new.timeout);
    c.time("timeout.handshake", a.handshake, b.handshake);
    c.time("timeout.head", a.head, b.head);
    c.time("timeout.body_idle", a.body_idle, b.body_idle);
    c.time("timeout.keep_alive", a.keep_alive, b.keep_alive);
    c.time("timeout.connect", a.connect, b.connect);
    c.time("timeout.first_byte", a.first_byte, b.first_byte);
    c.time("timeout.between_bytes", a.between_bytes, b.between_bytes);
    c.time("timeout.write_idle", a.write_idle, b.write_idle);
    c.time("timeout.grace", a.grace, b.grace);
    let (a, b) = (&old.http, &new.http);
    c.shown("http.head_max", &a.head_max, &b.head_max);
    c.shown("http.fields_max", &a.fields_max, &b.fields_max);
    c.shown("http.uri_max", &a.uri_max, &b.uri_max);
    c.shown("http.rate_min", &a.rate_min, &b.rate_min);
    c.shown("http.body_max", &a.body_max, &b.body_max);
    let (a, b) = (&old.http2, &new.http2);
    c.shown("http2.streams_max", &a.streams_max, &b.streams_max);
    c.shown("http2.stream_window", &a.stream_window, &b.stream_window);
    c.shown("http2.connection_window", &a.connection_window, &b.connection_window);
    c.shown("http2.header_list_max", &a.header_list_max, &b.header_list_max);
    c.shown("http2.pending_reset_max", &a.pending_reset_max, &b.pending_reset_max);
    c.shown("http2.local_reset_max", &a.local_reset_max, &b.local_reset_max);
    let (a, b) = (&old.connections, &new.connections);
    c.shown("connections.total", &a.total, &b.total);
    c.shown("connections.per_ip", &a.per_ip, &b.per_ip);
    c.shown("connections.per_64", &a.per_64, &b.per_64);
}

fn acme(c: &mut Changes, old: &Acme, new: &Acme) {
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    c.shown("acme.directory", &old.directory.name, &new.directory.name);
    c.note("acme.staging", &old.staging, &new.staging, |staging| {
        or_none(staging.as_ref().map(|directory| directory.name.as_str()))
    });
    c.note("acme.contact", &old.contact, &new.contact, |contact| or_none(contact.as_deref()));
    c.note("acme.ca_file", &old.ca_file, &new.ca_file, |file| {
        or_none(file.as_deref().and_then(Path::to_str))
    });
    c.note("acme.challenges", &old.challenges, &new.challenges, |kinds| {
        words(&kinds.iter().map(|kind| kind.word()).collect::<Vec<_>>())
    });
    c.note("acme.eab", &old.eab, &new.eab, |eab| {
        eab.as_ref()
            .map_or_else(|| "none".to_owned(), |eab| format!("{} with {}", eab.kid, eab.hmac))
    });
    c.note("acme.profile", &old.profile, &new.profile, |profile| or_none(profile.as_deref()));
}

fn sites(c: &mut Changes, old: &[Site], new: &[Site]) {
    for site in old.iter().filter(|site| !new.iter().any(|other| other.name == site.name)) {
        c.lines.push(format!("site {}: removed", site.name));
    }
    for site in new {
        match old.iter().find(|other| other.name == site.name) {
            None => c.lines.push(format!(
                "site {}: added, to {}",
                site.name,
                words(&upstreams::places(&site.upstreams))
            )),
            Some(old) => one_site(c, old, site),
        }
    }
}

fn one_site(c: &mut Changes, old: &Site, new: &Site) {
    let key = |key: &str| format!("site {}: {key}", new.name);
    c.list(&key("also"), &old.also, &new.also);
    upstreams::group(c, key, &old.upstreams, &new.upstreams);
    c.note(&key("tls"), &old.tls, &new.tls, tls);
    c.note(&key("websocket_origins"), &old.origins, &new.origins, |origins| match origins {
        Origins::Any => "any".to_owned(),
        Origins::SiteAnd(list) => words(list),
    });
    c.note(&key("connections_per_ip"), &old.connections_per_ip, &new.connections_per_ip, |cap| {
        cap.map_or_else(|| "none".to_owned(), |cap| cap.to_string())
    });
    let (a, b) = (&old.intake, &new.intake);
    c.shown(&key("body_max"), &a.body_max, &b.body_max);
    c.note(&key("methods"), &a.methods, &b.methods, |list| all_or(list));
    c.shown(&key("hide_errors"), &a.hide_errors, &b.hide_errors);
    c.shown(&key("encoded_slashes"), &a.encoded_slashes, &b.encoded_slashes);
    c.note(&key("content_types"), &a.content_types, &b.content_types, |list| all_or(list));
    let or_none =
        |audit: &Option<ActionName>| audit.as_ref().map_or("none", ActionName::as_str).to_owned();
    c.note(&key("audit"), &old.audit, &new.audit, or_none);
    routes(c, old, new);
}

/// A list of which an empty one stands for everything.
fn all_or<T: Display>(list: &[T]) -> String {
    if list.is_empty() { "all".to_owned() } else { words(list) }
}

fn tls(tls: &TlsSource) -> String {
    match tls {
        TlsSource::Acme { stand_in: false } => "acme".to_owned(),
        TlsSource::Acme { stand_in: true } => "acme, local until then".to_owned(),
        TlsSource::Imported => "imported".to_owned(),
        TlsSource::Local => "local".to_owned(),
        TlsSource::Files { cert, key } => format!("{} with {key}", cert.display()),
    }
}

fn routes(c: &mut Changes, old: &Site, new: &Site) {
    let has = |site: &Site, route: &Route| site.routes.iter().any(|r| r.name == route.name);
    for route in old.routes.iter().filter(|route| !has(new, route)) {
        c.lines.push(format!("site {}: route {} removed", new.name, route.name));
    }
    for route in &new.routes {
        match old.routes.iter().find(|other| other.name == route.name) {
            None => c.lines.push(format!("site {}: route {} added", new.name, route.name)),
            Some(old) => {
                one_route(c, &format!("site {}: route {}", new.name, route.name), old, route)
            }
        }
    }
}

fn one_route(c: &mut Changes, route: &str, old: &Route, new: &Route) {
    if let (Some(old), Some(new)) = (&old.upstreams, &new.upstreams) {
        upstreams::group(c, |key| format!("{route}: {key}"), old, new);
    } else {
        c.note(&format!("{route}: upstream"), &old.upstreams, &new.upstreams, |group| {
            let group = group.as_ref().map(upstreams::places);
            group.map_or_else(|| "that of the site".to_owned(), |places| words(&places))
        });
    }
    let besides = Route { upstreams: new.upstreams.clone(), ..old.clone() };
    if besides != *new {
        c.lines.push(format!("{route} changed"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::settings;

    #[test]
    fn another_authority_is_named() {
        let site = "[site.\"app.example.com\"]\nupstream = \"127.0.0.1:3000\"\n";
        let old = settings(&format!("{site}tls = \"local\"\n"));
        let new = settings(&format!(
            "acme = {{ directory = \"https://ca.example.com/dir\", contact = \"ops@example.com\", \
             challenges = \"http-01\", profile = \"short\" }}\n{site}tls = [\"acme\", \"local\"]\n"
        ));
        assert_eq!(
            diff(&old, &new).lines,
            [
                "acme.directory: letsencrypt -> https://ca.example.com/dir",
                "acme.staging: letsencrypt-staging -> none",
                "acme.contact: none -> ops@example.com",
                "acme.challenges: tls-alpn-01, http-01 -> http-01",
                "acme.profile: none -> short",
                "site app.example.com: tls: local -> acme, local until then",
            ]
        );
    }

    const SITE: &str = "[site.localhost]\nupstream = \"127.0.0.1:3000\"\n";

    #[test]
    fn equal_settings_have_no_difference() {
        assert!(diff(&settings(SITE), &settings(SITE)).is_empty());
    }

    #[test]
    fn a_switch_that_something_else_holds_says_that_nothing_changes_yet() {
        use crate::base::{Mode, Override};
        let mut old = settings(SITE);
        let set = Override { mode: Mode::Off, set_by: "alice".into(), set_at_s: 1, until_s: None };
        old.capabilities.set_runtime(Capability::SecurityHeaders, Some(set));
        let new = settings(&format!("capability.security_headers = \"observe\"\n{SITE}"));
        let wanted = "capability.security_headers: enforce -> observe (still off: set by alice)";
        assert_eq!(diff(&old, &new).lines, [wanted]);
        // A reload leaves the runtime switch alone, so it is none of its changes.
        assert!(diff(&old, &settings(SITE)).is_empty());
    }

    #[test]
    fn a_difference_reads_as_a_sentence_and_tells_what_needs_a_restart() {
        let old = format!(
            "{SITE}route.\"/a\" = {{}}\nroute.\"/b\" = {{}}\n[site.\"b.localhost\"]\nupstream = \"x:1\"\n"
        );
        let new = "workers = 3\nlisten.https = [\":8443\"]\ntimeout.head = \"20s\"\ndns.servers = \"::1\"\ncapability.queue = \"off\"\n\
            [site.localhost]\nupstream = [\"127.0.0.1:3001\", \"unix:/run/a.sock\"]\naudit = \"any\"\nroute.\"/a\" = { first_byte_timeout = \"1s\" }\n\
            [site.\"c.localhost\"]\nupstream = \"y:2\"\n";
        let old = Settings { workers: 2, ..settings(&old) };
        let changes = diff(&old, &settings(new));
        assert_eq!(
            changes.lines,
            [
                "workers: 2 -> 3",
                "listen.https: [::]:443 -> [::]:8443",
                "dns.servers: those of the system -> [::1]:53",
                "timeout.head: 10s -> 20s",
                "capability.queue: enforce -> off",
                "site b.localhost: removed",
                "site localhost: upstream: 127.0.0.1:3000 -> 127.0.0.1:3001, unix:/run/a.sock",
                "site localhost: audit: none -> any",
                "site localhost: route /b removed",
                "site localhost: route /a changed",
                "site c.localhost: added, to y:2",
            ]
        );
        assert_eq!(changes.restart, changes.lines[..1]);
    }
}
