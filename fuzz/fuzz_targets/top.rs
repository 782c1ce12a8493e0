//! Whatever a daemon says, in every cell of every view of the dashboard: no control character is drawn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use palisade::tui::{Charset, probe};

fuzz_target!(|text: &str| {
    for charset in [Charset::Utf8, Charset::Ascii] {
        probe::cells(text, charset, (80, 24), |symbol| {
            assert!(!symbol.chars().any(char::is_control), "{symbol:?}");
            assert!(!symbol.chars().any(|c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')));
            assert!(charset == Charset::Utf8 || symbol.is_ascii(), "{symbol:?}");
        });
    }
});
