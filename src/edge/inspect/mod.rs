//! HTTP/1 as it comes from clients, judged byte for byte before hyper sees it (promises 10 and 11).
//!
//! Promises: hyper gets whole heads that every parser reads in the same way, and bodies whose end is where their head
//! says; the verdict is the same for every splitting of the bytes; a head that comes whole is looked at once and where
//! it lies. Behind the first byte that breaks a rule nothing is read any more.
//! Refuses: everything that hyper would, so that hyper never refuses by itself, and more (docs/SECURITY.md).
//! Bounds: one head, or 16 KiB and one read behind a request for an upgrade, are kept; nothing else is.

mod chunks;
mod class;
mod gate;
mod head;
mod target;

#[cfg(test)]
mod tests;

use http::HeaderValue;
use http::uri::{PathAndQuery, Uri};

pub use gate::{Gate, Wants};

use crate::base::Denial;
use chunks::{Chunks, Read};
use head::{Framing, Head};

/// Sizes of heads, from `[http]`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub head_max: usize,
    pub fields_max: usize,
    pub uri_max: usize,
}

/// A refused head, with what could be read of it for the answer and the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub denial: Denial,
    pub method: Option<http::Method>,
    pub target: Option<PathAndQuery>,
    pub accept: Option<HeaderValue>,
}

/// What becomes of the bytes that were offered.
#[derive(Debug)]
struct Verdict {
    /// So many from the beginning may go on.
    pass: usize,
    then: Then,
}

/// What becomes of the rest.
#[derive(Debug)]
enum Then {
    /// It is the beginning of a head, to be offered again together with what follows; or there is no rest.
    Keep,
    /// It is behind a request for an upgrade, to be offered again when that is decided.
    Hold,
    /// It begins with a head that nobody gets to see.
    Refused(Box<Refused>),
    /// The body that has begun breaks this rule here.
    Broken(&'static str),
}

/// What the next byte belongs to.
#[derive(Debug)]
enum At {
    Head,
    Length(u64),
    Chunks(Box<Chunks>),
    Upgrade,
    /// Nothing is read any more.
    Over,
}

/// The state of one connection's requests.
#[derive(Debug)]
struct Inspector {
    limits: Limits,
    at: At,
    head: Head,
    /// Heads that went on.
    passed: u64,
}

impl Inspector {
    fn new(limits: Limits) -> Self {
        Self { limits, at: At::Head, head: Head::default(), passed: 0 }
    }

    /// Judges what has come: the kept rest of the last call and the bytes behind it.
    fn judge(&mut self, bytes: &[u8]) -> Verdict {
        let mut pass = 0;
        loop {
            let rest = bytes.get(pass..).unwrap_or_default();
            let then = match &mut self.at {
                At::Upgrade => Then::Hold,
                At::Over => Then::Keep,
                _ if rest.is_empty() => Then::Keep,
                At::Length(left) => {
                    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    pass += taken;
                    if *left == 0 {
                        self.at = At::Head;
                    }
                    continue;
                }
                At::Chunks(chunks) => match chunks.read(rest, &self.limits) {
                    Read::More => {
                        pass = bytes.len();
                        Then::Keep
                    }
                    Read::End(taken) => {
                        pass += taken;
                        self.at = At::Head;
                        continue;
                    }
                    Read::Bad(taken, rule) => {
                        pass += taken;
                        self.at = At::Over;
                        Then::Broken(rule)
                    }
                },
                At::Head => match self.head.read(rest, &self.limits) {
                    Ok(None) => Then::Keep,
                    Ok(Some(whole)) => {
                        pass += whole.bytes;
                        self.passed += 1;
                        self.head = Head::default();
                        self.at = match whole.framing {
                            Framing::Length(length) => At::Length(length),
                            Framing::Chunked => At::Chunks(Box::default()),
                            Framing::None if whole.may_become_tunnel => At::Upgrade,
                            Framing::None => At::Head,
                        };
                        continue;
                    }
                    Err(denial) => {
                        self.at = At::Over;
                        Then::Refused(Box::new(refused(denial, &self.head, rest)))
                    }
                },
            };
            return Verdict { pass, then };
        }
    }
}

/// Gathers what the log and the answer can use of a head that nobody gets.
fn refused(denial: Denial, head: &Head, bytes: &[u8]) -> Refused {
    let method = head.method_of(bytes).and_then(|method| http::Method::from_bytes(method).ok());
    let target = head.target_of(bytes).and_then(|target| match target {
        [b'/', ..] | b"*" => PathAndQuery::try_from(target).ok(),
        _ => Uri::try_from(target).ok()?.into_parts().path_and_query,
    });
    Refused { denial, method, target, accept: accept(bytes) }
}

/// The form in which the client would like its refusal. Looked for without judging: the head is refused already.
fn accept(bytes: &[u8]) -> Option<HeaderValue> {
    const NAME: &[u8] = b"accept:";
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    })?;
    HeaderValue::from_bytes(class::trimmed(value.strip_suffix(b"\r")?)).ok()
}
