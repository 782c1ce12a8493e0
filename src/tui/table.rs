//! Lists: columns that give way when the screen is narrow, rows that can be filtered, narrowed and sorted.
//!
//! Bounds: a filter compiles to at most 64 KiB and runs in linear time whatever is typed.

use std::cmp::Ordering;

use regex_lite::{Regex, RegexBuilder};

use super::canvas::Canvas;
use super::state::Arranged;
use super::theme::Tone;

/// Beside a row that is marked.
const MARK: &str = "*";
const FILTER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// Cells; the last one may be a share of what is left.
    pub width: Width,
    /// Numbers stand at the right.
    pub right: bool,
    /// Columns with the highest rank go first where there is no room; 0 stays.
    pub rank: u8,
}

#[derive(Debug, Clone, Copy)]
pub enum Width {
    Cells(u16),
    /// At least so many, and a part of the rest.
    Share(u16),
}

impl Column {
    #[must_use]
    pub const fn new(title: &'static str, width: Width, rank: u8) -> Self {
        Self { title, width, right: false, rank }
    }

    #[must_use]
    pub const fn number(title: &'static str, cells: u16, rank: u8) -> Self {
        Self { title, width: Width::Cells(cells), right: true, rank }
    }

    const fn least(&self) -> u16 {
        match self.width {
            Width::Cells(cells) | Width::Share(cells) => cells,
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Cell {
    pub tone: Tone,
    pub text: String,
    /// What the column is sorted by where the text does not sort.
    pub order: Option<i64>,
}

impl Cell {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into(), order: None }
    }

    /// A value that is shown as `text`.
    pub fn value(order: u64, text: impl Into<String>) -> Self {
        let order = Some(i64::try_from(order).unwrap_or(i64::MAX));
        Self { order, ..Self::new(text) }
    }
}

/// What rows of different views have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    Ip,
    Status,
    Site,
    Path,
    Actor,
    Action,
}

impl Fact {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Status => "status",
            Self::Site => "site",
            Self::Path => "path",
            Self::Actor => "actor",
            Self::Action => "action",
        }
    }
}

/// A value that every view is narrowed to.
pub type Narrow = (Fact, String);

#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Tells rows apart; what is copied.
    pub id: String,
    pub cells: Vec<Cell>,
    pub facts: Vec<Narrow>,
}

impl Row {
    /// A row that knows nothing of the kind is not about it, and stays.
    #[must_use]
    pub fn meets(&self, narrow: &[Narrow]) -> bool {
        narrow.iter().all(|(fact, wanted)| {
            let mut own = self.facts.iter().filter(|(kind, _)| kind == fact).peekable();
            own.peek().is_none() || own.any(|(_, value)| value == wanted)
        })
    }
}

#[derive(Debug, Clone, Default)]
pub struct Table {
    pub columns: &'static [Column],
    pub rows: Vec<Row>,
    /// What is said when there are none.
    pub empty: String,
}

/// A filter as typed: a regular expression, `!` in front of it for what does not match.
#[derive(Debug, Clone)]
pub struct Filter {
    pub text: String,
    regex: Regex,
    inverse: bool,
}

impl Filter {
    /// `None` for nothing typed.
    ///
    /// # Errors
    /// Why it is no regular expression, in a few words.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let (inverse, pattern) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if pattern.is_empty() {
            return Ok(None);
        }
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(true)
            .size_limit(FILTER_BYTES_MAX)
            .build()
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())?;
        Ok(Some(Self { text: text.to_owned(), regex, inverse }))
    }

    fn keeps(&self, row: &Row) -> bool {
        let found = row.cells.iter().any(|cell| self.regex.is_match(&cell.text));
        found != self.inverse
    }
}

/// Which column, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    pub column: usize,
    pub down: bool,
}

/// Leaves the rows that are wanted, in the wanted order.
#[must_use]
pub fn arrange(
    mut rows: Vec<Row>,
    filter: Option<&Filter>,
    narrow: &[Narrow],
    sort: Option<Sort>,
) -> Vec<Row> {
    rows.retain(|row| row.meets(narrow) && filter.is_none_or(|filter| filter.keeps(row)));
    if let Some(Sort { column, down }) = sort {
        rows.sort_by(|a, b| {
            let order = compare(a.cells.get(column), b.cells.get(column));
            if down { order.reverse() } else { order }
        });
    }
    rows
}

fn compare(a: Option<&Cell>, b: Option<&Cell>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.order.cmp(&b.order).then_with(|| a.text.cmp(&b.text)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

/// The cells of each column; `None` where there is no room for it.
fn layout(columns: &[Column], width: u16) -> Vec<Option<u16>> {
    let mut kept: Vec<bool> = vec![true; columns.len()];
    let needed = |kept: &[bool]| -> u16 {
        let wide = columns.iter().zip(kept).filter(|(_, kept)| **kept).map(|(c, _)| c.least() + 1);
        wide.sum::<u16>().saturating_sub(1)
    };
    while needed(&kept) > width {
        let last = columns.iter().zip(&kept).enumerate();
        let last =
            last.filter(|(_, (c, kept))| **kept && c.rank > 0).max_by_key(|(_, (c, _))| c.rank);
        let Some((at, _)) = last else { break };
        if let Some(kept) = kept.get_mut(at) {
            *kept = false;
        }
    }
    let shares =
        columns.iter().zip(&kept).filter(|(c, kept)| **kept && matches!(c.width, Width::Share(_)));
    let mut shares = u16::try_from(shares.count()).unwrap_or(1);
    let mut left = width.saturating_sub(needed(&kept));
    let give = |column: &Column| match column.width {
        Width::Cells(cells) => cells,
        Width::Share(least) => {
            let part = left.checked_div(shares).unwrap_or(0);
            left -= part;
            shares = shares.saturating_sub(1);
            least + part
        }
    };
    let mut give = give;
    columns.iter().zip(&kept).map(|(column, kept)| kept.then(|| give(column))).collect()
}

/// Draws a page of the rows: the one that holds the cursor. Lists turn like pages, because a list that scrolls by
/// one line repaints a whole screen for every key on a slow line.
pub fn draw(canvas: &mut Canvas<'_>, list: &Arranged, sort: Option<Sort>) {
    let Arranged { table, rows, cursor, .. } = list;
    let cursor = *cursor;
    let cells = layout(table.columns, canvas.width().saturating_sub(2));
    head(canvas, table.columns, &cells, sort);
    if rows.is_empty() {
        let text = if table.rows.is_empty() {
            table.empty.clone()
        } else {
            format!("none of {} rows passes the filter", table.rows.len())
        };
        canvas.line(1, 2, Tone::Quiet, &text);
        return;
    }
    let page = page(canvas.height().saturating_sub(1), cursor);
    for (y, row) in (1..canvas.height()).zip(rows.iter().skip(page)) {
        if list.marked.contains(&row.id) {
            canvas.line(0, y, Tone::Strong, MARK);
        }
        line(canvas, y, table.columns, &cells, row);
        if cursor == Some(page + usize::from(y) - 1) {
            canvas.choose(y);
        }
    }
}

/// Index of the first row of the page with the cursor.
#[must_use]
pub fn page(height: u16, cursor: Option<usize>) -> usize {
    let height = usize::from(height.max(1));
    cursor.unwrap_or(0) / height * height
}

fn head(canvas: &mut Canvas<'_>, columns: &[Column], cells: &[Option<u16>], sort: Option<Sort>) {
    let mut x = 1;
    for (at, (column, wide)) in columns.iter().zip(cells).enumerate() {
        let Some(wide) = *wide else { continue };
        let sign = match sort {
            Some(sort) if sort.column == at => {
                if sort.down {
                    "-"
                } else {
                    "+"
                }
            }
            _ => "",
        };
        let title = format!("{}{sign}", column.title);
        if column.right {
            canvas.part(x, 0, wide, 1).right(wide - 1, 0, Tone::Quiet, &title);
        } else {
            canvas.put(x, 0, wide, Tone::Quiet, &title);
        }
        x += wide + 1;
    }
}

fn line(canvas: &mut Canvas<'_>, y: u16, columns: &[Column], cells: &[Option<u16>], row: &Row) {
    let mut x = 1;
    for ((column, wide), cell) in columns.iter().zip(cells).zip(&row.cells) {
        let Some(wide) = *wide else { continue };
        if column.right {
            canvas.part(x, y, wide, 1).right(wide.saturating_sub(1), 0, cell.tone, &cell.text);
        } else {
            canvas.put(x, y, wide, cell.tone, &cell.text);
        }
        x += wide + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, cells: &[&str], facts: &[(Fact, &str)]) -> Row {
        Row {
            id: id.into(),
            cells: cells.iter().map(|text| Cell::new(*text)).collect(),
            facts: facts.iter().map(|(fact, value)| (*fact, (*value).to_owned())).collect(),
        }
    }

    fn ids(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.id.as_str()).collect()
    }

    #[test]
    fn a_filter_keeps_what_matches_and_its_inverse_the_rest() {
        let rows = vec![row("a", &["GET", "/login"], &[]), row("b", &["POST", "/Pay"], &[])];
        let filter = |text: &str| Filter::parse(text).expect("a regex");
        let left = |text: &str| {
            let kept = arrange(rows.clone(), filter(text).as_ref(), &[], None);
            ids(&kept).join("")
        };
        assert_eq!(
            (left("^/pay$"), left("!pay"), left("GET|POST"), left("!")),
            ("b".into(), "a".into(), "ab".into(), "ab".into())
        );
        assert!(Filter::parse("(").is_err());
        assert!(Filter::parse(&"(a{1000}){1000}".repeat(9)).is_err(), "bounded");
    }

    #[test]
    fn a_narrowing_leaves_rows_that_are_about_something_else() {
        let rows = vec![
            row("mine", &[], &[(Fact::Site, "a"), (Fact::Ip, "192.0.2.1")]),
            row("other", &[], &[(Fact::Site, "b"), (Fact::Ip, "192.0.2.1")]),
            row("unrelated", &[], &[]),
        ];
        let kept = arrange(rows.clone(), None, &[(Fact::Site, "a".into())], None);
        assert_eq!(ids(&kept), ["mine", "unrelated"]);
        let both = [(Fact::Site, "b".into()), (Fact::Ip, "192.0.2.1".into())];
        assert_eq!(ids(&arrange(rows, None, &both, None)), ["other", "unrelated"]);
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let mut rows = vec![row("2", &[], &[]), row("10", &[], &[]), row("1", &[], &[])];
        for row in &mut rows {
            row.cells = vec![Cell::value(row.id.parse().expect("a number"), &row.id)];
        }
        let sorted = arrange(rows.clone(), None, &[], Some(Sort { column: 0, down: true }));
        assert_eq!(ids(&sorted), ["10", "2", "1"]);
        let sorted = arrange(rows, None, &[], Some(Sort { column: 0, down: false }));
        assert_eq!(ids(&sorted), ["1", "2", "10"]);
    }

    #[test]
    fn columns_give_way_by_rank_and_share_what_is_left() {
        let columns = [
            Column::new("A", Width::Cells(4), 0),
            Column::new("B", Width::Share(6), 0),
            Column::new("C", Width::Cells(10), 2),
            Column::new("D", Width::Cells(5), 1),
        ];
        assert_eq!(layout(&columns, 40), [Some(4), Some(18), Some(10), Some(5)]);
        assert_eq!(layout(&columns, 20), [Some(4), Some(9), None, Some(5)]);
        assert_eq!(layout(&columns, 12), [Some(4), Some(7), None, None]);
        assert_eq!(layout(&columns, 5), [Some(4), Some(6), None, None], "and is cut at the edge");
    }

    #[test]
    fn the_page_is_the_one_with_the_cursor() {
        assert_eq!(page(10, Some(9)), 0);
        assert_eq!(page(10, Some(10)), 10);
        assert_eq!(page(0, Some(3)), 3);
        assert_eq!(page(10, None), 0);
    }
}
