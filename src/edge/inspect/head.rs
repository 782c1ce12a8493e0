//! One request head, byte for byte (RFC 9112 §2 to §6).
//!
//! Promises: a verdict depends on the bytes before it and on nothing else, so not on how they were split; each byte is
//! looked at once, whatever the number of pieces it came in.
//! Bounds: `head_max` bytes in all, `fields_max` fields, methods of 32 bytes, names of 256.

use super::Limits;
use super::class::{self, HOST, TOKEN, VISIBLE};
use super::target;
use crate::base::Denial;

const METHOD_MAX: usize = 32;
const NAME_MAX: usize = 256;
/// What `http::Uri` takes.
const TARGET_MAX: usize = 65_534;
const VERSION: &[u8; 10] = b"HTTP/1.1\r\n";

const BARE_LF: &str = "a line ends with LF alone instead of CR LF";
const BARE_CR: &str = "a CR is not followed by LF";

/// How the bytes behind a head are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A head that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Whole {
    pub bytes: usize,
    pub framing: Framing,
    /// What follows may be another protocol: the head asks for an upgrade and has no body, or is a CONNECT.
    pub may_become_tunnel: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Method,
    Target,
    Version,
    FieldStart,
    Name,
    Value,
    ValueLf,
    EndLf,
}

/// A field that decides something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Expect,
    Upgrade,
}

impl Field {
    fn of(name: &[u8]) -> Self {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.len() {
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            14 if is("content-length") => Self::ContentLength,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            _ => Self::Other,
        }
    }
}

/// Where the reading of a head has come to. Positions count from its first byte.
#[derive(Debug, Default)]
pub(super) struct Head {
    state: State,
    /// What was looked at.
    at: usize,
    /// Where the part that is being read begins.
    mark: usize,
    /// Where the method ends.
    method: Option<usize>,
    target: Option<(usize, usize)>,
    /// Inside the target.
    authority: Option<(usize, usize)>,
    connect: bool,
    http_10: bool,
    fields: usize,
    field: Field,
    host: Option<(usize, usize)>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

impl Head {
    /// Goes on reading; `bytes` begin where the head begins, and hold at least what they held before. `None`: more is
    /// needed.
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Whole>, Denial> {
        let within = bytes.get(..limits.head_max).unwrap_or(bytes);
        while self.at < within.len() {
            match self.state {
                State::Method => self.method(within)?,
                State::Target => self.target(within)?,
                State::Version => self.version(within, limits)?,
                State::FieldStart => self.field_start(within, limits)?,
                State::Name => self.name(within)?,
                State::Value => self.value(within)?,
                State::ValueLf => self.value_end(within)?,
                State::EndLf if within.get(self.at) == Some(&b'\n') => {
                    return self.whole(within, self.at + 1).map(Some);
                }
                State::EndLf => return Err(Denial::BadField { rule: BARE_CR }),
            }
        }
        if within.len() < limits.head_max {
            return Ok(None);
        }
        Err(match self.state {
            State::Method | State::Target => Denial::UriTooLong { uri_bytes: self.at - self.mark },
            _ => Denial::HeadTooLarge { head_max: limits.head_max },
        })
    }

    /// The method, once it was read.
    pub(super) fn method_of<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(..self.method?)
    }

    /// The target, once it was read.
    pub(super) fn target_of<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (from, to) = self.target?;
        bytes.get(from..to)
    }

    fn method(&mut self, bytes: &[u8]) -> Result<(), Denial> {
        self.at = class::run(bytes, self.at, TOKEN);
        if self.at > METHOD_MAX {
            return Err(Denial::UnknownMethod);
        }
        let rule = match (bytes.get(self.at), self.at) {
            (None, _) => return Ok(()),
            (Some(b' '), 1..) => {
                self.method = Some(self.at);
                self.at += 1;
                self.mark = self.at;
                self.state = State::Target;
                return Ok(());
            }
            // RFC 9112 §2.2 lets a server skip it; no client has needed that for twenty years.
            (Some(b'\r' | b'\n'), 0) => "an empty line or a line break before the request line",
            (Some(b'\r' | b'\n'), _) => "the request line has no target",
            _ => "the method is no token",
        };
        Err(Denial::BadRequestLine { rule })
    }

    fn target(&mut self, bytes: &[u8]) -> Result<(), Denial> {
        self.at = class::run(bytes, self.at, VISIBLE);
        let rule = match bytes.get(self.at) {
            None => return Ok(()),
            Some(b' ') if self.at > self.mark => {
                self.target = Some((self.mark, self.at));
                self.at += 1;
                self.mark = self.at;
                self.state = State::Version;
                return Ok(());
            }
            Some(b' ') => "two spaces in the request line",
            Some(b'\r' | b'\n') => "the request line has no version",
            Some(0x80..) => "the target has a character beyond ASCII that is not encoded",
            _ => "the target has a space or control character",
        };
        Err(Denial::BadRequestLine { rule })
    }

    /// `HTTP/1.1` and the end of the line.
    fn version(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), Denial> {
        let line = part(bytes, self.mark, bytes.len().min(self.mark + VERSION.len()));
        if line != VERSION {
            for (at, &byte) in line.iter().enumerate().skip(self.at - self.mark) {
                let rule = match (at, byte) {
                    (5, b'0'..=b'9') => continue,
                    (7, b'0'..=b'9') => match (line.get(5), byte) {
                        (Some(b'1'), b'0' | b'1') => {
                            self.http_10 = byte == b'0';
                            continue;
                        }
                        _ => return Err(Denial::UnknownVersion),
                    },
                    _ if VERSION.get(at) == Some(&byte) => continue,
                    (8, b'\n') => BARE_LF,
                    (8, _) => "something follows the version",
                    (9, _) => BARE_CR,
                    _ => "the version is not HTTP/ and two digits",
                };
                return Err(Denial::BadRequestLine { rule });
            }
        }
        self.at = self.mark + line.len();
        if line.len() == VERSION.len() {
            self.request_line(bytes, limits)?;
            self.state = State::FieldStart;
        }
        Ok(())
    }

    fn request_line(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), Denial> {
        let method = self.method_of(bytes).unwrap_or_default();
        let target = self.target_of(bytes).unwrap_or_default();
        let parsed = target::parse(method, target)?;
        let uri_bytes = parsed.path.len();
        if uri_bytes > limits.uri_max || target.len() > TARGET_MAX {
            return Err(Denial::UriTooLong { uri_bytes });
        }
        self.connect = method == b"CONNECT";
        if let Some(authority) = parsed.authority {
            // It stands right before the path, whatever the form.
            let end = self.target.map_or(0, |(_, end)| end) - uri_bytes;
            self.authority = Some((end - authority.len(), end));
        }
        Ok(())
    }

    fn field_start(&mut self, bytes: &[u8], limits: &Limits) -> Result<(), Denial> {
        let rule = match bytes.get(self.at) {
            Some(b'\r') => {
                self.at += 1;
                self.state = State::EndLf;
                return Ok(());
            }
            Some(b'\n') => BARE_LF,
            // RFC 9112 §5.2
            Some(b' ' | b'\t') => "a line begins with a space: an obsolete fold",
            _ if self.fields >= limits.fields_max => {
                return Err(Denial::TooManyFields { fields_max: limits.fields_max });
            }
            _ => {
                self.fields += 1;
                self.mark = self.at;
                self.state = State::Name;
                return Ok(());
            }
        };
        Err(Denial::BadField { rule })
    }

    fn name(&mut self, bytes: &[u8]) -> Result<(), Denial> {
        self.at = class::run(bytes, self.at, TOKEN);
        if self.at - self.mark > NAME_MAX {
            return Err(Denial::BadField { rule: "a field name is longer than 256 bytes" });
        }
        let rule = match bytes.get(self.at) {
            None => return Ok(()),
            Some(b':') if self.at > self.mark => {
                self.field = Field::of(part(bytes, self.mark, self.at));
                self.at += 1;
                self.mark = self.at;
                self.state = State::Value;
                return Ok(());
            }
            byte => bad_name(byte.copied()),
        };
        Err(Denial::BadField { rule })
    }

    fn value(&mut self, bytes: &[u8]) -> Result<(), Denial> {
        self.at = class::text(bytes, self.at);
        match bytes.get(self.at) {
            None => {}
            Some(b'\t') => self.at += 1,
            Some(b'\r') => {
                self.at += 1;
                self.state = State::ValueLf;
            }
            byte => return Err(Denial::BadField { rule: bad_value(byte.copied()) }),
        }
        Ok(())
    }

    fn value_end(&mut self, bytes: &[u8]) -> Result<(), Denial> {
        if bytes.get(self.at) != Some(&b'\n') {
            return Err(Denial::BadField { rule: BARE_CR });
        }
        if self.field != Field::Other {
            self.decide(part(bytes, self.mark, self.at - 1))?;
        }
        self.at += 1;
        self.state = State::FieldStart;
        Ok(())
    }

    /// What a field means that means something here.
    fn decide(&mut self, value: &[u8]) -> Result<(), Denial> {
        let framing = matches!(self.field, Field::ContentLength | Field::TransferEncoding);
        if framing && value.contains(&b'\t') {
            // Some parsers take a tab for space around a value, others for a part of it.
            return Err(Denial::BadFraming { rule: "a tab beside the framing of the body" });
        }
        let value = class::trimmed(value);
        match self.field {
            Field::Other => {}
            Field::Host => {
                let known = !value.is_empty() && value.iter().all(|byte| class::is(*byte, HOST));
                if self.host.is_some() || !known {
                    return Err(Denial::BadHost);
                }
                self.host = Some((self.mark, self.at - 1));
            }
            Field::ContentLength => {
                if self.length.is_some() {
                    return Err(Denial::BadFraming { rule: "more than one Content-Length" });
                }
                self.length = Some(content_length(value)?);
            }
            Field::TransferEncoding => {
                if self.chunked {
                    return Err(Denial::BadFraming { rule: "more than one Transfer-Encoding" });
                }
                transfer_encoding(value)?;
                self.chunked = true;
            }
            Field::Expect if !value.eq_ignore_ascii_case(b"100-continue") => {
                return Err(Denial::UnknownExpectation);
            }
            Field::Expect => {}
            Field::Upgrade => self.upgrade = true,
        }
        Ok(())
    }

    /// What only the whole head can tell.
    fn whole(&self, bytes: &[u8], length: usize) -> Result<Whole, Denial> {
        let framing = match (self.chunked, self.length) {
            (true, _) if self.http_10 => {
                return Err(Denial::BadFraming { rule: "Transfer-Encoding in HTTP/1.0" });
            }
            (true, Some(_)) => {
                return Err(Denial::BadFraming {
                    rule: "both Content-Length and Transfer-Encoding",
                });
            }
            (true, None) => Framing::Chunked,
            (false, Some(1..)) => Framing::Length(self.length.unwrap_or_default()),
            (false, _) => Framing::None,
        };
        let host = self.host.map(|(from, to)| class::trimmed(part(bytes, from, to)));
        if host.is_none() && !self.http_10 {
            return Err(Denial::BadHost);
        }
        let authority = self.authority.map(|(from, to)| part(bytes, from, to));
        if let (Some(host), Some(authority)) = (host, authority)
            && !host.eq_ignore_ascii_case(authority)
        {
            return Err(Denial::BadHost);
        }
        let asks = self.upgrade && !self.http_10 && framing == Framing::None;
        let may_become_tunnel = asks || self.connect;
        Ok(Whole { bytes: length, framing, may_become_tunnel })
    }
}

/// Why a field name ends with something else than a colon.
pub(super) const fn bad_name(byte: Option<u8>) -> &'static str {
    match byte {
        Some(b' ' | b'\t') => "a space in a field name or before its colon",
        Some(b'\r' | b'\n') => "a line without a colon, or a line break in a field name",
        Some(b':') => "a field without a name",
        _ => "a field name is no token",
    }
}

/// Why a value ends with something else than a line break.
pub(super) const fn bad_value(byte: Option<u8>) -> &'static str {
    match byte {
        Some(b'\n') => BARE_LF,
        _ => "a control character in the value of a field",
    }
}

/// 1 to 19 digits (RFC 9112 §6.3): nothing that overflows 64 bits, no sign, no list.
fn content_length(value: &[u8]) -> Result<u64, Denial> {
    let rule = Denial::BadFraming { rule: "Content-Length is not 1 to 19 digits" };
    if !(1..=19).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return Err(rule);
    }
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.parse().map_err(|_| rule)
}

/// `chunked` and nothing else. Where it is the last of several, the length would be known but not the content; where it
/// is not the last, not even the length (RFC 9112 §6.1 and §6.3).
fn transfer_encoding(value: &[u8]) -> Result<(), Denial> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let codings: Vec<&[u8]> = value.split(|byte| *byte == b',').map(class::trimmed).collect();
    let plain = codings
        .iter()
        .all(|coding| !coding.is_empty() && coding.iter().all(|byte| class::is(*byte, TOKEN)));
    let chunked = codings.iter().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    match codings.last() {
        Some(last) if plain && chunked == 1 && last.eq_ignore_ascii_case(b"chunked") => {
            Err(Denial::UnknownCoding)
        }
        _ => Err(Denial::BadFraming { rule: "Transfer-Encoding is not chunked" }),
    }
}
