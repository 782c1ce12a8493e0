//! One upstream as a text: what is spoken there, and where it is.
//!
//! Refuses: paths, users and passwords, schemes that nobody speaks. What [`Endpoint`] shows reads as the same endpoint.
//!
//! [`Endpoint`]: crate::config::settings::Endpoint

use std::net::IpAddr;

use crate::config::read::Fault;
use crate::config::settings::{Protocol, UpstreamAddr};
use crate::config::values;
use crate::config::wire::{Node, Value};

/// Longest path of a Unix socket: `sun_path` of unix(7) without its zero byte.
const SOCKET_PATH_MAX: usize = 107;

/// What such a text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub addr: UpstreamAddr,
    pub protocol: Protocol,
    pub tls: bool,
}

/// What may stand in front of an address.
#[derive(Debug, Clone, Copy)]
struct Scheme {
    word: &'static str,
    protocol: Protocol,
    tls: bool,
    /// Where the port may be left out.
    port: Option<u16>,
}

const SCHEMES: [Scheme; 3] = [
    Scheme { word: "https", protocol: Protocol::Http1, tls: true, port: Some(443) },
    Scheme { word: "h2", protocol: Protocol::Http2, tls: true, port: Some(443) },
    Scheme { word: "h2c", protocol: Protocol::Http2, tls: false, port: None },
];

/// What others call the same, and what it is called here.
const OTHER_WORDS: [(&str, &str); 6] = [
    ("grpc", "h2c://"),
    ("grpcs", "h2://"),
    ("http2", "h2://"),
    ("ws", ""),
    ("wss", "https://"),
    ("tls", "https://"),
];

/// `"host:port"`, `"[v6]:port"`, `"unix:/path"`, and behind a scheme: `"https://host"`, `"h2c:unix:/path"`.
pub fn endpoint(node: &Node) -> Result<Written, Fault> {
    if let Value::Integer(Some(port)) = &node.value {
        return Err(port_alone("", &port.to_string()));
    }
    let text = values::text(node)?;
    let plain = |addr| Written { addr, protocol: Protocol::Http1, tls: false };
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(node, path, "").map(plain);
    }
    if let Some((word, path)) = text.split_once(":unix:") {
        let scheme = scheme(word, "unix:/run/app.sock")?;
        return Ok(scheme.at(socket(node, path, &format!("{}:", scheme.word))?));
    }
    if let Some((word, rest)) = text.split_once("://") {
        let scheme = scheme(word, rest)?;
        return Ok(scheme.at(tcp(rest, &format!("{}://", scheme.word), scheme.port)?));
    }
    tcp(text, "", None).map(plain)
}

impl Scheme {
    const fn at(self, addr: UpstreamAddr) -> Written {
        Written { addr, protocol: self.protocol, tls: self.tls }
    }
}

/// The scheme of this name; `rest` is what stands behind it.
fn scheme(word: &str, rest: &str) -> Result<Scheme, Fault> {
    let word = word.to_ascii_lowercase();
    if let Some(scheme) = SCHEMES.into_iter().find(|scheme| scheme.word == word) {
        return Ok(scheme);
    }
    let rest = rest.split('/').next().filter(|_| !rest.starts_with("unix:")).unwrap_or(rest);
    // Whoever is called by name and password is not named in a message.
    let rest = rest.rsplit('@').next().unwrap_or(rest);
    let with_port = if rest.contains(':') { rest.to_owned() } else { format!("{rest}:80") };
    if word == "http" {
        let message = "an upstream in the clear has no scheme";
        return Err(Fault::new(message, format!("write \"{with_port}\"")));
    }
    let message = format!("\"{word}\" is no scheme of an upstream");
    let label = match OTHER_WORDS.into_iter().find(|(other, _)| *other == word) {
        Some((_, "")) => format!("write \"{with_port}\""),
        Some((_, scheme)) => format!("write \"{scheme}{rest}\""),
        None => format!("write \"{with_port}\", or put https://, h2:// or h2c:// in front of it"),
    };
    Err(Fault::new(message, label))
}

/// `scheme` is what stands in front, for messages.
fn socket(node: &Node, path: &str, scheme: &str) -> Result<UpstreamAddr, Fault> {
    // `unix:///run/app.sock` is how URLs write it.
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    let write = format!("write \"{scheme}unix:/run/app.sock\"");
    if path.is_empty() || path.contains('\0') {
        return Err(Fault::new("the path of the socket is missing", write));
    }
    if path.starts_with('@') {
        return Err(Fault::new("an abstract socket cannot be an upstream", write));
    }
    let path = node.place.source.folder().join(path);
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        let message = format!("a socket has a path of at most {SOCKET_PATH_MAX} bytes");
        return Err(Fault::new(message, "move it to a shorter one"));
    }
    Ok(UpstreamAddr::Unix(path))
}

fn port_alone(scheme: &str, port: &str) -> Fault {
    Fault::new("a port alone is no upstream", format!("write \"{scheme}127.0.0.1:{port}\""))
}

/// `host:port`, or without the port where the scheme has one. `scheme` is what stands in front, for messages.
fn tcp(text: &str, scheme: &str, port: Option<u16>) -> Result<UpstreamAddr, Fault> {
    if text.contains('@') {
        let message = "an upstream has neither user nor password";
        return Err(Fault::new(message, "the app is told who asks by the fields of the request"));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(port_alone(scheme, text));
    }
    if let Some((before, _)) = text.split_once('/') {
        let label = format!("write \"{scheme}{before}\"");
        return Err(Fault::new("an upstream has no path", label));
    }
    let example = if scheme.is_empty() { 3000 } else { 50051 };
    let bracketed = text.starts_with('[') && text.ends_with(']');
    if let (false, Ok(IpAddr::V6(ip))) = (bracketed, text.parse()) {
        if let Some((ip, port)) = values::port_meant(text) {
            let message = "an IPv6 address stands in brackets before its port";
            return Err(Fault::new(message, format!("write \"{scheme}[{ip}]:{port}\"")));
        }
        let (message, port) = match port {
            Some(_) => ("an IPv6 address stands in brackets".to_owned(), String::new()),
            None => (format!("\"{text}\" has no port"), format!(":{example}")),
        };
        return Err(Fault::new(message, format!("write \"{scheme}[{ip}]{port}\"")));
    }
    let (host, port) = match (text.rsplit_once(':'), port) {
        (Some((host, port)), _) if !bracketed => (host, number(port)?),
        (_, Some(port)) => (text, port),
        (_, None) => {
            let label = format!("write \"{scheme}{text}:{example}\"");
            return Err(Fault::new(format!("\"{text}\" has no port"), label));
        }
    };
    // ":3000" is how many name a port of this machine.
    let host = if host.is_empty() && !text.is_empty() { "127.0.0.1" } else { host };
    let host = values::host(host)?;
    if host.is_wildcard() {
        return Err(Fault::new("an upstream cannot be a wildcard", "name one host"));
    }
    Ok(UpstreamAddr::Tcp { host: host.to_string(), port })
}

fn number(port: &str) -> Result<u16, Fault> {
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(Fault::new(format!("\"{port}\" is no port"), "ports go from 1 to 65535")),
    }
}
