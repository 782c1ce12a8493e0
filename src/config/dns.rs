//! `[dns]`: the servers that names of upstreams are asked of.
//!
//! Refuses: names in place of addresses, encrypted transports. Bounds: eight servers.

use std::net::{IpAddr, SocketAddr};

use super::read::{Cx, Fault, Section};
use super::settings::Dns;
use super::values;
use super::wire::{Node, Value};

/// RFC 1035 §4.2.
const PORT: u16 = 53;
/// More would only make a failure slower.
const SERVERS_MAX: usize = 8;

pub(super) fn dns(cx: &mut Cx, top: &mut Section<'_>) -> Dns {
    let mut section = top.section(cx, "dns", "dns");
    let list = section.list(cx, "servers", server);
    if let Some(entry) = section.entry(cx, "servers")
        && entry.node.is_empty_list()
    {
        cx.error(&entry.node.place, "the list is empty", "remove the line for those of the system");
    }
    if let Some(entry) = section.entry(cx, "servers") {
        let one = std::slice::from_ref(&entry.node);
        let nodes = if let Value::List(nodes) = &entry.node.value { nodes.as_slice() } else { one };
        nodes.iter().for_each(|node| lost_port(cx, node));
    }
    let mut servers = Vec::new();
    for (server, place) in list.unwrap_or_default() {
        if servers.contains(&server) {
            cx.warn(&place, format!("{server} is listed twice"), "remove one");
        } else if servers.len() == SERVERS_MAX {
            let message = format!("more than {SERVERS_MAX} servers are never asked");
            cx.error(&place, message, "keep the nearest");
        } else {
            servers.push(server);
        }
    }
    section.finish(cx);
    Dns { servers }
}

/// Warns of an address whose last group looks like a port that was meant. Four digits, or the one of DNS: there are
/// public servers with addresses that end in `:10`.
fn lost_port(cx: &mut Cx, node: &Node) {
    let Value::Text(text) = &node.value else { return };
    if let Some((ip, port)) = values::port_meant(text)
        && (port == PORT || port >= 1_000)
    {
        let message = format!("{port} is a part of this address, and no port");
        let label =
            format!("write \"[{ip}]:{port}\" for the port, or \"[{text}]\" for the address");
        cx.warn(&node.place, message, label);
    }
}

/// `"127.0.0.53"`, `"127.0.0.53:53"`, `"::1"` or `"[::1]:53"`.
fn server(node: &Node) -> Result<SocketAddr, Fault> {
    let text = values::text(node)?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let server = match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(server), _) => server,
        (_, Ok(ip)) => SocketAddr::new(ip, PORT),
        _ => {
            let message = format!("\"{text}\" is no address of a DNS server");
            let label = if text.contains("://") {
                "DNS is asked over UDP and TCP only: write \"127.0.0.53\""
            } else if text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.contains("::") {
                "a name would need DNS itself: write the address, as \"127.0.0.53\""
            } else {
                "write it as \"127.0.0.53\" or \"[::1]:53\""
            };
            return Err(Fault::new(message, label));
        }
    };
    if server.port() == 0 {
        return Err(Fault::new("0 is no port", "ports go from 1 to 65535; 53 is the one of DNS"));
    }
    if server.ip().is_unspecified() || server.ip().is_multicast() {
        let message = format!("{} is no address of one machine", server.ip());
        return Err(Fault::new(message, "write the address of the server, as \"127.0.0.1\""));
    }
    Ok(server)
}
