//! Who may do what on this daemon.

use super::control::Daemon;
use crate::base::Role;
use crate::ops::api::Problem;
use crate::ops::api::access::{CreateToken, Elevated, TokenInfo, TokenMade, TotpInfo, TotpSecret};
use crate::ops::api::page::{Page, PageQuery};
use crate::ops::{Access, Answer, Asked, Caller, Holder, Proof};
use crate::sys::peer::Peer;
use crate::work::tokens::Bearer;

impl Access for Daemon {
    fn role(&self, peer: &Peer) -> Option<Role> {
        if is_own(peer) {
            return Some(Role::Admin);
        }
        // The policy in force, not `inner`: whoever asks does not wait for a reload that is under way.
        let policy = self.shared.policy.load();
        policy.settings.roles.of(peer.uid, |gid| peer.is_in(gid))
    }

    fn is_app(&self, peer: &Peer) -> bool {
        let policy = self.shared.policy.load();
        is_own(peer) || policy.settings.roles.app.has(peer.uid, |gid| peer.is_in(gid))
    }

    fn holder(&self, token: &str) -> Result<Holder, Problem> {
        let Bearer { id, name, role, scopes } = self.state.tokens.bearer(token)?;
        Ok(Holder { id, name, role, scopes })
    }

    fn stands(&self, token: &str) -> bool {
        self.state.tokens.stands(token)
    }

    fn wants_factor(&self) -> bool {
        self.state.factors.wanted()
    }

    fn confirm<'a>(
        &'a self,
        caller: &'a Caller,
        call: &'static str,
        proof: Proof,
    ) -> Answer<'a, String> {
        Box::pin(async move { self.confirm_now(caller, call, &proof) })
    }

    fn refused(&self, caller: &Caller, call: Asked<'_>, why: &Problem) {
        self.tell_of_refusal(caller, call, why);
    }

    fn tokens(&self, query: &PageQuery) -> Page<TokenInfo> {
        self.state.tokens.list(query)
    }

    fn create_token<'a>(
        &'a self,
        caller: &'a Caller,
        wanted: CreateToken,
    ) -> Answer<'a, TokenMade> {
        Box::pin(async move { self.create_token_now(caller, wanted) })
    }

    fn revoke_token<'a>(&'a self, caller: &'a Caller, id: &'a str) -> Answer<'a, TokenInfo> {
        Box::pin(async move { self.revoke_token_now(caller, id) })
    }

    fn factors(&self, query: &PageQuery) -> Page<TotpInfo> {
        query.of(self.state.factors.list(), |factor| &factor.name)
    }

    fn enroll<'a>(&'a self, caller: &'a Caller, name: &'a str) -> Answer<'a, TotpSecret> {
        Box::pin(async move { self.enroll_now(caller, name) })
    }

    fn activate<'a>(
        &'a self,
        caller: &'a Caller,
        name: &'a str,
        code: &'a str,
    ) -> Answer<'a, TotpInfo> {
        Box::pin(async move { self.activate_now(caller, name, code) })
    }

    fn remove_factor<'a>(&'a self, caller: &'a Caller, name: &'a str) -> Answer<'a, TotpInfo> {
        Box::pin(async move { self.remove_factor_now(caller, name) })
    }

    fn elevate<'a>(&'a self, caller: &'a Caller, code: &'a str) -> Answer<'a, Elevated> {
        Box::pin(async move { self.elevate_now(caller, code) })
    }
}

/// Root, and whoever palisade runs as, have every file of it anyway: no configuration locks them out.
fn is_own(peer: &Peer) -> bool {
    peer.uid == 0 || peer.uid == rustix::process::geteuid().as_raw()
}
