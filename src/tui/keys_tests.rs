//! Keys as somebody types them, at a daemon without second factors.

use super::event::{Effect, Event, Key};
use super::sample;
use super::state::State;

/// Folds one key after another; answers what the last one wants done.
pub fn press(state: &mut State, keys: &str) -> Option<Effect> {
    let mut last = None;
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\x1b' => Key::Esc,
            '\t' => Key::Tab,
            c => Key::Char(c),
        };
        last = state.fold(Event::Key(key)).1;
        if last == Some(Effect::WhoAmI) {
            last = state.fold(Event::Who(Ok(sample::me(false, &str::to_owned)))).1;
        }
    }
    last
}
