//! Second factors: the calls about them, and what the client sends to confirm others.
//!
//! Promises: a code and an elevation are sent with every call from then on, and shown nowhere.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method};
use zeroize::Zeroizing;

use super::{CALL_TIME, Client, ClientError, IMPORT_TIME, query_string, segment};
use crate::ops::api::access::{
    ELEVATION_HEADER, Elevated, EnrollTotp, TOTP_HEADER, TOTP_REQUIRED, TOTP_WRONG, TotpCode,
    TotpInfo, TotpSecret, WhoAmI,
};
use crate::ops::api::page::{Page, PageQuery};

/// What every call carries to be confirmed; clones of a client share it.
#[derive(Clone, Default)]
pub(super) struct Carried(Arc<Mutex<Option<Proof>>>);

/// A header field and its value.
type Proof = (&'static str, Zeroizing<String>);

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Carried(..)")
    }
}

impl Carried {
    fn held(&self) -> MutexGuard<'_, Option<Proof>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The header field to send, if there is one.
    pub(super) fn field(&self) -> Result<Option<(&'static str, HeaderValue)>, ClientError> {
        let held = self.held();
        let Some((name, value)) = &*held else { return Ok(None) };
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| ClientError::Garbled("what was given as a code is none".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some((name, value)))
    }
}

impl ClientError {
    /// Whether the call would be made with a code of a second factor.
    #[must_use]
    pub fn wants_code(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.kind == TOTP_REQUIRED)
    }

    /// Whether the code was wrong, or used before.
    #[must_use]
    pub fn is_wrong_code(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.kind == TOTP_WRONG)
    }
}

impl Client {
    /// A client that sends a code with its calls; blanks in it do not count.
    #[must_use]
    pub fn with_code(self, code: &str) -> Self {
        let code = Zeroizing::new(code.split_whitespace().collect());
        let carried = Carried(Arc::new(Mutex::new(Some((TOTP_HEADER, code)))));
        Self { carried, ..self }
    }

    /// Gives a code for an elevation, which this client and its clones send from then on.
    ///
    /// # Errors
    /// As every call; see [`ClientError::is_wrong_code`].
    pub async fn elevate(&self, code: &str) -> Result<Elevated, ClientError> {
        let body = json(&TotpCode { code: code.split_whitespace().collect() })?;
        let elevated: Elevated =
            self.call(Method::POST, "/v1/elevation", body, IMPORT_TIME).await?;
        let proof = (ELEVATION_HEADER, Zeroizing::new(elevated.elevation.clone()));
        *self.carried.held() = Some(proof);
        Ok(elevated)
    }

    /// Sends nothing of the kind any more.
    pub fn lower(&self) {
        *self.carried.held() = None;
    }

    /// Who this client is to the daemon.
    ///
    /// # Errors
    /// As every call.
    pub async fn whoami(&self) -> Result<WhoAmI, ClientError> {
        self.call(Method::GET, "/v1/whoami", Bytes::new(), CALL_TIME).await
    }

    /// Second factors, by name.
    ///
    /// # Errors
    /// As every call.
    pub async fn factors(&self, query: &PageQuery) -> Result<Page<TotpInfo>, ClientError> {
        let limit = query.limit.map(|limit| limit.to_string());
        let query = query_string([("after", query.after.as_deref()), ("limit", limit.as_deref())]);
        self.call(Method::GET, &format!("/v1/totp{query}"), Bytes::new(), CALL_TIME).await
    }

    /// Begins a second factor; the answer has its secret.
    ///
    /// # Errors
    /// As every call.
    pub async fn enroll_totp(&self, name: &str) -> Result<TotpSecret, ClientError> {
        let body = json(&EnrollTotp { name: name.to_owned() })?;
        self.call(Method::POST, "/v1/totp", body, IMPORT_TIME).await
    }

    /// Makes it count, by a code of it.
    ///
    /// # Errors
    /// As every call.
    pub async fn activate_totp(&self, name: &str, code: &str) -> Result<TotpInfo, ClientError> {
        let body = json(&TotpCode { code: code.split_whitespace().collect() })?;
        let path = format!("/v1/totp/{}/activate", segment(name));
        self.call(Method::POST, &path, body, IMPORT_TIME).await
    }

    /// Removes one.
    ///
    /// # Errors
    /// As every call.
    pub async fn remove_totp(&self, name: &str) -> Result<TotpInfo, ClientError> {
        let path = format!("/v1/totp/{}/remove", segment(name));
        self.call(Method::POST, &path, Bytes::new(), IMPORT_TIME).await
    }
}

fn json(body: &impl serde::Serialize) -> Result<Bytes, ClientError> {
    let body = serde_json::to_vec(body);
    body.map(Bytes::from).map_err(|error| ClientError::Garbled(error.to_string()))
}
