//! From the written tree to [`Settings`]: the sections that are not about one site, and what must hold between sections.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::read::{Cx, Section};
use super::settings::{
    Capabilities, ConnectionCaps, Http2Limits, HttpLimits, Listen, LogSettings, Settings, Timeouts,
};
use super::source::Place;
use super::wire::Table;
use super::{acme, crypto, defaults, dns, intake, role, site, values};
use crate::base::units::Bytes;
use crate::base::{Capability, Mode, TrustedProxies};
use crate::guard::intake::settings::BodyMax;
use crate::sys::users::Accounts;
use crate::work::audit::settings::Audit;

/// Largest HTTP/2 flow-control window (RFC 9113 §6.9.1).
const WINDOW_MAX: u64 = (1 << 31) - 1;
/// An HTTP/2 connection window cannot be made smaller than it starts (RFC 9113 §6.9.2).
const CONNECTION_WINDOW_MIN: u64 = 65_535;
const MIB: u64 = 1 << 20;

/// Where things are unless the configuration says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paths {
    pub state_dir: PathBuf,
    pub control: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self { state_dir: defaults::STATE_DIR.into(), control: defaults::CONTROL.into() }
    }
}

/// Builds settings. They count only if nothing was reported as an error.
pub(super) fn build(
    cx: &mut Cx,
    root: &Table,
    paths: &Paths,
    flags: [Option<bool>; 5],
) -> Settings {
    let mut top = Section::new("", root);
    let state_dir = top.value(cx, "state_dir", paths.state_dir.clone(), values::path);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = top.value(cx, "workers", cores, |node| values::count_usize(node, 1..=1024));
    let listen_at = listen(cx, &mut top, paths);
    let timeout = timeouts(cx, &mut top);
    let http = http_limits(cx, &mut top);
    let http2 = http2_limits(cx, &mut top);
    let connections = connections(cx, &mut top);
    let dns = dns::dns(cx, &mut top);
    let log = log(cx, &mut top);
    let crypto = crypto::crypto(cx, &mut top);
    let audit = audit(cx, &mut top);
    let roles = role::roles(cx, &mut top, &Accounts::read());
    let file = capabilities(cx, &mut top);
    let acme = acme::acme(cx, &mut top);
    let sites = top.section(cx, "site", "site");
    let around = site::Around {
        listen: &listen_at,
        timeout: &timeout,
        http: &http,
        connections: &connections,
        acme: &acme,
    };
    let sites = site::sites(cx, &sites, &around);
    acme::cross_check(cx, &mut top, &acme, (&listen_at, &sites));
    top.finish(cx);
    Settings {
        ca_files: std::mem::take(&mut cx.ca_files),
        state_dir,
        workers,
        listen: listen_at,
        timeout,
        http,
        http2,
        connections,
        dns,
        log,
        acme,
        crypto,
        audit,
        roles,
        sites,
        capabilities: Capabilities::new(file, flags),
    }
}

fn listen(cx: &mut Cx, top: &mut Section<'_>, paths: &Paths) -> Listen {
    let mut section = top.section(cx, "listen", "listen");
    let https = section.list(cx, "https", values::listen);
    let http = section.list(cx, "http", values::listen);
    let ops_place = section.entry(cx, "ops").map(|entry| entry.node.place.clone());
    let ops = section.value(cx, "ops", defaults::OPS, values::listen);
    if let Some(entry) = section.entry(cx, "https")
        && entry.node.is_empty_list()
    {
        let label = "write https = [\"[::]:443\"] or remove the line";
        cx.error(&entry.node.place, "there is no address for HTTPS", label);
    }
    if let Some(place) = &ops_place
        && !ops.ip().to_canonical().is_loopback()
    {
        let message = "other machines can reach the ops address: metrics are read there, and tokens \
                       travel in clear";
        let label = "write \"127.0.0.1:9180\", or keep a firewall and a tunnel in front";
        cx.warn(place, message, label);
    }
    let ops_list = ops_place.map(|place| vec![(ops, place)]);
    overlaps(
        cx,
        [
            ("https", https.as_deref(), defaults::HTTPS),
            ("http", http.as_deref(), defaults::HTTP),
            ("ops", ops_list.as_deref(), defaults::OPS),
        ],
    );

    let control_place = section.entry(cx, "control").map(|entry| entry.node.place.clone());
    let control = section.value(cx, "control", paths.control.clone(), values::path);
    let app_place = section.entry(cx, "app").map(|entry| entry.node.place.clone());
    let app = section.value(cx, "app", app_beside(&control), values::path);
    if let (true, Some(place)) = (app == control, app_place.or(control_place)) {
        cx.error(&place, "the app and the admins cannot share one socket", "name another path");
    }
    let mut networks = |key| {
        let list = section.list(cx, key, values::networks).unwrap_or_default();
        TrustedProxies::new(list.into_iter().flat_map(|(networks, _)| networks).collect())
    };
    let trusted_proxies = networks("trusted_proxies");
    let proxy_protocol_from = networks("proxy_protocol_from");
    section.finish(cx);
    let plain = |list: Option<Vec<(SocketAddr, Place)>>, default| {
        list.map_or_else(|| vec![default], |list| list.into_iter().map(|(a, _)| a).collect())
    };
    Listen {
        https: plain(https, defaults::HTTPS),
        http: plain(http, defaults::HTTP),
        ops,
        control,
        app,
        trusted_proxies,
        proxy_protocol_from,
    }
}

/// Where the app's socket is unless it is named: `app.sock`, or `NAME-app.sock` beside a control socket `NAME.sock`, so
/// that two daemons with sockets in one directory do not meet.
fn app_beside(control: &Path) -> PathBuf {
    let name = control.file_stem().filter(|stem| *stem != defaults::CONTROL_STEM);
    let name = name.map(|stem| format!("{}-{}", stem.to_string_lossy(), defaults::APP_NAME));
    control.with_file_name(name.as_deref().unwrap_or(defaults::APP_NAME))
}

/// One of the listen keys: what is written, and what counts if nothing is.
type Written<'a> = (&'static str, Option<&'a [(SocketAddr, Place)]>, SocketAddr);

/// Two listeners on one port of one address.
fn overlaps(cx: &mut Cx, keys: [Written<'_>; 3]) {
    let all: Vec<&(SocketAddr, Place)> = keys.iter().filter_map(|key| key.1).flatten().collect();
    for (index, (address, place)) in all.iter().enumerate() {
        let earlier = all.iter().take(index).find(|(other, _)| both_take(*other, *address));
        if let Some((other, first)) = earlier {
            let message = format!("{address} is already taken by {other}");
            cx.clash(message, (place, "remove it or choose another port"), first);
        }
        for (key, _, default) in keys.iter().filter(|key| key.1.is_none()) {
            if both_take(*address, *default) {
                let message =
                    format!("{address} is already taken by {default}, the default of listen.{key}");
                cx.error(place, message, format!("choose another port, or set {key} too"));
            }
        }
    }
}

/// `[::]` takes every address of both families.
pub(super) fn both_take(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V6(ip) => ip.is_unspecified(),
        IpAddr::V4(ip) => ip.is_unspecified() && narrow.is_ipv4(),
    };
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

fn timeouts(cx: &mut Cx, top: &mut Section<'_>) -> Timeouts {
    let mut section = top.section(cx, "timeout", "timeout");
    let mut get = |key, default| section.value(cx, key, default, values::duration);
    let timeouts = Timeouts {
        handshake: get("handshake", defaults::HANDSHAKE),
        head: get("head", defaults::HEAD),
        body_idle: get("body_idle", defaults::BODY_IDLE),
        keep_alive: get("keep_alive", defaults::KEEP_ALIVE),
        connect: get("connect", defaults::CONNECT),
        first_byte: get("first_byte", defaults::FIRST_BYTE),
        between_bytes: get("between_bytes", defaults::BETWEEN_BYTES),
        write_idle: get("write_idle", defaults::WRITE_IDLE),
        grace: get("grace", defaults::GRACE),
    };
    section.finish(cx);
    timeouts
}

fn http_limits(cx: &mut Cx, top: &mut Section<'_>) -> HttpLimits {
    let mut section = top.section(cx, "http", "http");
    let size = |low, high| move |node: &_| values::size(node, low..=high);
    let head_max = section.value(cx, "head_max", defaults::HEAD_MAX, size(8 * 1024, MIB));
    let fields_max = section
        .value(cx, "fields_max", defaults::FIELDS_MAX, |n| values::count_usize(n, 10..=1000));
    let uri_max = section.value(cx, "uri_max", defaults::URI_MAX, size(256, MIB));
    if uri_max >= head_max {
        let place = section.entry(cx, "uri_max").or(section.entry(cx, "head_max"));
        if let Some(entry) = place {
            let message = format!("uri_max ({uri_max}) does not fit into head_max ({head_max})");
            let label = "the request line is part of the head: raise head_max or lower uri_max";
            cx.error(&entry.node.place, message, label);
        }
    }
    let rate_min = section.value(cx, "rate_min", defaults::RATE_MIN, size(1, MIB));
    let body_max = BodyMax::Limit(defaults::BODY_MAX);
    let body_max = section.value(cx, "body_max", body_max, intake::body_max);
    section.finish(cx);
    HttpLimits { head_max, fields_max, uri_max, rate_min, body_max }
}

fn http2_limits(cx: &mut Cx, top: &mut Section<'_>) -> Http2Limits {
    let mut section = top.section(cx, "http2", "http2");
    let mut size = |key, default: Bytes, low, high| {
        section.value(cx, key, default, |node| values::size(node, low..=high))
    };
    let stream_window = size("stream_window", defaults::STREAM_WINDOW, 1, WINDOW_MAX);
    let connection_window =
        size("connection_window", defaults::CONNECTION_WINDOW, CONNECTION_WINDOW_MIN, WINDOW_MAX);
    let header_list_max = size("header_list_max", defaults::HEADER_LIST_MAX, 1024, MIB);
    let mut count = |key, default, high| {
        section.value(cx, key, default, |node| values::count_usize(node, 1..=high))
    };
    let pending_reset_max = count("pending_reset_max", defaults::PENDING_RESET_MAX, 10_000);
    let local_reset_max = count("local_reset_max", defaults::LOCAL_RESET_MAX, 100_000);
    let streams_max = section.value(cx, "streams_max", defaults::STREAMS_MAX, |node| {
        values::count(node, 1..=10_000).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
    });
    section.finish(cx);
    Http2Limits {
        streams_max,
        stream_window,
        connection_window,
        header_list_max,
        pending_reset_max,
        local_reset_max,
    }
}

fn connections(cx: &mut Cx, top: &mut Section<'_>) -> ConnectionCaps {
    let mut section = top.section(cx, "connections", "connections");
    let mut get = |key, default| {
        section.value(cx, key, default, |node| values::count_usize(node, 1..=10_000_000))
    };
    let caps = ConnectionCaps {
        total: get("total", defaults::CONNECTIONS_TOTAL),
        per_ip: get("per_ip", defaults::CONNECTIONS_PER_IP),
        per_64: get("per_64", defaults::CONNECTIONS_PER_64),
    };
    section.finish(cx);
    caps
}

fn log(cx: &mut Cx, top: &mut Section<'_>) -> LogSettings {
    let mut section = top.section(cx, "log", "log");
    let file = section.optional(cx, "file", values::path);
    let access = section.value(cx, "access", defaults::ACCESS_LOG, values::boolean);
    section.finish(cx);
    LogSettings { file, access }
}

fn audit(cx: &mut Cx, top: &mut Section<'_>) -> Audit {
    let mut section = top.section(cx, "audit", "audit");
    let keep = section.value(cx, "keep", defaults::AUDIT_KEEP, values::keep);
    section.finish(cx);
    Audit { keep }
}

fn capabilities(cx: &mut Cx, top: &mut Section<'_>) -> [Mode; 5] {
    let mut section = top.section(cx, "capability", "capability");
    let modes = Capability::ALL.map(|c| section.value(cx, c.key(), Mode::default(), values::mode));
    section.finish(cx);
    modes
}
