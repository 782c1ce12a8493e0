//! Lists in pages: a question for the next page names the last item of the one before.

use serde::{Deserialize, Serialize};

/// Most items in one answer, and the default.
pub const ITEMS_MAX: usize = 500;

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
    pub fn of<T>(&self, sorted: impl IntoIterator<Item = T>, key: impl Fn(&T) -> &str) -> Page<T> {
        let limit = self.limit.unwrap_or(ITEMS_MAX).clamp(1, ITEMS_MAX);
        let after = self.after.as_deref();
        let mut rest =
            sorted.into_iter().filter(|item| after.is_none_or(|after| key(item) > after));
        let items: Vec<T> = rest.by_ref().take(limit).collect();
        let more = rest.next().is_some();
        let next = items.last().filter(|_| more).map(|last| key(last).to_owned());
        Page { items, next }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
}
