//! See `entries/h2_watch.rs`: what is done with the bytes, and what must hold.
#![no_main]

#[path = "../entries/h2_watch.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entry::run(bytes));
