//! The whole screen: title, notice, view, keys, and what lies over them.

use crate::base::timestamp::time_of_day;
use crate::base::words::{count, span};
use crate::ops::api::{Level, State as DaemonState};

use super::canvas::{Canvas, Span};
use super::keys::{self, Offer};
use super::overlay;
use super::popup::{Popup, PromptKind};
use super::state::{Fault, State};
use super::theme::Tone;
use super::views::sites::{listed, more, unlisted};
use super::views::{Scene, VIEWS};
use super::{glyphs, text};

/// Below this there is no room for a view.
pub const WIDTH_MIN: u16 = 40;
pub const HEIGHT_MIN: u16 = 10;

/// What the bottom line says at its right end, whatever is shown.
const ALWAYS: &str = "? help  q quit";

/// Between the parts of the notice.
const GAP: &str = "   ";
const NOTICE_LINES_MAX: usize = 2;

/// Lines of the title and of the keys with their rule.
const FIXED_ROWS: u16 = 3;

/// Draws the state. The only entry.
pub fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let (width, height) = (canvas.width(), canvas.height());
    if is_too_small((width, height)) {
        let sentence = format!(
            "This terminal is too small (q leaves): {width}x{height}, at least {WIDTH_MIN}x{HEIGHT_MIN}."
        );
        for (y, line) in (0..height).zip(text::wrap(&sentence, width, canvas.charset())) {
            canvas.line(0, y, Tone::Plain, &line);
        }
        return;
    }
    title(state, canvas);
    let mut top = 1;
    for line in notice_lines(state) {
        canvas.spans(1, top, &line);
        top += 1;
    }
    body(state, &mut canvas.part(0, top, width, body_height(state)));
    let rule = glyphs::rule(canvas.charset()).repeat(usize::from(width));
    canvas.line(0, height - 2, Tone::Quiet, &rule);
    bottom(state, canvas, height - 1);
    if let Some(popup) = state.popups.last() {
        overlay::draw(state, popup, canvas);
    }
}

/// Nothing is shown but that; `q` leaves whatever is open.
#[must_use]
pub const fn is_too_small((width, height): (u16, u16)) -> bool {
    width < WIDTH_MIN || height < HEIGHT_MIN
}

/// The same for a page that nobody presses keys on.
pub fn draw_still(state: &State, canvas: &mut Canvas<'_>) {
    title(state, canvas);
    let (width, height) = (canvas.width(), canvas.height());
    body(state, &mut canvas.part(0, 1, width, height - 1));
}

fn body(state: &State, canvas: &mut Canvas<'_>) {
    if let Some((page, scroll)) = state.page() {
        page.draw(canvas, scroll);
        return;
    }
    let list = state.arranged();
    let scene = Scene {
        data: state.data(),
        list: &list,
        narrow: &state.narrow,
        sort: state.pane().and_then(|pane| pane.sort),
        reach: state.reach,
        look: state.look,
    };
    state.view().draw(&scene, canvas);
}

/// Lines of the view.
#[must_use]
pub fn body_height(state: &State) -> u16 {
    state.size.1.saturating_sub(FIXED_ROWS + notice_height(state)).max(1)
}

fn notice_height(state: &State) -> u16 {
    u16::try_from(notice_lines(state).len()).unwrap_or(0)
}

/// First line on the screen, and height, of the rows of the list.
#[must_use]
pub fn list_rows(state: &State) -> (u16, u16) {
    let (y, height) = state.view().list_rows(state.data(), body_height(state));
    (y + 1 + notice_height(state), height)
}

/// The parts of the notice in one line, or in two where they need them: what does not fit then is at the end.
fn notice_lines(state: &State) -> Vec<Vec<Span>> {
    let room = usize::from(state.size.0.saturating_sub(2));
    let (mut lines, mut taken): (Vec<Vec<Span>>, usize) = (Vec::new(), 0);
    for (tone, text) in notice(state) {
        let cells = text::width(text.trim_end(), state.look.charset);
        let is_last = lines.len() == NOTICE_LINES_MAX;
        match lines.last_mut() {
            Some(line) if is_last || taken + cells <= room => {
                line.push((tone, text));
                taken += cells + GAP.len();
            }
            _ => {
                lines.push(vec![(tone, text)]);
                taken = cells + GAP.len();
            }
        }
    }
    lines
}

/// What is wrong with the way to the daemon, what is the reason and when it is tried again; where it should be.
fn trouble(state: &State) -> (Vec<Span>, Option<Span>) {
    let late = state.late_ms().map(|ms| format!("last data {} ago", spelled(ms / 1_000)));
    let Some(Fault { lost, retry_at_ms }) = &state.link.fault else {
        let late = late.map(|late| (Tone::Warn, format!("WARN  {late}")));
        return (late.into_iter().collect(), None);
    };
    let next = match retry_at_ms.saturating_sub(state.now_ms).div_ceil(1_000) {
        0 => "trying".to_owned(),
        retry => format!("next try in {}", spelled(retry)),
    };
    let late = late.map_or(String::new(), |late| format!("; {late}"));
    let place = lost.place.as_ref().map(|place| (Tone::Quiet, format!("at {place}")));
    (vec![(Tone::Bad, format!("FAIL  {}", lost.why)), (Tone::Bad, format!("{next}{late}"))], place)
}

/// The lines below the title, where there is something to say: trouble first.
#[must_use]
pub fn notice(state: &State) -> Vec<Span> {
    let (mut parts, place) = trouble(state);
    let mut said = state.said.iter().map(|said| (Tone::Plain, said.clone())).peekable();
    // What was just pressed has to do with it.
    parts.extend(said.next_if(|_| state.link.fault.is_some()));
    if state.frozen() {
        parts.push((Tone::Strong, "FROZEN (f thaws)".into()));
    }
    if let Some(minutes) = state.elevated_minutes() {
        parts.push((Tone::Warn, format!("ELEVATED {minutes} min")));
    }
    if !state.narrow.is_empty() {
        let all: Vec<String> =
            state.narrow.iter().map(|(fact, value)| format!("{} {value}", fact.word())).collect();
        parts.push((Tone::Strong, format!("ONLY {} (N widens)", all.join(", "))));
    }
    if let Some(filter) = state.filter() {
        parts.push((Tone::Strong, format!("FILTER /{}", filter.text)));
    }
    if let Some(bulk) = &state.bulk {
        parts.push((Tone::Strong, bulk.words()));
    } else if let Some(marked) = state.pane().map(|pane| pane.marked.len()).filter(|n| *n > 0) {
        parts.push((Tone::Strong, format!("MARKED {marked}")));
    }
    if state.view().about().name == "requests" {
        let data = state.data();
        if data.one_in > 1 {
            parts
                .push((Tone::Plain, format!("SAMPLE 1 of {} requests", count(data.one_in.into()))));
        }
        if data.missed > 0 {
            parts.push((Tone::Warn, format!("MISSED {}", count(data.missed))));
        }
    }
    if state.view().about().name == "sites" {
        let (shown, more) = (listed(state.data()).len(), unlisted(state.data()));
        if more > 0 {
            let count = |number: usize| count(number as u64);
            let words = format!("{} of {} sites", count(shown), count(shown + more));
            parts.push((Tone::Plain, words));
        }
    }
    parts.extend(said);
    parts.extend(place);
    let gaps = parts.len().saturating_sub(1);
    for (_, text) in parts.iter_mut().take(gaps) {
        text.push_str(GAP);
    }
    parts
}

fn spelled(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { span(seconds) }
}

fn title(state: &State, canvas: &mut Canvas<'_>) {
    let data = state.data();
    let (tone, verdict) = verdict(state);
    let mut right = String::from("? help");
    if let Some(clock) = data.clock_s {
        right = format!("{} UTC  {right}", time_of_day(clock));
    }
    let edge = canvas.right(canvas.width() - 2, 0, Tone::Quiet, &right);
    let mut left: Vec<Span> = vec![(Tone::Strong, "palisade".into())];
    if let Some(status) = &data.status {
        left.push((tone, format!("  {verdict}")));
        left.push((Tone::Quiet, format!("  up {}", span(status.uptime_s))));
        let first = status.sites.first().map_or("no site", |site| &site.name);
        let all = status.sites_total.max(status.sites.len());
        left.push((Tone::Plain, format!("  {}", more(first, all.saturating_sub(1)))));
    } else {
        left.push((tone, format!("  {verdict}")));
    }
    canvas.part(1, 0, edge.saturating_sub(2), 1).spans(0, 0, &left);
}

/// The worst there is, in a word.
fn verdict(state: &State) -> (Tone, &'static str) {
    let Some(status) = &state.data().status else { return (Tone::Quiet, "...") };
    if state.link.is_gone() {
        return (Tone::Bad, "GONE");
    }
    let worst = state.data().attention().into_iter().map(|(level, _)| level).min();
    match (status.state, worst) {
        (DaemonState::Starting, _) => (Tone::Warn, "STARTING"),
        (DaemonState::Draining, _) => (Tone::Warn, "DRAINING"),
        (DaemonState::Ready, Some(Level::Fail)) => (Tone::Bad, "FAIL"),
        (DaemonState::Ready, Some(Level::Warn)) => (Tone::Warn, "WARN"),
        (DaemonState::Ready, None) => (Tone::Good, "OK"),
    }
}

/// The name of a view in the bottom line.
pub struct Tab {
    /// Index in [`VIEWS`].
    pub view: usize,
    pub x: u16,
    pub cells: u16,
    text: String,
}

/// The views that exist and have a number; by their numbers alone where the changes that can be made need the room.
#[must_use]
pub fn tabs(state: &State) -> Vec<Tab> {
    let tabs = named_tabs(state, |_| true);
    let acts = cells_of(&keys::act_offers(state));
    if acts > 0 && tabs_end(&tabs).saturating_add(acts) >= offers_edge(state.size.0) {
        return named_tabs(state, |view| view == state.at());
    }
    tabs
}

/// Where offers begin.
fn tabs_end(tabs: &[Tab]) -> u16 {
    tabs.last().map_or(1, |tab| tab.x + tab.cells + 2)
}

/// Where they have to end.
fn offers_edge(width: u16) -> u16 {
    let always = u16::try_from(ALWAYS.len()).unwrap_or(0);
    width.saturating_sub(1 + always)
}

/// With the gaps behind them.
fn cells_of(offers: &[Offer]) -> u16 {
    let cells = offers.iter().map(|offer| offer.key.chars().count() + offer.word.len() + 3);
    u16::try_from(cells.sum::<usize>()).unwrap_or(u16::MAX)
}

fn named_tabs(state: &State, named: impl Fn(usize) -> bool) -> Vec<Tab> {
    let mut x = 1;
    let mut tabs = Vec::new();
    for (view, about) in VIEWS.iter().map(|view| view.about()).enumerate() {
        let offered = VIEWS.get(view).is_some_and(|view| view.offered(state.data()));
        let (Some(number), true) = (about.number, offered) else { continue };
        let text =
            if named(view) { format!("{number} {}", about.name) } else { number.to_string() };
        let cells = u16::try_from(text.len()).unwrap_or(u16::MAX);
        tabs.push(Tab { view, x, cells, text });
        x += cells + 1;
    }
    tabs
}

/// The views that exist, then the keys that work now, as many as there is room for.
fn bottom(state: &State, canvas: &mut Canvas<'_>, y: u16) {
    if let Some(Popup::Prompt(prompt)) = state.popups.last() {
        let sign = if matches!(prompt.kind, PromptKind::Palette { .. }) { ":" } else { "/" };
        let x =
            canvas.spans(1, y, &[(Tone::Strong, sign.into()), (Tone::Plain, prompt.text.clone())]);
        let x = x + canvas.line(x, y, Tone::Chosen, " ");
        if let Some(fault) = &prompt.fault {
            canvas.line(x + 2, y, Tone::Warn, fault);
            return;
        }
        offers(state, canvas, x + 3, y, canvas.width());
        return;
    }
    if state.popups.is_empty() {
        let tabs = tabs(state);
        for tab in &tabs {
            let tone = if tab.view == state.at() { Tone::Chosen } else { Tone::Plain };
            canvas.line(tab.x, y, tone, &tab.text);
        }
        let edge = canvas.right(canvas.width() - 2, y, Tone::Plain, ALWAYS);
        offers(state, canvas, tabs_end(&tabs), y, edge);
    } else {
        offers(state, canvas, 1, y, canvas.width());
    }
}

/// The changes that can be made as one offer, where there is no room for their words.
fn offered(state: &State, room: u16) -> Vec<Offer> {
    let mut all = keys::offers(state);
    let acts = keys::act_offers(state);
    if state.popups.is_empty() && acts.len() > 1 && cells_of(&acts) > room {
        let keys: Vec<&str> = acts.iter().map(|offer| offer.key.as_str()).collect();
        let one = Offer { key: keys.join("/"), word: "act".into(), more: "" };
        all.splice(..acts.len(), [one]);
    }
    all
}

/// Whole offers only: half a word is no help.
fn offers(state: &State, canvas: &mut Canvas<'_>, mut x: u16, y: u16, edge: u16) {
    for offer in offered(state, edge.saturating_sub(x)) {
        let text = format!("{} {}", offer.key, offer.word);
        let wide = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
        if x.saturating_add(wide) + 1 >= edge {
            break;
        }
        canvas.spans(x, y, &[(Tone::Strong, offer.key), (Tone::Quiet, format!(" {}", offer.word))]);
        x += wide + 2;
    }
}
