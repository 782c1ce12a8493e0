//! Tokens and second factors in the words of the control socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::{Role, Scope};

/// Carries a code of a second factor with a call that wants one.
pub const TOTP_HEADER: &str = "palisade-totp";
/// Carries what [`Elevated`] gave.
pub const ELEVATION_HEADER: &str = "palisade-elevation";
/// Type of the problem that asks for a second factor.
pub const TOTP_REQUIRED: &str = "urn:palisade:totp-required";
/// Type of the problem that a code is wrong or was used before.
pub const TOTP_WRONG: &str = "urn:palisade:totp-wrong";

/// `POST /v1/tokens`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateToken {
    /// For people; of letters, digits, `-`, `_` and `.`, at most 64 bytes. No two living tokens share one.
    pub name: String,
    pub role: Role,
    /// Groups of calls; empty is all that the role may make.
    #[serde(default)]
    pub scopes: Vec<Scope>,
    /// Seconds until it ends; absent is for ever.
    #[serde(default)]
    pub expires_in_s: Option<u64>,
}

/// The answer to it, and the only one that has the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenMade {
    pub token: TokenInfo,
    /// What `Authorization: Bearer` carries.
    pub secret: String,
}

/// `GET /v1/tokens` lists these; `POST /v1/tokens/{id}/revoke` answers the one that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenInfo {
    pub id: String,
    pub name: String,
    pub role: Role,
    pub scopes: Vec<Scope>,
    /// RFC 3339, UTC
    pub created_at: String,
    /// Who made it: a user's name, or its number.
    pub created_by: String,
    /// RFC 3339, UTC
    pub expires_at: Option<String>,
    pub expired: bool,
    /// RFC 3339, UTC; since the daemon was started.
    pub last_used_at: Option<String>,
}

/// `POST /v1/totp`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnrollTotp {
    /// Names the device or its owner; as a token's name.
    pub name: String,
}

/// The answer to it. The factor counts once `POST /v1/totp/{name}/activate` was given a code of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TotpSecret {
    pub name: String,
    /// Base32, for typing.
    pub secret: String,
    /// `otpauth://totp/…`, for a QR code.
    pub uri: String,
}

/// A code: `POST /v1/totp/{name}/activate`, `POST /v1/elevation`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TotpCode {
    pub code: String,
}

/// `GET /v1/totp` lists these; activating and removing answer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TotpInfo {
    pub name: String,
    /// RFC 3339, UTC
    pub created_at: String,
    pub created_by: String,
    /// RFC 3339, UTC
    pub last_used_at: Option<String>,
}

/// `POST /v1/elevation`: what stands for a code for a while, for the one who asked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Elevated {
    /// For [`ELEVATION_HEADER`].
    pub elevation: String,
    /// Name of the second factor.
    pub confirmed: String,
    pub expires_in_s: u64,
}

/// `GET /v1/whoami`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// A user's name or number, a token's name.
    pub name: String,
    pub role: Role,
    pub scopes: Vec<Scope>,
    /// Whether calls that destroy or grant something want a second factor.
    pub totp: bool,
}
