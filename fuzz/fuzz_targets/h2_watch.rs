//! What an HTTP/2 client sends: the same verdict whatever pieces it comes in.
//!
//! The first byte is the length of a piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade::edge::h2_watch::Watch;

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let (mut whole, mut pieces) = (Watch::new(0), Watch::new(0));
    let verdict = whole.see(bytes, 0);
    for piece in bytes.chunks(usize::from(*piece).max(1)) {
        let _ = pieces.see(piece, 0);
    }
    assert_eq!(pieces.see(&[], 0), verdict);
    assert_eq!(pieces.block_since_ms(), whole.block_since_ms());
    assert_eq!(pieces.last_stream(), whole.last_stream());
});
