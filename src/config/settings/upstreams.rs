//! Where requests of a site or a route go, and how an upstream is chosen, watched and spared.

use std::path::PathBuf;
use std::time::Duration;

/// The upstreams of a site, or of a route that has its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstreams {
    /// In the order of the file, each endpoint once. Never empty in settings without an error.
    pub list: Vec<Upstream>,
    pub balance: Balance,
    /// For requests that find every upstream at its `requests_max`.
    pub wait_queue: WaitQueue,
    /// Second tries, in percent of the requests; 0 for none (promise 23).
    pub retry_percent: u8,
    /// `None`: an upstream that fails is tried like any other.
    pub breaker: Option<Breaker>,
    pub health: Option<HealthCheck>,
    pub keep_awake: Option<KeepAwake>,
}

/// One upstream among those of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub endpoint: Endpoint,
    /// Its share, relative to the weights of the others; at least 1.
    pub weight: u32,
    /// Requests in flight there at once, of all workers together; `None` for any number.
    pub requests_max: Option<usize>,
}

/// What a connection is made to, and how: two groups that name the same one share its connections and its state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub addr: UpstreamAddr,
    pub protocol: Protocol,
    /// `None` for a connection in the clear.
    pub tls: Option<UpstreamTls>,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    Http1,
    /// HTTP/2 from the first byte (RFC 9113 §3.3), or as ALPN `h2`; never by an upgrade.
    Http2,
}

/// How an upstream proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// The name that is asked for and that its certificate must have: a host name or an IP address.
    pub name: String,
    /// PEM file of the roots that are trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Where an app listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamAddr {
    /// `host:port`; `ports::names` keeps the addresses of the host.
    Tcp { host: String, port: u16 },
    /// `unix:/run/app.sock`
    Unix(PathBuf),
}

/// Who is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// In turn, each as often as its weight says.
    RoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastLoaded,
}

/// Requests that wait for a place at an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitQueue {
    /// More than these are refused at once.
    pub requests_max: usize,
    pub wait_max: Duration,
}

/// When an upstream that fails is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it: refused or broken connections, deadlines that have passed.
    pub failures: u32,
    /// How long it stays open at first; doubled each time a probe fails, up to [`Breaker::OPEN_MAX`].
    pub open: Duration,
}

impl Breaker {
    /// The longest pause between two probes.
    pub const OPEN_MAX: Duration = Duration::from_secs(60);
}

/// A request that each upstream of a group is asked regularly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// With the query, if there is one.
    pub path: String,
    /// For the Host field; `None`: the name of the site.
    pub host: Option<String>,
    pub every: Duration,
    pub timeout: Duration,
    /// Status codes that mean well, from and to, both included.
    pub status: (u16, u16),
    /// Answers in a row that make a failed upstream a good one again.
    pub rise: u32,
    /// Failures in a row that make it a failed one.
    pub fall: u32,
}

/// A request in the pauses of an app that would fall asleep without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAwake {
    /// With the query, if there is one.
    pub path: String,
    /// For the Host field; `None`: the name of the site.
    pub host: Option<String>,
    pub every: Duration,
}

impl std::fmt::Display for UpstreamAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Balance {
    pub const ALL: [Self; 2] = [Self::RoundRobin, Self::LeastLoaded];

    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::LeastLoaded => "least-loaded",
        }
    }
}

/// As it is written in the configuration; `upstream_tls` is not part of it. No two endpoints of one configuration look
/// the same.
impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match (self.protocol, &self.tls) {
            (Protocol::Http1, None) => return self.addr.fmt(f),
            (Protocol::Http1, Some(_)) => "https",
            (Protocol::Http2, Some(_)) => "h2",
            (Protocol::Http2, None) => "h2c",
        };
        let slashes = if matches!(self.addr, UpstreamAddr::Unix(_)) { "" } else { "//" };
        write!(f, "{scheme}:{slashes}{}", self.addr)
    }
}

impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.endpoint.fmt(f)
    }
}
