//! See `entries/rewriting.rs`: what is done with the bytes, and what must hold.
#![no_main]

#[path = "../entries/rewriting.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::run(bytes));
