//! Runtime switches, as the client asks for them.

use http::Method;

use super::{CALL_TIME, Client, ClientError, segment};
use crate::ops::api::CapabilityStatus;
use crate::ops::api::switches::SetCapability;

impl Client {
    /// Every capability.
    ///
    /// # Errors
    /// As every call.
    pub async fn capabilities(&self) -> Result<Vec<CapabilityStatus>, ClientError> {
        self.all("/v1/capabilities").await
    }

    /// Sets a switch, or takes it back. In force on the next request, and through restarts.
    ///
    /// # Errors
    /// As every call; refused with 409 where an emergency flag holds it or nothing obeys it, with 503 where it cannot be
    /// stored: nothing has changed then.
    pub async fn set_capability(
        &self,
        name: &str,
        wanted: &SetCapability,
    ) -> Result<CapabilityStatus, ClientError> {
        let body = serde_json::to_vec(wanted)
            .map_err(|_| ClientError::Garbled("the call cannot be written as JSON".to_owned()))?;
        let path = format!("/v1/capabilities/{}", segment(name));
        self.call(Method::POST, &path, body.into(), CALL_TIME).await
    }
}
