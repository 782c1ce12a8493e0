//! Spellings of paths: examples of each kind, and properties over all of them.

use proptest::prelude::*;

use super::*;

fn normal(path: &str) -> Result<Normal, &'static str> {
    super::normal(path, EncodedSlashes::default)
}

fn passing(path: &str) -> Result<Normal, &'static str> {
    super::normal(path, || EncodedSlashes::Pass)
}

fn rewritten(path: &str) -> Result<Normal, &'static str> {
    Ok(Normal::Rewritten(path.into()))
}

fn matched(path: &str) -> Result<Normal, &'static str> {
    Ok(Normal::Matched(path.into()))
}

#[test]
fn what_is_normal_stays_as_it_was_sent() {
    for path in [
        "/",
        "*",
        "/a",
        "/a/",
        "/a/b.c",
        "/.well-known/acme-challenge/x",
        "/...",
        "/.a",
        "/a;b=c",
        "/a|b[0]",
        "/caf%C3%A9",
        "/a%3Fb",
        "/a%2520b",
        "/@scope:x,y=z",
        "/a..b/c.",
        "/..a/...",
    ] {
        assert_eq!(normal(path), Ok(Normal::AsSent), "{path}");
    }
}

#[test]
fn dot_segments_and_needless_escapes_never_reach_the_app() {
    for (sent, app) in [
        ("/%61dmin", "/admin"),
        ("/x/../admin", "/admin"),
        ("/x/%2e%2E/admin", "/admin"),
        ("/./admin/.", "/admin/"),
        ("/admin/..", "/"),
        ("/../../admin", "/admin"),
        ("/a//../b", "/b"),
        ("/%7Euser/%2D", "/~user/-"),
        ("/a/%2e", "/a/"),
    ] {
        assert_eq!(normal(sent), rewritten(app), "{sent}");
    }
}

#[test]
fn doubled_slashes_and_small_hex_digits_only_match_alike() {
    for (sent, form) in [
        ("//admin", "/admin"),
        ("/a//b///c//", "/a/b/c/"),
        ("/caf%c3%A9", "/caf%C3%A9"),
        ("//", "/"),
    ] {
        assert_eq!(normal(sent), matched(form), "{sent}");
    }
}

#[test]
fn what_decoders_disagree_about_is_refused() {
    for path in [
        "/a%2fb",
        "/a%2F..%2Fadmin",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a/..;/admin",
        "/..;x=y/admin",
        "/.;/a",
        "/%2e%2e;/a",
        "/..%3b/a",
        "/%",
        "/%a",
        "/%zz",
        "/%4",
        "/%%34%31",
        "/a b",
        "/a\u{7f}",
        "/a\"b",
        "/<a>",
        "/a^b",
        "/a`b",
        "/{a}",
        "/a#b",
        "/caf\u{e9}",
        "a/b",
        "?",
        "/a?b",
    ] {
        assert!(normal(path).is_err(), "{path}");
    }
}

#[test]
fn a_query_may_hold_what_browsers_send_bare() {
    for query in ["", "a=b&c[]=1|2", "q={\\^`}", "a=%22?/", "a=//../.", "%2f%5c"] {
        assert_eq!(check_query(query.as_bytes()), Ok(()), "{query}");
    }
    for query in ["%", "100%", "%0", "%00", "a b", "a#b", "<", "\"", "\u{e9}", "\n", "\u{7f}"] {
        assert!(check_query(query.as_bytes()).is_err(), "{query}");
    }
}

/// A path in normal form.
fn plain_path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-z~]{1,4}|%C3%A9|[.]{3}|[a-z];v=[0-9]", 0..5)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

/// Another spelling of it: at each place of `choices`, an escape, a doubled slash or a detour.
fn spelled(path: &str, choices: &[u8]) -> String {
    let mut choices = choices.iter().copied().cycle();
    let mut escape = 0;
    let mut out = String::new();
    for c in path.chars() {
        let choice = choices.next().unwrap_or(0);
        if escape > 0 {
            escape -= 1;
            out.push(if choice % 2 == 0 { c.to_ascii_lowercase() } else { c });
            continue;
        }
        match (c, choice % 6) {
            ('%', _) => {
                escape = 2;
                out.push('%');
            }
            ('/', 0) => out.push_str("//"),
            ('/', 1) => out.push_str("/./"),
            ('/', 2) => out.push_str("/x%41/../"),
            ('/', 3) => out.push_str("/%2e/"),
            ('a'..='z' | '~' | '.', 4) => out.push_str(&format!("%{:02x}", u32::from(c))),
            ('a'..='z' | '~' | '.', 5) => out.push_str(&format!("%{:02X}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out
}

proptest! {
    #[test]
    fn every_spelling_of_a_path_is_matched_as_the_same(path in plain_path(), choices in proptest::collection::vec(any::<u8>(), 1..40)) {
        let other = spelled(&path, &choices);
        let form = normal(&other);
        prop_assert!(form.is_ok(), "{} {:?}", other, form);
        let form = form.expect("checked");
        prop_assert_eq!(form.matched(&other), path.as_str(), "{}", other);
    }

    #[test]
    fn a_normal_form_is_its_own_and_cannot_be_read_in_another_way(path in "/([a-zA-Z.%/;~]|%2[eEfF5]|%5c|%61|%3[bB]|%c3){0,12}") {
        let Ok(form) = normal(&path) else { return Ok(()) };
        let form = form.matched(&path);
        prop_assert_eq!(normal(form), Ok(Normal::AsSent), "{} of {}", form, path);
        prop_assert!(!form.contains("//") && !form.contains("%2F") && !form.contains("%5C"));
        prop_assert!(form.split('/').all(|segment| segment != "." && segment != ".."));
    }

    #[test]
    fn what_the_app_gets_is_matched_like_what_was_sent(path in "/[a-b.%2eE/]{0,10}") {
        if let Ok(Normal::Rewritten(app)) = normal(&path) {
            prop_assert_eq!(normal(&app), Ok(Normal::AsSent));
        }
    }
}

#[test]
fn encoded_slashes_that_pass_stay_encoded_and_separate_nothing() {
    assert_eq!(passing("/pkg/@scope%2Fname"), Ok(Normal::AsSent));
    assert_eq!(passing("/pkg/@scope%2fname"), matched("/pkg/@scope%2Fname"));
    assert_eq!(passing("/a/../o/x%5cy%2f%2fz"), rewritten("/o/x%5Cy%2F%2Fz"));
    assert_eq!(passing("/%61%2Fb/"), rewritten("/a%2Fb/"));
    assert_eq!(passing("/x%2F/../y"), rewritten("/y"), "one segment, and gone");
    assert!(has_encoded_slash("/a%2Fb") && has_encoded_slash("/a%5C"));
    assert!(!has_encoded_slash("/a%20F/%252F") && !has_encoded_slash("/2F"));
}

#[test]
fn who_decodes_slashes_that_pass_goes_nowhere_up() {
    for path in [
        "/x%2F..%2Fadmin",
        "/x%2f%2e%2e%2fadmin",
        "/x%5C..",
        "/..%2Fadmin",
        "/.%2Fadmin",
        "/x%2F..;a/admin",
        "/x%2F.%5Cy",
    ] {
        assert!(passing(path).is_err(), "{path}");
    }
    for path in ["/x%2F...%2Fy", "/x%2F.a", "/a..%2F..b"] {
        assert_eq!(passing(path), Ok(Normal::AsSent), "{path}");
    }
}

proptest! {
    #[test]
    fn a_path_with_slashes_that_pass_has_one_form_that_no_decoder_climbs_from(
        segments in proptest::collection::vec("(\\.|%2[eEfF]|%5[cC]|/|a|;|%3[bB]|%61){0,8}", 1..5),
    ) {
        let path = format!("/{}", segments.join("/"));
        let Ok(normal) = passing(&path) else { return Ok(()) };
        let form = normal.matched(&path).to_owned();
        prop_assert_eq!(passing(&form), Ok(Normal::AsSent));
        let decoded = form.replace("%2F", "/").replace("%5C", "/");
        prop_assert!(decoded.split('/').all(|part| part != "." && part != ".."), "{}", form);
    }
}
