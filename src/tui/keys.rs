//! Which key does what, and which keys work now: the bottom line and the help are made from the same list.

use super::bulk;
use super::elevation;
use super::event::{Effect, Key, Mutation};
use super::popup::{self, Popup, Prompt};
use super::screen;
use super::state::{Arranged, State};
use super::table::Sort;
use super::views::{Act, VIEWS};

/// A key that works now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub key: String,
    /// A word or two, for the bottom line.
    pub word: String,
    /// For the help; empty where the word says it all.
    pub more: &'static str,
}

fn offer(key: &str, word: &str, more: &'static str) -> Offer {
    Offer { key: key.into(), word: word.into(), more }
}

/// What the keys do now, the most useful first.
#[must_use]
pub fn offers(state: &State) -> Vec<Offer> {
    match state.popups.last() {
        Some(popup) => popup.offers(),
        None => offers_below(state),
    }
}

/// The same without what lies over the view.
#[must_use]
pub fn offers_below(state: &State) -> Vec<Offer> {
    let opened = state.pane().is_some_and(|pane| pane.opened.is_some());
    let (arranged, subject) = (state.arranged(), state.subject());
    let mut offers = act_offers(state);
    if opened {
        offers.push(offer("Esc", "back", "to the list"));
    } else if arranged.cursor.is_some() {
        offers.push(offer("Enter", "show", "the row under the cursor in full"));
    }
    if !opened && arranged.cursor.is_some() && !state.view().acts().is_empty() {
        offers.push(offer(
            "Space",
            "mark",
            "a row, `*` all that are shown: an act is for all of them",
        ));
    }
    if !opened && !arranged.table.rows.is_empty() {
        offers.push(offer(
            "/",
            "filter",
            "by a regular expression; /!text keeps what does not match",
        ));
    }
    if subject.as_ref().is_some_and(|(_, facts)| !facts.is_empty()) {
        offers.push(offer(
            "n",
            "narrow",
            "every view to what this row has: an address, a site, an actor",
        ));
    }
    if !state.narrow.is_empty() {
        offers.push(offer("N", "widen", "show everything again, in every view"));
    }
    if !opened && arranged.rows.len() > 1 && sortable(&arranged) {
        offers.push(offer("s", "sort", "by the next column; S turns it around"));
    }
    let word = if state.elevated() { "read-only" } else { "elevate" };
    offers.push(offer("e", word, "until then nothing can be changed from here"));
    if state.view().charts() {
        offers.push(offer("t", "time", "10 minutes, 2 hours or 24 hours"));
    }
    offers.push(offer(
        "f",
        if state.frozen() { "thaw" } else { "freeze" },
        "keep the screen as it is",
    ));
    if state.elevated() {
        offers.push(offer("R", "reload", "the daemon's configuration"));
    }
    if subject.is_some() {
        offers.push(offer("y", "copy", "its id, through the terminal (OSC 52)"));
    }
    offers.push(offer(":", "go", "to a view by its name; `:requests /text` filters too"));
    offers.push(offer(
        "m",
        if state.mouse { "mouse off" } else { "mouse" },
        "wheel and click; off lets the terminal select text",
    ));
    offers
}

/// The changes that can be made to what is chosen now. They stand first: the bottom line drops offers from the end.
#[must_use]
pub fn act_offers(state: &State) -> Vec<Offer> {
    let Some((id, _)) = state.subject().filter(|_| state.elevated()) else { return Vec::new() };
    let marked = several(state);
    let fits = |act: &&Act| marked || (act.unfit)(state.data(), &id).is_none();
    let acts = state.view().acts().iter().filter(fits);
    acts.map(|act| offer(&act.key.to_string(), act.word, act.more)).collect()
}

/// Whether an act is for the marked rows.
fn several(state: &State) -> bool {
    state.pane().is_some_and(|pane| pane.opened.is_none() && !pane.marked.is_empty())
}

/// Folds one key.
pub fn press(state: &mut State, key: Key) -> Option<Effect> {
    state.said = None;
    if key == Key::Ctrl('c') {
        return Some(Effect::Quit);
    }
    // Nobody sees what is open.
    if key == Key::Char('q') && screen::is_too_small(state.size) {
        return Some(Effect::Quit);
    }
    if key == Key::Ctrl('l') {
        return Some(Effect::Redraw);
    }
    if let Some(popup) = state.popups.pop() {
        return popup::press(state, popup, key);
    }
    match key {
        Key::Char('q') => return Some(Effect::Quit),
        Key::Esc | Key::Left | Key::Char('h') | Key::Backspace => back(state, key),
        Key::Enter | Key::Right | Key::Char('l') => open(state),
        Key::Tab => state.turn(true),
        Key::BackTab => state.turn(false),
        Key::Char(digit @ '1'..='9') => number(state, digit),
        Key::Char('?') => state.popups.push(Popup::Help { scroll: 0 }),
        Key::Char(':') => state.popups.push(Popup::Prompt(Prompt::palette())),
        Key::Char('/') => {
            let before = state.filter().cloned();
            state.popups.push(Popup::Prompt(Prompt::filter(before)));
        }
        Key::Char(' ') => mark(state, false),
        Key::Char('*') => mark(state, true),
        Key::Char('n') => narrow(state),
        Key::Char('N') => state.narrow.clear(),
        Key::Char('s') => sort(state),
        Key::Char('S') => state.change_pane(|pane| {
            pane.sort = pane.sort.map(|sort| Sort { down: !sort.down, ..sort });
        }),
        Key::Char('f') => state.toggle_freeze(),
        Key::Char('t') if state.view().charts() => state.reach = state.reach.next(),
        Key::Char('e') => return elevation::toggle(state),
        Key::Char('R') => popup::ask(state, Mutation::Reload),
        Key::Char('y') => return copy(state),
        Key::Char('m') => {
            state.mouse = !state.mouse;
            let words =
                if state.mouse { "mouse on: wheel and click work here" } else { "mouse off" };
            state.said = Some(words.into());
            return Some(Effect::Mouse(state.mouse));
        }
        Key::Char(c) if state.view().acts().iter().any(|act| act.key == c) => act(state, c),
        key => travel(state, key),
    }
    None
}

fn travel(state: &mut State, key: Key) {
    let page = i32::from(screen::list_rows(state).1.max(2));
    let lines = match key {
        Key::Up | Key::Char('k') => -1,
        Key::Down | Key::Char('j') => 1,
        Key::PageUp => 1 - page,
        Key::PageDown => page - 1,
        Key::Ctrl('u') => -page / 2,
        Key::Ctrl('d') => page / 2,
        Key::Home | Key::Char('g') => i32::MIN,
        Key::End | Key::Char('G') => i32::MAX,
        _ => return,
    };
    scroll(state, lines);
}

/// Moves the cursor, or the page that is open.
pub fn scroll(state: &mut State, lines: i32) {
    let size = usize::try_from(lines.unsigned_abs()).unwrap_or(usize::MAX);
    let moved =
        |from: usize| if lines < 0 { from.saturating_sub(size) } else { from.saturating_add(size) };
    if let Some(Popup::Help { scroll }) = state.popups.last_mut() {
        *scroll = moved(*scroll).min(200);
    } else if state.popups.is_empty() {
        match state.page() {
            Some((_, from)) => {
                state.change_pane(|pane| {
                    if let Some(opened) = &mut pane.opened {
                        opened.scroll = moved(from);
                    }
                });
                // Beyond the end is the end, so that the way back begins there.
                if let Some((_, shown)) = state.page() {
                    state.change_pane(|pane| {
                        if let Some(opened) = &mut pane.opened {
                            opened.scroll = shown;
                        }
                    });
                }
            }
            None if lines == i32::MIN => state.move_to_first(),
            None => {
                let arranged = state.arranged();
                if let Some(cursor) = arranged.cursor {
                    state.move_to(&arranged, moved(cursor));
                }
            }
        }
    }
}

fn number(state: &mut State, digit: char) {
    let wanted = digit.to_digit(10).and_then(|number| u8::try_from(number).ok());
    match VIEWS.iter().position(|view| view.about().number == wanted) {
        Some(at) => state.go(at),
        None => state.said = Some(format!("there is no view {digit} in this version")),
    }
}

fn back(state: &mut State, key: Key) {
    let opened = state.pane().is_some_and(|pane| pane.opened.is_some());
    if opened {
        state.change_pane(|pane| pane.opened = None);
    } else if key == Key::Esc {
        if let Some(bulk) = &mut state.bulk {
            bulk.stop();
            return;
        }
        state.change_pane(|pane| match pane.marked.is_empty() {
            true => pane.filter = None,
            false => pane.marked.clear(),
        });
    }
}

fn open(state: &mut State) {
    if state.pane().is_some_and(|pane| pane.opened.is_some()) {
        return;
    }
    let id = state.arranged().chosen().map(|row| row.id.clone());
    if let Some(id) = id {
        state.change_pane(|pane| pane.opened = Some(super::state::Opened { id, scroll: 0 }));
    }
}

/// Marks the row under the cursor and goes on to the next, or takes its mark back; or marks all rows that are shown.
fn mark(state: &mut State, all: bool) {
    if state.pane().is_some_and(|pane| pane.opened.is_some()) {
        return;
    }
    if state.view().acts().is_empty() {
        state.said = Some("nothing can be done to several rows here".into());
        return;
    }
    let arranged = state.arranged();
    if all {
        let ids: Vec<String> = arranged.rows.iter().map(|row| row.id.clone()).collect();
        let (unfit, fit): (Vec<_>, Vec<_>) =
            ids.into_iter().partition(|id| unfit(state, id).is_some());
        state.change_pane(|pane| pane.marked.extend(fit));
        if !unfit.is_empty() {
            let rows = if unfit.len() == 1 { "row" } else { "rows" };
            state.said =
                Some(format!("left out {} {rows}: nothing can be done there", unfit.len()));
        }
    } else if let (Some(row), Some(cursor)) = (arranged.chosen(), arranged.cursor) {
        let id = row.id.clone();
        if let Some(why) = unfit(state, &id).filter(|_| !arranged.marked.contains(&id)) {
            state.said = Some(why);
            return;
        }
        state.change_pane(|pane| {
            if !pane.marked.remove(&id) {
                pane.marked.insert(id);
            }
        });
        state.move_to(&arranged, cursor + 1);
    }
}

/// Why nothing at all can be done to a row.
fn unfit(state: &State, id: &str) -> Option<String> {
    let mut acts = state.view().acts().iter();
    let first = (acts.next()?.unfit)(state.data(), id)?;
    acts.all(|act| (act.unfit)(state.data(), id).is_some()).then_some(first)
}

fn narrow(state: &mut State) {
    match state.subject() {
        Some((_, facts)) if !facts.is_empty() => {
            state.popups.push(Popup::Narrow { facts, at: 0 });
        }
        _ => state.said = Some("nothing here to narrow to; choose a row of a list".into()),
    }
}

/// A list without titles has an order that means something.
fn sortable(arranged: &Arranged) -> bool {
    arranged.table.columns.iter().all(|column| !column.title.is_empty())
}

fn sort(state: &mut State) {
    let arranged = state.arranged();
    let columns = arranged.table.columns.len();
    if !sortable(&arranged) {
        return;
    }
    state.change_pane(|pane| {
        pane.sort = match pane.sort {
            None => Some(Sort { column: 0, down: false }),
            Some(sort) if sort.column + 1 < columns => {
                Some(Sort { column: sort.column + 1, ..sort })
            }
            Some(_) => None,
        };
    });
}

fn act(state: &mut State, key: char) {
    let Some(act) = state.view().acts().iter().find(|act| act.key == key) else { return };
    if several(state) {
        bulk::ask(state, act);
    } else if let Some((id, _)) = state.subject() {
        match (act.unfit)(state.data(), &id) {
            Some(why) => state.said = Some(why),
            None => popup::ask(state, (act.mutation)(&id)),
        }
    }
}

fn copy(state: &mut State) -> Option<Effect> {
    let (id, _) = state.subject()?;
    state.said = Some(format!("copied {id}"));
    Some(Effect::Copy(id))
}
