//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): the trace goes on, the span is ours.

use crate::base::hex;

/// Length of a version-00 `traceparent`.
pub const TRACEPARENT_LEN: usize = 55;

/// The trace id (32 lower-case hexadecimal digits) and flags of a valid version-00 `traceparent`.
#[must_use]
pub fn parse(value: &[u8]) -> Option<(&[u8], &[u8])> {
    if value.len() != TRACEPARENT_LEN {
        return None;
    }
    let trace = value.get(3..35)?;
    let span = value.get(36..52)?;
    let flags = value.get(53..55)?;
    let hyphens = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
    let version = value.get(..2) == Some(b"00");
    let hex = [trace, span, flags].iter().all(|part| part.iter().all(|b| is_lower_hex(*b)));
    let zero = |part: &[u8]| part.iter().all(|b| *b == b'0');
    (hyphens && version && hex && !zero(trace) && !zero(span)).then_some((trace, flags))
}

/// Writes a `traceparent` of this hop: the incoming trace if there is one, else a new one, and a new span.
///
/// A new trace has the request's own id, so that whoever has the one can search for the other.
pub fn write(
    out: &mut [u8; TRACEPARENT_LEN],
    incoming: Option<(&[u8], &[u8])>,
    request_id: [u8; 16],
    span: [u8; 8],
) {
    out.fill(b'-');
    out[..2].copy_from_slice(b"00");
    match incoming {
        Some((trace, flags)) if trace.len() == 32 && flags.len() == 2 => {
            out[3..35].copy_from_slice(trace);
            out[53..55].copy_from_slice(flags);
        }
        _ => {
            hex::write(&mut out[3..35], &request_id);
            out[53..55].copy_from_slice(b"01");
        }
    }
    hex::write(&mut out[36..52], &span);
    // All zeroes is the one value that an id must not have.
    out[51] = if span == [0; 8] { b'1' } else { out[51] };
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_valid_trace_goes_on_with_a_new_span() {
        let incoming = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let mut out = [0; TRACEPARENT_LEN];
        write(&mut out, parse(incoming), [1; 16], [7; 8]);
        assert_eq!(&out, b"00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-00");
    }

    #[test]
    fn an_invalid_trace_is_replaced() {
        for bad in [
            &b"00-00000000000000000000000000000000-00f067aa0ba902b7-00"[..],
            b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00",
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-00",
            b"",
        ] {
            assert_eq!(parse(bad), None);
        }
        let mut out = [0; TRACEPARENT_LEN];
        write(&mut out, None, [1; 16], [0; 8]);
        assert!(out.ends_with(b"-0000000000000001-01"));
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(id in any::<[u8; 16]>(), span in any::<[u8; 8]>()) {
            let mut out = [0; TRACEPARENT_LEN];
            write(&mut out, None, id, span);
            prop_assume!(id != [0; 16]);
            prop_assert!(parse(&out).is_some());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
