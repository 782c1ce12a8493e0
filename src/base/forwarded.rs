//! Hops as proxies write them: `X-Forwarded-For`, and `Forwarded` of RFC 7239. Read from the right, where the nearest
//! proxy writes: nothing that a client puts in front changes how that is read.
//!
//! Pure, over bytes: a field may hold any. `None` stands for an entry that is no address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest entry that may be an address: an IPv6 address in brackets with an obfuscated port, and room.
const NODE_MAX: usize = 128;

/// The entries of one `X-Forwarded-For` value, the last one first; empty ones say nothing (RFC 9110 §5.6.1.2).
pub(super) fn listed(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> + '_ {
    let entries = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty()).map(|entry| node(std::str::from_utf8(entry).ok()?))
}

/// The `for` of each element of one `Forwarded` value, the last one first.
pub(super) fn elements(value: &[u8]) -> impl Iterator<Item = Option<IpAddr>> + '_ {
    let elements = Unquoted { rest: Some(value), separator: b',' };
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()).map(forwarded_for)
}

/// The one `for` of an element.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let pairs = Unquoted { rest: Some(element), separator: b';' };
    let mut found = None;
    for pair in pairs.map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at_checked(at)?;
        if name.eq_ignore_ascii_case(b"for") && found.replace(value.get(1..)?).is_some() {
            return None;
        }
    }
    node(&unquoted(found?)?)
}

/// A token as it stands, or what a quoted string quotes (RFC 9110 §5.6.4).
fn unquoted(value: &[u8]) -> Option<String> {
    if value.len() > NODE_MAX {
        return None;
    }
    let Some(rest) = value.strip_prefix(b"\"") else {
        return std::str::from_utf8(value).ok().map(str::to_owned);
    };
    let mut text = String::with_capacity(rest.len());
    let mut bytes = rest.iter();
    loop {
        match bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(text),
            b'\\' => text.push(char::from(*bytes.next()?)),
            byte => text.push(char::from(*byte)),
        }
    }
}

/// Parts between separators that stand in no quoted string, from the right.
struct Unquoted<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Unquoted<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        let mut quoted = false;
        for (at, byte) in rest.iter().enumerate().rev() {
            if *byte == b'"' && !is_escaped(rest, at) {
                quoted = !quoted;
            } else if *byte == self.separator && !quoted {
                self.rest = rest.get(..at);
                return rest.get(at + 1..);
            }
        }
        Some(rest)
    }
}

/// Whether an odd number of backslashes stands before this place.
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    let before = bytes.get(..at).unwrap_or_default();
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// An address, perhaps with a port, an IPv6 one perhaps in brackets. `unknown` and `_hidden` are none.
fn node(text: &str) -> Option<IpAddr> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Some(addr);
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, tail) = rest.split_once(']')?;
        let fits = tail.is_empty() || tail.strip_prefix(':').is_some_and(is_port);
        return inner.parse::<Ipv6Addr>().ok().filter(|_| fits).map(IpAddr::V6);
    }
    let (addr, port) = text.rsplit_once(':')?;
    addr.parse::<Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

/// A number, or an obfuscated port (RFC 7239 §6.2).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            !hidden.is_empty()
                && hidden.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => {
            (1..=5).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_digit())
                && text.parse::<u16>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Vec<String> {
        let hops = elements(value.as_bytes());
        hops.map(|hop| hop.map_or_else(|| "?".to_owned(), |ip| ip.to_string())).collect()
    }

    #[test]
    fn the_forms_of_rfc_7239_are_read() {
        assert_eq!(read("for=192.0.2.60;proto=http;by=203.0.113.43"), ["192.0.2.60"]);
        assert_eq!(read("For=\"[2001:db8:cafe::17]:4711\""), ["2001:db8:cafe::17"]);
        assert_eq!(read("for=192.0.2.43, for=198.51.100.17"), ["198.51.100.17", "192.0.2.43"]);
        assert_eq!(read("for=\"_gazonk\", for=unknown, for=_SEVKISEK"), ["?", "?", "?"]);
        assert_eq!(read("for=\"192.0.2.43:47011\""), ["192.0.2.43"]);
        assert_eq!(read("for=\"192.0.2.43:_hidden\""), ["192.0.2.43"]);
        assert_eq!(read("for=\"\\1\\9\\2.0.2.43\""), ["192.0.2.43"]);
        assert_eq!(read("host=\"a,b;for=6.6.6.6\";for=192.0.2.1"), ["192.0.2.1"]);
        assert_eq!(read(" , for=192.0.2.1 ,, "), ["192.0.2.1"]);
    }

    #[test]
    fn an_element_that_says_no_address_or_two_is_unreadable() {
        for bad in [
            "proto=https",
            "for",
            "for=",
            "for=\"",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\"x",
            "for=1.2.3.4;for=5.6.7.8",
            "for=192.0.2.1:+80",
            "for=192.0.2.1:99999",
            "for=\"192.0.2.1:_\"",
            "for=\"[::1\"",
            "for=\"[::1]x\"",
            "for=\"[192.0.2.1]\"",
            "for=192.0.2.01",
        ] {
            assert_eq!(read(bad), ["?"], "{bad}");
        }
    }

    #[test]
    fn an_open_quote_of_the_client_swallows_nothing_of_the_proxy() {
        for opened in ["for=\"", "for=\"6.6.6.6", "\"", "for=\"a\\", "\\\"", "a=\"b\";c=\""] {
            let value = format!("{opened}, for=192.0.2.1;host=\"a,b\"");
            assert_eq!(read(&value).first().map(String::as_str), Some("192.0.2.1"), "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_in_front_the_last_element_is_read(front in proptest::collection::vec(any::<u8>(), 0..80)) {
            let last = Some(IpAddr::from([192, 0, 2, 1]));
            let value = [&front[..], b",for=\"192.0.2.1:80\";proto=https"].concat();
            prop_assert_eq!(elements(&value).next(), Some(last));
            let value = [&front[..], b", 192.0.2.1"].concat();
            prop_assert_eq!(listed(&value).next(), Some(last));
        }
    }
}
