//! The PROXY header: read alike however its bytes come, never beyond its own end.

use palisade::edge::proxy_protocol::{Parsed, V2_MAX, parse};

pub fn run(bytes: &[u8]) {
    let whole = parse(bytes);
    let decided = (0..=bytes.len()).find(|end| parse(&bytes[..*end]) != Parsed::Partial);
    match decided {
        None => {
            assert_eq!(whole, Parsed::Partial);
            assert!(bytes.len() < V2_MAX, "bounded");
        }
        Some(end) => {
            assert_eq!(whole, parse(&bytes[..end]));
            if let Parsed::Header { bytes, .. } = whole {
                assert_eq!(bytes, end, "nothing behind the header counts");
            }
        }
    }
}
