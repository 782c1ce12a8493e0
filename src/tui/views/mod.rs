//! The views. A new one is a file here and a line in [`VIEWS`].
//!
//! Numbers are for ever: 1 overview, 2 requests, 3 sites, 4 queue, 5 limits, 6 gates, 7 audit, 8 backups, 9 alerts.
//! What a view needs beyond status, history and the tail it fetches for itself, while it is on the screen.

pub mod audit;
pub mod capabilities;
pub mod overview;
pub mod requests;
pub mod sites;

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use crate::base::RequestId;
use crate::ops::client::{Client, ClientError};

use super::canvas::Canvas;
use super::data::{Data, Document};
use super::event::Mutation;
use super::page::Page;
use super::state::{Arranged, Reach};
use super::table::{self, Narrow, Sort, Table};
use super::theme::Look;

/// Every view of this version, in the order of Tab.
pub static VIEWS: [&dyn View; 5] = [
    &overview::Overview,
    &requests::Requests,
    &sites::Sites,
    &audit::Audit,
    &capabilities::Capabilities,
];

/// What a view asks the daemon for.
pub type Fetch =
    for<'a> fn(
        &'a Client,
    ) -> Pin<Box<dyn Future<Output = Result<Document, ClientError>> + Send + 'a>>;

/// Which part of something long a view asks for next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Want {
    #[default]
    Newest,
    /// What comes before the one with this number.
    Before(u64),
    After(u64),
    /// What is told of the request with this id.
    One(RequestId),
    /// All that is needed is there.
    Nothing,
}

/// What a view asks the daemon for where it is too long for one answer.
pub type FetchPart =
    for<'a> fn(
        &'a Client,
        Want,
    ) -> Pin<Box<dyn Future<Output = Result<Document, ClientError>> + Send + 'a>>;

#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The key; views without one are reached by their name.
    pub number: Option<u8>,
    /// One word, in the bottom line and behind `:`.
    pub name: &'static str,
    pub title: &'static str,
    /// For the help: what one sees, in a sentence or two.
    pub help: &'static str,
}

/// A change that a view offers for the chosen row.
#[derive(Debug, Clone, Copy)]
pub struct Act {
    pub key: char,
    pub word: &'static str,
    pub more: &'static str,
    /// Of the row's id.
    pub mutation: fn(&str) -> Mutation,
    /// Why it cannot be done to the row with this id, where that is known before the daemon is asked.
    pub unfit: fn(&Data, &str) -> Option<String>,
}

/// What a view is drawn from.
pub struct Scene<'a> {
    pub data: &'a Data,
    pub list: &'a Arranged,
    pub narrow: &'a [Narrow],
    pub sort: Option<Sort>,
    pub reach: Reach,
    pub look: Look,
}

pub trait View: Sync {
    fn about(&self) -> About;

    /// Whether this daemon has it.
    fn offered(&self, _data: &Data) -> bool {
        true
    }

    fn fetch(&self) -> Option<Fetch> {
        None
    }

    fn fetch_part(&self) -> Option<FetchPart> {
        None
    }

    /// Which part is to be asked for: the row under the cursor is known, where it is not the first of all, and whether
    /// some rows are left out.
    fn want(&self, _data: &Data, _cursor: Option<&str>, _sifted: bool) -> Want {
        Want::Newest
    }

    /// What is kept of an answer, beside what was known before.
    fn keep(&self, _known: Option<&(dyn Any + Send + Sync)>, new: Document) -> Document {
        new
    }

    /// Whether the first row that is there is the first of all.
    fn begins(&self, _data: &Data) -> bool {
        true
    }

    /// Whether it draws the history.
    fn charts(&self) -> bool {
        false
    }

    fn table(&self, data: &Data, look: Look) -> Table;

    /// First line and height of the rows of the list, of a view of this height.
    fn list_rows(&self, _data: &Data, height: u16) -> (u16, u16) {
        (1, height.saturating_sub(1))
    }

    fn draw(&self, scene: &Scene<'_>, canvas: &mut Canvas<'_>) {
        table::draw(canvas, scene.list, scene.sort);
    }

    /// A row in full.
    fn page(&self, data: &Data, id: &str, width: u16, look: Look) -> Option<Page>;

    fn acts(&self) -> &'static [Act] {
        &[]
    }
}
