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
pub fn toggle(state: &mut State) -> Effect {
    if state.elevated() {
        end(state);
        state.said = Some("read-only again".into());
        return Effect::Lower;
    }
    state.said = Some("asking the daemon who may do what ...".into());
    Effect::WhoAmI
}

/// No change can be made from here any more.
pub fn end(state: &mut State) {
    (state.elevated_until_ms, state.elevated_by_code) = (None, false);
}

/// The daemon has said who this is.
pub fn who(state: &mut State, answer: Result<WhoAmI, String>) {
    // A key pressed for what has come up meanwhile must not answer this.
    if !state.popups.is_empty() || state.elevated() {
        return;
    }
    state.said = None;
    match answer {
        Err(why) => state.said = Some(format!("not elevated: {why}")),
        Ok(me) if me.role < Role::Operator => {
            let (need, have) = (Role::Operator.word(), me.role.word());
            state.said =
                Some(format!("changing something needs the role {need}; {} is {have}", me.name));
        }
        Ok(me) if me.totp => state.popups.push(Popup::Code(CodePrompt::default())),
        Ok(_) => state.popups.push(Popup::Elevate),
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
