//! The fields of an answer as they may be kept: without what lets somebody in.

use http::HeaderMap;

use super::Field;

/// Bytes of all fields of an answer that are kept; those behind are left out.
pub const FIELDS_BYTES_MAX: usize = 8 * 1024;

/// Words in names of fields whose values are secrets, whatever the app means by them.
const SECRET_WORDS: [&str; 13] = [
    "auth",
    "authentication",
    "authenticate",
    "authorization",
    "cookie",
    "cookie2",
    "credential",
    "credentials",
    "csrf",
    "key",
    "password",
    "secret",
    "token",
];

/// Beginnings of values that are secrets under any name.
const SCHEMES: [&str; 4] = ["basic ", "bearer ", "digest ", "negotiate "];

/// The fields, in their order, secrets masked.
#[must_use]
pub fn fields(headers: &HeaderMap) -> Vec<Field> {
    let (mut fields, mut bytes) = (Vec::with_capacity(headers.len()), 0_usize);
    for (name, value) in headers {
        let secret = value.is_sensitive() || is_secret(name.as_str(), value.as_bytes());
        let value = (!secret).then(|| String::from_utf8_lossy(value.as_bytes()).into_owned());
        bytes += name.as_str().len() + value.as_ref().map_or(0, String::len);
        if bytes > FIELDS_BYTES_MAX {
            break;
        }
        fields.push(Field { name: name.as_str().to_owned(), value });
    }
    fields
}

fn is_secret(name: &str, value: &[u8]) -> bool {
    let named = name.split(['-', '_', '.']).any(|word| {
        SECRET_WORDS.contains(&word)
            || ["token", "secret", "session", "passw", "apikey"].iter().any(|s| word.contains(s))
    });
    named || SCHEMES.iter().any(|scheme| begins(value, scheme.as_bytes()))
}

fn begins(value: &[u8], with: &[u8]) -> bool {
    value.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn kept(name: &'static str, value: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        fields(&headers).remove(0).value
    }

    #[test]
    fn values_that_let_somebody_in_are_masked_and_their_names_stay() {
        for name in [
            "set-cookie",
            "set-cookie2",
            "cookie",
            "authorization",
            "proxy-authorization",
            "authentication-info",
            "www-authenticate",
            "x-auth",
            "x-api-key",
            "x-apikey",
            "x-amz-security-token",
            "x-csrftoken",
            "x-session-id",
            "x-client-secret",
            "x-password",
        ] {
            assert_eq!(kept(name, "s3cret"), None, "{name}");
        }
        assert_eq!(kept("x-other", "BeArEr abc"), None);
        assert_eq!(kept("x-other", "basic dXNlcg=="), None);
    }

    #[test]
    fn what_helps_to_find_an_error_is_kept() {
        for name in ["content-type", "retry-after", "x-error", "x-trace", "cache-control", "author"]
        {
            assert_eq!(kept(name, "text").as_deref(), Some("text"), "{name}");
        }
        assert_eq!(kept("x-other", "bearer").as_deref(), Some("bearer"));
    }

    #[test]
    fn fields_beyond_the_bound_are_left_out() {
        let mut headers = HeaderMap::new();
        for at in 0..100_u32 {
            let name = HeaderName::try_from(format!("x-{at}")).expect("a name");
            headers.insert(name, HeaderValue::try_from("v".repeat(1000)).expect("a value"));
        }
        assert_eq!(fields(&headers).len(), 8);
    }
}
