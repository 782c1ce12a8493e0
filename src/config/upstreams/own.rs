//! Upstreams that are palisade itself: requests would run in a circle.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Item, Near, shown};
use crate::config::check::both_take;
use crate::config::read::Cx;
use crate::config::settings::{Listen, UpstreamAddr};

/// Reports an upstream whose connections would arrive at one of our own listeners.
pub fn refuse(cx: &mut Cx, item: &Item, near: Near<'_>) {
    let shown = shown(&item.written);
    if is_own(&item.written.addr, near.listen) {
        let message = format!("{shown} is palisade itself: requests would run in a circle");
        cx.error(&item.place, message, "name the address the app listens on");
        return;
    }
    let UpstreamAddr::Tcp { host, port } = &item.written.addr else { return };
    let mut ports = near.listen.https.iter().chain(&near.listen.http).map(SocketAddr::port);
    let named = near.names.iter().any(|name| name.as_str() == host && !name.is_local());
    if named && ports.any(|own| own == *port) {
        let message = format!("{host} is this site: if it leads here, requests run in a circle");
        cx.warn(&item.place, message, "name the address the app listens on");
    }
}

/// Whether a connection to this upstream would arrive at one of our own listeners.
fn is_own(upstream: &UpstreamAddr, listen: &Listen) -> bool {
    let (host, port) = match upstream {
        UpstreamAddr::Unix(path) => return *path == listen.control || *path == listen.app,
        UpstreamAddr::Tcp { host, port } => (host, *port),
    };
    let ip = match host.as_str() {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        text => match text.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => return false,
        },
    };
    // Only loopback is surely this machine: `[::]:443` does not tell which other addresses are ours.
    let own = std::iter::once(&listen.ops).chain(&listen.https).chain(&listen.http);
    own.filter(|address| address.port() == port && port != 0).any(|address| {
        if ip.is_loopback() || ip.is_unspecified() {
            both_take(*address, SocketAddr::new(ip, port))
        } else {
            address.ip() == ip
        }
    })
}
