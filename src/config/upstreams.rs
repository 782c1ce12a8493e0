//! Upstreams of a site or a route: where they are, and what may not be one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::defaults;
use super::read::{Cx, Section};
use super::settings::{
    Balance, Breaker, Endpoint, Listen, Protocol, Upstream, UpstreamAddr, Upstreams, WaitQueue,
};
use super::source::Place;
use super::values;

/// The group that a bare list of upstreams makes.
pub(super) fn group(list: Vec<Upstream>) -> Upstreams {
    Upstreams {
        list,
        balance: Balance::RoundRobin,
        wait_queue: WaitQueue {
            requests_max: defaults::WAIT_QUEUE,
            wait_max: defaults::WAIT_QUEUE_WAIT,
        },
        retry_percent: defaults::RETRY_PERCENT,
        breaker: Some(Breaker {
            failures: defaults::BREAKER_FAILURES,
            open: defaults::BREAKER_OPEN,
        }),
        health: None,
        keep_awake: None,
    }
}

/// The upstreams of a site or a route; `None` if the key is absent.
pub(super) fn upstreams(
    cx: &mut Cx,
    section: &mut Section<'_>,
    listen: &Listen,
) -> Option<Upstreams> {
    let list = section.list(cx, "upstream", values::upstream)?;
    if let Some(entry) = section.entry(cx, "upstream")
        && entry.node.is_empty_list()
    {
        cx.error(&entry.node.place, "the list is empty", "write upstream = \"127.0.0.1:3000\"");
    }
    let mut known: Vec<(UpstreamAddr, Place)> = Vec::with_capacity(list.len());
    for (upstream, place) in list {
        if known.iter().any(|(other, _)| *other == upstream) {
            cx.warn(
                &place,
                format!("{upstream} is listed twice"),
                "remove one; it gets no larger share",
            );
            continue;
        }
        if is_own(&upstream, listen) {
            let message = format!("{upstream} is palisade itself: requests would run in a circle");
            cx.error(&place, message, "name the address the app listens on");
        }
        known.push((upstream, place));
    }
    let upstream = |addr| Upstream {
        endpoint: Endpoint { addr, protocol: Protocol::Http1, tls: None },
        weight: 1,
        requests_max: None,
    };
    Some(group(known.into_iter().map(|(addr, _)| upstream(addr)).collect()))
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
            super::check::both_take(*address, SocketAddr::new(ip, port))
        } else {
            address.ip() == ip
        }
    })
}
