//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt, 2020/03/05): who a proxy that passes bytes on
//! has got a connection from.
//!
//! Pure. Reads to the letter of the specification, and refuses everything else: whoever sends this is configured to.
//! TLVs are skipped after their lengths were checked; the checksum that one of them may hold is not compared, as the
//! specification allows. Bounds: [`V1_MAX`] and [`V2_MAX`] bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest line of version 1, its end included.
pub const V1_MAX: usize = 107;
/// Longest header of version 2: what must be received at once, and as much again and more in TLVs.
pub const V2_MAX: usize = 536 + 2048;

const V1_START: &[u8] = b"PROXY ";
const V2_START: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header, all of it; more bytes are needed.
    Partial,
    /// A header of that many bytes.
    Header {
        bytes: usize,
        /// `None`: the proxy asks on its own account, or does not know who does.
        source: Option<IpAddr>,
    },
    Invalid(&'static str),
}

/// Parses the first bytes of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    if begins_alike(bytes, &V2_START) {
        return v2(bytes).unwrap_or(Parsed::Partial);
    }
    if begins_alike(bytes, V1_START) {
        return v1(bytes);
    }
    Parsed::Invalid("it does not begin with a PROXY header")
}

/// As far as both go.
fn begins_alike(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(found, wanted)| found == wanted)
}

fn v1(bytes: &[u8]) -> Parsed {
    let Some(end) = bytes.iter().take(V1_MAX).position(|byte| *byte == b'\n') else {
        let open = bytes.len() < V1_MAX;
        return if open { Parsed::Partial } else { Parsed::Invalid("the line does not end") };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    match line.and_then(|line| line.strip_prefix("PROXY ")).and_then(v1_source) {
        Some(source) => Parsed::Header { bytes: end + 1, source },
        None => Parsed::Invalid("the line is none of version 1"),
    }
}

/// The outer `None` is a line that is wrong.
fn v1_source(line: &str) -> Option<Option<IpAddr>> {
    // Whatever follows it has to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = line.split(' ');
    let family = words.next()?;
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (words.next()?, words.next()?);
    if words.next().is_some() || !is_port(source_port) || !is_port(destination_port) {
        return None;
    }
    match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok().map(|ip| Some(IpAddr::V4(ip)))
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok().map(|ip| Some(IpAddr::V6(ip)))
        }
        _ => None,
    }
}

/// 0 to 65535 in digits, without leading zeros.
fn is_port(text: &str) -> bool {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0')) && text.parse::<u16>().is_ok()
}

/// `None` while bytes are lacking.
fn v2(bytes: &[u8]) -> Option<Parsed> {
    let fixed: &[u8; V2_FIXED] = bytes.first_chunk()?;
    let [.., version_command, family, high, low] = *fixed;
    let total = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 {
        return Some(Parsed::Invalid("the version is not 2"));
    }
    if total > V2_MAX {
        return Some(Parsed::Invalid("the header is too long"));
    }
    let rest = bytes.get(V2_FIXED..total)?;
    let source = match version_command & 15 {
        0 => Some(None),
        1 => v2_source(family, rest),
        _ => None,
    };
    Some(match source {
        Some(source) => Parsed::Header { bytes: total, source },
        None => Parsed::Invalid("the command, the family or a length is none of version 2"),
    })
}

/// The outer `None` is a header that is wrong.
fn v2_source(family: u8, rest: &[u8]) -> Option<Option<IpAddr>> {
    let (source, tlvs) = match family {
        // Unspecified: what follows has to be ignored.
        0x00 => return Some(None),
        0x11 => {
            let (addresses, tlvs) = rest.split_first_chunk::<12>()?;
            let [a, b, c, d, ..] = *addresses;
            (Some(IpAddr::from([a, b, c, d])), tlvs)
        }
        0x21 => {
            let (addresses, tlvs) = rest.split_first_chunk::<36>()?;
            let octets: [u8; 16] = *addresses.first_chunk()?;
            (Some(IpAddr::from(octets)), tlvs)
        }
        // A Unix socket on the side of the client: nobody's address.
        0x31 => (None, rest.split_first_chunk::<216>()?.1),
        // Datagrams do not come through a stream; the rest is not assigned.
        _ => return None,
    };
    are_tlvs(tlvs).then_some(source)
}

/// Type, length and value after value, to the last byte.
fn are_tlvs(mut rest: &[u8]) -> bool {
    while let Some((&[_, high, low], behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        match behind.get(length..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
