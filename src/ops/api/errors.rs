//! What the app said where its client got a page (`hide_errors`).
//!
//! It may hold secrets of the app: whoever shows it makes sure that it ends on a screen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An answer that a client did not get, without what was said in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HiddenError {
    /// Id of the request, as the client's page shows it.
    pub id: String,
    /// When the request arrived, Unix milliseconds.
    pub at_ms: i64,
    pub site: String,
    pub route: Option<String>,
    pub method: String,
    /// Without the query.
    pub path: String,
    pub status: u16,
    pub upstream: Option<String>,
    /// To the head of the app's answer, microseconds.
    pub upstream_us: Option<u64>,
    /// Bytes kept of its body.
    pub body_bytes: u64,
}

/// `GET /v1/errors/{id}`: the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HiddenErrorDetail {
    pub error: HiddenError,
    /// As the app sent them, without those that belong to its connection and without banners.
    pub fields: Vec<HiddenField>,
    pub body: HiddenBody,
}

/// A field of the app's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HiddenField {
    pub name: String,
    /// Absent where it was a secret, which is not kept.
    pub value: Option<String>,
}

/// The body of the app's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HiddenBody {
    /// `none`, `text`, `compressed` or `binary`
    pub kind: String,
    /// As the app sent it, where it is text.
    pub text: Option<String>,
    /// Why the body is not whole; absent where it is.
    pub incomplete: Option<String>,
}
