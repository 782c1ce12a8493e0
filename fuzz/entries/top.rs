//! Whatever a daemon says, in every cell of every view of the dashboard: no control character is drawn.

use palisade::tui::{Charset, probe};

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for charset in [Charset::Utf8, Charset::Ascii] {
        probe::cells(text, charset, (80, 24), |symbol| {
            assert!(!symbol.chars().any(char::is_control), "{symbol:?}");
            assert!(
                !symbol
                    .chars()
                    .any(|c| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'))
            );
            assert!(charset == Charset::Utf8 || symbol.is_ascii(), "{symbol:?}");
        });
    }
}
