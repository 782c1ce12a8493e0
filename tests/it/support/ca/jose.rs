//! Signed requests: base64url, JWS in its flattened form, ES256, and HS256 for external accounts.

use hmac::{Hmac, KeyInit, Mac};
use rustls::SignatureScheme;
use serde_json::Value;
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for place in 0..=chunk.len() {
            let index = (word >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

/// The bytes of base64url without padding.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let mut word = 0;
        for place in 0..4 {
            let c = chunk.get(place).copied().unwrap_or(b'A');
            word = word << 6 | ALPHABET.iter().position(|&a| a == c)? as u32;
        }
        let length = chunk.len() * 6 / 8;
        bytes.extend_from_slice(&word.to_be_bytes()[1..=length]);
    }
    Some(bytes)
}

/// A signed request, taken apart; the signature still to be checked.
pub struct Signed {
    pub header: Value,
    /// Null where the payload is empty.
    pub payload: Value,
    message: String,
    signature: Vec<u8>,
}

impl Signed {
    pub fn parse(jws: &Value) -> Option<Self> {
        let part = |name: &str| jws[name].as_str();
        let header = serde_json::from_slice(&decode(part("protected")?)?).ok()?;
        let payload = decode(part("payload")?)?;
        let payload = match payload.as_slice() {
            [] => Value::Null,
            payload => serde_json::from_slice(payload).ok()?,
        };
        let message = format!("{}.{}", part("protected")?, part("payload")?);
        Some(Self { header, payload, message, signature: decode(part("signature")?)? })
    }

    /// Whether the owner of the key signed it.
    pub fn is_by(&self, jwk: &Value) -> bool {
        let point = public_point(jwk);
        let (Some(point), Some(signature)) = (point, der_signature(&self.signature)) else {
            return false;
        };
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let schemes = provider.signature_verification_algorithms.mapping;
        let es256 = schemes.iter().find(|(s, _)| *s == SignatureScheme::ECDSA_NISTP256_SHA256);
        let (_, algorithms) = es256.expect("ES256");
        let message = self.message.as_bytes();
        self.header["alg"] == "ES256"
            && algorithms.iter().any(|a| a.verify_signature(&point, message, &signature).is_ok())
    }

    /// Whether an external account with this key signed it.
    pub fn is_by_secret(&self, key: &[u8]) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
        mac.update(self.message.as_bytes());
        self.header["alg"] == "HS256" && mac.verify_slice(&self.signature).is_ok()
    }
}

/// The uncompressed point of a P-256 key.
fn public_point(jwk: &Value) -> Option<Vec<u8>> {
    let coordinate = |name: &str| decode(jwk[name].as_str()?).filter(|bytes| bytes.len() == 32);
    Some([vec![4], coordinate("x")?, coordinate("y")?].concat())
}

/// The two numbers of a raw signature, as a DER sequence.
fn der_signature(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = (raw.len() == 64).then(|| raw.split_at(32))?;
    let integer = |bytes: &[u8]| {
        let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len() - 1);
        let mut value = bytes[first..].to_vec();
        if value[0] >= 0x80 {
            value.insert(0, 0);
        }
        [vec![2, value.len() as u8], value].concat()
    };
    let both = [integer(r), integer(s)].concat();
    Some([vec![0x30, both.len() as u8], both].concat())
}

/// RFC 7638.
pub fn thumbprint(jwk: &Value) -> String {
    let text = format!(
        r#"{{"crv":{},"kty":{},"x":{},"y":{}}}"#,
        jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]
    );
    encode(&Sha256::digest(text))
}
