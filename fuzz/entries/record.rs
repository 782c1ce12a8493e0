//! A row of the state: any bytes are a record or are refused, and a record that is read is written and read the same.
//!
//! The first byte chooses what the rest is taken for.

use std::fmt::Debug;

use palisade::store::certs::{Account, Certificate, History, Order};
use palisade::store::codec::{decode, encode};
use palisade::store::sealed::{Sealed, WrappedKey};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn judge<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>("table", "row", bytes) {
        let written = encode("table", "row", &value).expect("what was read can be written");
        assert_eq!(decode::<T>("table", "row", &written).expect("and read again"), value);
    }
}

pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 7 {
        0 => judge::<Account>(bytes),
        1 => judge::<Order>(bytes),
        2 => judge::<Certificate>(bytes),
        3 => judge::<History>(bytes),
        4 => judge::<Sealed>(bytes),
        5 => judge::<WrappedKey>(bytes),
        _ => judge::<Vec<i64>>(bytes),
    }
}
