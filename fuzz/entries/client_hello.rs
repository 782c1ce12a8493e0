//! The first bytes of a TLS connection: what was decided by a prefix stays decided, and it is waited for no longer than
//! the bound.

use palisade::edge::hello::{HELLO_MAX, Parsed, parse};

pub fn run(bytes: &[u8]) {
    let whole = parse(bytes);
    assert!(whole != Parsed::Partial || bytes.len() < HELLO_MAX, "bounded");
    // The bytes arrive in pieces: every prefix is parsed before the whole is.
    let step = bytes.len() / 64 + 1;
    for end in (0..bytes.len()).step_by(step) {
        let prefix = parse(&bytes[..end]);
        // Nobody is told apart by a word that is not over: `G` may become GET, or anything.
        let settled = matches!(prefix, Parsed::Hello(_) | Parsed::PlainHttp);
        assert!(!settled || prefix == whole, "{prefix:?} after {end} bytes, then {whole:?}");
    }
    if let Parsed::Hello(hello) = &whole {
        let more = [bytes, b"\x17\x03\x03\0\x01x"].concat();
        assert_eq!(parse(&more), whole, "what comes behind it changes nothing");
        assert!(hello.alpn.iter().all(|protocol| !protocol.is_empty() || bytes.len() > 5));
    }
}
