//! How a row looks on disk: one byte that names the layout, then named MessagePack.
//!
//! Promises: any bytes are judged without a panic; what was encoded is decoded to the same value; fields that a later
//! version adds are found by name, not by place. Refuses: another layout, bytes left over, records of more than 1 MiB.

use std::io::Cursor;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// The layout that this version writes, and the only one it reads.
const LAYOUT: u8 = 1;
/// Longest record; the longest in use is a chain of a few certificates.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The bytes of a row.
///
/// # Errors
/// [`StoreError::Record`] for a value of more than [`RECORD_BYTES_MAX`].
pub fn encode<T: Serialize>(
    table: &'static str,
    row: &str,
    value: &T,
) -> Result<Vec<u8>, StoreError> {
    let refuse = |why: String| StoreError::Record { table, row: row.to_owned(), why };
    let mut bytes = vec![LAYOUT];
    // Byte strings as such: one that is written as a list of numbers takes half as much again.
    let mut serializer = rmp_serde::Serializer::new(&mut bytes)
        .with_struct_map()
        .with_bytes(rmp_serde::config::BytesMode::ForceAll);
    value.serialize(&mut serializer).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(refuse(format!("{} bytes are more than {RECORD_BYTES_MAX}", bytes.len())));
    }
    Ok(bytes)
}

/// The value of a row.
///
/// # Errors
/// [`StoreError::Record`] for anything that [`encode`] does not write.
pub fn decode<T: DeserializeOwned>(
    table: &'static str,
    row: &str,
    bytes: &[u8],
) -> Result<T, StoreError> {
    let refuse = |why: String| StoreError::Record { table, row: row.to_owned(), why };
    let Some((layout, rest)) = bytes.split_first() else {
        return Err(refuse("it is empty".into()));
    };
    if *layout != LAYOUT {
        return Err(refuse(format!(
            "it has layout {layout}, this version of palisade reads layout {LAYOUT}"
        )));
    }
    let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(rest));
    let value = T::deserialize(&mut deserializer).map_err(|error| refuse(error.to_string()))?;
    let used = usize::try_from(deserializer.position()).unwrap_or(usize::MAX);
    if used != rest.len() {
        return Err(refuse(format!("{} bytes follow its end", rest.len().saturating_sub(used))));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::certs::{Account, Certificate, History, Order, Origin};
    use crate::store::sealed::{Sealed, WrappedKey};
    use crate::store::switches::Switch;

    fn certificate(chain: Vec<Vec<u8>>) -> Certificate {
        Certificate {
            site: "a.example".into(),
            names: vec!["a.example".into(), "www.a.example".into()],
            chain,
            origin: Origin::Acme,
            directory: Some("https://ca.example/dir".into()),
            profile: None,
            not_before_s: -1,
            not_after_s: i64::MAX,
            stored_at_s: 7,
            jitter: u32::MAX,
            ari: None,
        }
    }

    #[test]
    fn byte_strings_are_written_as_such() {
        let bytes = encode("t", "r", &certificate(vec![vec![200; 1000]])).expect("encoded");
        assert!(bytes.len() < 1400, "{}", bytes.len());
    }

    #[test]
    fn another_layout_and_left_over_bytes_are_refused() {
        let good = encode("t", "r", &certificate(vec![vec![1, 2]])).expect("encoded");
        let mut other = good.clone();
        other[0] = 2;
        let mut longer = good.clone();
        longer.push(0);
        for bad in [&other, &longer, &Vec::new(), &good[..good.len() - 1].to_vec()] {
            let error = decode::<Certificate>("t", "r", bad).expect_err("refused");
            let words = error.to_string();
            assert!(words.starts_with("record r of t cannot be read: "), "{words}");
        }
    }

    #[test]
    fn a_record_without_bounds_is_refused() {
        let error = encode("t", "r", &certificate(vec![vec![0; RECORD_BYTES_MAX]]));
        assert!(matches!(error, Err(StoreError::Record { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300), marked: bool) {
            let mut bytes = bytes;
            if let (true, Some(first)) = (marked, bytes.first_mut()) {
                *first = LAYOUT;
            }
            let _ = decode::<Account>("t", "r", &bytes);
            let _ = decode::<Order>("t", "r", &bytes);
            let _ = decode::<Certificate>("t", "r", &bytes);
            let _ = decode::<History>("t", "r", &bytes);
            let _ = decode::<Sealed>("t", "r", &bytes);
            let _ = decode::<WrappedKey>("t", "r", &bytes);
            let _ = decode::<Switch>("t", "r", &bytes);
            let _ = decode::<Vec<i64>>("t", "r", &bytes);
        }

        #[test]
        fn a_damaged_record_is_judged(at: prop::sample::Index, bit in 0..8_u8) {
            let mut bytes = encode("t", "r", &certificate(vec![vec![9; 40]])).expect("encoded");
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = decode::<Certificate>("t", "r", &bytes);
        }

        #[test]
        fn what_was_written_is_read(
            chain in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..4),
            nonce: [u8; 12],
            ciphertext in proptest::collection::vec(any::<u8>(), 0..100),
            placed in proptest::collection::vec(any::<i64>(), 0..20),
        ) {
            let certificate = certificate(chain);
            let bytes = encode("t", "r", &certificate).expect("encoded");
            prop_assert_eq!(decode::<Certificate>("t", "r", &bytes).expect("decoded"), certificate);
            let sealed = Sealed { key: 3, nonce, ciphertext };
            let bytes = encode("t", "r", &sealed).expect("encoded");
            prop_assert_eq!(decode::<Sealed>("t", "r", &bytes).expect("decoded"), sealed);
            let bytes = encode("t", "r", &placed).expect("encoded");
            prop_assert_eq!(decode::<Vec<i64>>("t", "r", &bytes).expect("decoded"), placed);
        }
    }
}
