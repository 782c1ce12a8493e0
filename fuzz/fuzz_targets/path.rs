//! Paths of requests: a normal form is its own, and holds nothing that could be read as another path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade::base::path::{self, Normal};

fuzz_target!(|text: &str| {
    let _ = path::check_query(text.as_bytes());
    let Ok(form) = path::normal(text) else { return };
    let form = form.matched(text);
    assert_eq!(path::normal(form), Ok(Normal::AsSent), "its own normal form");
    assert!(!form.contains("//") && !form.contains('\\'));
    assert!(form.split('/').all(|segment| segment != "." && segment != ".."));
});
