//! Signatures over places in the chain: Ed25519 (RFC 8032), one key for the life of the state.
//!
//! A checkpoint says that a record stood at a place; a stub says that all before it were removed on purpose. Each has
//! a label of its own in front, so that neither can be taken for the other.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::store::audit::{Head, Mark};

/// Length of a seed.
pub const SEED_BYTES: usize = 32;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Checkpoint,
    Stub,
}

impl Kind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Checkpoint => b"palisade audit checkpoint 1\n",
            Self::Stub => b"palisade audit stub 1\n",
        }
    }
}

/// Signs.
pub struct Signer {
    pair: Ed25519KeyPair,
    key: [u8; 32],
}

impl Signer {
    /// `None` for what is no seed.
    #[must_use]
    pub fn new(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let key = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { pair, key })
    }

    #[must_use]
    pub const fn key(&self) -> [u8; 32] {
        self.key
    }

    #[must_use]
    pub fn sign(&self, kind: Kind, at: Head, at_ms: i64) -> Mark {
        let signature = self.pair.sign(&message(kind, at, at_ms)).as_ref().to_vec();
        Mark { seq: at.seq, hash: at.hash, at_ms, key: self.key, signature }
    }
}

/// Whether `key` has signed this.
#[must_use]
pub fn is_signed(kind: Kind, mark: &Mark, key: &[u8; 32]) -> bool {
    let message = message(kind, Head { seq: mark.seq, hash: mark.hash }, mark.at_ms);
    mark.key == *key
        && UnparsedPublicKey::new(&ED25519, key).verify(&message, &mark.signature).is_ok()
}

/// The label ends where the numbers of fixed length begin.
fn message(kind: Kind, at: Head, at_ms: i64) -> Vec<u8> {
    let mut message = kind.label().to_vec();
    message.extend(at.seq.to_be_bytes());
    message.extend(at.hash);
    message.extend(at_ms.to_be_bytes());
    message
}
