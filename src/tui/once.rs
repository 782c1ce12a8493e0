//! One frame for scripts: as text, or the data that it is made of.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde::Serialize;

use crate::ops::api::Status;
use crate::ops::api::live::History;
use crate::ops::client::ClientError;

use super::canvas::Canvas;
use super::event::Event;
use super::feed::Feed;
use super::screen;
use super::state::{Reach, State};
use super::text::Charset;
use super::theme::Look;

/// Lines that a frame may have; blank ones at its end go.
const HEIGHT: u16 = 50;

/// `palisade top --once --json`
#[derive(Debug, Clone, Serialize)]
pub struct Snapshot {
    pub status: Status,
    /// The last 10 minutes, a second each; absent where the daemon keeps none.
    pub history: Option<History>,
}

/// Asks once.
///
/// # Errors
/// As every call.
pub async fn snapshot(feed: &dyn Feed) -> Result<Snapshot, ClientError> {
    let status = feed.status().await?;
    let history = match feed.history(Reach::default().resolution()).await {
        Ok(history) => Some(history),
        Err(ClientError::Refused(problem)) if problem.status == 404 => None,
        Err(error) => return Err(error),
    };
    Ok(Snapshot { status, history })
}

/// The overview as lines of text, without keys.
#[must_use]
pub fn frame(snapshot: Snapshot, width: u16, charset: Charset) -> String {
    let look = Look { colour: false, charset };
    let width = width.max(screen::WIDTH_MIN);
    let mut state = State::new(look, (width, HEIGHT), 0);
    state.fold(Event::Status(Box::new(snapshot.status)));
    state.fold(Event::History(snapshot.history.map(Box::new)));
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, HEIGHT));
    screen::draw_still(&state, &mut Canvas::new(&mut buffer, look));
    let mut text = lines(&buffer).join("\n");
    text.truncate(text.trim_end().len());
    text
}

/// What the buffer shows, without the blanks at the ends of lines.
pub(super) fn lines(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width.max(1));
    let line = |cells: &[ratatui::buffer::Cell]| {
        let mut line = String::new();
        let mut covered = 0;
        for cell in cells {
            if covered > 0 {
                covered -= 1;
                continue;
            }
            line.push_str(cell.symbol());
            covered = unicode_width::UnicodeWidthStr::width(cell.symbol()).saturating_sub(1);
        }
        line.trim_end().to_owned()
    };
    buffer.content().chunks(width).map(line).collect()
}
