//! Tokens: what is known of each, and the hash of its secret.
//!
//! Promises: a token and the word about it in the audit log are written, and removed, in one transaction (50).

use serde::{Deserialize, Serialize};

use super::{Receipt, Store, StoreError, outbox};
use crate::base::audit::Intent;
use crate::base::{Role, Scope};

const TOKENS: &str = "tokens";
/// The tables of this file.
pub(super) const ALL: [&str; 1] = [TOKENS];

/// A token as kept: nothing that could be shown instead of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its row.
    pub id: String,
    pub name: String,
    pub role: Role,
    /// Empty is all that the role may make.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    pub created_at_s: i64,
    /// Who made it, in words.
    pub created_by: String,
    /// Absent is for ever.
    pub expires_at_s: Option<i64>,
}

impl Store {
    /// All tokens, by id.
    ///
    /// # Errors
    /// As every read.
    pub fn tokens(&self) -> Result<Vec<Token>, StoreError> {
        self.read(|reading| reading.all(TOKENS))
    }

    /// Adds a token and removes those with the ids `gone`, with what the audit log is to say of the new one.
    pub fn put_token(&self, token: Token, gone: Vec<String>, intent: Intent) -> Receipt<()> {
        self.write(move |writing| {
            gone.iter().try_for_each(|id| writing.remove(TOKENS, id))?;
            writing.put(TOKENS, &token.id, &token)?;
            outbox::enqueue(writing, &intent)
        })
    }

    /// Removes a token, with what the audit log is to say of it.
    pub fn remove_token(&self, id: String, intent: Intent) -> Receipt<()> {
        self.write(move |writing| {
            writing.remove(TOKENS, &id)?;
            outbox::enqueue(writing, &intent)
        })
    }
}
