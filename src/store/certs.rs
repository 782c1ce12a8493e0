//! ACME accounts, orders, certificates and their history, by site name (accounts: by directory URL).
//!
//! Promises: a record and its secret are written in one transaction, and go in one; each write is all or nothing.
//! Bounds: orders placed are remembered for a week, at most 20,000 per directory.

use serde::{Deserialize, Serialize};

use super::database::{Fault, Writing};
use super::sealed::{ACCOUNT_KEYS, CERTIFICATE_KEYS, ORDER_KEYS, Sealed};
use super::{Receipt, Store, StoreError, outbox};
use crate::base::audit::Intent;

const ACCOUNTS: &str = "accounts";
const ORDERS: &str = "orders";
const CERTIFICATES: &str = "certificates";
const HISTORIES: &str = "histories";
const ORDERS_PLACED: &str = "orders_placed";

/// The tables of this file.
pub(super) const ALL: [&str; 5] = [ACCOUNTS, ORDERS, CERTIFICATES, HISTORIES, ORDERS_PLACED];

/// The longest that a CA counts new orders back.
const PLACED_KEPT_S: i64 = 7 * 86_400;
/// Let's Encrypt takes 300 new orders in 3 hours: 16,800 in a week.
const PLACED_MAX: usize = 20_000;

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

/// Names a stored certificate: DER of the server's own; `None` is none at all.
pub type Leaf = Option<Vec<u8>>;

impl Certificate {
    fn into_leaf(self) -> Leaf {
        self.chain.into_iter().next()
    }
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
    /// Names the configuration of the last attempt: the backoff holds under this one only. Older versions wrote none.
    pub under: Option<String>,
    /// What the CA of the last attempt asked for; no configuration shortens it.
    pub told_to_wait: Option<Wait>,
}

/// A wait that a CA asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub directory: String,
    pub until_s: i64,
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
    /// The attempt was not due: somebody asked for it, and nothing is amiss. Older versions wrote none.
    #[serde(default)]
    pub early: bool,
}

impl Store {
    /// # Errors
    /// As every read.
    pub fn account(&self, directory: &str) -> Result<Option<Account>, StoreError> {
        self.read(|reading| reading.get(ACCOUNTS, directory))
    }

    /// With `key` the secret is written too; without, the one that is there stays.
    pub fn put_account(&self, account: Account, key: Option<Sealed>) -> Receipt<()> {
        self.write(move |writing| {
            let row = &account.directory;
            if let Some(key) = &key {
                writing.put(ACCOUNT_KEYS, row, key)?;
            }
            writing.put(ACCOUNTS, row, &account)
        })
    }

    /// Removes an account that the CA does not know any more.
    pub fn remove_account(&self, directory: &str) -> Receipt<()> {
        let row = directory.to_owned();
        self.write(move |writing| {
            writing.remove(ACCOUNTS, &row)?;
            writing.remove(ACCOUNT_KEYS, &row)
        })
    }

    /// All orders on their way.
    ///
    /// # Errors
    /// As every read.
    pub fn orders(&self) -> Result<Vec<Order>, StoreError> {
        self.read(|reading| reading.all(ORDERS))
    }

    /// As [`Store::orders`], with the refusals of records that cannot be read beside those that can.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn readable_orders(&self) -> Result<(Vec<Order>, Vec<StoreError>), StoreError> {
        self.read(|reading| reading.readable(ORDERS))
    }

    /// With `key` the secret is written too; without, the one that is there stays.
    pub fn put_order(&self, order: Order, key: Option<Sealed>) -> Receipt<()> {
        self.write(move |writing| {
            let row = &order.site;
            if let Some(key) = &key {
                writing.put(ORDER_KEYS, row, key)?;
            }
            writing.put(ORDERS, row, &order)
        })
    }

    /// Records how an attempt without a certificate ended, and with `ends_order` removes its order, in one transaction.
    /// Nothing is written if the site's certificate is not `over` any more; the answer tells.
    pub fn conclude(&self, over: Leaf, ends_order: bool, history: History) -> Receipt<bool> {
        self.write(move |writing| {
            let row = &history.site;
            if leaf_in(writing, row)? != over {
                return Ok(false);
            }
            if ends_order {
                writing.remove(ORDERS, row)?;
                writing.remove(ORDER_KEYS, row)?;
            }
            writing.put(HISTORIES, row, &history)?;
            Ok(true)
        })
    }

    /// Removes an order that nobody wants any more, with its key.
    pub fn drop_order(&self, site: &str) -> Receipt<()> {
        let row = site.to_owned();
        self.write(move |writing| {
            writing.remove(ORDERS, &row)?;
            writing.remove(ORDER_KEYS, &row)
        })
    }

    /// # Errors
    /// As every read.
    pub fn certificates(&self) -> Result<Vec<Certificate>, StoreError> {
        self.read(|reading| reading.all(CERTIFICATES))
    }

    /// As [`Store::certificates`], with the refusals of records that cannot be read beside those that can.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn readable_certificates(&self) -> Result<(Vec<Certificate>, Vec<StoreError>), StoreError> {
        self.read(|reading| reading.readable(CERTIFICATES))
    }

    /// What an attempt starts from; `None` also where the record cannot be read.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn leaf(&self, site: &str) -> Result<Leaf, StoreError> {
        match self.read(|reading| reading.get::<Certificate>(CERTIFICATES, site)) {
            Ok(found) => Ok(found.and_then(Certificate::into_leaf)),
            Err(StoreError::Record { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a certificate with its key, removes the order it came from if any, and records `history`: one
    /// transaction, with what the audit log is to say of it. An imported one came from no order.
    pub fn put_certificate(
        &self,
        certificate: Certificate,
        key: Sealed,
        history: History,
        intent: Option<Intent>,
    ) -> Receipt<()> {
        self.write(move |writing| {
            intent.iter().try_for_each(|intent| outbox::enqueue(writing, intent))?;
            put(writing, &certificate, &key, &history)
        })
    }

    /// As [`Store::put_certificate`], unless the site's certificate is not `over` any more; the answer tells.
    pub fn replace_certificate(
        &self,
        over: Leaf,
        certificate: Certificate,
        key: Sealed,
        history: History,
        intent: Intent,
    ) -> Receipt<bool> {
        self.write(move |writing| {
            if leaf_in(writing, &certificate.site)? != over {
                return Ok(false);
            }
            outbox::enqueue(writing, &intent)?;
            put(writing, &certificate, &key, &history)?;
            Ok(true)
        })
    }

    /// Records the CA's answer about the renewal window; nothing if the certificate was replaced meanwhile.
    pub fn put_ari(&self, site: &str, not_after_s: i64, ari: Ari) -> Receipt<()> {
        let row = site.to_owned();
        self.write(move |writing| match writing.get::<Certificate>(CERTIFICATES, &row)? {
            Some(mut certificate) if certificate.not_after_s == not_after_s => {
                certificate.ari = Some(ari.clone());
                writing.put(CERTIFICATES, &row, &certificate)
            }
            _ => Ok(()),
        })
    }

    /// # Errors
    /// As every read.
    pub fn histories(&self) -> Result<Vec<History>, StoreError> {
        self.read(|reading| reading.all(HISTORIES))
    }

    /// As [`Store::histories`], with the refusals of records that cannot be read beside those that can.
    ///
    /// # Errors
    /// The state cannot be read at all.
    pub fn readable_histories(&self) -> Result<(Vec<History>, Vec<StoreError>), StoreError> {
        self.read(|reading| reading.readable(HISTORIES))
    }

    /// When new orders were placed at `directory`, Unix seconds, oldest first; older than a week is forgotten.
    ///
    /// # Errors
    /// As every read.
    pub fn orders_placed(&self, directory: &str) -> Result<Vec<i64>, StoreError> {
        self.read(|reading| Ok(reading.get(ORDERS_PLACED, directory)?.unwrap_or_default()))
    }

    /// Records that a new order is about to be placed.
    pub fn order_placed(&self, directory: &str, at_s: i64) -> Receipt<()> {
        let row = directory.to_owned();
        self.write(move |writing| {
            let mut placed: Vec<i64> = writing.get(ORDERS_PLACED, &row)?.unwrap_or_default();
            placed.push(at_s);
            placed.sort_unstable();
            // Back from the newest, not from `at_s`: a clock set back must not bring old ones to life again.
            let newest = placed.last().copied().unwrap_or(at_s);
            placed.retain(|at| *at > newest.saturating_sub(PLACED_KEPT_S));
            placed.drain(..placed.len().saturating_sub(PLACED_MAX));
            writing.put(ORDERS_PLACED, &row, &placed)
        })
    }
}

fn put(
    writing: &Writing,
    certificate: &Certificate,
    key: &Sealed,
    history: &History,
) -> Result<(), Fault> {
    let row = &certificate.site;
    if certificate.origin == Origin::Acme {
        writing.remove(ORDERS, row)?;
        writing.remove(ORDER_KEYS, row)?;
    }
    writing.put(CERTIFICATES, row, certificate)?;
    writing.put(CERTIFICATE_KEYS, row, key)?;
    writing.put(HISTORIES, &history.site, history)
}

fn leaf_in(writing: &Writing, row: &str) -> Result<Leaf, Fault> {
    match writing.get::<Certificate>(CERTIFICATES, row) {
        Ok(found) => Ok(found.and_then(Certificate::into_leaf)),
        Err(Fault::Refused(StoreError::Record { .. })) => Ok(None),
        Err(fault) => Err(fault),
    }
}
