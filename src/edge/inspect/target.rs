//! The four forms of a request target (RFC 9112 §3.2).

use super::class;
use crate::base::{Denial, path};

/// What a target says besides the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Of the absolute form and of CONNECT.
    pub authority: Option<&'a [u8]>,
    /// Path and query; empty where there are none.
    pub path: &'a [u8],
}

const fn bad(rule: &'static str) -> Denial {
    Denial::BadRequestLine { rule }
}

/// Takes a target apart: the form must be the one that the method goes with.
pub(super) fn parse<'a>(method: &[u8], target: &'a [u8]) -> Result<Target<'a>, Denial> {
    if method == b"CONNECT" {
        return connect(target);
    }
    match target {
        [b'/', ..] => {
            check(target)?;
            Ok(Target { authority: None, path: target })
        }
        b"*" if method == b"OPTIONS" => Ok(Target { authority: None, path: b"" }),
        b"*" => Err(bad("the target `*` goes with OPTIONS alone")),
        _ => absolute(target),
    }
}

/// `example.com:443`
fn connect(target: &[u8]) -> Result<Target<'_>, Denial> {
    let rule = bad("the target of CONNECT is no host and port");
    let port = target
        .iter()
        .rposition(|byte| *byte == b':')
        .and_then(|colon| target.split_at_checked(colon));
    match port {
        Some((host, [_, port @ ..]))
            if is_authority(host)
                && (1..=5).contains(&port.len())
                && port.iter().all(u8::is_ascii_digit) =>
        {
            Ok(Target { authority: Some(target), path: b"" })
        }
        _ => Err(rule),
    }
}

/// `http://example.com/a?b`
fn absolute(target: &[u8]) -> Result<Target<'_>, Denial> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let rest = rest.ok_or(bad("the target is neither a path nor an http URL"))?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, b""));
    // Userinfo has no business here (RFC 9110 §4.2.4); `@` is not of the class.
    if !is_authority(authority) {
        return Err(Denial::BadHost);
    }
    check(path)?;
    Ok(Target { authority: Some(authority), path })
}

fn check(target: &[u8]) -> Result<(), Denial> {
    let query = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at_checked(query).unwrap_or((target, b""));
    path::check_path(path).map_err(bad)?;
    path::check_query(query).map_err(bad)
}

/// Whether this could be a host, with a port or without; `base::Host` says later whether it is one.
pub(super) fn is_authority(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| class::is(*byte, class::HOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(method: &str, target: &'a str) -> Result<(Option<&'a str>, &'a str), Denial> {
        let text = |bytes| std::str::from_utf8(bytes).expect("text");
        let target = parse(method.as_bytes(), target.as_bytes())?;
        Ok((target.authority.map(text), text(target.path)))
    }

    #[test]
    fn each_form_is_taken_apart() {
        assert_eq!(of("GET", "/a?b"), Ok((None, "/a?b")));
        assert_eq!(of("OPTIONS", "*"), Ok((None, "")));
        assert_eq!(of("GET", "http://a.example:80/x?y"), Ok((Some("a.example:80"), "/x?y")));
        assert_eq!(of("GET", "HTTPS://a.example"), Ok((Some("a.example"), "")));
        assert_eq!(of("GET", "http://[::1]?x"), Ok((Some("[::1]"), "?x")));
        assert_eq!(of("CONNECT", "a.example:443"), Ok((Some("a.example:443"), "")));
    }

    #[test]
    fn what_has_no_form_is_refused() {
        for (method, target) in [
            ("GET", ""),
            ("GET", "*"),
            ("GET", "a.example:443"),
            ("GET", "a"),
            ("GET", "ftp://a.example/"),
            ("GET", "http:/a"),
            ("GET", "/a#b"),
            ("GET", "/%"),
            ("GET", "/a?%0"),
            ("GET", "/a\"b"),
            ("CONNECT", "/"),
            ("CONNECT", "a.example"),
            ("CONNECT", "a.example:"),
            ("CONNECT", ":443"),
            ("CONNECT", "a.example:443443"),
            ("connect", "a.example:443"),
        ] {
            let refused = matches!(of(method, target), Err(Denial::BadRequestLine { .. }));
            assert!(refused, "{method} {target}");
        }
        for target in
            ["http://", "http:///a", "http://me@a.example/", "http://a%20b/", "http://a,b/"]
        {
            assert_eq!(of("GET", target), Err(Denial::BadHost), "{target}");
        }
    }
}
