//! From looking to changing: `e` asks the daemon who this is and what it wants for it.
//!
//! Promises: a code is given once and not kept; an elevation that the daemon gave ends here when it ends there.

use super::event::{Effect, Granted, Key};
use super::popup::Popup;
use super::state::{ELEVATED_MS, State};
use crate::base::Role;
use crate::ops::api::access::WhoAmI;

/// Digits of a code (RFC 6238 as authenticator apps have it).
const DIGITS: usize = 6;

const GONE: &str = "no change now: the daemon is gone";

/// A code in the making.
#[derive(Debug, Clone, Default)]
pub struct CodePrompt {
    pub typed: String,
    /// The daemon has it.
    pub asked: bool,
    /// Why the one before was not taken.
    pub fault: Option<String>,
}

/// `e`: back to looking, or the question who this is.
pub fn toggle(state: &mut State) -> Option<Effect> {
    if state.elevated() {
        end(state);
        state.said = Some("read-only again".into());
        return Some(Effect::Lower);
    }
    if state.link.is_gone() {
        state.said = Some(GONE.into());
        return None;
    }
    // At once, so that what is typed on is an answer to nothing.
    state.popups.push(Popup::Asking);
    Some(Effect::WhoAmI)
}

/// Why there can be no change now, if there cannot: for a key that wants one.
#[must_use]
pub fn missing(state: &State, role: Role) -> Option<String> {
    if state.link.is_gone() {
        return Some(GONE.into());
    }
    if let Some(me) = state.me.as_ref().filter(|me| me.role < role) {
        return Some(too_little(me, role));
    }
    if !state.elevated() {
        return Some("read-only: press e to elevate first".into());
    }
    state.busy.then(|| "the last change is still under way".into())
}

fn too_little(me: &WhoAmI, need: Role) -> String {
    format!("this needs the role {}; {} is {}", need.word(), me.name, me.role.word())
}

/// What one agrees to begins the time anew, except where the daemon has given it for a code: that ends when it said.
pub fn prolong(state: &mut State) {
    if !state.elevated_by_code {
        state.elevated_until_ms = Some(state.now_ms.saturating_add(ELEVATED_MS));
    }
}

/// No change can be made from here any more.
pub fn end(state: &mut State) {
    (state.elevated_until_ms, state.elevated_by_code) = (None, false);
}

/// The daemon has said who this is.
pub fn who(state: &mut State, answer: Result<WhoAmI, String>) {
    if let Ok(me) = &answer {
        state.me = Some(me.clone());
    }
    // Who has left the question, or asked something else meanwhile, waits for nothing.
    let waiting = state.popups.iter().rposition(|popup| matches!(popup, Popup::Asking));
    let Some(at) = waiting else { return };
    state.popups.remove(at);
    match answer {
        Err(why) => state.said = Some(format!("not elevated: {why}")),
        Ok(me) if me.role < Role::Operator => {
            state.said = Some(too_little(&me, Role::Operator));
        }
        Ok(me) if me.totp => state.popups.insert(at, Popup::Code(CodePrompt::default())),
        Ok(_) => state.popups.insert(at, Popup::Elevate),
    }
}

/// A key while the daemon is asked who this is: only the way out works.
pub fn wait(state: &mut State, key: Key) {
    if !matches!(key, Key::Esc | Key::Char('n' | 'q')) {
        state.popups.push(Popup::Asking);
    }
}

/// A key for the question whether.
pub fn press(state: &mut State, key: Key) {
    match key {
        Key::Enter | Key::Char('y') => begin(state, ELEVATED_MS, false),
        Key::Esc | Key::Char('n' | 'q' | 'e') => {}
        _ => state.popups.push(Popup::Elevate),
    }
}

fn begin(state: &mut State, for_ms: u64, by_code: bool) {
    state.elevated_until_ms = Some(state.now_ms.saturating_add(for_ms));
    state.elevated_by_code = by_code;
    let minutes = for_ms.div_ceil(60_000);
    state.said = Some(format!("elevated for {minutes} minutes; every change still asks"));
}

/// A key for the code.
pub fn type_code(state: &mut State, mut prompt: CodePrompt, key: Key) -> Option<Effect> {
    let mut effect = None;
    match key {
        Key::Esc => return None,
        _ if prompt.asked => {}
        Key::Char(c) if c.is_ascii_digit() && prompt.typed.len() < DIGITS => prompt.typed.push(c),
        Key::Backspace => drop(prompt.typed.pop()),
        Key::Ctrl('u') => prompt.typed.clear(),
        Key::Enter if prompt.typed.len() == DIGITS => {
            (prompt.asked, prompt.fault) = (true, None);
            effect = Some(Effect::Elevate(std::mem::take(&mut prompt.typed)));
        }
        Key::Enter => prompt.fault = Some(format!("a code has {DIGITS} digits")),
        _ => {}
    }
    state.popups.push(Popup::Code(prompt));
    effect
}

/// The daemon has looked at the code. An elevation that nobody waits for any more is given back.
pub fn answered(state: &mut State, answer: Result<Granted, String>) -> Option<Effect> {
    let waiting = state.popups.iter().rposition(|popup| matches!(popup, Popup::Code(_)));
    match (answer, waiting) {
        (Ok(granted), Some(at)) => {
            state.popups.remove(at);
            begin(state, granted.for_ms, true);
            None
        }
        (Ok(_), None) => Some(Effect::Lower),
        (Err(why), Some(at)) => {
            let prompt = CodePrompt { fault: Some(why), ..CodePrompt::default() };
            if let Some(popup) = state.popups.get_mut(at) {
                *popup = Popup::Code(prompt);
            }
            None
        }
        (Err(why), None) => {
            state.said = Some(format!("not elevated: {}", why.replace('\n', " ")));
            None
        }
    }
}
