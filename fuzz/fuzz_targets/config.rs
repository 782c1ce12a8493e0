//! The text of a configuration file: any text gives settings or messages, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = palisade::config::check_text(text);
});
