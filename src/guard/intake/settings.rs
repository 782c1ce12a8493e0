//! What a site or a route takes in, with everything that it does not say itself resolved.

use std::fmt;

use crate::base::path::EncodedSlashes;
use crate::base::units::Bytes;

/// What is taken in; the default takes everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Intake {
    pub body_max: BodyMax,
    /// Upper case, `HEAD` beside `GET`; empty: every method.
    pub methods: Vec<String>,
    /// Empty: bodies of every type and of none.
    pub content_types: Vec<MediaRange>,
    /// Bodies of the app's 5xx answers are replaced.
    pub hide_errors: bool,
    /// What `%2F` and `%5C` in the path are.
    pub encoded_slashes: EncodedSlashes,
}

/// The longest request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyMax {
    Limit(Bytes),
    /// Whatever comes, for as long as it comes.
    #[default]
    Off,
}

impl BodyMax {
    /// The limit in bytes, if there is one.
    #[must_use]
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Limit(bytes) => Some(bytes.0),
            Self::Off => None,
        }
    }
}

impl fmt::Display for BodyMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(bytes) => bytes.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

/// `application/json`, or `image/*` for all of a kind; without parameters, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaRange(String);

impl MediaRange {
    /// `None` if it is not a type and a subtype, each a token (RFC 9110 §8.3.1), or a type and `*`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, subtype) = text.split_once('/')?;
        (is_token(kind) && kind != "*" && is_token(subtype))
            .then(|| Self(text.to_ascii_lowercase()))
    }

    /// Whether a field value is of this type; its parameters do not count.
    #[must_use]
    pub fn covers(&self, value: &[u8]) -> bool {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        match self.0.strip_suffix('*') {
            Some(kind) => essence.split_at_checked(kind.len()).is_some_and(|(start, subtype)| {
                start.eq_ignore_ascii_case(kind.as_bytes())
                    && std::str::from_utf8(subtype).is_ok_and(is_token)
            }),
            None => essence.eq_ignore_ascii_case(self.0.as_bytes()),
        }
    }
}

impl fmt::Display for MediaRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let marks = b"!#$%&'*+-.^_`|~";
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> MediaRange {
        MediaRange::parse(text).expect("a type")
    }

    #[test]
    fn a_type_covers_itself_in_any_case_and_with_parameters() {
        let json = range("Application/JSON");
        for value in ["application/json", "APPLICATION/json; charset=utf-8", " application/json ;"]
        {
            assert!(json.covers(value.as_bytes()), "{value:?}");
        }
        for value in ["", "application/json5", "text/json", "application/json, text/html", "json"] {
            assert!(!json.covers(value.as_bytes()), "{value:?}");
        }
    }

    #[test]
    fn a_star_covers_every_subtype_and_no_other_type() {
        let image = range("image/*");
        assert!(image.covers(b"image/png") && image.covers(b"Image/svg+xml;q=1"));
        for value in [&b"imagex/png"[..], b"image", b"image/", b"image/a b", b"text/image/png"] {
            assert!(!image.covers(value), "{value:?}");
        }
    }

    #[test]
    fn what_is_no_type_is_told() {
        for text in ["", "json", "a/", "/b", "*/*", "a/b;c=d", "a b/c", "a/b/c"] {
            assert_eq!(MediaRange::parse(text), None, "{text:?}");
        }
    }
}
