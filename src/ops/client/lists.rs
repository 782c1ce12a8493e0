//! Lists that come in pages.
//!
//! Bounds: a list is followed for [`FOLLOWED_MAX`] items; a daemon whose pages do not lead on is not believed.

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;

use super::{CALL_TIME, Client, ClientError, query_string};
use crate::ops::api::page::{Page, PageQuery};
use crate::ops::api::upstreams::UpstreamStatus;
use crate::ops::api::{CertificateInfo, SiteStatus};

/// Many more than any daemon has.
const FOLLOWED_MAX: usize = 100_000;

impl Client {
    /// The certificate of every site, by name.
    ///
    /// # Errors
    /// As every call.
    pub async fn certificates(&self) -> Result<Vec<CertificateInfo>, ClientError> {
        self.all("/v1/certificates").await
    }

    /// A page of the sites, by name.
    ///
    /// # Errors
    /// As every call; refused when the query asks for no page.
    pub async fn sites(&self, query: &PageQuery) -> Result<Page<SiteStatus>, ClientError> {
        self.page("/v1/sites", query).await
    }

    /// A page of the upstreams, by name.
    ///
    /// # Errors
    /// As every call; refused when the query asks for no page, and by a daemon that does not know the call.
    pub async fn upstreams(&self, query: &PageQuery) -> Result<Page<UpstreamStatus>, ClientError> {
        self.page("/v1/upstreams", query).await
    }

    /// Every item of a list, page by page.
    pub(super) async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        let (mut items, mut query) = (Vec::new(), PageQuery::default());
        loop {
            let page: Page<T> = self.page(path, &query).await?;
            let leads_on = !page.items.is_empty() && page.next != query.after;
            items.extend(page.items);
            match page.next {
                None => return Ok(items),
                Some(_) if !leads_on || items.len() >= FOLLOWED_MAX => {
                    let what = format!("the list {path} does not end");
                    return Err(ClientError::Garbled(what));
                }
                next => query.after = next,
            }
        }
    }

    /// One page of a list.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &PageQuery,
    ) -> Result<Page<T>, ClientError> {
        let limit = query.limit.map(|limit| limit.to_string());
        let query = query_string([("after", query.after.as_deref()), ("limit", limit.as_deref())]);
        self.call(Method::GET, &format!("{path}{query}"), Bytes::new(), CALL_TIME).await
    }
}
