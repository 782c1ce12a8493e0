//! Configuration as used: every default resolved, every name parsed, no `Option` that means "default".

mod upstreams;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::placed::CaFiles;
use crate::base::audit::ActionName;
use crate::base::units::Bytes;
use crate::base::{Capability, Host, Mode, Override, Role, SecretRef, TrustedProxies};
use crate::guard::intake::settings::{BodyMax, Intake};
use crate::work::acme::settings::Acme;
use crate::work::audit::settings::Audit;

pub use upstreams::{
    Balance, Breaker, Endpoint, HealthCheck, KeepAwake, Protocol, Upstream, UpstreamAddr,
    UpstreamTls, Upstreams, WaitQueue,
};

/// Everything one start or one reload needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Directory for the local CA and the state that survives a restart.
    pub state_dir: PathBuf,
    /// Worker threads; one per core unless told otherwise.
    pub workers: usize,
    pub listen: Listen,
    pub timeout: Timeouts,
    pub http: HttpLimits,
    pub http2: Http2Limits,
    pub connections: ConnectionCaps,
    pub dns: Dns,
    pub log: LogSettings,
    pub acme: Acme,
    pub crypto: Crypto,
    pub audit: Audit,
    pub roles: Roles,
    /// In the order of the files, each with its routes in the order of matching: longest path first, then as written.
    pub sites: Vec<Site>,
    /// Where the `ca_file` of each `upstream_tls` is named.
    pub ca_files: CaFiles,
    pub capabilities: Capabilities,
}

/// Addresses and sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub https: Vec<SocketAddr>,
    pub http: Vec<SocketAddr>,
    pub ops: SocketAddr,
    pub control: PathBuf,
    pub app: PathBuf,
    /// Peers whose word about the client counts, request by request.
    pub trusted_proxies: TrustedProxies,
    /// Peers whose connections begin with a PROXY header.
    pub proxy_protocol_from: TrustedProxies,
}

/// Deadlines (INVARIANTS 8 and 17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// ClientHello to finished handshake.
    pub handshake: Duration,
    /// First byte of a request to the end of its head.
    pub head: Duration,
    /// Longest pause inside a request body.
    pub body_idle: Duration,
    /// Idle connection between requests.
    pub keep_alive: Duration,
    /// Connecting to the upstream, all its addresses together.
    pub connect: Duration,
    /// Request sent to response head.
    pub first_byte: Duration,
    /// Longest pause inside an upstream response body (event streams and upgrades exempt).
    pub between_bytes: Duration,
    /// Longest pause of a client that does not read what is sent to it.
    pub write_idle: Duration,
    /// SIGTERM to the end of accepted requests.
    pub grace: Duration,
}

/// Sizes of HTTP/1 heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    pub head_max: Bytes,
    pub fields_max: usize,
    pub uri_max: Bytes,
    /// Slowest request body or response reader that is waited for, bytes a second over the time spent waiting.
    pub rate_min: Bytes,
    /// Longest request body where neither site nor route says something else.
    pub body_max: BodyMax,
}

/// HTTP/2 bounds (RFC 9113).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http2Limits {
    pub streams_max: u32,
    pub stream_window: Bytes,
    pub connection_window: Bytes,
    pub header_list_max: Bytes,
    pub pending_reset_max: usize,
    pub local_reset_max: usize,
}

/// How many client connections may be open at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionCaps {
    pub total: usize,
    /// Per IPv4 address or IPv6 address.
    pub per_ip: usize,
    /// Per IPv6 /64.
    pub per_64: usize,
}

/// Who is asked for the addresses of upstreams that have a name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dns {
    /// In the order of asking, each once. Empty for those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `None` is standard output, which systemd hands to the journal.
    pub file: Option<PathBuf>,
    /// One line per request.
    pub access: bool,
}

/// Where the master key is kept; what is not named is looked for in the usual places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crypto {
    pub master_key: Option<SecretRef>,
    /// What wraps the data keys until a start has wrapped them anew.
    pub previous_master_key: Option<SecretRef>,
}

/// Who may do what on the sockets. Root and the daemon's own user are admin besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roles {
    pub viewer: People,
    pub operator: People,
    pub admin: People,
    /// Who may speak as the app.
    pub app: People,
}

impl Roles {
    #[must_use]
    pub const fn people(&self, role: Role) -> &People {
        match role {
            Role::Viewer => &self.viewer,
            Role::Operator => &self.operator,
            Role::Admin => &self.admin,
        }
    }

    /// The highest role of a user, by its number and its groups.
    pub fn of(&self, uid: u32, is_in: impl Fn(u32) -> bool) -> Option<Role> {
        let mut highest_first = Role::ALL.into_iter().rev();
        highest_first.find(|role| self.people(*role).has(uid, &is_in))
    }
}

/// Some users, and the members of some groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct People {
    pub users: Vec<Account>,
    pub groups: Vec<Account>,
}

impl People {
    pub fn has(&self, uid: u32, is_in: impl Fn(u32) -> bool) -> bool {
        self.users.iter().any(|user| user.id == uid)
            || self.groups.iter().any(|group| is_in(group.id))
    }
}

impl std::fmt::Display for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users = self.users.iter().map(|user| format!("user {user}"));
        let groups = self.groups.iter().map(|group| format!("group {group}"));
        let all: Vec<String> = users.chain(groups).collect();
        f.write_str(if all.is_empty() { "nobody" } else { "" })?;
        f.write_str(&all.join(", "))
    }
}

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: u32,
    /// As written, where that is a name.
    pub name: Option<String>,
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// One fronted site.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    pub name: Host,
    /// Other names of the same site (`also`).
    pub also: Vec<Host>,
    pub upstreams: Upstreams,
    pub tls: TlsSource,
    /// WebSocket origins allowed besides the site's own names; see [`Origins`].
    pub origins: Origins,
    /// Lower cap of connections per client address, if the site has one.
    pub connections_per_ip: Option<usize>,
    /// For requests that no route matches.
    pub intake: Intake,
    /// What its requests are recorded as, where the route does not say.
    pub audit: Option<ActionName>,
    pub routes: Vec<Route>,
    /// Where the site stands in the configuration, for messages: `file:line:column`.
    pub declared_at: String,
}

impl Site {
    /// The name and every other name of the site.
    pub fn names(&self) -> impl Iterator<Item = &Host> {
        std::iter::once(&self.name).chain(&self.also)
    }

    /// Where requests of a route go, or those of none.
    #[must_use]
    pub fn upstreams_of<'a>(&'a self, route: Option<&'a Route>) -> &'a Upstreams {
        route.and_then(|route| route.upstreams.as_ref()).unwrap_or(&self.upstreams)
    }

    /// What is taken in by a route, or where none matches.
    #[must_use]
    pub fn intake_of<'a>(&'a self, route: Option<&'a Route>) -> &'a Intake {
        route.map_or(&self.intake, |route| &route.intake)
    }

    /// What requests of a route are recorded as, or those of none.
    #[must_use]
    pub fn audit_of<'a>(&'a self, route: Option<&'a Route>) -> Option<&'a ActionName> {
        route.and_then(|route| route.audit.as_ref()).or(self.audit.as_ref())
    }
}

/// Which `Origin` may open a WebSocket (INVARIANTS 22).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// The site's own names, and these (`scheme://host[:port]`, lower case).
    SiteAnd(Vec<String>),
    /// `websocket_origins = "any"`.
    Any,
}

/// Where a site's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSource {
    /// Ordered from the authority of `[acme]`; until the first one is there, one of the local CA stands in if asked.
    Acme { stand_in: bool },
    /// Given with `palisade cert import`; never ordered.
    Imported,
    /// Issued by the built-in local CA.
    Local,
    /// PEM files. The key may also be a systemd credential or an environment variable.
    Files { cert: PathBuf, key: SecretRef },
}

/// Part of a site with its own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The key in the file: a path prefix (`/login`) or a name (`refund`).
    pub name: String,
    pub matcher: RouteMatch,
    /// `None`: the site's.
    pub upstreams: Option<Upstreams>,
    /// `first_byte` of this route.
    pub first_byte: Duration,
    pub intake: Intake,
    /// What its requests are recorded as; without it, what the site says.
    pub audit: Option<ActionName>,
}

/// All parts must match; an empty list or map matches everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMatch {
    /// Matches the path itself and everything below it, on segment borders: `/api` matches `/api` and `/api/x`, never `/apix`.
    pub path_prefix: String,
    /// Upper case.
    pub methods: Vec<String>,
    /// Lower-case name, exact value.
    pub headers: Vec<(String, String)>,
}

/// One switch per capability. An emergency flag that says `false` counts most, then what was set while running, then
/// the file. A flag that says `true` changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    file: [Mode; 5],
    flag: [Option<bool>; 5],
    runtime: [Option<Override>; 5],
}

impl Capabilities {
    /// What the file says and what the flags say, each in the order of [`Capability::ALL`]; nothing set at runtime.
    #[must_use]
    pub const fn new(file: [Mode; 5], flag: [Option<bool>; 5]) -> Self {
        Self { file, flag, runtime: [const { None }; 5] }
    }

    /// The same file and flags with what was set at runtime in `other`: a reload changes no runtime switch.
    #[must_use]
    pub fn with_runtime_of(self, other: &Self) -> Self {
        Self { runtime: other.runtime.clone(), ..self }
    }

    /// Sets a runtime switch, or takes it back. Answers the one before it.
    pub fn set_runtime(
        &mut self,
        capability: Capability,
        runtime: Option<Override>,
    ) -> Option<Override> {
        let place = self.runtime.get_mut(capability.index())?;
        std::mem::replace(place, runtime)
    }

    /// The mode in force.
    #[must_use]
    pub fn mode(&self, capability: Capability) -> Mode {
        match (self.flag(capability), self.runtime(capability)) {
            (Some(false), _) => Mode::Off,
            (Some(true) | None, Some(runtime)) => runtime.mode,
            (Some(true) | None, None) => self.file_mode(capability),
        }
    }

    /// What decides over the file, in words; `None` where the file decides.
    #[must_use]
    pub fn decider(&self, capability: Capability) -> Option<String> {
        match (self.flag(capability), self.runtime(capability)) {
            (Some(false), _) => Some(format!("{} is false", capability.flag())),
            (Some(true) | None, runtime) => runtime.map(ToString::to_string),
        }
    }

    /// The mode the file asks for.
    #[must_use]
    pub fn file_mode(&self, capability: Capability) -> Mode {
        self.file.get(capability.index()).copied().unwrap_or_default()
    }

    /// The emergency flag, if it is set.
    #[must_use]
    pub fn flag(&self, capability: Capability) -> Option<bool> {
        self.flag.get(capability.index()).copied().flatten()
    }

    /// What was set at runtime, if something was.
    #[must_use]
    pub fn runtime(&self, capability: Capability) -> Option<&Override> {
        self.runtime.get(capability.index())?.as_ref()
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
