//! The watch over HTTP/2: what it lets pass, what it counts, and that pieces change nothing.

use proptest::prelude::*;

use super::*;

const PRI: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
    let length = u32::try_from(payload).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.resize(bytes.len() + payload, 0xff);
    bytes
}

/// After the preface, at the beginning of time.
fn begun() -> Watch {
    let mut watch = Watch::new(0);
    assert_eq!(watch.see(PRI, 0), Ok(()));
    watch
}

#[test]
fn a_client_may_send_many_control_frames_and_not_without_end() {
    for (kind, payload) in [(2, 5), (4, 6), (6, 8), (8, 4), (0, 0), (77, 3)] {
        let mut watch = begun();
        let one = frame(kind, 0, 0, payload);
        for _ in 0..CONTROL_BURST {
            assert_eq!(watch.see(&one, 0), Ok(()));
        }
        assert_eq!(watch.see(&one, 0), Err(Excess::Control), "kind {kind}");
        assert_eq!(watch.see(&[], 1_000_000), Err(Excess::Control), "for good");
    }
}

#[test]
fn time_requests_and_bytes_read_pay_for_control_frames() {
    let mut watch = begun();
    let ping = frame(6, 0, 0, 8);
    let send = |watch: &mut Watch, count: u64, now_ms| {
        (0..count).find(|_| watch.see(&ping, now_ms).is_err())
    };
    assert_eq!(send(&mut watch, CONTROL_BURST, 0), None);
    assert_eq!(send(&mut watch, CONTROL_PER_S, 1000), None);
    watch.wrote(300 * 1024);
    assert_eq!(send(&mut watch, 300, 1000), None);
    assert_eq!(watch.see(&frame(HEADERS, END_HEADERS, 1, 3), 1000), Ok(()));
    assert_eq!(send(&mut watch, 9, 1000), Some(CONTROL_PER_REQUEST));
}

#[test]
fn resets_have_a_budget_of_their_own() {
    let mut watch = begun();
    for n in 0..RESET_BURST {
        let stream = u32::try_from(n).expect("small") * 2 + 1;
        let both = [frame(HEADERS, END_HEADERS, stream, 9), frame(RST_STREAM, 0, stream, 4)];
        assert_eq!(watch.see(&both.concat(), 0), Ok(()));
        assert_eq!(watch.last_stream(), stream);
    }
    assert_eq!(watch.see(&frame(RST_STREAM, 0, 1, 4), 0), Err(Excess::Resets));
}

#[test]
fn bodies_and_requests_cost_nothing() {
    let mut watch = begun();
    for _ in 0..100_000 {
        assert_eq!(watch.see(&frame(DATA, 0, 1, 1), 0), Ok(()));
        assert_eq!(watch.see(&frame(DATA, END_STREAM, 1, 0), 0), Ok(()));
        assert_eq!(watch.see(&frame(HEADERS, END_HEADERS | END_STREAM, 1, 2), 0), Ok(()));
    }
}

#[test]
fn a_header_block_is_waited_for_from_its_first_byte_to_its_last() {
    let mut watch = Watch::new(0);
    assert_eq!(watch.block_since_ms(), None, "nothing was said");
    let _ = watch.see(&PRI[..5], 3);
    assert_eq!(watch.block_since_ms(), Some(3));
    let _ = watch.see(&PRI[5..], 4);
    assert_eq!(watch.block_since_ms(), None);
    // Cut anywhere behind its own head, it has begun; further frames do not make it younger.
    let _ = watch.see(&frame(HEADERS, 0, 1, 7)[..10], 5);
    assert_eq!(watch.block_since_ms(), Some(5));
    let _ = watch.see(&[0; 6], 6);
    let _ = watch.see(&frame(CONTINUATION, 0, 1, 0), 7);
    assert_eq!(watch.block_since_ms(), Some(5));
    let last = frame(CONTINUATION, END_HEADERS, 1, 2);
    let _ = watch.see(&last[..10], 8);
    assert_eq!(watch.block_since_ms(), Some(5), "its last byte is missing");
    let _ = watch.see(&last[10..], 9);
    assert_eq!(watch.block_since_ms(), None);
}

proptest! {
    /// Any bytes in any pieces: the same verdict, and no panic.
    #[test]
    fn pieces_change_nothing(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0usize..400) {
        let stream = [PRI, &bytes].concat();
        let cut = cut.min(stream.len());
        let (mut whole, mut parts) = (Watch::new(0), Watch::new(0));
        let verdict = whole.see(&stream, 0);
        let _ = parts.see(&stream[..cut], 0);
        prop_assert_eq!(parts.see(&stream[cut..], 0), verdict);
        prop_assert_eq!(parts.block_since_ms(), whole.block_since_ms());
        prop_assert_eq!(parts.last_stream(), whole.last_stream());
    }

    /// A stream of frames is counted the same as its frames.
    #[test]
    fn every_frame_is_found(frames in prop::collection::vec((0u8..12, 0u8..8, 0usize..40), 0..60)) {
        let mut bytes = PRI.to_vec();
        let (mut controls, mut requests) = (0, 0);
        for (kind, flags, payload) in &frames {
            bytes.extend(frame(*kind, *flags, 9, *payload));
            let empty = *kind == DATA && *payload == 0 && flags & END_STREAM == 0;
            controls += u64::from(empty || !matches!(*kind, DATA | HEADERS | RST_STREAM | CONTINUATION));
            requests += u64::from(*kind == HEADERS);
        }
        let mut watch = Watch::new(0);
        prop_assert_eq!(watch.see(&bytes, 0), Ok(()));
        // A request before the first control frame pays into a full bucket.
        let left = watch.control.tokens / SCALE;
        prop_assert!(left >= CONTROL_BURST - controls);
        prop_assert!(left <= (CONTROL_BURST - controls + requests * CONTROL_PER_REQUEST).min(CONTROL_BURST));
    }
}
