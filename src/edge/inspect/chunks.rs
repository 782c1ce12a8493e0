//! A chunked body with its trailer section, byte for byte (RFC 9112 §7.1).
//!
//! Promises: every chunk has a size of 1 to 16 hex digits and ends with CR LF; a trailer field never says what only a
//! head may say. The body is framed anew for the app: sizes and extensions never travel on, and neither do trailers.
//! Bounds: extensions of 256 bytes a line and less than 16 KiB a body, trailers of 8 KiB and `fields_max` fields.

use super::Limits;
use super::class::{self, EXTENSION, TOKEN};
use super::head::{bad_name, bad_value};

const DIGITS_MAX: u8 = 16;
const EXTENSION_LINE_MAX: usize = 256;
/// hyper ends a body at 16 KiB of extensions.
const EXTENSIONS_MAX: usize = 16 * 1024 - 1;
const TRAILERS_MAX: usize = 8 * 1024;
/// Longer than every name in [`FORBIDDEN`].
const NAME_KEPT: usize = 24;

/// What belongs to the connection, to the framing, to the choice of the site or to who is asking (RFC 9110 §6.5.1).
const FORBIDDEN: [&str; 14] = [
    "transfer-encoding",
    "content-length",
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
];

const BARE_LF: &str = "a line of a chunked body ends with LF alone";
const BARE_CR: &str = "a CR in a chunked body is not followed by LF";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// Where the reading of a chunked body has come to.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    state: State,
    /// Of the chunk: what its size line says, then what is still to come of it.
    left: u64,
    digits: u8,
    line_extension: usize,
    extensions: usize,
    trailers: usize,
    trailer_fields: usize,
    /// The beginning of a trailer field's name, in lower case.
    name: [u8; NAME_KEPT],
    name_bytes: usize,
}

/// How far the reading got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// To the end of the bytes.
    More,
    /// To the end of the body, so many bytes on.
    End(usize),
    /// To the byte that breaks this rule, so many bytes on.
    Bad(usize, &'static str),
}

impl Chunks {
    pub(super) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Read {
        let mut at = 0;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(&byte) = rest.first() else { break };
            match self.step(byte, rest, limits) {
                Ok(0) => return Read::End(at + 1),
                Ok(taken) => at += taken,
                Err(rule) => return Read::Bad(at, rule),
            }
        }
        Read::More
    }

    /// Takes at least the byte; `Ok(0)`: it was the last one of the body.
    fn step(&mut self, byte: u8, rest: &[u8], limits: &Limits) -> Result<usize, &'static str> {
        match self.state {
            State::Size => self.size(byte)?,
            State::Extension => return self.extension(rest),
            State::SizeLf if byte == b'\n' => {
                let data = self.left > 0;
                self.state = if data { State::Data } else { State::TrailerStart };
            }
            State::Data => {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let taken = rest.len().min(left);
                self.left -= taken as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                return Ok(taken);
            }
            State::DataCr if byte == b'\r' => self.state = State::DataLf,
            State::DataCr => return Err("the data of a chunk is longer than its size says"),
            State::DataLf if byte == b'\n' => {
                self.state = State::Size;
                self.digits = 0;
            }
            State::TrailerStart => self.trailer_start(byte, limits)?,
            State::TrailerName => return self.trailer_name(rest),
            State::TrailerValue => return self.trailer_value(rest),
            State::TrailerLf if byte == b'\n' => {
                self.count_trailer(1)?;
                self.state = State::TrailerStart;
            }
            State::EndLf if byte == b'\n' => return Ok(0),
            State::SizeLf | State::DataLf | State::TrailerLf | State::EndLf => return Err(BARE_CR),
        }
        Ok(1)
    }

    fn size(&mut self, byte: u8) -> Result<(), &'static str> {
        match char::from(byte).to_digit(16) {
            Some(_) if self.digits == DIGITS_MAX => {
                return Err("the size of a chunk has more than 16 digits");
            }
            Some(digit) => {
                self.left = (self.left << 4) | u64::from(digit);
                self.digits += 1;
            }
            None if self.digits == 0 => return Err("a chunk does not begin with its size"),
            None => match byte {
                b'\r' => self.state = State::SizeLf,
                b';' => {
                    self.state = State::Extension;
                    self.line_extension = 0;
                }
                b'\n' => return Err(BARE_LF),
                _ => {
                    return Err(
                        "the size of a chunk is followed by something else than `;` or CR LF",
                    );
                }
            },
        }
        Ok(())
    }

    fn extension(&mut self, rest: &[u8]) -> Result<usize, &'static str> {
        let room = EXTENSION_LINE_MAX - self.line_extension;
        let room = room.min(EXTENSIONS_MAX - self.extensions);
        let taken = class::run(rest, 0, EXTENSION);
        if taken > room {
            return Err("the extensions of a chunk are too long");
        }
        self.line_extension += taken;
        self.extensions += taken;
        match rest.get(taken) {
            None => Ok(taken),
            Some(b'\r') => {
                self.state = State::SizeLf;
                Ok(taken + 1)
            }
            Some(b'\n') => Err(BARE_LF),
            Some(_) => Err("a character in a chunk extension that has no place there"),
        }
    }

    fn count_trailer(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.trailers += bytes;
        if self.trailers > TRAILERS_MAX {
            return Err("the trailer section is longer than 8 KiB");
        }
        Ok(())
    }

    fn trailer_start(&mut self, byte: u8, limits: &Limits) -> Result<(), &'static str> {
        match byte {
            b'\r' => {
                self.state = State::EndLf;
                return Ok(());
            }
            b'\n' => return Err(BARE_LF),
            b' ' | b'\t' => return Err("a line of the trailer section begins with a space"),
            _ if !class::is(byte, TOKEN) => return Err(bad_name(Some(byte))),
            _ => {}
        }
        self.trailer_fields += 1;
        if self.trailer_fields > limits.fields_max {
            return Err("more trailer fields than http.fields_max");
        }
        self.name_bytes = 0;
        self.keep_name(&[byte]);
        self.state = State::TrailerName;
        self.count_trailer(1)
    }

    fn keep_name(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.name.get_mut(self.name_bytes) {
                *place = byte.to_ascii_lowercase();
                self.name_bytes += 1;
            }
        }
    }

    fn trailer_name(&mut self, rest: &[u8]) -> Result<usize, &'static str> {
        let taken = class::run(rest, 0, TOKEN);
        self.count_trailer(taken)?;
        self.keep_name(rest.get(..taken).unwrap_or_default());
        let Some(&stop) = rest.get(taken) else { return Ok(taken) };
        if stop != b':' {
            return Err(bad_name(Some(stop)));
        }
        let name = self.name.get(..self.name_bytes).unwrap_or_default();
        if FORBIDDEN.iter().any(|forbidden| forbidden.as_bytes() == name) {
            return Err("a trailer field that belongs into the head");
        }
        self.count_trailer(1)?;
        self.state = State::TrailerValue;
        Ok(taken + 1)
    }

    fn trailer_value(&mut self, rest: &[u8]) -> Result<usize, &'static str> {
        let taken = class::text(rest, 0);
        self.count_trailer(taken)?;
        let Some(&stop) = rest.get(taken) else { return Ok(taken) };
        match stop {
            b'\t' => {}
            b'\r' => self.state = State::TrailerLf,
            _ => return Err(bad_value(Some(stop))),
        }
        self.count_trailer(1)?;
        Ok(taken + 1)
    }
}
