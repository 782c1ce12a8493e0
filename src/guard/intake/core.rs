//! The decision about one request head. Pure.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::request::Parts;

use super::settings::Intake;
use crate::base::Denial;

/// Judges a request by its head, before anybody reads its body.
///
/// # Errors
/// What is wrong with it: the method first, then the length, then the type of the body.
pub fn check(intake: &Intake, head: &Parts, has_body: bool) -> Result<(), Denial> {
    let method = head.method.as_str();
    if !intake.methods.is_empty() && !intake.methods.iter().any(|allowed| allowed == method) {
        return Err(Denial::MethodNotAllowed { allow: intake.methods.join(", ") });
    }
    if !has_body {
        return Ok(());
    }
    if let (Some(max), Some(said)) = (intake.body_max.bytes(), content_length(&head.headers))
        && said > max
    {
        return Err(Denial::BodyTooLarge { said: Some(said), max });
    }
    check_type(intake, &head.headers)
}

/// A length that is no number, which the parser in front refuses, is not judged here.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn check_type(intake: &Intake, headers: &HeaderMap) -> Result<(), Denial> {
    if intake.content_types.is_empty() {
        return Ok(());
    }
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (value, second) = (values.next(), values.next());
    let fits = value.filter(|_| second.is_none()).is_some_and(|value| {
        intake.content_types.iter().any(|range| range.covers(value.as_bytes()))
    });
    if fits {
        return Ok(());
    }
    let found = match (value, second) {
        (None, _) => None,
        (Some(_), Some(_)) => Some("two at once".to_owned()),
        (Some(value), None) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
    };
    Err(Denial::UnsupportedType { found })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::super::settings::{BodyMax, MediaRange};
    use super::*;
    use crate::base::units::Bytes;

    fn head(method: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn intake(body_max: u64, methods: &[&str], types: &[&str]) -> Intake {
        Intake {
            body_max: BodyMax::Limit(Bytes(body_max)),
            methods: methods.iter().map(ToString::to_string).collect(),
            hide_errors: false,
            encoded_slashes: Default::default(),
            content_types: types.iter().filter_map(|text| MediaRange::parse(text)).collect(),
        }
    }

    #[test]
    fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
        let intake = intake(10, &[], &[]);
        assert_eq!(check(&intake, &head("POST", &[("content-length", "10")]), true), Ok(()));
        let said = Some(11);
        assert_eq!(
            check(&intake, &head("POST", &[("content-length", "11")]), true),
            Err(Denial::BodyTooLarge { said, max: 10 })
        );
        assert_eq!(check(&intake, &head("POST", &[]), true), Ok(()), "its length is not known");
        let long = head("POST", &[("content-length", "99999999999")]);
        assert_eq!(check(&Intake::default(), &long, true), Ok(()), "there is no limit");
    }

    #[test]
    fn a_limit_of_nothing_refuses_every_body_and_no_bodiless_request() {
        let intake = intake(0, &[], &[]);
        assert_eq!(check(&intake, &head("GET", &[]), false), Ok(()));
        assert_eq!(check(&intake, &head("POST", &[("content-length", "0")]), false), Ok(()));
        assert!(check(&intake, &head("POST", &[("content-length", "1")]), true).is_err());
    }

    #[test]
    fn a_method_that_is_not_listed_learns_which_are() {
        let intake = intake(10, &["GET", "HEAD"], &[]);
        assert_eq!(check(&intake, &head("HEAD", &[]), false), Ok(()));
        let allow = "GET, HEAD".to_owned();
        let refused = Err(Denial::MethodNotAllowed { allow });
        assert_eq!(check(&intake, &head("POST", &[("content-length", "99")]), true), refused);
        assert_eq!(check(&intake, &head("get", &[]), false), refused, "methods have their case");
    }

    #[test]
    fn a_body_has_one_type_that_is_listed() {
        let intake = intake(10, &[], &["application/json", "multipart/*"]);
        let json = ("content-type", "application/json; charset=utf-8");
        assert_eq!(check(&intake, &head("POST", &[json]), true), Ok(()));
        let form = ("content-type", "multipart/form-data; boundary=x");
        assert_eq!(check(&intake, &head("POST", &[form]), true), Ok(()));
        assert_eq!(check(&intake, &head("GET", &[("content-type", "a/b")]), false), Ok(()));
        let refused = |fields: &[(&str, &str)]| match check(&intake, &head("POST", fields), true) {
            Err(Denial::UnsupportedType { found }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&[]), None);
        assert_eq!(refused(&[("content-type", "text/plain")]).as_deref(), Some("text/plain"));
        assert_eq!(refused(&[json, json]).as_deref(), Some("two at once"));
    }
}
