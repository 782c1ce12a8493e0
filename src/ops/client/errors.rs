//! Answers that clients did not get, as operators ask for them.

use bytes::Bytes;
use http::Method;

use super::{CALL_TIME, Client, ClientError, segment};
use crate::ops::api::errors::{HiddenError, HiddenErrorDetail};
use crate::ops::api::page::{Page, PageQuery};

impl Client {
    /// A page of what is kept, the newest first.
    ///
    /// # Errors
    /// As every call; refused when the query asks for no page.
    pub async fn errors(&self, query: &PageQuery) -> Result<Page<HiddenError>, ClientError> {
        self.page("/v1/errors", query).await
    }

    /// What the app answered to the request with this id.
    ///
    /// # Errors
    /// As every call; refused with 404 where nothing is kept of the request.
    pub async fn error(&self, id: &str) -> Result<HiddenErrorDetail, ClientError> {
        let path = format!("/v1/errors/{}", segment(id));
        self.call(Method::GET, &path, Bytes::new(), CALL_TIME).await
    }
}
