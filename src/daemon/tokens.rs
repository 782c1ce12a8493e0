//! Tokens that are made and revoked, in the words of the log and of whoever watches.

use super::control::Daemon;
use crate::ops::Caller;
use crate::ops::api::Problem;
use crate::ops::api::access::{CreateToken, TokenInfo, TokenMade};
use crate::telemetry::Level;
use crate::work::tokens::Asking;

impl Daemon {
    /// In one piece: a client that leaves in the middle must not part what is on disk from what is in memory.
    pub(super) fn create_token_now(
        &self,
        caller: &Caller,
        wanted: CreateToken,
    ) -> Result<TokenMade, Problem> {
        let made = self.asking(caller, |asking| self.state.tokens.create(asking, wanted))?;
        self.tell_of_token("token_created", "created", &made.token, caller);
        Ok(made)
    }

    pub(super) fn revoke_token_now(
        &self,
        caller: &Caller,
        which: &str,
    ) -> Result<TokenInfo, Problem> {
        let gone = self.asking(caller, |asking| self.state.tokens.revoke(asking, which))?;
        self.tell_of_token("token_revoked", "revoked", &gone, caller);
        Ok(gone)
    }

    fn asking<T>(&self, caller: &Caller, change: impl FnOnce(Asking<'_>) -> T) -> T {
        let (by, name) = (caller.by(), caller.name());
        let asking = Asking { by: &by, name: &name, role: caller.role, scopes: &caller.scopes };
        tokio::task::block_in_place(|| change(asking))
    }

    fn tell_of_token(&self, event: &'static str, word: &str, token: &TokenInfo, by: &Caller) {
        self.shared.log.event(Level::Info, event, |line| {
            line.text("id", &token.id)
                .text("name", &token.name)
                .text("role", token.role.word())
                .text("by", &by.name());
        });
        let text = format!("{word} by {}", by.name());
        self.shared.events.changed("token", Some(token.name.clone()), text);
    }
}
