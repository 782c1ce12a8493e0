//! The calls about tokens.

use bytes::Bytes;
use http::Method;

use super::{Client, ClientError, IMPORT_TIME, segment};
use crate::ops::api::access::{CreateToken, TokenInfo, TokenMade};

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

    /// Every token, by id.
    ///
    /// # Errors
    /// As every call.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, ClientError> {
        self.all("/v1/tokens").await
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
