//! HTTP/1 from clients: no input panics, splitting changes no verdict, what passes is what came, memory is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade::edge::inspect::{Gate, Limits, Refused, Wants};

const LIMITS: Limits = Limits { head_max: 8192, fields_max: 20, uri_max: 1024 };

#[derive(Debug, Default, PartialEq, Eq)]
struct Out {
    passed: Vec<u8>,
    heads: u64,
    refused: Option<Refused>,
    fault: Option<&'static str>,
}

/// Feeds the bytes in pieces of at most `size`, as a connection would; an upgrade comes to nothing at once.
fn feed(mut rest: &[u8], size: usize) -> Out {
    let mut gate = Gate::new(LIMITS);
    let mut out = Out::default();
    loop {
        out.heads += gate.passed();
        out.refused = out.refused.or(gate.refused().map(|refused| *refused));
        let ready = gate.ready().len();
        if ready > 0 {
            out.passed.extend_from_slice(gate.ready());
            gate.took(ready);
            continue;
        }
        if gate.is_held() {
            gate.release();
            continue;
        }
        let wants = gate.wants();
        let room = match wants {
            Wants::Direct => size,
            Wants::More(room) => room.min(size),
            Wants::Silence => return out,
            Wants::Fault(rule) => return Out { fault: Some(rule), ..out },
        };
        let (piece, behind) = rest.split_at(room.min(rest.len()));
        if piece.is_empty() {
            return out;
        }
        rest = behind;
        if wants == Wants::Direct {
            let pass = gate.look(piece);
            out.passed.extend_from_slice(&piece[..pass]);
        } else {
            gate.add(piece);
        }
        assert!(gate.kept_bytes() <= 4 * LIMITS.head_max + 2 * size.min(1 << 20), "bounded");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = feed(bytes, bytes.len().max(1));
    assert!(whole.refused.is_some() || bytes.starts_with(&whole.passed), "nothing is added");
    for size in [1, 7] {
        let split = feed(bytes, size);
        assert_eq!((split.heads, split.fault), (whole.heads, whole.fault));
        let denial = |out: &Out| out.refused.as_ref().map(|refused| refused.denial.clone());
        assert_eq!(denial(&split), denial(&whole));
        if whole.fault.is_none() {
            assert_eq!(split.passed, whole.passed);
        }
    }
});
