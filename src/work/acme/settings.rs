//! `[acme]` as used.

use std::path::PathBuf;

use crate::base::SecretRef;

/// How certificates are got from an ACME authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    pub directory: Directory,
    /// Where an attempt after a failure is rehearsed first (promise 4).
    pub staging: Option<Directory>,
    /// A mail address, without `mailto:`.
    pub contact: Option<String>,
    /// The only roots that the CA's own TLS is trusted with, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// In the order of trying; never empty.
    pub challenges: Vec<ChallengeKind>,
    pub eab: Option<Eab>,
    /// Name of a certificate profile.
    pub profile: Option<String>,
}

/// An ACME directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// `letsencrypt`, or the URL where it has no name.
    pub name: String,
    pub url: String,
}

/// How control over a name is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChallengeKind {
    /// RFC 8737; needs port 443.
    TlsAlpn01,
    /// RFC 8555 §8.3; needs port 80.
    Http01,
}

impl ChallengeKind {
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eab {
    pub kid: String,
    /// Base64url, as the CA gives it.
    pub hmac: SecretRef,
}
