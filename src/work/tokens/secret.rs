//! The text that stands for a token: `palisade_<id>_<secret>`.
//!
//! Promises: any text is judged without a panic; a secret has one written form. The prefix is for scanners that look for
//! secrets in places where none belongs.

use std::fmt;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::base::hex;
use crate::ports::Entropy;

const PREFIX: &str = "palisade";
const ID_BYTES: usize = 6;
/// Hexadecimal digits of an id.
const ID_CHARS: usize = 2 * ID_BYTES;
const SECRET_BYTES: usize = 32;

/// What a caller shows.
pub struct Shown {
    pub id: String,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl Shown {
    /// A new one.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new(entropy: &dyn Entropy) -> io::Result<Self> {
        let (mut id, mut digits) = ([0; ID_BYTES], [0; ID_CHARS]);
        entropy.fill(&mut id)?;
        hex::write(&mut digits, &id);
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        entropy.fill(&mut *secret)?;
        Ok(Self { id: String::from_utf8_lossy(&digits).into_owned(), secret })
    }

    /// Of a text; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The second part may hold underscores, the first cannot.
        let (id, secret) = text.strip_prefix(PREFIX)?.strip_prefix('_')?.split_once('_')?;
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        let read = URL_SAFE_NO_PAD.decode_slice(secret, &mut *bytes).ok()?;
        (is_id(id) && read == SECRET_BYTES).then(|| Self { id: id.to_owned(), secret: bytes })
    }

    /// What is kept of it. The secret is random, so nothing slower is needed against guessing.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_slice()).into()
    }

    /// Whether it is the one with this hash, in the same time whatever the answer.
    #[must_use]
    pub fn is(&self, hash: &[u8; 32]) -> bool {
        self.hash().ct_eq(hash).into()
    }

    /// The text, for the one who asked for it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{PREFIX}_{}_{}", self.id, URL_SAFE_NO_PAD.encode(self.secret.as_slice()))
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.id)
    }
}

/// Whether a text has the form of an id.
#[must_use]
pub fn is_id(text: &str) -> bool {
    text.len() == ID_CHARS && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ports::fake::FakeEntropy;

    #[test]
    fn a_token_has_the_form_that_is_promised_and_is_read_again() {
        let made = Shown::new(&FakeEntropy::default()).expect("made");
        let text = made.text();
        assert_eq!(text, "palisade_000102030405_BgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCU");
        let read = Shown::parse(&text).expect("a token");
        assert!(read.id == made.id && read.is(&made.hash()));
        assert!(!format!("{made:?}").contains("BgcI"), "its secret is not shown");
    }

    #[test]
    fn another_secret_is_not_the_one() {
        let entropy = FakeEntropy::default();
        let (one, two) = (Shown::new(&entropy).expect("made"), Shown::new(&entropy).expect("made"));
        assert!(one.is(&one.hash()) && !one.is(&two.hash()) && !one.is(&[0; 32]));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_only_one_form_is_read(
            text in "\\PC*|palisade_[0-9a-f]{11,13}_[A-Za-z0-9_=-]{42,44}|(palisade)?_?[a-f]*_?[A-Za-z0-9_-]*"
        ) {
            if let Some(shown) = Shown::parse(&text) {
                prop_assert_eq!(shown.text(), text);
            }
        }

        #[test]
        fn every_token_is_read(id: [u8; 6], secret: [u8; 32]) {
            let mut digits = [0; 12];
            hex::write(&mut digits, &id);
            let id = String::from_utf8(digits.to_vec()).expect("digits");
            let shown = Shown { id: id.clone(), secret: Zeroizing::new(secret) };
            let read = Shown::parse(&shown.text()).expect("a token");
            prop_assert_eq!(&read.id, &id);
            prop_assert!(read.is(&shown.hash()));
            let longer = format!("{}A", shown.text());
            prop_assert!(Shown::parse(&longer).is_none());
        }
    }
}
