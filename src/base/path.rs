//! The path of a request: what it may be made of, and the one form in which it is matched (RFC 3986 §6.2.2).
//!
//! Promises: every spelling of a path has the same normal form, the normal form of that is itself, and it holds nothing
//! that an app could read as another path. A path that is normal already costs a look at its bytes.
//! Refuses: what decoders disagree about, such as encoded slashes, backslashes and `..;`. Where encoded slashes may pass
//! they stay encoded, for matching and for the app, and what would be a dot segment to who decodes them is refused still.

use std::fmt;

/// What a path is matched as, and what the app gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Normal {
    /// It is normal as it was sent.
    AsSent,
    /// It differs only in doubled slashes or in the case of hex digits: the app gets it as it was sent.
    Matched(Box<str>),
    /// It has dot segments or encodes what needs no encoding: the app gets the normal form.
    Rewritten(Box<str>),
}

impl Normal {
    /// The form that routes are compared with.
    #[must_use]
    pub fn matched<'a>(&'a self, sent: &'a str) -> &'a str {
        match self {
            Self::AsSent => sent,
            Self::Matched(path) | Self::Rewritten(path) => path,
        }
    }
}

/// May stand in a path as it is.
const PATH: u8 = 1;
/// May stand in a query. Wider than RFC 3986 §3.4 by what browsers send bare (WHATWG URL, "query percent-encode set").
const QUERY: u8 = 2;
/// Needs no encoding (RFC 3986 §2.3).
const UNRESERVED: u8 = 4;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let byte = at as u8;
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        // Brackets and the bar stand bare in paths that browsers send.
        let path = unreserved
            || matches!(
                byte,
                b'!' | b'$' | b'%' | b'&'
                    ..=b',' | b'/' | b':' | b';' | b'=' | b'@' | b'[' | b']' | b'|'
            );
        let query = path || matches!(byte, b'?' | b'\\' | b'^' | b'`' | b'{' | b'}');
        #[expect(clippy::indexing_slicing, reason = "below 256")]
        {
            table[at] =
                ((path as u8) * PATH) | ((query as u8) * QUERY) | ((unreserved as u8) * UNRESERVED);
        }
        at += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASS.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// What `%2F` and `%5C` in a path are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EncodedSlashes {
    /// Reason enough to refuse it.
    #[default]
    Refuse,
    /// Part of a segment, for everybody.
    Pass,
}

impl fmt::Display for EncodedSlashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "refuse",
            Self::Pass => "pass",
        })
    }
}

/// The rule that a path with `%2F` or `%5C` breaks where it must not have one.
pub const ENCODED_SLASH: &str =
    "the path encodes a slash or a backslash (encoded_slashes = \"pass\" lets it through)";

/// Whether a path in normal form has a `%2F` or `%5C`.
#[must_use]
pub fn has_encoded_slash(normal: &str) -> bool {
    normal.split('%').skip(1).any(|after| after.starts_with("2F") || after.starts_with("5C"))
}

/// Whether a path may be forwarded at all, and its normal form. What `slashes` says is asked only where the path has
/// anything encoded.
///
/// # Errors
/// The rule that it breaks, for the log.
pub fn normal(
    path: &str,
    slashes: impl FnOnce() -> EncodedSlashes,
) -> Result<Normal, &'static str> {
    if is_plain(path.as_bytes()) || matches!(path, "*" | "") {
        return Ok(Normal::AsSent);
    }
    if !path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    check(path.as_bytes(), PATH)?;
    let (decoded, mut change) = decode(path, slashes())?;
    let joined = join(&decoded, &mut change)?;
    Ok(match change {
        Change::None => Normal::AsSent,
        Change::Spelling => Normal::Matched(joined.into()),
        Change::Meaning => Normal::Rewritten(joined.into()),
    })
}

/// Whether a path may be looked at: characters and escapes, nothing else.
///
/// # Errors
/// The rule that it breaks, for the log.
pub fn check_path(path: &[u8]) -> Result<(), &'static str> {
    check(path, PATH)
}

/// Whether a query, its question mark included, may be forwarded.
///
/// # Errors
/// The rule that it breaks, for the log.
pub fn check_query(query: &[u8]) -> Result<(), &'static str> {
    check(query, QUERY)
}

/// One look at each byte: it has no escapes, no empty segment but the last, and none that begins with a dot.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        if byte == b'%' || !is(byte, PATH) || (before == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        before = byte;
    }
    path.first() == Some(&b'/')
}

/// Every byte belongs to the class, and every `%` begins an escape of something else than NUL.
fn check(bytes: &[u8], class: u8) -> Result<(), &'static str> {
    for (at, &byte) in bytes.iter().enumerate() {
        if !is(byte, class) {
            return Err(match byte {
                b'#' => "the target has a fragment",
                b'\\' => "the path has a backslash",
                0..=0x20 | 0x7f => "the target has a space or control character",
                0x80.. => "the target has a character beyond ASCII that is not encoded",
                _ => "the target has a character that must be encoded",
            });
        }
        if byte == b'%' {
            match bytes.get(at + 1..at + 3).and_then(escaped) {
                None => return Err("a `%` in the target is not followed by two hex digits"),
                Some(0) => return Err("the target encodes NUL"),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match *digits {
        [high, low] => Some((digit(high)? << 4) | digit(low)?),
        _ => None,
    }
}

/// How far the normal form is from what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    None,
    Spelling,
    Meaning,
}

/// Decodes what needs no encoding, and writes the other escapes in upper case.
fn decode(path: &str, slashes: EncodedSlashes) -> Result<(String, Change), &'static str> {
    let mut decoded = String::with_capacity(path.len());
    let mut change = Change::None;
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let (digits, behind) = after.split_at_checked(2).unwrap_or((after, ""));
        match escaped(digits.as_bytes()) {
            None => return Err("a `%` in the target is not followed by two hex digits"),
            Some(b'/' | b'\\') if slashes == EncodedSlashes::Refuse => return Err(ENCODED_SLASH),
            Some(byte) if is(byte, UNRESERVED) => {
                decoded.push(char::from(byte));
                change = Change::Meaning;
            }
            Some(_) => {
                decoded.push('%');
                decoded.push_str(&digits.to_ascii_uppercase());
                if digits.bytes().any(|digit| digit.is_ascii_lowercase()) {
                    change = change.max(Change::Spelling);
                }
            }
        }
        rest = behind;
    }
    decoded.push_str(rest);
    Ok((decoded, change))
}

/// Removes empty segments but the last, then dot segments (RFC 3986 §5.2.4).
fn join(decoded: &str, change: &mut Change) -> Result<String, &'static str> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "" if !last => *change = (*change).max(Change::Spelling),
            "." | ".." => {
                *change = Change::Meaning;
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ if has_dots_with_parameters(segment) => {
                return Err("the path has a dot segment with parameters");
            }
            _ if has_dots_behind_slashes(segment) => {
                return Err("the path has a dot segment beside an encoded slash");
            }
            _ => kept.push(segment),
        }
    }
    Ok(format!("/{}", kept.join("/")))
}

/// `..%2Fx`: an app that decodes before it looks goes up.
fn has_dots_behind_slashes(segment: &str) -> bool {
    segment.contains('%')
        && has_encoded_slash(segment)
        && segment
            .split("%2F")
            .flat_map(|part| part.split("%5C"))
            .any(|part| matches!(part, "." | "..") || has_dots_with_parameters(part))
}

/// `..;x`: some apps cut off what follows the `;` and go up, others do not.
fn has_dots_with_parameters(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let name = name.split("%3B").next().unwrap_or_default();
    name.len() < segment.len() && matches!(name, "." | "..")
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
