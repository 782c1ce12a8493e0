//! The TLS ClientHello, read and parsed once before rustls sees it.
//!
//! Gives the server name and ALPN (RFC 6066 §3, RFC 7301), which choose the site, and refuses what is no TLS at all
//! with an answer that a person understands. Bounds: 16 KiB.

use tls_parser::{
    SNIType, TlsClientHelloContents, TlsExtension, TlsMessageHandshake, parse_tls_extensions,
    parse_tls_message_handshake,
};

use crate::base::Host;

/// Longest hello that is waited for; those of browsers with post-quantum key shares have about 1.8 KiB.
pub const HELLO_MAX: usize = 16 * 1024;

const RECORD_HEADER: usize = 5;
const HANDSHAKE_HEADER: usize = 4;
const CONTENT_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
/// Longest fragment of a TLS record (RFC 8446 §5.1).
const FRAGMENT_MAX: usize = 16 * 1024;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of one; more bytes are needed.
    Partial,
    Hello(Hello),
    /// Somebody speaks HTTP to the HTTPS port.
    PlainHttp,
    /// Neither, or too long.
    Invalid,
}

/// What a ClientHello says that palisade uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    pub name: ServerName,
    /// ALPN protocols in the client's order.
    pub alpn: Vec<Vec<u8>>,
}

/// The server name indication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ServerName {
    #[default]
    Absent,
    Name(Host),
    /// There is one, and no site can have it.
    Unusable,
}

/// Parses the first bytes of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let Some(first) = bytes.first() else { return Parsed::Partial };
    if *first != CONTENT_HANDSHAKE {
        return if looks_like_http(bytes) { Parsed::PlainHttp } else { Parsed::Invalid };
    }
    match message(bytes) {
        Ok(Some(message)) => parse_message(&message),
        Ok(None) if bytes.len() < HELLO_MAX => Parsed::Partial,
        Ok(None) | Err(Malformed) => Parsed::Invalid,
    }
}

struct Malformed;

/// Joins the records that carry the first handshake message. `None` while it is incomplete.
fn message(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut message = Vec::new();
    loop {
        let Some((header, rest)) = bytes.split_first_chunk::<RECORD_HEADER>() else {
            return Ok(None);
        };
        let [content, major, _, high, low] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if content != CONTENT_HANDSHAKE || major != 3 || length == 0 || length > FRAGMENT_MAX {
            return Err(Malformed);
        }
        let complete = rest.len() >= length;
        message.extend_from_slice(rest.get(..length).unwrap_or(rest));
        if let Some(&[kind, a, b, c]) = message.first_chunk::<HANDSHAKE_HEADER>() {
            let wanted = HANDSHAKE_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
            if kind != MESSAGE_CLIENT_HELLO || wanted > HELLO_MAX {
                return Err(Malformed);
            }
            if message.len() >= wanted {
                message.truncate(wanted);
                return Ok(Some(message));
            }
        }
        match rest.get(length..) {
            Some(next) if complete => bytes = next,
            _ => return Ok(None),
        }
    }
}

fn parse_message(message: &[u8]) -> Parsed {
    match parse_tls_message_handshake(message) {
        Ok((_, tls_parser::TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)))) => {
            read(&hello).map_or(Parsed::Invalid, Parsed::Hello)
        }
        _ => Parsed::Invalid,
    }
}

fn read(contents: &TlsClientHelloContents<'_>) -> Option<Hello> {
    let mut hello = Hello::default();
    let Some(extensions) = contents.ext else { return Some(hello) };
    let (_, extensions) = parse_tls_extensions(extensions).ok()?;
    for extension in extensions {
        match extension {
            TlsExtension::SNI(names) => {
                let name = names.iter().find(|(kind, _)| *kind == SNIType::HostName);
                hello.name = match name {
                    Some((_, bytes)) => server_name(bytes),
                    None => ServerName::Unusable,
                };
            }
            TlsExtension::ALPN(protocols) => {
                hello.alpn = protocols.into_iter().map(<[u8]>::to_vec).collect();
            }
            _ => {}
        }
    }
    Some(hello)
}

/// An address as server name is against RFC 6066 §3 and common: it counts as absent.
fn server_name(bytes: &[u8]) -> ServerName {
    let host = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Host>().ok());
    match host {
        Some(host) if host.ip().is_some() => ServerName::Absent,
        Some(host) if !host.is_wildcard() => ServerName::Name(host),
        _ => ServerName::Unusable,
    }
}

fn looks_like_http(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 7] =
        [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PRI * HTTP"];
    METHODS.iter().any(|method| bytes.starts_with(method))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// A real ClientHello, as rustls writes it.
    fn client_hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let name = rustls_pki_types::ServerName::try_from(name.to_owned()).expect("a name");
        let mut connection =
            rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
        let mut bytes = Vec::new();
        connection.write_tls(&mut bytes).expect("a hello");
        bytes
    }

    /// The same message in records of `size` bytes.
    fn refragment(hello: &[u8], size: usize) -> Vec<u8> {
        hello[RECORD_HEADER..]
            .chunks(size)
            .flat_map(|part| {
                let length = u16::try_from(part.len()).expect("small").to_be_bytes();
                [&[22, 3, 1, length[0], length[1]], part].concat()
            })
            .collect()
    }

    #[test]
    fn name_and_protocols_are_read() {
        let bytes = client_hello("App.example.com", &[b"h2", b"http/1.1"]);
        let Parsed::Hello(hello) = parse(&bytes) else { panic!("no hello") };
        assert_eq!(hello.name, ServerName::Name("app.example.com".parse().expect("a host")));
        assert_eq!(hello.alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn a_hello_in_many_records_is_the_same_hello() {
        let bytes = client_hello("app.example.com", &[]);
        for size in [1, 3, 100, 5000] {
            assert_eq!(parse(&refragment(&bytes, size)), parse(&bytes), "records of {size}");
        }
    }

    #[test]
    fn every_beginning_of_a_hello_is_partial() {
        let bytes = client_hello("app.example.com", &[b"h2"]);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Parsed::Partial, "{end} bytes");
        }
    }

    #[test]
    fn an_address_as_name_counts_as_absent() {
        let bytes = client_hello("192.0.2.1", &[]);
        let Parsed::Hello(hello) = parse(&bytes) else { panic!("no hello") };
        assert_eq!(hello.name, ServerName::Absent);
        assert_eq!(server_name(b"192.0.2.1"), ServerName::Absent);
        assert_eq!(server_name(b"*.example.com"), ServerName::Unusable);
        assert_eq!(server_name(b"a\0b"), ServerName::Unusable);
    }

    #[test]
    fn what_is_no_tls_is_told_apart() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Parsed::PlainHttp);
        assert_eq!(parse(b"SSH-2.0-OpenSSH"), Parsed::Invalid);
        assert_eq!(parse(&[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0]), Parsed::Invalid);
        assert_eq!(parse(&[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), Parsed::Invalid);
        assert_eq!(parse(&[22, 3, 1, 0, 4, 2, 0, 0, 0]), Parsed::Invalid);
        assert_eq!(parse(&[22, 3, 1, 0, 0]), Parsed::Invalid);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_hello_is_judged(at in 0_usize..1000, byte: u8) {
            let mut bytes = client_hello("app.example.com", &[b"h2"]);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = parse(&bytes);
        }
    }
}
