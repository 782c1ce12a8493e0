//! What an HTTP/2 client sends: the same verdict whatever pieces it comes in, and a verdict that stays.
//!
//! The first byte is the length of a piece.

use palisade::edge::h2_watch::Watch;

pub fn run(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let (mut whole, mut pieces) = (Watch::new(0), Watch::new(0));
    let verdict = whole.see(bytes, 0);
    let mut ended = false;
    for piece in bytes.chunks(usize::from(*piece).max(1)) {
        let refused = pieces.see(piece, 0).is_err();
        assert!(refused || !ended, "an end is one");
        ended = refused;
    }
    assert_eq!(pieces.see(&[], 0), verdict);
    assert_eq!(pieces.block_since_ms(), whole.block_since_ms());
    assert_eq!(pieces.last_stream(), whole.last_stream());
}
