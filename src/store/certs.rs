//! ACME accounts, orders, certificates and their history, by site name (accounts: by directory URL).
//!
//! A record and its secret are written in one transaction, and go in one.

use serde::{Deserialize, Serialize};

use super::sealed::Sealed;
use super::{Receipt, Store, StoreError};

/// An account at a CA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub directory: String,
    /// The CA's URL for it; `None` until the CA has answered.
    pub url: Option<String>,
    pub contact: Option<String>,
    pub created_at_s: i64,
}

/// An order on its way: written before the CA hears of it, removed when it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub site: String,
    pub names: Vec<String>,
    pub directory: String,
    /// The CA's URL for it; `None` until the CA has answered.
    pub url: Option<String>,
    /// ARI identifier of the certificate that it replaces (RFC 9773 §5).
    pub replaces: Option<String>,
    pub profile: Option<String>,
    /// A rehearsal at the staging directory, whose certificate is not served.
    pub rehearsal: bool,
    pub created_at_s: i64,
}

/// Where a stored certificate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Acme,
    Imported,
}

/// A stored certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub site: String,
    pub names: Vec<String>,
    /// DER, the server's first.
    pub chain: Vec<Vec<u8>>,
    pub origin: Origin,
    /// Of the CA that issued it, if by ACME.
    pub directory: Option<String>,
    pub profile: Option<String>,
    pub not_before_s: i64,
    pub not_after_s: i64,
    pub stored_at_s: i64,
    /// Where in a window its renewal falls: 0 is the start, `u32::MAX` the end. Drawn once.
    pub jitter: u32,
    pub ari: Option<Ari>,
}

/// What the CA last said about when to renew (RFC 9773 §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ari {
    pub start_s: i64,
    pub end_s: i64,
    pub explanation_url: Option<String>,
    pub asked_at_s: i64,
    /// From the CA's Retry-After.
    pub ask_again_at_s: i64,
}

/// What has happened for a site, kept through restarts (promise 4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub site: String,
    /// Failed attempts since the last success.
    pub failures: u32,
    /// Not before this; from the backoff or the CA's Retry-After.
    pub not_before_s: Option<i64>,
    /// The last rehearsal at the staging directory has worked since the last failure.
    pub rehearsed: bool,
    /// `http-01` or `tls-alpn-01`: what worked last.
    pub challenge: Option<String>,
    pub last_failure: Option<Failure>,
    pub last_success_at_s: Option<i64>,
}

/// Why an attempt failed: the CA's words and ours (promise 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub at_s: i64,
    /// `urn:ietf:params:acme:error:…`, if the CA answered with a problem document.
    pub kind: Option<String>,
    /// The CA's own words, or those of the connection that failed.
    pub detail: String,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    pub likely: String,
    pub next: String,
}

impl Store {
    /// # Errors
    /// As every read.
    pub fn account(&self, _directory: &str) -> Result<Option<Account>, StoreError> {
        todo!()
    }

    /// With `key` the secret is written too; without, the one that is there stays.
    pub fn put_account(&self, _account: Account, _key: Option<Sealed>) -> Receipt<()> {
        todo!()
    }

    /// Removes an account that the CA does not know any more.
    pub fn remove_account(&self, _directory: &str) -> Receipt<()> {
        todo!()
    }

    /// All orders on their way.
    ///
    /// # Errors
    /// As every read.
    pub fn orders(&self) -> Result<Vec<Order>, StoreError> {
        todo!()
    }

    /// With `key` the secret is written too; without, the one that is there stays.
    pub fn put_order(&self, _order: Order, _key: Option<Sealed>) -> Receipt<()> {
        todo!()
    }

    /// The order has ended without a certificate: removes it and records `history`, in one transaction.
    pub fn end_order(&self, _site: &str, _history: History) -> Receipt<()> {
        todo!()
    }

    /// # Errors
    /// As every read.
    pub fn certificates(&self) -> Result<Vec<Certificate>, StoreError> {
        todo!()
    }

    /// Stores a certificate with its key, removes the order it came from if any, and records `history`: one transaction.
    pub fn put_certificate(
        &self,
        _certificate: Certificate,
        _key: Sealed,
        _history: History,
    ) -> Receipt<()> {
        todo!()
    }

    /// Records the CA's answer about the renewal window; nothing if the certificate was replaced meanwhile.
    pub fn put_ari(&self, _site: &str, _not_after_s: i64, _ari: Ari) -> Receipt<()> {
        todo!()
    }

    /// # Errors
    /// As every read.
    pub fn histories(&self) -> Result<Vec<History>, StoreError> {
        todo!()
    }

    /// Records what happened without an order (the CA could not be reached).
    pub fn put_history(&self, _history: History) -> Receipt<()> {
        todo!()
    }

    /// When new orders were placed at `directory`, Unix seconds, oldest first; older than a week is forgotten.
    ///
    /// # Errors
    /// As every read.
    pub fn orders_placed(&self, _directory: &str) -> Result<Vec<i64>, StoreError> {
        todo!()
    }

    /// Records that a new order is about to be placed.
    pub fn order_placed(&self, _directory: &str, _at_s: i64) -> Receipt<()> {
        todo!()
    }
}
