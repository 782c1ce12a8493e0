//! The bodies of calls, read so that a refusal says which field is wrong.
//!
//! Promises: a refusal names fields and never repeats a value, which may be a private key or a code.
//! Refuses: what is no JSON object, what a field does not take, fields that are missing or that the type refuses.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use crate::base::{cut, sign};

/// Of a name that is shown in a refusal.
const SHOWN_BYTES: usize = 64;
pub(super) const NO_OBJECT: &str = "the body is no JSON object";

/// The fields of a body.
///
/// # Errors
/// It has none.
pub(super) fn fields(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) | Err(_) => Err(NO_OBJECT.to_owned()),
    }
}

/// A body as what a call takes.
///
/// # Errors
/// The first field that is wrong, and what it takes.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // The field that is being read; none once all have been.
    let at = RefCell::new(None);
    let mut fields = fields(bytes)?.into_iter();
    let watched = std::iter::from_fn(|| {
        let next = fields.next();
        *at.borrow_mut() = next.as_ref().map(|(name, _)| name.clone());
        next
    });
    let read = T::deserialize(MapDeserializer::new(watched));
    read.map_err(|error: serde_json::Error| wrong(at.borrow().as_deref(), &error.to_string()))
}

/// `why` is serde's and may repeat a value; what it says behind the last `expected` comes from the type.
fn wrong(field: Option<&str>, why: &str) -> String {
    let expected = why.rsplit_once(", expected ").map(|(_, expected)| expected);
    let Some(field) = field else {
        return match why.strip_prefix("missing field ") {
            Some(name) => format!("{name} is missing"),
            None => "the body is not what this call takes; is the command another palisade?".into(),
        };
    };
    let field = shown(field);
    if why.starts_with("unknown field") {
        let known = expected.map(|known| format!(": this call takes {}", list(known)));
        return format!("there is no field `{field}`{}", known.unwrap_or_default());
    }
    match expected {
        Some(expected) => format!("`{field}` must be {}", words(expected)),
        None => format!("`{field}` is not what this call takes there"),
    }
}

/// What serde expects, in words.
fn words(expected: &str) -> String {
    match expected {
        "a string" | "string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not below 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "a map" => "an object".to_owned(),
        // Of words the type has; some are kinds of values, which end here too.
        other if other.contains('`') => list(other),
        _ => "another kind of value".to_owned(),
    }
}

fn list(known: &str) -> String {
    known.replace("one of ", "").replace("` or `", "`, `")
}

/// A name as it may stand in a refusal.
pub(super) fn shown(name: &str) -> String {
    let name: String = name.chars().map(|c| if sign(c).is_some() { '?' } else { c }).collect();
    cut(&name, SHOWN_BYTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ops::api::access::{CreateToken, TotpCode};
    use crate::ops::api::switches::SetCapability;

    fn token(text: &str) -> String {
        read::<CreateToken>(text.as_bytes()).expect_err("refused")
    }

    #[test]
    fn the_field_that_is_wrong_is_named_and_its_value_is_not() {
        assert_eq!(token("nonsense"), NO_OBJECT);
        assert_eq!(token("[]"), NO_OBJECT);
        assert_eq!(token(r#"{"name":"z"}"#), "`role` is missing");
        let role = token(r#"{"name":"z","role":"S3cret"}"#);
        assert_eq!(role, "`role` must be `viewer`, `operator`, `admin`");
        let scope = token(r#"{"name":"z","role":"viewer","scopes":["S3cret, expected `x`"]}"#);
        assert!(
            scope.starts_with("`scopes` must be `status`") && !scope.contains("S3cret"),
            "{scope}"
        );
        let time = token(r#"{"name":"z","role":"viewer","expires_in_s":"S3cret"}"#);
        assert_eq!(time, "`expires_in_s` must be a whole number, not below 0");
        let scopes = token(r#"{"name":"z","role":"viewer","scopes":"S3cret"}"#);
        assert_eq!(scopes, "`scopes` must be a list");
        assert_eq!(token(r#"{"name":7,"role":"viewer"}"#), "`name` must be a text");
        let mode = read::<SetCapability>(br#"{"mode":"S3cret"}"#).expect_err("refused");
        assert_eq!(mode, "`mode` must be `off`, `observe`, `enforce`");
        let code = read::<TotpCode>(br#"{"code":123456}"#).map(drop).expect_err("refused");
        assert_eq!(code, "`code` must be a text");
    }

    #[test]
    fn what_is_right_is_read() {
        let read = read::<CreateToken>(br#"{"name":"z","role":"viewer"}"#).expect("read");
        assert_eq!((read.name.as_str(), read.expires_in_s), ("z", None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_as_serde_would(bytes: Vec<u8>, value in "[a-z\"{}:,]{0,20}") {
            let _ = read::<CreateToken>(&bytes);
            let text = format!(r#"{{"name":"z","role":"viewer","expires_in_s":{value}}}"#);
            let whole = serde_json::from_str::<CreateToken>(&text).ok();
            prop_assert_eq!(read::<CreateToken>(text.as_bytes()).ok(), whole);
        }

        #[test]
        fn no_value_is_repeated(secret in "S3[a-z`, ]{6,30}") {
            let text = serde_json::json!({ "name": "z", "role": secret }).to_string();
            prop_assert!(!read::<CreateToken>(text.as_bytes()).expect_err("refused").contains("S3"));
        }
    }
}
