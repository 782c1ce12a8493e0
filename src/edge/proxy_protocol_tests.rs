//! PROXY headers, byte for byte.

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

/// A header of version 2.
fn v2_header(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&V2_START[..], &[version_command, family], &length, rest].concat()
}

fn tcp4() -> Vec<u8> {
    vec![192, 0, 2, 1, 198, 51, 100, 7, 0x30, 0x39, 1, 0xbb]
}

#[test]
fn the_forms_of_version_1_are_read() {
    let cases = [
        ("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", ip("192.0.2.1")),
        ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ip("255.255.255.255")),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 0 443\r\n", ip("2001:db8::1")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", ip("::ffff:192.0.2.1")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None),
    ];
    for (line, source) in cases {
        let bytes = line.len();
        assert_eq!(parse(line.as_bytes()), Parsed::Header { bytes, source }, "{line}");
        let behind = format!("{line}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(parse(behind.as_bytes()), Parsed::Header { bytes, source }, "{line}");
        for end in 0..bytes {
            assert_eq!(parse(&line.as_bytes()[..end]), Parsed::Partial, "{line}: {end} bytes");
        }
    }
}

#[test]
fn a_line_that_is_nearly_one_of_version_1_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n",
        "PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 01 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.7 1 443\r\n",
        "PROXY TCP4 192.0.2.1 2001:db8::1 1 443\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 1 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 1 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY \r\n",
        "PROXY TCP4 192.0.2.1\r198.51.100.7 1 443\r\n",
        "proxy UNKNOWN\r\n",
        "GET / HTTP/1.1\r\n",
        "PROXY\tUNKNOWN\r\n",
        "\x16\x03\x01",
    ] {
        assert!(matches!(parse(line.as_bytes()), Parsed::Invalid(_)), "{line:?}");
    }
    let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; V1_MAX]].concat();
    assert_eq!(parse(&endless[..V1_MAX - 1]), Parsed::Partial);
    assert!(matches!(parse(&endless[..V1_MAX]), Parsed::Invalid(_)));
    let late = [&endless[..V1_MAX - 1], b"\r\n"].concat();
    assert!(matches!(parse(&late), Parsed::Invalid(_)), "the end comes too late");
}

#[test]
fn the_forms_of_version_2_are_read() {
    let v6: Ipv6Addr = "2001:db8::1".parse().expect("an address");
    let tcp6 = [&v6.octets()[..], &[0; 20]].concat();
    let tlvs = [tcp4(), vec![1, 0, 2, b'h', b'2', 4, 0, 0]].concat();
    let cases = [
        (v2_header(0x21, 0x11, &tcp4()), ip("192.0.2.1")),
        (v2_header(0x21, 0x11, &tlvs), ip("192.0.2.1")),
        (v2_header(0x21, 0x21, &tcp6), ip("2001:db8::1")),
        (v2_header(0x21, 0x31, &[0; 216]), None),
        (v2_header(0x21, 0x00, b"what"), None),
        (v2_header(0x20, 0x00, &[]), None),
        (v2_header(0x20, 0x11, &tcp4()), None),
        (v2_header(0x20, 0xff, &[9; 7]), None),
        (v2_header(0x20, 0x00, &vec![0; V2_MAX - V2_FIXED]), None),
    ];
    for (header, source) in cases {
        let bytes = header.len();
        assert_eq!(parse(&header), Parsed::Header { bytes, source }, "{header:?}");
        let behind = [&header[..], b"\x16\x03\x01"].concat();
        assert_eq!(parse(&behind), Parsed::Header { bytes, source }, "{header:?}");
        for end in 0..bytes {
            assert_eq!(parse(&header[..end]), Parsed::Partial, "{header:?}: {end} bytes");
        }
    }
}

#[test]
fn a_header_that_is_nearly_one_of_version_2_is_refused() {
    for header in [
        v2_header(0x11, 0x11, &tcp4()),
        v2_header(0x22, 0x11, &tcp4()),
        v2_header(0x21, 0x12, &tcp4()),
        v2_header(0x21, 0x13, &tcp4()),
        v2_header(0x21, 0x11, &tcp4()[..11]),
        v2_header(0x21, 0x21, &[0; 35]),
        v2_header(0x21, 0x31, &[0; 215]),
        v2_header(0x21, 0x11, &[tcp4(), vec![1]].concat()),
        v2_header(0x21, 0x11, &[tcp4(), vec![1, 0, 3, b'h', b'2']].concat()),
        v2_header(0x20, 0x00, &vec![0; V2_MAX - V2_FIXED + 1]),
    ] {
        assert!(matches!(parse(&header), Parsed::Invalid(_)), "{header:?}");
    }
}

proptest! {
    /// Whoever takes all bytes of a beginning takes none that belong to what follows the header.
    #[test]
    fn any_bytes_are_judged_the_same_however_they_come(
        start in prop_oneof![Just(&b""[..]), Just(V1_START), Just(&V2_START[..]), Just(&b"PROXY TCP4 1.2.3.4 "[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [start, &rest].concat();
        let whole = parse(&bytes);
        let first = (0..=bytes.len()).map(|end| (end, parse(&bytes[..end]))).find(|(_, found)| *found != Parsed::Partial);
        match first {
            None => prop_assert_eq!(whole, Parsed::Partial),
            Some((end, found)) => {
                prop_assert_eq!(whole, found);
                if let Parsed::Header { bytes, .. } = found {
                    prop_assert_eq!(bytes, end);
                }
            }
        }
    }
}
