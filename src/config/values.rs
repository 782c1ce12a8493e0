//! Single values: written form to typed form, or the reason and what to write instead. No place, no context.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::read::{Fault, nearest};
use super::wire::{Node, Value};
use crate::base::audit::ActionName;
use crate::base::path;
use crate::base::units::{Bytes, HumanDuration};
use crate::base::{Host, HostError, Mode};

/// Longest deadline that is taken for meant.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const KEEP_MAX: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);
/// Widest trusted networks: more would be a good part of the Internet.
const V4_PREFIX_MIN: u8 = 8;
const V6_PREFIX_MIN: u8 = 16;
/// Networks that have a name.
const NETWORKS: [(&str, &[&str]); 3] = [
    ("cloudflare", &super::defaults::CLOUDFLARE),
    ("private", &super::defaults::PRIVATE),
    ("loopback", &super::defaults::LOOPBACK),
];

fn expected(what: &str, node: &Node, write: &str) -> Fault {
    Fault::new(format!("expected {what}, found {}", node.kind()), format!("write it as {write}"))
}

/// A string that is not empty.
pub(super) fn text(node: &Node) -> Result<&str, Fault> {
    match &node.value {
        Value::Text(text) if text.is_empty() => {
            Err(Fault::new("the text is empty", "write a value"))
        }
        Value::Text(text) => Ok(text),
        _ => Err(expected("a string", node, "text in quotes")),
    }
}

pub(super) fn boolean(node: &Node) -> Result<bool, Fault> {
    match &node.value {
        Value::Bool(word) => Ok(*word),
        _ => Err(expected("true or false", node, "true or false, without quotes")),
    }
}

/// A whole number within bounds.
pub(super) fn count(node: &Node, bounds: RangeInclusive<u64>) -> Result<u64, Fault> {
    let (low, high) = bounds.into_inner();
    let label = format!("write a number from {low} to {high}");
    match &node.value {
        Value::Integer(number) => match number.and_then(|n| u64::try_from(n).ok()) {
            Some(n) if (low..=high).contains(&n) => Ok(n),
            _ => Err(Fault::new("the number is out of bounds", label)),
        },
        _ => Err(Fault::new(format!("expected a number, found {}", node.kind()), label)),
    }
}

/// [`count`] as a `usize`.
pub(super) fn count_usize(node: &Node, bounds: RangeInclusive<u64>) -> Result<usize, Fault> {
    count(node, bounds).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
}

/// A size within bounds; a bare number is bytes.
pub(super) fn size(node: &Node, bounds: RangeInclusive<u64>) -> Result<Bytes, Fault> {
    let (low, high) = bounds.into_inner();
    let bytes = match &node.value {
        Value::Text(text) => text.parse::<Bytes>().map_err(|error| {
            Fault::new(format!("\"{text}\" is no size: {error}"), "write it as \"64KiB\"")
        })?,
        Value::Integer(Some(n)) if *n >= 0 => Bytes(n.unsigned_abs()),
        _ => return Err(expected("a size", node, "\"64KiB\"")),
    };
    if (low..=high).contains(&bytes.0) {
        return Ok(bytes);
    }
    let label = format!("write a size from {} to {}", Bytes(low), Bytes(high));
    Err(Fault::new("the size is out of bounds", label))
}

/// What requests are recorded as.
pub(super) fn action(node: &Node) -> Result<ActionName, Fault> {
    let text = text(node)?;
    text.parse().map_err(|error| {
        Fault::new(
            format!("\"{text}\" is no name of an action: {error}"),
            "write it as \"refund\" or \"order.refund\"",
        )
    })
}

/// How long something is kept: a day at least, so that a slip does not empty it, and at most a hundred years.
pub(super) fn keep(node: &Node) -> Result<Duration, Fault> {
    let duration = any_duration(node)?;
    if (DURATION_MAX..=KEEP_MAX).contains(&duration) {
        return Ok(duration);
    }
    Err(Fault::new("the time is out of bounds", "write a time from \"1d\" to \"36500d\""))
}

/// A deadline: more than nothing, at most a day.
pub(super) fn duration(node: &Node) -> Result<Duration, Fault> {
    let duration = any_duration(node)?;
    if duration.is_zero() {
        return Err(Fault::new(
            "a deadline of zero would refuse everything",
            "write it as \"30s\"",
        ));
    }
    if duration > DURATION_MAX {
        return Err(Fault::new("the deadline is longer than a day", "write at most \"1d\""));
    }
    Ok(duration)
}

/// Any time with a unit, nothing included.
pub(super) fn any_duration(node: &Node) -> Result<Duration, Fault> {
    let text = match &node.value {
        Value::Text(text) => text,
        Value::Integer(Some(n)) if *n > 0 => {
            return Err(Fault::new("the duration has no unit", format!("did you mean \"{n}s\"?")));
        }
        _ => return Err(expected("a duration", node, "\"30s\"")),
    };
    let HumanDuration(duration) = text.parse().map_err(|error| {
        Fault::new(
            format!("\"{text}\" is no duration: {error}"),
            "write it as \"30s\" or \"1m 30s\"",
        )
    })?;
    Ok(duration)
}

/// A path; a relative one starts at the folder of the file it stands in.
pub(super) fn path(node: &Node) -> Result<PathBuf, Fault> {
    let text = text(node)?;
    if text.contains('\0') {
        return Err(Fault::new("a path cannot contain a zero byte", "write a path"));
    }
    Ok(node.place.source.folder().join(text))
}

/// `"[::]:8443"`, and `":8443"`, `"8443"` or `8443` for the same.
pub(super) fn listen(node: &Node) -> Result<SocketAddr, Fault> {
    let text = match &node.value {
        Value::Integer(Some(port)) => port.to_string(),
        _ => text(node)?.to_owned(),
    };
    let port = text.strip_prefix(':').unwrap_or(&text);
    if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) {
        let port = port.parse::<u16>().map_err(|_| {
            Fault::new(format!("{port} is no port"), "ports go from 0 (any free one) to 65535")
        })?;
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let message = format!("\"{text}\" is no address to listen on");
    Err(match (text.parse::<IpAddr>(), text.rsplit_once(':')) {
        (Ok(IpAddr::V4(ip)), _) => Fault::new(message, format!("add the port: \"{ip}:443\"")),
        (Ok(IpAddr::V6(ip)), _) => Fault::new(message, format!("add the port: \"[{ip}]:443\"")),
        (_, Some(("localhost", port))) => {
            Fault::new(message, format!("write the address: \"127.0.0.1:{port}\""))
        }
        (_, Some(("*", port))) => Fault::new(message, format!("write \"[::]:{port}\"")),
        _ => Fault::new(message, "write it as \"[::]:443\", \"192.0.2.1:443\" or \":443\""),
    })
}

/// Networks of a trusted proxy: a published list by name, a network, or one address.
pub(super) fn networks(node: &Node) -> Result<Vec<IpNet>, Fault> {
    let text = text(node)?;
    if let Some((_, networks)) = NETWORKS.into_iter().find(|(name, _)| *name == text) {
        return Ok(networks.iter().filter_map(|net| net.parse().ok()).collect());
    }
    let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network.trunc(),
        (_, Ok(address)) => IpNet::from(address),
        _ => {
            let label = match nearest(text, NETWORKS.map(|(name, _)| name)) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => "write \"cloudflare\", \"private\", \"loopback\", or a network as \"10.0.0.0/8\""
                    .to_owned(),
            };
            return Err(Fault::new(format!("\"{text}\" is no network"), label));
        }
    };
    let narrowest = if network.addr().is_ipv4() { V4_PREFIX_MIN } else { V6_PREFIX_MIN };
    let mut private = super::defaults::PRIVATE.iter().filter_map(|net| net.parse::<IpNet>().ok());
    if network.prefix_len() < narrowest && !private.any(|private| private.contains(&network)) {
        return Err(Fault::new(
            format!(
                "{network} is wider than /{narrowest}: it would let strangers choose their address"
            ),
            "name the networks of your own proxies",
        ));
    }
    Ok(vec![network])
}

/// An IPv6 address without brackets whose last group was probably meant as a port: `::1:3000`.
pub(super) fn port_meant(text: &str) -> Option<(Ipv6Addr, u16)> {
    text.parse::<Ipv6Addr>().ok()?;
    let (ip, port) = text.rsplit_once(':')?;
    let decimal = port.len() > 1 && port.bytes().all(|b| b.is_ascii_digit());
    Some((ip.parse().ok()?, port.parse().ok().filter(|port| decimal && *port > 0)?))
}

pub(super) fn host(text: &str) -> Result<Host, Fault> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or(rest);
        let message = format!("\"{text}\" is a URL; a host name is wanted");
        return Err(Fault::new(message, format!("write \"{host}\"")));
    }
    Host::from_str(text).map_err(|error| {
        let label = match (error, text.rsplit_once(':')) {
            (HostError::Port, Some((host, _))) => format!("write \"{host}\""),
            _ => "write it as \"app.example.com\"".to_owned(),
        };
        Fault::new(format!("\"{text}\" is no host name: {error}"), label)
    })
}

/// `https://shop.example.com[:port]`, as browsers send it: lower case, without the scheme's own port.
pub(super) fn origin(node: &Node) -> Result<String, Fault> {
    let text = text(node)?;
    if text == "*" || text == "any" {
        return Err(Fault::new(
            format!("`{text}` cannot stand in a list of origins"),
            "write websocket_origins = \"any\"",
        ));
    }
    let fault = |label: String| Fault::new(format!("\"{text}\" is no origin"), label);
    let lower = text.to_ascii_lowercase();
    let Some((scheme, rest)) = lower.split_once("://") else {
        return Err(fault(format!("write it with the scheme: \"https://{text}\"")));
    };
    if let Some((authority, _)) = rest.split_once('/') {
        return Err(fault(format!("write it without a path: \"{scheme}://{authority}\"")));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !rest.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let host = self::host(host)?;
    if host.is_wildcard() {
        return Err(fault("wildcards are not read here; list the origins".to_owned()));
    }
    match port {
        None => Ok(format!("{scheme}://{}", host.authority())),
        Some(port) if port.parse::<u16>().is_err() => {
            Err(fault("ports go from 1 to 65535".to_owned()))
        }
        Some("443") if scheme == "https" => Ok(format!("{scheme}://{}", host.authority())),
        Some("80") if scheme == "http" => Ok(format!("{scheme}://{}", host.authority())),
        Some(port) => Ok(format!("{scheme}://{}:{port}", host.authority())),
    }
}

pub(super) fn mode(node: &Node) -> Result<Mode, Fault> {
    let word = match &node.value {
        Value::Bool(on) => {
            let word = if *on { "enforce" } else { "off" };
            let message = "a capability is off, observe or enforce";
            return Err(Fault::new(message, format!("write \"{word}\"")));
        }
        _ => text(node)?,
    };
    Mode::ALL.into_iter().find(|mode| mode.word() == word).ok_or_else(|| {
        let label = match nearest(word, Mode::ALL.map(Mode::word)) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => "write \"off\", \"observe\" or \"enforce\"".to_owned(),
        };
        Fault::new(format!("\"{word}\" is no mode of a capability"), label)
    })
}

/// An HTTP method in upper case.
pub(super) fn method(node: &Node) -> Result<String, Fault> {
    let text = text(node)?.to_ascii_uppercase();
    match http::Method::from_bytes(text.as_bytes()) {
        Ok(_) if text == "CONNECT" => Err(Fault::new("CONNECT is never passed on", "remove it")),
        Ok(_) => Ok(text),
        Err(_) => Err(Fault::new(format!("\"{text}\" is no method"), "write it as \"POST\"")),
    }
}

/// A path prefix: `/api`. A slash at the end means the same and is cut off.
pub(super) fn path_prefix(text: &str) -> Result<String, Fault> {
    let fault = |message: &str, label: &str| Err(Fault::new(message, label));
    if !text.starts_with('/') {
        return Err(Fault::new(format!("\"{text}\" is no path"), format!("write \"/{text}\"")));
    }
    if text.contains('*') {
        let label = format!(
            "write \"{}\"",
            text.split("/*").next().filter(|t| !t.is_empty()).unwrap_or("/")
        );
        return Err(Fault::new("a path covers everything below it without `*`", label));
    }
    if text.contains(['?', '#']) {
        return fault("a path has no query", "write only what stands before the `?`");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return fault(
            "a path has no spaces, control characters or backslashes",
            "write them percent-encoded",
        );
    }
    if !text.is_ascii() {
        return fault(
            "a path in a request is always ASCII",
            "write it percent-encoded: \"/caf%C3%A9\"",
        );
    }
    if text.contains("//") || text.split('/').any(|part| part == "." || part == "..") {
        return fault("a path with `//`, `.` or `..` never matches", "write the path without them");
    }
    let normal = match path::normal(text, Default::default) {
        Ok(normal) => normal,
        Err(rule) => return fault("a path that no request can have", rule),
    };
    if normal.matched(text) != text {
        let label = format!("write \"{}\"", normal.matched(text));
        return Err(Fault::new("paths are matched in their normal form", label));
    }
    let cut = text.trim_end_matches('/');
    Ok(if cut.is_empty() { "/".to_owned() } else { cut.to_owned() })
}
