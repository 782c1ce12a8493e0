//! Paths of requests: a normal form is its own, holds nothing that could be read as another path, and an app that
//! resolves what it gets comes to what was matched.

use palisade::base::path::{self, EncodedSlashes, Normal};

/// A path as an app would take it apart, written without the code under test: decoded, empty and `.` segments left out,
/// `..` resolved.
fn as_an_app_reads_it(path: &str) -> Vec<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *byte == b'%') {
            Some(value) => {
                decoded.push(value);
                rest = &behind[2..];
            }
            None => {
                decoded.push(*byte);
                rest = behind;
            }
        }
    }
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in decoded.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            other => segments.push(other.to_vec()),
        }
    }
    segments
}

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = path::check_query(bytes);
    for slashes in [EncodedSlashes::Refuse, EncodedSlashes::Pass] {
        settled(text, slashes);
    }
}

fn settled(text: &str, slashes: EncodedSlashes) {
    let Ok(form) = path::normal(text, || slashes) else { return };
    let told = match &form {
        Normal::AsSent | Normal::Matched(_) => text,
        Normal::Rewritten(path) => path,
    };
    let matched = form.matched(text);
    assert_eq!(path::normal(matched, || slashes), Ok(Normal::AsSent), "its own normal form");
    assert!(!matched.contains("//") && !matched.contains('\\'));
    assert!(matched.split('/').all(|segment| segment != "." && segment != ".."));
    assert!(slashes == EncodedSlashes::Pass || !path::has_encoded_slash(matched));
    assert_eq!(as_an_app_reads_it(told), as_an_app_reads_it(matched), "what the app is told");
    if slashes == EncodedSlashes::Refuse {
        // Doubled slashes count as one before `..` is resolved, as they do for the app of this test.
        assert_eq!(as_an_app_reads_it(text), as_an_app_reads_it(matched), "what was sent");
    }
}
