//! What the dashboard knows and shows. Folds events; draws nothing, asks nobody, reads no clock.
//!
//! Promises: the same events give the same state; a key acts on what was on the screen when it was pressed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::words::skew;
use crate::ops::api::Status;
use crate::ops::api::access::WhoAmI;
use crate::ops::api::live::History;

use super::bulk::Bulk;
use super::data::{Data, Document};
use super::event::{Effect, Event, Lost};
use super::page::Page;
use super::popup::Popup;
use super::table::{self, Filter, Narrow, Row, Sort, Table};
use super::theme::Look;
use super::views::{VIEWS, View, Want};
use super::{bulk, elevation, keys, screen};

/// How long an elevation without a code lasts; each mutation begins it anew.
pub const ELEVATED_MS: u64 = 10 * 60 * 1_000;

/// What a daemon that answers may be late before the screen says so.
const LATE_MS_MIN: u64 = 5_000;

/// How far back the charts go. A resolution of the history each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reach {
    #[default]
    TenMinutes,
    TwoHours,
    Day,
}

impl Reach {
    #[must_use]
    pub const fn resolution(self) -> &'static str {
        match self {
            Self::TenMinutes => "1s",
            Self::TwoHours => "10s",
            Self::Day => "1m",
        }
    }

    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::TenMinutes => "10 min",
            Self::TwoHours => "2 h",
            Self::Day => "24 h",
        }
    }

    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::TenMinutes => Self::TwoHours,
            Self::TwoHours => Self::Day,
            Self::Day => Self::TenMinutes,
        }
    }
}

/// One thing opened by Enter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    pub id: String,
    pub scroll: usize,
}

/// What each view remembers.
#[derive(Debug, Clone, Default)]
pub struct Pane {
    /// The row under the cursor, by what it is; `None` is the first, whatever comes to stand there.
    cursor: Option<String>,
    /// Where it was, for when it is gone.
    index: usize,
    pub sort: Option<Sort>,
    pub filter: Option<Filter>,
    pub opened: Option<Opened>,
    /// Ids of the rows that the next act is for.
    pub marked: BTreeSet<String>,
}

/// The daemon's side of things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub answered_ms: Option<u64>,
    pub fault: Option<Fault>,
}

impl Link {
    /// Nobody answers at all; a daemon that refuses something is there.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.fault.as_ref().is_some_and(|fault| fault.lost.gone)
    }
}

/// Why there is not the hoped-for answer now, and when the next try is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub lost: Lost,
    pub retry_at_ms: u64,
}

/// The rows of a view as they are shown.
pub struct Arranged {
    pub table: Table,
    pub rows: Vec<Row>,
    pub cursor: Option<usize>,
    /// Ids of rows that are marked.
    pub marked: BTreeSet<String>,
}

impl Arranged {
    #[must_use]
    pub fn chosen(&self) -> Option<&Row> {
        self.rows.get(self.cursor?)
    }
}

pub struct State {
    pub look: Look,
    pub size: (u16, u16),
    pub now_ms: u64,
    /// Between two questions to the daemon.
    pub rate_ms: u64,
    pub link: Link,
    pub popups: Vec<Popup>,
    pub narrow: Vec<Narrow>,
    pub reach: Reach,
    pub mouse: bool,
    /// One line for the operator, until the next key.
    pub said: Option<String>,
    /// A mutation is under way.
    pub busy: bool,
    /// A change of many rows, while it is under way.
    pub bulk: Option<Bulk>,
    pub elevated_until_ms: Option<u64>,
    /// The daemon gave it for a code, for so long and no longer.
    pub elevated_by_code: bool,
    /// Who this is to the daemon, once it has said so.
    pub me: Option<WhoAmI>,
    data: Data,
    frozen: Option<Box<Data>>,
    at: usize,
    panes: Vec<Pane>,
}

impl State {
    #[must_use]
    pub fn new(look: Look, size: (u16, u16), rate_ms: u64) -> Self {
        Self {
            look,
            size,
            now_ms: 0,
            rate_ms,
            link: Link::default(),
            popups: Vec::new(),
            narrow: Vec::new(),
            reach: Reach::default(),
            mouse: false,
            said: None,
            busy: false,
            bulk: None,
            elevated_until_ms: None,
            elevated_by_code: false,
            me: None,
            data: Data::default(),
            frozen: None,
            at: 0,
            panes: VIEWS.iter().map(|_| Pane::default()).collect(),
        }
    }

    /// Takes one event. Returns whether the screen may look different, and what is to be done.
    pub fn fold(&mut self, event: Event) -> (bool, Option<Effect>) {
        match event {
            Event::Tick { now_ms } => return (self.tick(now_ms), None),
            Event::Key(key) => return (true, keys::press(self, key)),
            Event::Wheel(lines) => keys::scroll(self, lines),
            Event::Click { x, y } => self.click(x, y),
            Event::Resize { width, height } => self.size = (width, height),
            Event::Status(status) => {
                self.answered();
                self.compare(&status);
                self.data.status = Some(Arc::from(status));
            }
            Event::History(history) => self.history(history),
            Event::Document { view, document } => self.keep(view, document),
            Event::Live(event) => self.data.live(event, self.now_ms),
            Event::TailLost { why } => {
                (self.data.tailing, self.data.tail_fault) = (false, Some(why))
            }
            Event::Lost { lost, retry_ms } => {
                let retry_at_ms = self.now_ms.saturating_add(retry_ms);
                self.link.fault = Some(Fault { lost, retry_at_ms });
            }
            Event::Me(me) => self.me = Some(me),
            Event::Done(outcome) => return (true, bulk::ended(self, outcome)),
            Event::Who(answer) => elevation::who(self, answer),
            Event::Elevated(answer) => return (true, elevation::answered(self, answer)),
            Event::Lapsed => elevation::end(self),
        }
        (true, None)
    }

    fn tick(&mut self, now_ms: u64) -> bool {
        let before = (screen::notice(self), self.elevated_minutes());
        self.now_ms = now_ms;
        if self.elevated_until_ms.is_some_and(|until| now_ms >= until) {
            elevation::end(self);
        }
        before != (screen::notice(self), self.elevated_minutes())
    }

    /// Says once that the daemon is another version, and again when it becomes yet another one.
    fn compare(&mut self, status: &Status) {
        let before = self.data.status.as_ref().map(|status| &status.version);
        let own = env!("CARGO_PKG_VERSION");
        if before != Some(&status.version) && status.version != own {
            self.said = Some(skew(&status.version, own, "dashboard"));
        }
    }

    fn answered(&mut self) {
        self.link = Link { answered_ms: Some(self.now_ms), fault: None };
        self.data.answers(self.now_ms);
    }

    fn history(&mut self, history: Option<Box<History>>) {
        if let Some(history) = &history {
            self.data.was(history.end_s, self.now_ms);
        }
        self.data.history = history.map(Arc::from);
    }

    fn keep(&mut self, name: &'static str, document: Document) {
        let view = VIEWS.iter().find(|view| view.about().name == name);
        let document = match view {
            Some(view) => view.keep(self.data.kept(name), document),
            None => document,
        };
        self.data.store(name, document);
    }

    /// Which part of something long the view needs next. A frozen screen needs nothing.
    #[must_use]
    pub fn want(&self) -> Want {
        if self.frozen() {
            return Want::Nothing;
        }
        let pane = self.pane();
        let cursor = pane.and_then(|pane| pane.cursor.as_deref());
        let opened = pane.and_then(|pane| pane.opened.as_ref()).map(|opened| opened.id.as_str());
        let sifted = !self.narrow.is_empty()
            || pane.is_some_and(|pane| pane.filter.is_some() || pane.sort.is_some());
        self.view().want(&self.data, cursor.or(opened), sifted)
    }

    fn click(&mut self, x: u16, y: u16) {
        if !self.popups.is_empty() {
            return;
        }
        if y + 1 == self.size.1 {
            let tabs = screen::tabs(self);
            if let Some(tab) = tabs.iter().find(|tab| (tab.x..tab.x + tab.cells).contains(&x)) {
                self.go(tab.view);
            }
            return;
        }
        let (top, height) = screen::list_rows(self);
        let opened = self.pane().is_some_and(|pane| pane.opened.is_some());
        if !opened && (top..top.saturating_add(height)).contains(&y) {
            let arranged = self.arranged();
            let page = table::page(height, arranged.cursor);
            self.move_to(&arranged, page + usize::from(y - top));
        }
    }

    /// What is shown: the past while frozen.
    #[must_use]
    pub fn data(&self) -> &Data {
        self.frozen.as_deref().unwrap_or(&self.data)
    }

    #[must_use]
    pub fn frozen(&self) -> bool {
        self.frozen.is_some()
    }

    pub fn toggle_freeze(&mut self) {
        self.frozen = match self.frozen {
            Some(_) => None,
            None => Some(Box::new(self.data.clone())),
        };
    }

    #[must_use]
    pub fn elevated(&self) -> bool {
        self.elevated_until_ms.is_some_and(|until| self.now_ms < until)
    }

    /// Begun minutes that are left of the elevation.
    #[must_use]
    pub fn elevated_minutes(&self) -> Option<u64> {
        self.elevated_until_ms.map(|until| until.saturating_sub(self.now_ms).div_ceil(60_000))
    }

    /// Milliseconds since the last answer, once that is longer than it should be.
    #[must_use]
    pub fn late_ms(&self) -> Option<u64> {
        let late = self.now_ms.saturating_sub(self.link.answered_ms?);
        (late >= LATE_MS_MIN.max(3 * self.rate_ms)).then_some(late)
    }

    #[must_use]
    pub fn view(&self) -> &'static dyn View {
        VIEWS.get(self.at).copied().unwrap_or(&super::views::overview::Overview)
    }

    /// Index of the view in [`VIEWS`].
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }

    pub fn go(&mut self, at: usize) {
        if VIEWS.get(at).is_some_and(|view| view.offered(self.data())) {
            self.at = at;
        }
    }

    /// The next view that exists, or the one before.
    pub fn turn(&mut self, forward: bool) {
        let count = VIEWS.len();
        let step = if forward { 1 } else { count - 1 };
        let mut at = (self.at + step) % count;
        while at != self.at && !VIEWS.get(at).is_some_and(|view| view.offered(self.data())) {
            at = (at + step) % count;
        }
        self.at = at;
    }

    #[must_use]
    pub fn pane(&self) -> Option<&Pane> {
        self.panes.get(self.at)
    }

    pub fn change_pane(&mut self, change: impl FnOnce(&mut Pane)) {
        if let Some(pane) = self.panes.get_mut(self.at) {
            change(pane);
        }
    }

    #[must_use]
    pub fn filter(&self) -> Option<&Filter> {
        self.pane()?.filter.as_ref()
    }

    #[must_use]
    pub fn arranged(&self) -> Arranged {
        let (mut table, pane) = (self.view().table(self.data(), self.look), self.pane());
        let sort = pane.and_then(|pane| pane.sort);
        let rows = std::mem::take(&mut table.rows);
        let all = rows.len();
        let rows = table::arrange(rows, self.filter(), &self.narrow, sort);
        // The table keeps so many empty rows that drawing can say how many the filter left out.
        table.rows = vec![Row::default(); all];
        let cursor = (!rows.is_empty()).then(|| {
            let wanted = pane.and_then(|pane| pane.cursor.as_ref());
            let place = wanted.and_then(|id| rows.iter().position(|row| row.id == *id));
            let index = pane.filter(|pane| pane.cursor.is_some()).map_or(0, |pane| pane.index);
            place.unwrap_or(index).min(rows.len() - 1)
        });
        let marked = pane.map(|pane| pane.marked.clone()).unwrap_or_default();
        Arranged { table, rows, cursor, marked }
    }

    pub fn move_to(&mut self, arranged: &Arranged, index: usize) {
        let index = index.min(arranged.rows.len().saturating_sub(1));
        // Who stands on the first row follows what comes, if it is the first of all.
        let follows = index == 0 && self.view().begins(self.data());
        let id = arranged.rows.get(index).filter(|_| !follows).map(|row| row.id.clone());
        self.change_pane(|pane| (pane.cursor, pane.index) = (id, index));
    }

    pub fn unmark(&mut self, view: usize, id: &str) {
        if let Some(pane) = self.panes.get_mut(view) {
            pane.marked.remove(id);
        }
    }

    /// To the first row of all, even where it is not there yet.
    pub fn move_to_first(&mut self) {
        self.change_pane(|pane| (pane.cursor, pane.index) = (None, 0));
    }

    /// What Enter has opened, made from what is known now.
    #[must_use]
    pub fn page(&self) -> Option<(Page, usize)> {
        let opened = self.pane()?.opened.as_ref()?;
        let gone = || {
            let mut page = Page::new("gone", &opened.id, self.size.0, self.look);
            page.text(super::theme::Tone::Quiet, "The daemon no longer tells about this one.");
            page
        };
        let page = self.view().page(self.data(), &opened.id, self.size.0, self.look);
        let page = page.unwrap_or_else(gone);
        let last = page.rows().saturating_sub(usize::from(screen::body_height(self)) - 1);
        Some((page, opened.scroll.min(last)))
    }

    /// What the keys that act on one thing act on: the page that is open, else the row under the cursor.
    #[must_use]
    pub fn subject(&self) -> Option<(String, Vec<Narrow>)> {
        match self.page() {
            Some((page, _)) => Some((page.id, page.facts)),
            None => self.arranged().chosen().map(|row| (row.id.clone(), row.facts.clone())),
        }
    }

    /// Adds a value that every view is narrowed to; of each kind there is one.
    pub fn narrow_to(&mut self, narrow: Narrow) {
        self.narrow.retain(|(fact, _)| *fact != narrow.0);
        self.narrow.push(narrow);
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
