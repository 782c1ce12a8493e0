//! Every default, one constant each, with where it comes from.
//!
//! "Defaults to ship" is the list the project settled on; what it takes from a standard names the standard.
//! `templates/palisade.toml` repeats them for people, and a test keeps the two equal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::base::units::Bytes;

/// FHS 3.0 §5.8: state that survives a restart.
pub const STATE_DIR: &str = "/var/lib/palisade";
/// FHS 3.0 §3.15: sockets of a running program.
pub const CONTROL: &str = "/run/palisade/control.sock";
/// A control socket of this name has [`APP_NAME`] beside it.
pub const CONTROL_STEM: &str = "control";
/// The app's socket, beside the control socket.
pub const APP_NAME: &str = "app.sock";
/// Where `palisade run` looks without `--config`.
pub const CONFIG_FILE: &str = "/etc/palisade/palisade.toml";

/// RFC 9110 §4.2.2; `[::]` takes IPv4 too.
pub const HTTPS: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443);
/// RFC 9110 §4.2.1.
pub const HTTP: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 80);
/// Only this machine asks for health and metrics.
pub const OPS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

// Defaults to ship, "TLS", "HTTP/1", "Upstream" and "Grace".
pub const HANDSHAKE: Duration = Duration::from_secs(10);
pub const HEAD: Duration = Duration::from_secs(10);
pub const BODY_IDLE: Duration = Duration::from_secs(30);
pub const KEEP_ALIVE: Duration = Duration::from_secs(60);
pub const CONNECT: Duration = Duration::from_secs(3);
pub const FIRST_BYTE: Duration = Duration::from_secs(60);
pub const BETWEEN_BYTES: Duration = Duration::from_secs(60);
/// As long as the app is waited for.
pub const WRITE_IDLE: Duration = Duration::from_secs(60);
pub const GRACE: Duration = Duration::from_secs(10);

/// Requests that wait for a place at an upstream with `requests_max`, and how long.
pub const WAIT_QUEUE: usize = 100;
pub const WAIT_QUEUE_WAIT: Duration = Duration::from_secs(5);
/// What Finagle and linkerd allow: one second try for five requests.
pub const RETRY_PERCENT: u8 = 20;
/// Envoy's outlier detection opens after five failures in a row. It then stays away for half a minute; here the first
/// probe comes after a second, because an app that restarts is back by then.
pub const BREAKER_FAILURES: u32 = 5;
pub const BREAKER_OPEN: Duration = Duration::from_secs(1);

/// HAProxy's rise and fall, and the status codes of its HTTP checks. It asks every two seconds; an app has better to do.
pub const HEALTH_EVERY: Duration = Duration::from_secs(10);
/// At most [`HEALTH_EVERY`], or what is written in place of it.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);
pub const HEALTH_STATUS: (u16, u16) = (200, 399);
pub const HEALTH_RISE: u32 = 2;
pub const HEALTH_FALL: u32 = 3;
/// Hosting that puts apps to sleep does so after a quarter of an hour or more.
pub const KEEP_AWAKE_EVERY: Duration = Duration::from_secs(5 * 60);
pub const KEEP_AWAKE_PATH: &str = "/";

// Defaults to ship, "HTTP/1".
pub const HEAD_MAX: Bytes = Bytes::kib(64);
pub const FIELDS_MAX: usize = 100;
pub const URI_MAX: Bytes = Bytes::kib(8);
/// Apache's mod_reqtimeout waits for 500 bytes a second and Kestrel for 240; the more patient one.
pub const RATE_MIN: Bytes = Bytes(240);
/// Defaults to ship, "Intake".
pub const BODY_MAX: Bytes = Bytes::mib(10);

// Defaults to ship, "h2"; names as in RFC 9113 §6.5.2. The reset bounds are those of the h2 crate after
// CVE-2023-44487 and CVE-2025-8671.
pub const STREAMS_MAX: u32 = 100;
pub const STREAM_WINDOW: Bytes = Bytes::kib(64);
pub const CONNECTION_WINDOW: Bytes = Bytes::mib(1);
pub const HEADER_LIST_MAX: Bytes = Bytes::kib(16);
pub const PENDING_RESET_MAX: usize = 20;
pub const LOCAL_RESET_MAX: usize = 500;

// Defaults to ship, "Connections".
pub const CONNECTIONS_TOTAL: usize = 10_000;
pub const CONNECTIONS_PER_IP: usize = 1_000;
pub const CONNECTIONS_PER_64: usize = 2_000;

/// ACME directories by name. Sources: letsencrypt.org/docs (also for staging), zerossl.com/documentation/acme,
/// cloud.google.com/certificate-manager/docs/public-ca.
pub const ACME_DIRECTORIES: [(&str, &str); 4] = [
    ("letsencrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    ("letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory"),
    ("zerossl", "https://acme.zerossl.com/v2/DV90"),
    ("google", "https://dv.acme-v02.api.pki.goog/directory"),
];
pub const ACME_DIRECTORY: &str = "letsencrypt";
/// Where attempts after a failure are rehearsed when the directory is [`ACME_DIRECTORY`].
pub const ACME_STAGING: &str = "letsencrypt-staging";

/// A year, and a month to look at it.
pub const AUDIT_KEEP: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// One line per request.
pub const ACCESS_LOG: bool = true;

/// RFC 1918 and RFC 4193: what one's own machines have. Neither link-local addresses, which the neighbours on a shared
/// network have too, nor those behind a carrier-grade NAT (RFC 6598): a provider gives them to strangers.
pub const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
/// RFC 1122 §3.2.1.3 and RFC 4291 §2.5.3: this machine.
pub const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

pub use crate::base::CLOUDFLARE;
