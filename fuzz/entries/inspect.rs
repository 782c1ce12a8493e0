//! HTTP/1 from clients: no split of the input changes the verdict or what is passed on, what passes is what came,
//! memory is bounded.

use palisade::edge::inspect::{Gate, Limits, Refused, Wants};

const LIMITS: Limits = Limits { head_max: 8192, fields_max: 20, uri_max: 1024 };

/// Shorter inputs are split in two at every place.
const EVERY_SPLIT_MAX: usize = 200;

#[derive(Debug, Default, PartialEq, Eq)]
struct Out {
    passed: Vec<u8>,
    heads: u64,
    refused: Option<Refused>,
    fault: Option<&'static str>,
}

/// Feeds the bytes in pieces of at most these sizes, as a connection would: the first ones in turn, the last again and
/// again. An upgrade comes to nothing at once.
fn feed(mut rest: &[u8], sizes: &[usize]) -> Out {
    let mut gate = Gate::new(LIMITS);
    let mut out = Out::default();
    let last = sizes.last().copied().unwrap_or(usize::MAX);
    let mut sizes = sizes.iter().copied().chain(std::iter::repeat(last));
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
        let size = sizes.next().unwrap_or(1).max(1);
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

fn same(whole: &Out, split: &Out) {
    let denial = |out: &Out| out.refused.as_ref().map(|refused| refused.denial.clone());
    assert_eq!((split.heads, split.fault), (whole.heads, whole.fault));
    assert_eq!(denial(split), denial(whole));
    // What stands before a fault in a body may be on its way already; more than before it never is.
    if whole.fault.is_none() {
        assert_eq!(split.passed, whole.passed);
    }
}

pub fn run(bytes: &[u8]) {
    let whole = feed(bytes, &[usize::MAX]);
    assert!(whole.refused.is_some() || bytes.starts_with(&whole.passed), "nothing is added");
    for size in [1, 2, 7] {
        same(&whole, &feed(bytes, &[size]));
    }
    if bytes.len() <= EVERY_SPLIT_MAX {
        for cut in 1..bytes.len() {
            same(&whole, &feed(bytes, &[cut, usize::MAX]));
        }
    }
}
