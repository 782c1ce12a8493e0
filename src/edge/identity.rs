//! What palisade says to the app about a request in fields of its own (promise 20): made once for all requests of a client
//! to a host, and put behind whatever the client sent.
//!
//! Promises: what an HTTP/1.1 app gets as bytes and an HTTP/2 app as fields are the same. Relies on `forwarded`, which
//! has removed every field that a client sent under one of these names.

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use super::conn::Client;
use crate::base::ClientIp;

pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the requests of one client to one host have in common.
#[derive(Debug)]
pub struct Identity {
    client: HeaderValue,
    proto: HeaderValue,
    host: HeaderValue,
    forwarded: HeaderValue,
    /// All of them as lines of a head.
    lines: Box<[u8]>,
}

/// The words of one request.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    pub identity: &'a Identity,
    pub id: &'a HeaderValue,
    /// `traceparent` of this hop.
    pub trace: Option<&'a HeaderValue>,
}

impl Identity {
    pub fn new(client: &Client, host: &HeaderValue, tls: bool) -> Self {
        let proto = HeaderValue::from_static(if tls { "https" } else { "http" });
        let forwarded = forwarded(client.ip, host.to_str().unwrap_or_default(), tls);
        let (client, host) = (client.text.clone(), host.clone());
        let mut identity = Self { client, proto, host, forwarded, lines: Box::default() };
        let mut lines = Vec::with_capacity(256);
        for (name, value) in identity.fields() {
            line(&mut lines, &name, value);
        }
        identity.lines = lines.into();
        identity
    }

    fn fields(&self) -> [(HeaderName, &HeaderValue); 4] {
        [
            (X_FORWARDED_FOR, &self.client),
            (X_FORWARDED_PROTO, &self.proto),
            (X_FORWARDED_HOST, &self.host),
            (FORWARDED, &self.forwarded),
        ]
    }
}

impl Own<'_> {
    /// Puts them behind the lines of a head.
    pub fn write(self, head: &mut Vec<u8>) {
        head.extend_from_slice(&self.identity.lines);
        line(head, &X_REQUEST_ID, self.id);
        if let Some(trace) = self.trace {
            line(head, &TRACEPARENT, trace);
        }
    }

    /// Puts them behind the fields of a head.
    pub fn append_to(self, headers: &mut HeaderMap) {
        headers.reserve(6);
        for (name, value) in self.identity.fields() {
            headers.append(name, value.clone());
        }
        headers.append(X_REQUEST_ID, self.id.clone());
        if let Some(trace) = self.trace {
            headers.append(TRACEPARENT, trace.clone());
        }
    }
}

/// One line of a head.
pub fn line(head: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    head.extend_from_slice(name.as_str().as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
}

/// `Forwarded` (RFC 7239) for a client, the host it asked for and the scheme.
fn forwarded(client: ClientIp, host: &str, tls: bool) -> HeaderValue {
    let proto = if tls { "https" } else { "http" };
    let text = match client.addr() {
        std::net::IpAddr::V4(ip) => format!("for={ip};host=\"{host}\";proto={proto}"),
        std::net::IpAddr::V6(ip) => format!("for=\"[{ip}]\";host=\"{host}\";proto={proto}"),
    };
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        .unwrap_or(HeaderValue::from_static("for=unknown"))
}

/// Words for tests of what carries them.
#[cfg(test)]
pub mod sample {
    use super::{Client, HeaderMap, HeaderValue, Identity, Own};
    use crate::base::{Said, TrustedProxies};

    pub const LINES: &str = "x-forwarded-for: 192.0.2.1\r\nx-forwarded-proto: https\r\n\
                             x-forwarded-host: a.example\r\n\
                             forwarded: for=192.0.2.1;host=\"a.example\";proto=https\r\n\
                             x-request-id: the-id\r\ntraceparent: the-id\r\n";

    pub struct Sample(Identity, HeaderValue);

    impl Sample {
        pub fn of(client: &str, host: &'static str, tls: bool) -> Self {
            let peer = client.parse().expect("an address");
            let ip = TrustedProxies::default().resolve(peer, Said::Nothing);
            let host = HeaderValue::from_static(host);
            let identity = Identity::new(&Client::of(ip), &host, tls);
            Self(identity, HeaderValue::from_static("the-id"))
        }

        pub const fn own(&self) -> Own<'_> {
            Own { identity: &self.0, id: &self.1, trace: Some(&self.1) }
        }

        pub fn lines(&self) -> String {
            let mut lines = Vec::new();
            self.own().write(&mut lines);
            String::from_utf8(lines).expect("text")
        }

        pub fn fields(&self) -> HeaderMap {
            let mut fields = HeaderMap::new();
            self.own().append_to(&mut fields);
            fields
        }
    }

    pub fn sample() -> Sample {
        Sample::of("192.0.2.1", "a.example", true)
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{LINES, Sample, sample};
    use super::*;

    #[test]
    fn lines_and_fields_say_the_same() {
        let sample = sample();
        assert_eq!(sample.lines(), LINES);
        let mut lines = Vec::new();
        sample.fields().iter().for_each(|(name, value)| line(&mut lines, name, value));
        assert_eq!(lines, LINES.as_bytes());
    }

    #[test]
    fn forwarded_quotes_what_needs_quotes() {
        let told = |client, host, tls| Sample::of(client, host, tls).fields()[FORWARDED].clone();
        let v4 = told("192.0.2.1", "a.example:8443", true);
        assert_eq!(v4, "for=192.0.2.1;host=\"a.example:8443\";proto=https");
        let v6 = told("2001:db8::1", "a.example", false);
        assert_eq!(v6, "for=\"[2001:db8::1]\";host=\"a.example\";proto=http");
    }
}
