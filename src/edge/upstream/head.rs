//! The head of a response: from bytes to fields, and from fields to where its body ends (RFC 9112 §6.3, and stricter).
//!
//! Refuses: everything that two readers could understand differently. Bounds: [`HEAD_MAX`] bytes, [`FIELDS_MAX`] fields.
//! `httparse` reads the lines; what it forgives is refused here.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;

use super::fault::Fault;

pub const HEAD_MAX: usize = 64 * 1024;
pub const FIELDS_MAX: usize = 128;
/// Interim responses (1xx) before the final one.
pub const INTERIM_MAX: u8 = 16;

/// Where the body of a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// A response head, and what follows from it.
#[derive(Debug)]
pub struct Head {
    pub parts: Parts,
    pub framing: Framing,
    /// Nothing in it says that the connection ends with this response.
    pub keep_alive: bool,
}

/// How far the search for the end of a head has got, so that no byte is looked at twice.
#[derive(Debug, Default)]
pub struct Search {
    /// Where the line begins that is not yet complete.
    line: usize,
    looked: usize,
}

impl Search {
    /// The length of the head at the front of `bytes`, once it is complete.
    ///
    /// # Errors
    /// When it is too long, is not HTTP/1, or has a line that ends with LF alone.
    pub fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        const BEGIN: &[u8] = b"HTTP/1.";
        let begun = bytes.len().min(BEGIN.len());
        if bytes.get(..begun) != BEGIN.get(..begun) {
            return Err(other_language(bytes));
        }
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.looked..).unwrap_or_default())
        {
            let end = self.looked + found;
            let line = bytes.get(self.line..end).unwrap_or_default();
            if end >= HEAD_MAX {
                return Err(Fault::HeadTooLong);
            }
            if line.last() != Some(&b'\r') {
                return Err(Fault::BareLf);
            }
            self.line = end + 1;
            self.looked = self.line;
            if line.len() == 1 {
                return Ok(Some(self.line));
            }
        }
        self.looked = bytes.len();
        if bytes.len() >= HEAD_MAX { Err(Fault::HeadTooLong) } else { Ok(None) }
    }
}

/// What was sent in the place of a response: the forms that a wrong scheme in the configuration leads to have names.
fn other_language(bytes: &[u8]) -> Fault {
    match bytes {
        // A SETTINGS frame for the connection comes first (RFC 9113 §3.4).
        [0, _, _, 4, 0, 0, 0, 0, 0, ..] => Fault::SpeaksHttp2,
        // An alert or the rest of a handshake (RFC 8446 §5.1).
        [21 | 22, 3, 0..=4, ..] => Fault::SpeaksTls,
        _ => Fault::NotHttp,
    }
}

/// What came first in the place of HTTP/2, where that has a name.
pub fn no_http2(bytes: &[u8]) -> Option<Fault> {
    if bytes.starts_with(b"HTTP/1.") {
        // The words of Go, nginx and Apache for a request in the clear at a port with TLS.
        let wants_tls = [&b"HTTPS"[..], b"SSL-enabled"]
            .iter()
            .any(|word| memchr::memmem::find(bytes, word).is_some());
        return Some(if wants_tls { Fault::SpeaksTls } else { Fault::SpeaksHttp1 });
    }
    (other_language(bytes) == Fault::SpeaksTls).then_some(Fault::SpeaksTls)
}

/// Reads one head, the empty line included. `to_head` says that it answers a HEAD; `spare` is a map to fill.
///
/// # Errors
/// When it is malformed or contradicts itself.
pub fn parse(head: &Bytes, to_head: bool, mut spare: HeaderMap) -> Result<Head, Fault> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        head,
        &mut fields,
    );
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Fault::NotHttp),
        Err(httparse::Error::TooManyHeaders) => return Err(Fault::TooManyFields),
        Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => {
            return Err(Fault::Field);
        }
        Err(_) => return Err(Fault::NotHttp),
    }
    let old = response.version != Some(1);
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Fault::NotHttp)?;
    let mut facts = Facts::default();
    spare.reserve(response.headers.len());
    for field in &*response.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::Field)?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value));
        let value = value.map_err(|_| Fault::Field)?;
        facts.note(&name, &value)?;
        spare.append(name, value);
    }
    let framing = facts.framing(status, old, to_head)?;
    if facts.lengths > 1
        && let Some(length) = facts.length
    {
        spare.insert(CONTENT_LENGTH, length.into());
    }
    if status == StatusCode::NO_CONTENT {
        // A 204 has no length (RFC 9110 §8.6).
        spare.remove(CONTENT_LENGTH);
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.version = if old { Version::HTTP_10 } else { Version::HTTP_11 };
    parts.headers = spare;
    if let Some(reason) = response.reason
        && status.canonical_reason() != Some(reason)
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        parts.extensions.insert(reason);
    }
    let keep_alive = !facts.close && (!old || facts.keep_alive) && framing != Framing::UntilClose;
    Ok(Head { parts, framing, keep_alive })
}

/// What the fields say about where the body ends.
#[derive(Default)]
struct Facts {
    length: Option<u64>,
    lengths: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Facts {
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Fault> {
        if *name == CONTENT_LENGTH {
            // The same number several times is one number (RFC 9112 §6.3).
            for number in value.as_bytes().split(|byte| *byte == b',') {
                let length = decimal(number.trim_ascii()).ok_or(Fault::Length)?;
                if *self.length.get_or_insert(length) != length {
                    return Err(Fault::Length);
                }
                self.lengths += 1;
            }
        } else if *name == TRANSFER_ENCODING {
            if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Coding);
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            for word in value.as_bytes().split(|byte| *byte == b',') {
                self.close |= word.trim_ascii().eq_ignore_ascii_case(b"close");
                self.keep_alive |= word.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }

    fn framing(&self, status: StatusCode, old: bool, to_head: bool) -> Result<Framing, Fault> {
        if self.chunked && old {
            return Err(Fault::CodingInOld);
        }
        if self.chunked && self.length.is_some() {
            return Err(Fault::LengthAndCoding);
        }
        let bodiless = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match self.length {
            _ if bodiless || to_head => Framing::None,
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    }
}

/// Digits and nothing else, within what a `u64` holds.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Takes the head of `length` bytes off the front.
pub fn take(bytes: &mut BytesMut, length: usize) -> Bytes {
    bytes.split_to(length.min(bytes.len())).freeze()
}
