//! What lies over a view: a stack, the top one has the keys.
//!
//! Promises: nothing is changed without elevation and an answer; what would hurt wants its name typed.
//! Bounds: what is typed is at most 200 characters.

use super::bulk::{self, LeftOut, Target};
use super::elevation::{self, CodePrompt};
use super::event::{Effect, Key, Mutation};
use super::keys::Offer;
use super::state::State;
use super::table::{Filter, Narrow};
use super::views::VIEWS;

const TYPED_MAX: usize = 200;

/// What is asked of the operator before a mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    Yes,
    /// The name of what would be lost.
    #[cfg_attr(not(test), expect(dead_code, reason = "no change of this version loses anything"))]
    Word(String),
}

#[derive(Debug, Clone)]
pub enum Popup {
    Help {
        scroll: usize,
    },
    Prompt(Prompt),
    Narrow {
        facts: Vec<Narrow>,
        at: usize,
    },
    /// Who this is, the daemon is being asked.
    Asking,
    Elevate,
    ConfirmAll {
        targets: Vec<Target>,
        left_out: LeftOut,
    },
    /// The daemon wants a code for it.
    Code(CodePrompt),
    Confirm {
        mutation: Mutation,
        consent: Consent,
        typed: String,
    },
    Note {
        title: String,
        text: String,
    },
}

#[derive(Debug, Clone)]
pub struct Prompt {
    pub kind: PromptKind,
    pub text: String,
    /// Why the text is not taken.
    pub fault: Option<String>,
}

#[derive(Debug, Clone)]
pub enum PromptKind {
    /// Which of the completions is chosen.
    Palette { at: usize },
    /// What was in force before, for Esc.
    Filter { before: Option<Filter> },
}

impl Prompt {
    #[must_use]
    pub fn palette() -> Self {
        Self { kind: PromptKind::Palette { at: 0 }, text: String::new(), fault: None }
    }

    #[must_use]
    pub fn filter(before: Option<Filter>) -> Self {
        let text = before.as_ref().map(|filter| filter.text.clone()).unwrap_or_default();
        Self { kind: PromptKind::Filter { before }, text, fault: None }
    }

    /// Names that the first word may become, with what they are.
    #[must_use]
    pub fn completions(&self, state: &State) -> Vec<(&'static str, &'static str)> {
        let word = self.text.split(' ').next().unwrap_or_default().to_lowercase();
        let all = Self::names(state);
        let begins = all.iter().filter(|(name, _)| name.starts_with(&word));
        let holds = all.iter().filter(|(name, _)| !name.starts_with(&word) && name.contains(&word));
        begins.chain(holds).copied().collect()
    }

    /// All that there is, with what it is.
    #[must_use]
    pub fn names(state: &State) -> Vec<(&'static str, &'static str)> {
        let views = VIEWS.iter().filter(|view| view.offered(state.data())).map(|view| {
            let about = view.about();
            (about.name, about.title)
        });
        let all = views.chain([
            ("reload", "take the configuration anew"),
            ("help", "what the keys do"),
            ("quit", "leave the dashboard"),
        ]);
        all.collect()
    }
}

impl Popup {
    #[must_use]
    pub fn outcome(outcome: Result<String, String>) -> Self {
        match outcome {
            Ok(text) => Self::Note { title: "Done".into(), text },
            Err(text) => Self::Note { title: "FAIL: nothing was changed".into(), text },
        }
    }

    /// The keys that work in it.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        let pairs: &[(&str, &str)] = match self {
            Self::Help { .. } => &[("Esc", "close"), ("j/k", "scroll")],
            Self::Prompt(Prompt { kind: PromptKind::Palette { .. }, .. }) => {
                &[("Enter", "go"), ("Tab", "complete"), ("Esc", "close")]
            }
            Self::Prompt(_) => &[("Enter", "keep"), ("Esc", "as before"), ("!text", "inverse")],
            Self::Narrow { .. } => &[("Enter", "narrow"), ("j/k", "choose"), ("Esc", "close")],
            Self::Asking => &[("Esc", "stay read-only")],
            Self::Elevate | Self::Code(_) => &[("Enter", "elevate"), ("Esc", "stay read-only")],
            Self::ConfirmAll { .. } | Self::Confirm { consent: Consent::Yes, .. } => {
                &[("y", "yes"), ("n", "no")]
            }
            Self::Confirm { .. } => &[("Enter", "do it"), ("Esc", "no")],
            Self::Note { .. } => &[("Enter", "close")],
        };
        let offer = |(key, word): &(&str, &str)| Offer {
            key: (*key).to_owned(),
            word: (*word).to_owned(),
            more: "",
        };
        pairs.iter().map(offer).collect()
    }
}

/// Asks before a mutation; without elevation it says what is missing.
pub fn ask(state: &mut State, mutation: Mutation) {
    ask_for(state, mutation, Consent::Yes);
}

/// The same with the consent that the mutation deserves.
pub fn ask_for(state: &mut State, mutation: Mutation, consent: Consent) {
    match elevation::missing(state, mutation.role()) {
        Some(why) => state.said = Some(why),
        None => state.popups.push(Popup::Confirm { mutation, consent, typed: String::new() }),
    }
}

/// A key for the popup that was on top; it goes back onto the stack if it stays.
pub fn press(state: &mut State, popup: Popup, key: Key) -> Option<Effect> {
    match popup {
        Popup::Help { scroll } => help(state, scroll, key),
        Popup::Prompt(prompt) => return typed(state, prompt, key),
        Popup::Narrow { facts, at } => narrow(state, facts, at, key),
        Popup::Asking => elevation::wait(state, key),
        Popup::Elevate => elevation::press(state, key),
        Popup::Code(prompt) => return elevation::type_code(state, prompt, key),
        Popup::Confirm { mutation, consent, typed } => {
            return confirm(state, mutation, consent, typed, key);
        }
        Popup::ConfirmAll { targets, left_out } => {
            return bulk::confirm(state, targets, left_out, key);
        }
        Popup::Note { title, text } => {
            if !matches!(key, Key::Enter | Key::Esc | Key::Char('q' | ' ')) {
                state.popups.push(Popup::Note { title, text });
            }
        }
    }
    None
}

fn help(state: &mut State, scroll: usize, key: Key) {
    if !matches!(key, Key::Esc | Key::Enter | Key::Char('?' | 'q')) {
        state.popups.push(Popup::Help { scroll });
        match key {
            Key::Down | Key::Char('j') => super::keys::scroll(state, 1),
            Key::Up | Key::Char('k') => super::keys::scroll(state, -1),
            Key::PageDown | Key::Ctrl('d') => super::keys::scroll(state, 8),
            Key::PageUp | Key::Ctrl('u') => super::keys::scroll(state, -8),
            _ => {}
        }
    }
}

fn narrow(state: &mut State, facts: Vec<Narrow>, at: usize, key: Key) {
    let last = facts.len().saturating_sub(1);
    let at = match key {
        Key::Esc | Key::Char('q') => return,
        Key::Down | Key::Char('j') => (at + 1).min(last),
        Key::Up | Key::Char('k') => at.saturating_sub(1),
        Key::Enter => {
            if let Some(narrow) = facts.into_iter().nth(at) {
                state.narrow_to(narrow);
            }
            return;
        }
        _ => at,
    };
    state.popups.push(Popup::Narrow { facts, at });
}

fn confirm(
    state: &mut State,
    mutation: Mutation,
    consent: Consent,
    mut typed: String,
    key: Key,
) -> Option<Effect> {
    let agreed = match (&consent, key) {
        (_, Key::Esc) | (Consent::Yes, Key::Char('n' | 'N' | 'q')) => return None,
        (Consent::Yes, Key::Char('y' | 'Y')) => true,
        (Consent::Word(word), Key::Enter) => *word == typed,
        (Consent::Word(_), key) => {
            edit(&mut typed, key);
            false
        }
        (Consent::Yes, _) => false,
    };
    if !agreed {
        state.popups.push(Popup::Confirm { mutation, consent, typed });
        return None;
    }
    if !state.elevated() {
        state.said = Some("the elevation has ended; nothing was changed".into());
        return None;
    }
    elevation::prolong(state);
    state.busy = true;
    state.said = Some(format!("{} ...", mutation.question()));
    Some(Effect::Mutate(mutation))
}

fn edit(text: &mut String, key: Key) {
    match key {
        Key::Char(c) if text.chars().count() < TYPED_MAX => text.push(c),
        Key::Backspace => drop(text.pop()),
        Key::Ctrl('u') => text.clear(),
        _ => {}
    }
}

fn typed(state: &mut State, mut prompt: Prompt, key: Key) -> Option<Effect> {
    if let PromptKind::Palette { at } = prompt.kind {
        return palette(state, prompt, at, key);
    }
    let PromptKind::Filter { before } = &prompt.kind else { return None };
    match key {
        Key::Esc => {
            let before = before.clone();
            state.change_pane(|pane| pane.filter = before);
            return None;
        }
        Key::Enter if prompt.fault.is_none() => return None,
        key => edit(&mut prompt.text, key),
    }
    match Filter::parse(&prompt.text) {
        Ok(filter) => {
            prompt.fault = None;
            state.change_pane(|pane| pane.filter = filter);
        }
        Err(why) => prompt.fault = Some(why),
    }
    state.popups.push(Popup::Prompt(prompt));
    None
}

fn palette(state: &mut State, mut prompt: Prompt, at: usize, key: Key) -> Option<Effect> {
    let names = prompt.completions(state);
    let mut next = match key {
        Key::Esc => return None,
        Key::Enter if names.is_empty() => {
            let word = prompt.text.split(' ').next().unwrap_or_default();
            prompt.fault = Some(format!("there is no view {word}"));
            at
        }
        Key::Enter => {
            let (name, _) = *names.get(at).or(names.first())?;
            let rest = prompt.text.split_once(' ').map(|(_, rest)| rest.trim().to_owned());
            return command(state, name, rest.as_deref());
        }
        Key::Tab | Key::Down => (at + 1).min(names.len().saturating_sub(1)),
        Key::BackTab | Key::Up => at.saturating_sub(1),
        key => {
            edit(&mut prompt.text, key);
            prompt.fault = None;
            0
        }
    };
    if key == Key::Tab && names.len() == 1 {
        prompt.text = names.first().map(|(name, _)| format!("{name} ")).unwrap_or_default();
        next = 0;
    }
    prompt.kind = PromptKind::Palette { at: next };
    state.popups.push(Popup::Prompt(prompt));
    None
}

fn command(state: &mut State, name: &str, rest: Option<&str>) -> Option<Effect> {
    match name {
        "quit" => return Some(Effect::Quit),
        "help" => state.popups.push(Popup::Help { scroll: 0 }),
        "reload" => ask(state, Mutation::Reload),
        _ => {
            if let Some(at) = VIEWS.iter().position(|view| view.about().name == name) {
                state.go(at);
                state.change_pane(|pane| pane.opened = None);
            }
            if let Some(pattern) = rest.filter(|rest| !rest.is_empty()) {
                let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
                match Filter::parse(pattern) {
                    Ok(filter) => state.change_pane(|pane| pane.filter = filter),
                    Err(why) => state.said = Some(format!("not filtered: {why}")),
                }
            }
        }
    }
    None
}
