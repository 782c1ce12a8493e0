//! Taking a new configuration while serving: everything is built first, then swapped once; on any error the old one
//! stays (promise 58), and connections of unchanged sites are not touched (promise 22).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::control::{Daemon, Inner};
use super::listen;
use super::materials::{LOCAL_RENEW_S, Shown, Stamp};
use super::state;
use crate::base::audit::By;
use crate::base::timestamp::rfc3339;
use crate::base::{Capability, Host, Mode};
use crate::config::settings::{Capabilities, Settings, Site, TlsSource};
use crate::config::{Report, diff};
use crate::edge::Policy;
use crate::edge::accept::{Listener, Role};
use crate::ops::api::{self, Reloaded};
use crate::sys;
use crate::telemetry::{Level, Log};

/// How often certificate and key files are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(2);

impl Daemon {
    /// Reads the configuration again on behalf of `by` and takes it, whole or not at all.
    ///
    /// # Errors
    /// The text that says why not; it is also kept for `status` and logged.
    pub fn reload_now(&self, by: &By) -> Result<Reloaded, String> {
        let _ = sys::notify::reloading();
        let mut inner = self.inner();
        let before = inner.generation;
        let result = self.take(&mut inner);
        match &result {
            Ok(_) => inner.last_error = None,
            Err(text) => {
                inner.last_error = Some(text.clone());
                inner.reloads_refused += 1;
            }
        }
        drop(inner);
        self.record_reload(by, before, &result);
        self.tell_of_reload(&result);
        self.shared.log.reopen();
        let _ = sys::notify::ready("serving");
        result
    }

    fn tell_of_reload(&self, result: &Result<Reloaded, String>) {
        match result {
            Ok(reloaded) => {
                self.shared.log.event(Level::Info, "reloaded", |line| {
                    line.number("generation", reloaded.generation)
                        .text("changes", &reloaded.changes.join("; "));
                });
                let text = match reloaded.changes.join("; ") {
                    none if none.is_empty() => "nothing changed".into(),
                    changes => changes,
                };
                self.shared.events.changed("reloaded", None, text);
            }
            Err(text) => {
                self.shared.log.event(Level::Error, "reload_refused", |line| {
                    line.text("why", text)
                        .text("next", "run `palisade check`; the old configuration still serves");
                });
                let first = text.lines().next().unwrap_or_default();
                self.shared.events.changed("reload_refused", None, first);
            }
        }
    }

    fn take(&self, inner: &mut Inner) -> Result<Reloaded, String> {
        let unchanged = |report: Report| {
            report.with_outcome("the running configuration is unchanged").to_string()
        };
        let loaded = self.source.load(&self.environment).map_err(unchanged)?;
        let changes = diff(&inner.settings, &loaded.settings);
        let mut blocked = changes.restart.clone();
        blocked.extend(inherited_moves(inner, &loaded.settings));
        if !blocked.is_empty() {
            return Err(format!(
                "a reload cannot change this, only a restart can:\n  {}\n  \
                 restart palisade, or take the change back",
                blocked.join("\n  ")
            ));
        }
        let added = bind_added(inner, &loaded.settings)?;
        self.swap(inner, loaded.settings, text(&loaded.warnings)).map_err(unchanged)?;
        move_listeners(inner, added);
        Ok(Reloaded { generation: inner.generation, changes: changes.lines })
    }

    /// Loads the certificates of `settings` and puts both in force.
    pub(super) fn swap(
        &self,
        inner: &mut Inner,
        mut settings: Settings,
        warnings: String,
    ) -> Result<(), Report> {
        // Under the lock: a switch that is set meanwhile is here already, or comes after this policy.
        settings.capabilities = settings.capabilities.with_runtime_of(&inner.settings.capabilities);
        // Looked at before reading: a file that changes in between is read again at the next look.
        let stamp = Stamp::of(&settings);
        let wanted = state::wanted(&settings, &self.environment)?;
        self.state.manager.adopt(&wanted);
        let stored = |site: &Host| self.state.manager.certificate(site);
        let vault = self.state.vault(&settings.state_dir, &self.shared.log);
        let (environment, clock) = (&self.environment, &*self.shared.clock);
        let loaded = inner.materials.load(&settings, environment, &stored, &vault, clock)?;
        inner.warnings = loaded.warnings().collect();
        let generation = inner.generation + 1;
        let https = https_port(&settings, &inner.listeners, &inner.inherited);
        let policy = Policy::new(generation, settings.clone(), loaded.tls, https, loaded.peers);
        let policy = Arc::new(policy);
        self.shared.policy.store(Arc::clone(&policy));
        self.upkeep.configure(&policy);
        self.shared.caps.set_limits(super::build::caps(&settings).0);
        inner.warnings.extend((!warnings.is_empty()).then_some(warnings));
        inner.certificates = loaded.certificates;
        inner.certificates_error = None;
        inner.stamp = stamp;
        inner.generation = generation;
        inner.loaded_at_s = self.now_s();
        log_switches(&self.shared.log, &settings.capabilities);
        self.state.audit.configure(settings.audit.keep);
        inner.settings = settings;
        // Orders come last: they ask for answers that the policy now in force gives.
        self.state.manager.configure(wanted);
        self.state.stored.notify_one();
        Ok(())
    }

    /// Puts certificates in force that the manager has stored since the last look. Only the certificates of those
    /// sites change: the generation stays, and with it everything that connections remember.
    pub(super) fn take_stored(&self) {
        let mut inner = self.inner();
        let policy = self.shared.policy.load_full();
        let mut tls = Vec::with_capacity(inner.settings.sites.len());
        let mut taken = Vec::new();
        for (at, site) in inner.settings.sites.iter().enumerate() {
            let now = policy.tls(at).cloned();
            let new = managed(site).then(|| self.state.manager.certificate(&site.name)).flatten();
            let shown = new.filter(|new| {
                let served = inner.certificates.get(at);
                !matches!(served, Some(Shown::Served(old)) if old.facts.sha256 == new.facts.sha256)
            });
            let Some(shown) = shown.map(Shown::Served) else {
                tls.push(now);
                continue;
            };
            // Cannot fail where the same was done at the start.
            tls.push(inner.materials.server(site, &shown).unwrap_or(now));
            taken.push((at, shown));
        }
        if taken.is_empty() {
            return;
        }
        self.shared.policy.store(Arc::new(policy.with_certificates(tls)));
        for (at, shown) in taken {
            if let (Some(site), Some(certificate)) =
                (inner.settings.sites.get(at), shown.certificate())
            {
                self.shared.log.event(Level::Info, "certificate_in_force", |line| {
                    line.text("site", site.name.as_str())
                        .text("issuer", &certificate.facts.issuer)
                        .text("not_after", &rfc3339(certificate.facts.not_after_s));
                });
                let text = format!("serves until {}", rfc3339(certificate.facts.not_after_s));
                let site = Some(site.name.to_string());
                self.shared.events.changed("certificate", site, text);
            }
            if let Some(place) = inner.certificates.get_mut(at) {
                *place = shown;
            }
        }
    }

    /// Loads certificates again when their files have changed. A file that is half written, or does not match its
    /// key, leaves the old certificate in service until the next look.
    fn look_at_certificates(&self, failed: &mut Option<Stamp>) {
        let mut inner = self.inner();
        let stamp = Stamp::of(&inner.settings);
        let sites = inner.settings.sites.iter().zip(&inner.certificates);
        let now_s = self.now_s();
        let renew_local = sites.into_iter().any(|(site, shown)| {
            let local = site.tls == TlsSource::Local || matches!(shown, Shown::StandIn(_));
            local
                && shown.certificate().is_some_and(|c| c.facts.expires_in_s(now_s) < LOCAL_RENEW_S)
        });
        if (stamp == inner.stamp || failed.as_ref() == Some(&stamp)) && !renew_local {
            return;
        }
        let settings = inner.settings.clone();
        let changed = stamp.changed_since(&inner.stamp);
        match self.swap(&mut inner, settings, String::new()) {
            Ok(()) => {
                *failed = None;
                let generation = inner.generation;
                self.shared.log.event(Level::Info, "certificates_reloaded", |line| {
                    line.number("generation", generation).text("files", &changed.join(", "));
                });
                let text = match changed.join(", ") {
                    none if none.is_empty() => "renewed by the local CA".to_owned(),
                    files => format!("changed files were taken: {files}"),
                };
                self.shared.events.changed("certificate", None, text);
                self.record_files(&changed, None);
            }
            Err(report) => {
                *failed = Some(stamp);
                let text = report.to_string();
                self.shared.log.event(Level::Error, "certificates_refused", |line| {
                    line.text("why", &text)
                        .text("files", &changed.join(", "))
                        .text("next", "what was read before still counts; put the file right");
                });
                let first = text.lines().next().unwrap_or_default();
                self.shared.events.changed("certificate", None, format!("not taken: {first}"));
                self.record_files(&changed, Some(&text));
                inner.certificates_error = Some(text);
            }
        }
    }
}

/// Whether palisade keeps the certificate of this site itself.
pub(super) const fn managed(site: &Site) -> bool {
    matches!(site.tls, TlsSource::Acme { .. } | TlsSource::Imported)
}

/// Looks at the certificate files, and takes what the manager has stored, until `stop`.
pub(super) async fn watch_certificates(daemon: Arc<Daemon>, mut stop: watch::Receiver<bool>) {
    let mut failed = None;
    let mut looks = tokio::time::interval(WATCH_EVERY);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = daemon.state.stored.notified() => {
                tokio::task::block_in_place(|| daemon.take_stored());
            }
            _ = looks.tick() => {
                daemon.sample();
                daemon.state.store.look();
                tokio::task::block_in_place(|| {
                    daemon.state.master.look();
                    daemon.look_at_certificates(&mut failed);
                });
            }
        }
    }
}

/// Nothing, or the report.
pub(super) fn text(report: &Report) -> String {
    if report.is_empty() { String::new() } else { report.to_string() }
}

/// Moves of addresses whose sockets systemd owns.
fn inherited_moves(inner: &Inner, new: &Settings) -> Vec<String> {
    let moved = |role: Role| match role {
        Role::Https => inner.settings.listen.https != new.listen.https,
        Role::Http => inner.settings.listen.http != new.listen.http,
    };
    let roles = inner.inherited.iter().filter(|role| moved(**role));
    roles.map(|role| format!("listen.{}: the socket belongs to systemd", role.word())).collect()
}

fn addresses(settings: &Settings) -> Vec<(Role, SocketAddr)> {
    let https = settings.listen.https.iter().map(|addr| (Role::Https, *addr));
    https.chain(settings.listen.http.iter().map(|addr| (Role::Http, *addr))).collect()
}

/// Binds what is new, before anything changes.
fn bind_added(inner: &Inner, new: &Settings) -> Result<Vec<Listener>, String> {
    let old = addresses(&inner.settings);
    let added = addresses(new).into_iter().filter(|wanted| !old.contains(wanted));
    added.map(|(role, addr)| listen::bind_edge(role, addr)).collect()
}

/// Starts to accept on what is new and stops on what is gone.
fn move_listeners(inner: &mut Inner, added: Vec<Listener>) {
    let wanted = addresses(&inner.settings);
    let Some(acceptor) = &inner.acceptor else { return };
    let (kept, gone): (Vec<_>, Vec<_>) = inner.listeners.drain(..).partition(|listener| {
        let edge = [Role::Https, Role::Http].into_iter().find(|r| r.word() == listener.role);
        let Some(role) = edge else { return true };
        let addr = listener.address.parse::<SocketAddr>().ok();
        // Port 0 became a real one when it was bound; it is kept as long as it is asked for.
        inner.inherited.contains(&role)
            || wanted.iter().any(|(r, a)| {
                *r == role && addr.is_some_and(|b| *a == b || (a.port() == 0 && a.ip() == b.ip()))
            })
    });
    inner.listeners = kept;
    for listener in gone {
        if let Ok(addr) = listener.address.parse() {
            acceptor.remove(addr);
        }
    }
    for listener in added {
        inner.listeners.push(describe(&listener));
        let _ = acceptor.add(listener);
    }
}

/// How a listener is shown.
pub(super) fn describe(listener: &Listener) -> api::Listener {
    api::Listener { role: listener.role.word().to_owned(), address: listener.addr.to_string() }
}

/// The port to redirect to: the configured one, unless systemd chose the socket or the kernel the number.
pub(super) fn https_port(
    settings: &Settings,
    listeners: &[api::Listener],
    inherited: &[Role],
) -> u16 {
    let bound = listeners
        .iter()
        .filter(|listener| listener.role == Role::Https.word())
        .find_map(|listener| listener.address.parse::<SocketAddr>().ok());
    let configured = settings.listen.https.first().copied();
    match (configured, bound) {
        (Some(addr), _) if addr.port() != 0 && !inherited.contains(&Role::Https) => addr.port(),
        (_, Some(addr)) => addr.port(),
        _ => 443,
    }
}

/// Modes that the operator should see in the log at a start or a reload, and what decides.
pub(super) fn log_switches(log: &Log, capabilities: &Capabilities) {
    for name in Capability::ALL {
        let mode = capabilities.mode(name);
        if mode != Mode::Enforce {
            let why = capabilities.decider(name).unwrap_or_else(|| "configured".to_owned());
            log.event(Level::Warn, "capability_not_enforced", |line| {
                line.text("capability", name.key()).text("mode", mode.word()).text("why", &why);
            });
        }
    }
}
