//! Where a master key may come from, and what is refused.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;
use crate::keyring::sample::Counting;

const GOOD: &str = "00112233445566778899aabbccddeeff0123456789abcdefFEDCBA9876543210";

fn secret(text: &str, place: &str) -> Secret {
    Secret { bytes: Zeroizing::new(text.as_bytes().to_vec()), place: place.into() }
}

fn choose(given: &[Secret], path: &Path, sealed: bool) -> Result<Loaded, KeyringError> {
    MasterKey::choose(given, path, sealed, &Counting::from(7))
}

#[test]
fn the_first_start_makes_a_key_that_the_next_one_reads() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("master.key");
    let made = choose(&[], &path, false).expect("made");
    assert_eq!(made.generated.as_deref(), Some(path.as_path()));
    let text = std::fs::read_to_string(&path).expect("readable");
    assert_eq!(text.len(), 65);
    assert!(text.ends_with('\n'));
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let read = choose(&[secret(&text, "the file")], &path, true).expect("read");
    assert_eq!(read.key.fingerprint(), made.key.fingerprint());
    assert!(read.generated.is_none());
}

#[test]
fn a_lost_key_is_never_replaced_by_a_new_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("master.key");
    let error = choose(&[], &path, true).expect_err("refused").to_string();
    assert!(error.contains("master.key is not there"), "{error}");
    assert!(error.contains("put the copy of it back"), "{error}");
    assert!(error.contains("nothing was changed"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).expect("listed").count(), 0);
}

#[test]
fn a_key_that_cannot_be_written_is_not_used() {
    let path = Path::new("/nonexistent/master.key");
    let error = choose(&[], path, false).expect_err("refused").to_string();
    assert!(error.contains("/nonexistent/master.key"), "{error}");
}

#[test]
fn two_places_must_agree() {
    let path = Path::new("/nonexistent/master.key");
    let (one, lower) = (secret(GOOD, "ONE"), secret(&GOOD.to_lowercase(), "TWO"));
    assert!(choose(&[one.clone(), lower], path, true).is_ok(), "the same key, written otherwise");
    let other = secret(&GOOD.replace('0', "1"), "TWO");
    let error = choose(&[one, other], path, true).expect_err("refused").to_string();
    assert!(error.contains("ONE and TWO"), "{error}");
}

#[test]
fn what_is_no_key_is_refused_by_place_and_length_only() {
    let short = GOOD.trim_start_matches('0');
    for wrong in ["", "hunter2", short, &GOOD.replace('f', "g"), &format!("{GOOD}00")] {
        let error = MasterKey::parse(&secret(wrong, "credential master-key")).expect_err("refused");
        let text = format!("{error} {error:?}");
        assert!(
            text.contains("credential master-key") && text.contains("64 hexadecimal"),
            "{text}"
        );
        let start = wrong.get(..7);
        assert!(!start.is_some_and(|start| text.contains(start)), "{text}");
    }
}

#[test]
fn over_sealed_secrets_a_spoilt_key_is_to_be_put_back_and_not_made_anew() {
    let path = Path::new("/nonexistent/master.key");
    let spoilt = [secret("cut off", "master.key")];
    let sealed = choose(&spoilt, path, true).expect_err("refused").to_string();
    assert!(sealed.contains("put the copy of it back") && !sealed.contains("openssl"), "{sealed}");
    let first = choose(&spoilt, path, false).expect_err("refused").to_string();
    assert!(first.contains("openssl rand -hex 32"), "{first}");
}

#[test]
fn a_fingerprint_is_not_part_of_the_key_nor_of_what_wraps() {
    let key = MasterKey::parse(&secret(GOOD, "here")).expect("parsed");
    let mut wrapping = [0; KEY_BYTES];
    key.derive(WRAPPING, &mut wrapping);
    let fingerprint = key.fingerprint();
    assert!(!key.key.windows(8).chain(wrapping.windows(8)).any(|window| window == fingerprint));
}

/// Computed from RFC 5869 by another program, so that a change of labels or salt cannot pass unseen.
#[test]
fn the_derivation_is_the_documented_one() {
    let key = MasterKey::parse(&secret(GOOD, "here")).expect("parsed");
    assert_eq!(shown(key.fingerprint()), "32e0e3cee0478a57");
}

proptest! {
    #[test]
    fn white_space_around_a_key_does_not_matter(before in "[ \\t\\n\\r]{0,4}", after in "[ \\t\\n\\r]{0,4}") {
        let plain = MasterKey::parse(&secret(GOOD, "here")).expect("parsed");
        let spaced = MasterKey::parse(&secret(&format!("{before}{GOOD}{after}"), "here"));
        prop_assert_eq!(spaced.expect("parsed").key, plain.key);
    }

    #[test]
    fn arbitrary_bytes_are_a_key_or_an_error_without_them(bytes: Vec<u8>) {
        let given = Secret { bytes: Zeroizing::new(bytes.clone()), place: "there".into() };
        if let Err(error) = MasterKey::parse(&given) {
            let length = bytes.trim_ascii().len();
            let text = error.to_string();
            let expected = format!("is not 64 hexadecimal digits (it has {length} bytes)");
            prop_assert_eq!(
                text.lines().next().and_then(|line| line.strip_prefix("the master key from there ")),
                Some(expected.as_str())
            );
        }
    }
}
