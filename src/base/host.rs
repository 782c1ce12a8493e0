//! Host names and addresses as sites are named: lower case, no port, no trailing dot.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Longest DNS name (RFC 1035 §2.3.4), dots included.
const NAME_MAX: usize = 253;
/// Longest label of a DNS name (RFC 1035 §2.3.4).
const LABEL_MAX: usize = 63;

/// A DNS name (`app.example.com`, `*.example.com`) or an IP address (`192.0.2.1`, `2001:db8::1`).
///
/// A wildcard stands for exactly one label, and only at the left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than 253 characters")]
    TooLong,
    #[error("a part between dots is empty or longer than 63 characters")]
    Label,
    #[error("only letters, digits, `-`, `_` and `.` may stand in a host name")]
    Character,
    #[error("`*` may only stand for the whole first part, as in *.example.com")]
    Wildcard,
    #[error("it names a port; a site is named without one")]
    Port,
    #[error("the address in brackets is not an IPv6 address")]
    Address,
}

impl Host {
    /// Parses the value of a `Host` or `:authority` field, port included: `App.Example.com:8443` gives `app.example.com`.
    ///
    /// # Errors
    /// What makes it unusable (RFC 9110 §7.2, RFC 3986 §3.2.2).
    pub fn from_authority(authority: &str) -> Result<Self, HostError> {
        Self::from_str(split_port(authority)?.0)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// Names that no public CA certifies and the local CA does: `localhost`, `*.localhost`, addresses.
    #[must_use]
    pub fn is_local(&self) -> bool {
        &*self.0 == "localhost" || self.0.ends_with(".localhost") || self.ip().is_some()
    }

    /// The wildcard that would cover this name: `app.example.com` gives `*.example.com`.
    #[must_use]
    pub fn wildcard(&self) -> Option<String> {
        if self.ip().is_some() {
            return None;
        }
        self.0.split_once('.').map(|(_, rest)| format!("*.{rest}"))
    }

    /// As it stands in a URL or `Host` field: IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.ip() {
            Some(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => self.0.to_string(),
        }
    }
}

/// Splits `host:port`; the port is `None` where there is none.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), HostError> {
    let (host, port) = match authority.rfind(':') {
        Some(_) if authority.ends_with(']') => (authority, None),
        Some(at) => {
            let (host, port) = authority.split_at(at);
            (host, port.get(1..))
        }
        None => (authority, None),
    };
    match port {
        None | Some("") => Ok((host, None)),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((host, Some(digits.parse().map_err(|_| HostError::Port)?)))
        }
        Some(_) => Err(HostError::Character),
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(HostError::Address)?;
            let ip: Ipv6Addr = inner.parse().map_err(|_| HostError::Address)?;
            return Ok(Self(ip.to_string().into()));
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self(ip.to_string().into()));
        }
        if text.contains(':') {
            return Err(HostError::Port);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        check_name(name)?;
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

fn check_name(name: &str) -> Result<(), HostError> {
    if name.len() > NAME_MAX {
        return Err(HostError::TooLong);
    }
    let labels = name.strip_prefix("*.").unwrap_or(name);
    if labels.contains('*') {
        return Err(HostError::Wildcard);
    }
    if !labels.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return Err(HostError::Character);
    }
    if labels.split('.').any(|label| label.is_empty() || label.len() > LABEL_MAX) {
        return Err(HostError::Label);
    }
    Ok(())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Host {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<String, HostError> {
        Host::from_authority(text).map(|host| host.to_string())
    }

    #[test]
    fn a_host_is_lower_case_without_port_and_final_dot() {
        assert_eq!(parsed("App.Example.COM:8443"), Ok("app.example.com".into()));
        assert_eq!(parsed("app.example.com."), Ok("app.example.com".into()));
        assert_eq!(parsed("[2001:DB8::1]:443"), Ok("2001:db8::1".into()));
        assert_eq!(parsed("[::1]"), Ok("::1".into()));
        assert_eq!(parsed("192.0.2.1:80"), Ok("192.0.2.1".into()));
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason() {
        assert_eq!(parsed(""), Err(HostError::Empty));
        assert_eq!(parsed("a..b"), Err(HostError::Label));
        assert_eq!(parsed("a/b"), Err(HostError::Character));
        assert_eq!(parsed("a\u{e9}.example"), Err(HostError::Character));
        assert_eq!(parsed("x.*.example"), Err(HostError::Wildcard));
        assert_eq!(parsed("[::1"), Err(HostError::Address));
        assert_eq!(parsed("app.example.com:http"), Err(HostError::Character));
        assert_eq!(parsed("app.example.com:99999"), Err(HostError::Port));
        assert_eq!(Host::from_str("app.example.com:80"), Err(HostError::Port));
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let host: Host = "a.b.example".parse().expect("a host");
        assert_eq!(host.wildcard().as_deref(), Some("*.b.example"));
        let ip: Host = "192.0.2.1".parse().expect("an address");
        assert_eq!(ip.wildcard(), None);
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_parsing_is_idempotent(text in ".{0,80}") {
            if let Ok(host) = Host::from_authority(&text) {
                prop_assert_eq!(Host::from_str(host.as_str()), Ok(host.clone()));
                prop_assert_eq!(host.as_str().to_ascii_lowercase(), host.as_str());
            }
        }
    }
}
