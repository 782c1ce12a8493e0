//! The live dashboard: `palisade top`.
//!
//! Promises: state is folded from events, purely (`state`); views draw from it and know nothing else; every text
//! goes through one sanitiser (`text`); the terminal is put back whatever ends it (`terminal`).
//! Refuses: any way to the daemon but the typed client. Bounds: what it remembers, and the bytes it sends a second.

mod bulk;
mod canvas;
mod data;
mod decode;
mod elevation;
mod event;
mod feed;
mod glyphs;
mod input;
mod keys;
#[cfg(test)]
mod keys_tests;
mod once;
mod overlay;
mod page;
mod popup;
#[doc(hidden)]
pub mod probe;
mod run;
mod sample;
mod screen;
mod state;
mod table;
mod terminal;
pub mod text;
mod theme;
mod views;

pub use feed::Feed;
pub use once::{Snapshot, frame, snapshot};
pub use run::{Ended, run};
pub use text::Charset;
pub use theme::Look;

#[cfg(test)]
#[path = "frame_tests.rs"]
mod frame_tests;
