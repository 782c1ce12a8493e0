//! One kind of change for many rows: asked about once, done one after another.
//!
//! Promises: the next begins when the one before has ended; the first that fails, or an elevation that ends, stops it, and
//! then it is said what was done and what was not. A row that was done is no longer marked.

use std::collections::VecDeque;

use crate::base::Role;

use super::elevation;
use super::event::{Effect, Key, Mutation};
use super::popup::Popup;
use super::state::State;
use super::views::Act;

/// Rows that are named in a question or an outcome.
const NAMED_MAX: usize = 5;

/// A row and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub id: String,
    pub mutation: Mutation,
}

/// Marked rows that an act is not done to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// They are not shown now.
    pub hidden: usize,
    /// It is not for them.
    pub unfit: usize,
}

/// What is under way.
#[derive(Debug, Clone)]
pub struct Bulk {
    /// Index of the view whose rows they are.
    view: usize,
    now: Target,
    left: VecDeque<Target>,
    done: Vec<String>,
    is_stopped: bool,
}

impl Bulk {
    /// How far it is, for the notice.
    #[must_use]
    pub fn words(&self) -> String {
        let total = self.done.len() + 1 + self.left.len();
        if total == 1 {
            return format!("{} ...", self.now.mutation.question());
        }
        let end = if self.is_stopped { "; the last one" } else { "; Esc stops" };
        format!("{} of {total}: {} ...{end}", self.done.len() + 1, self.now.mutation.question())
    }

    /// Nothing begins any more.
    pub fn stop(&mut self) {
        self.is_stopped = true;
    }
}

/// The question for all of them, without its mark.
#[must_use]
pub fn question(targets: &[Target]) -> String {
    let count = targets.len();
    match targets.first().map(|target| &target.mutation) {
        Some(only) if count == 1 => only.question(),
        Some(Mutation::RenewCertificate { .. }) => {
            format!("Renew the certificates of {count} sites now")
        }
        Some(other) => format!("{}, and {} more", other.question(), count.saturating_sub(1)),
        None => String::new(),
    }
}

/// What it will touch, with the first names; a line each.
#[must_use]
pub fn touches(targets: &[Target], left_out: LeftOut) -> String {
    let mut text = match targets {
        [only] => only.mutation.touches().to_owned(),
        several => {
            let names = names(several.iter().map(|target| target.id.as_str()));
            let each = several.first().map_or("", |target| target.mutation.touches());
            format!("{names}\n\nEach: {each}\n\nOne after another; the first that fails ends it.")
        }
    };
    if targets.len() == 1 && left_out != LeftOut::default() {
        text.push('\n');
    }
    let LeftOut { hidden, unfit } = left_out;
    let rows = |count| if count == 1 { "row that is" } else { "rows that are" };
    if hidden > 0 {
        text.push_str(&format!("\nLeft out: {hidden} marked {} not shown here now.", rows(hidden)));
    }
    if unfit > 0 {
        let rows = if unfit == 1 { "row that it" } else { "rows that it" };
        text.push_str(&format!("\nLeft out: {unfit} marked {rows} cannot be done to."));
    }
    text
}

fn names<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = all.len().saturating_sub(NAMED_MAX);
    let mut text = all.take(NAMED_MAX).collect::<Vec<_>>().join("\n");
    if more > 0 {
        text.push_str(&format!("\nand {more} more"));
    }
    text
}

/// Asks about the marked rows that are shown; the rest of the marks stays for later.
pub fn ask(state: &mut State, act: &Act) {
    let arranged = state.arranged();
    let shown = arranged.rows.iter().filter(|row| arranged.marked.contains(&row.id));
    let shown: Vec<&str> = shown.map(|row| row.id.as_str()).collect();
    let unfit: Vec<String> = shown.iter().filter_map(|id| (act.unfit)(state.data(), id)).collect();
    let fit = shown.iter().filter(|id| (act.unfit)(state.data(), id).is_none());
    let targets: Vec<Target> =
        fit.map(|id| Target { id: (*id).to_owned(), mutation: (act.mutation)(id) }).collect();
    let hidden = arranged.marked.len().saturating_sub(shown.len());
    let left_out = LeftOut { hidden, unfit: unfit.len() };
    let role = shown.first().map(|id| (act.mutation)(id).role());
    let none = || {
        let why = unfit.into_iter().next();
        why.unwrap_or_else(|| "none of the marked rows is shown here now; Esc unmarks".into())
    };
    match elevation::missing(state, role.unwrap_or(Role::Operator)) {
        Some(why) => state.said = Some(why),
        None if targets.is_empty() => state.said = Some(none()),
        None => state.popups.push(Popup::ConfirmAll { targets, left_out }),
    }
}

/// A key for the question. It goes back onto the stack if it is no answer.
pub fn confirm(
    state: &mut State,
    targets: Vec<Target>,
    left_out: LeftOut,
    key: Key,
) -> Option<Effect> {
    match key {
        Key::Esc | Key::Char('n' | 'N' | 'q') => return None,
        Key::Char('y' | 'Y') => {}
        _ => {
            state.popups.push(Popup::ConfirmAll { targets, left_out });
            return None;
        }
    }
    if !state.elevated() {
        state.said = Some("the elevation has ended; nothing was changed".into());
        return None;
    }
    let mut left = VecDeque::from(targets);
    let now = left.pop_front()?;
    let effect = Effect::Mutate(now.mutation.clone());
    elevation::prolong(state);
    state.busy = true;
    let view = state.at();
    state.bulk = Some(Bulk { view, now, left, done: Vec::new(), is_stopped: false });
    Some(effect)
}

/// A change has ended; answers the next one, if there is one.
pub fn ended(state: &mut State, outcome: Result<String, String>) -> Option<Effect> {
    state.busy = false;
    let Some(mut bulk) = state.bulk.take() else {
        state.popups.push(Popup::outcome(outcome));
        return None;
    };
    if bulk.done.is_empty() && bulk.left.is_empty() {
        if outcome.is_ok() {
            state.unmark(bulk.view, &bulk.now.id);
        }
        state.popups.push(Popup::outcome(outcome));
        return None;
    }
    let why = match outcome {
        Ok(_) => {
            state.unmark(bulk.view, &bulk.now.id);
            let Some(next) = bulk.left.pop_front() else {
                bulk.done.push(bulk.now.id);
                state.popups.push(told("Done".into(), None, &bulk.done, &[]));
                return None;
            };
            bulk.done.push(std::mem::replace(&mut bulk.now, next).id);
            let why = match (bulk.is_stopped, state.elevated()) {
                (true, _) => "It was stopped.",
                (false, false) => "The elevation has ended.",
                (false, true) => {
                    let effect = Effect::Mutate(bulk.now.mutation.clone());
                    state.busy = true;
                    state.bulk = Some(bulk);
                    return Some(effect);
                }
            };
            why.to_owned()
        }
        Err(why) => format!("{}: {why}", bulk.now.id),
    };
    let left: Vec<String> =
        [bulk.now.id].into_iter().chain(bulk.left.into_iter().map(|target| target.id)).collect();
    let total = bulk.done.len() + left.len();
    let title = format!("FAIL: {} of {total} done", bulk.done.len());
    state.popups.push(told(title, Some(why), &bulk.done, &left));
    None
}

fn told(title: String, why: Option<String>, done: &[String], left: &[String]) -> Popup {
    let mut text = why.unwrap_or_default();
    for (words, ids) in [("Done", done), ("Not done, and still marked", left)] {
        if !ids.is_empty() {
            let gap = if text.is_empty() { "" } else { "\n\n" };
            let names = names(ids.iter().map(String::as_str));
            text.push_str(&format!("{gap}{words}, {}:\n{names}", ids.len()));
        }
    }
    Popup::Note { title, text }
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
