//! Lists in pages: a question for the next page names the last item of the one before.
//!
//! Bounds: [`ITEMS_MAX`] items and [`ITEMS_BYTES_MAX`] bytes of them, so that a page is an answer that clients take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most items in one answer, and the default.
pub const ITEMS_MAX: usize = 500;
/// A page ends early where its items would be longer than this as JSON, but not before its first item.
pub const ITEMS_BYTES_MAX: usize = 1024 * 1024;

/// `?after=&limit=` of every list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageQuery {
    /// Items behind this one; from the first where it is absent.
    pub after: Option<String>,
    /// At most [`ITEMS_MAX`].
    pub limit: Option<usize>,
}

impl PageQuery {
    /// The page of a list that is sorted by `key`.
    pub fn of<T: Serialize>(
        &self,
        sorted: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> &str,
    ) -> Page<T> {
        let limit = self.limit.unwrap_or(ITEMS_MAX).clamp(1, ITEMS_MAX);
        let after = self.after.as_deref();
        let mut rest =
            sorted.into_iter().filter(|item| after.is_none_or(|after| key(item) > after));
        let (mut items, mut bytes, mut more) = (Vec::new(), 0, false);
        for item in &mut rest {
            bytes += length(&item);
            more = items.len() == limit || (bytes > ITEMS_BYTES_MAX && !items.is_empty());
            if more {
                break;
            }
            items.push(item);
        }
        let next = items.last().filter(|_| more).map(|last| key(last).to_owned());
        Page { items, next }
    }
}

/// Bytes of a value as JSON.
fn length(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // What cannot be written as JSON cannot be answered either; it counts as nothing here.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// `after` of the next page; absent on the last one.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_list_once_and_end() {
        let list = ["a", "b", "c", "d", "e"];
        let mut query = PageQuery { after: None, limit: Some(2) };
        let mut seen = Vec::new();
        loop {
            let page = query.of(list, |item| *item);
            assert!(page.items.len() <= 2);
            seen.extend(page.items);
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        assert_eq!(seen, list);
    }

    #[test]
    fn a_page_of_large_items_ends_early_and_the_next_one_goes_on() {
        let large = |name: &str| format!("{name}{}", "x".repeat(ITEMS_BYTES_MAX / 2));
        let list: Vec<String> = ["a", "b", "c"].into_iter().map(large).collect();
        let mut query = PageQuery::default();
        let mut sizes = Vec::new();
        loop {
            let page = query.of(&list, |item| item.as_str());
            sizes.push(page.items.len());
            let Some(next) = page.next else { break };
            query.after = Some(next);
        }
        assert_eq!(sizes, [1, 1, 1]);
        let huge = ["y".repeat(2 * ITEMS_BYTES_MAX)];
        assert_eq!(PageQuery::default().of(&huge, |item| item.as_str()).items.len(), 1);
    }
}
