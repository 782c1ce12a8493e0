//! The calls about tokens.

use bytes::Bytes;
use http::Method;

use super::{CALL_TIME, Client, ClientError, IMPORT_TIME, query_string, segment};
use crate::ops::api::access::{CreateToken, TokenInfo, TokenMade};
use crate::ops::api::page::{Page, PageQuery};

impl Client {
    /// Makes a token. The answer is the only one that has its secret.
    ///
    /// # Errors
    /// As every call; refused when it may not be made.
    pub async fn create_token(&self, wanted: &CreateToken) -> Result<TokenMade, ClientError> {
        let body = serde_json::to_vec(wanted)
            .map_err(|_| ClientError::Garbled("the token cannot be written as JSON".to_owned()))?;
        self.call(Method::POST, "/v1/tokens", body.into(), IMPORT_TIME).await
    }

    /// A page of the tokens, by id.
    ///
    /// # Errors
    /// As every call.
    pub async fn tokens(&self, query: &PageQuery) -> Result<Page<TokenInfo>, ClientError> {
        let limit = query.limit.map(|limit| limit.to_string());
        let query = query_string([("after", query.after.as_deref()), ("limit", limit.as_deref())]);
        self.call(Method::GET, &format!("/v1/tokens{query}"), Bytes::new(), CALL_TIME).await
    }

    /// Ends a token by its id or its name.
    ///
    /// # Errors
    /// As every call; refused when there is none.
    pub async fn revoke_token(&self, which: &str) -> Result<TokenInfo, ClientError> {
        let path = format!("/v1/tokens/{}/revoke", segment(which));
        self.call(Method::POST, &path, Bytes::new(), IMPORT_TIME).await
    }
}
