//! Who may do what on this daemon.

use super::control::Daemon;
use crate::base::Role;
use crate::ops::api::Problem;
use crate::ops::api::access::{CreateToken, Elevated, TokenInfo, TokenMade, TotpInfo, TotpSecret};
use crate::ops::api::page::{Page, PageQuery};
use crate::ops::{Access, Answer, Caller, Holder, Proof};
use crate::sys::peer::Peer;

impl Access for Daemon {
    fn role(&self, peer: &Peer) -> Option<Role> {
        let own = rustix::process::geteuid().as_raw();
        (peer.uid == 0 || peer.uid == own).then_some(Role::Admin)
    }

    fn is_app(&self, peer: &Peer) -> bool {
        self.role(peer).is_some()
    }

    fn holder(&self, _token: &str) -> Result<Holder, Problem> {
        Err(Problem::new(401, "Unauthorized", "there is no such token"))
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

    fn refused(&self, _caller: &Caller, _call: &'static str, _why: &Problem) {}

    fn tokens(&self, _query: &PageQuery) -> Page<TokenInfo> {
        Page { items: Vec::new(), next: None }
    }

    fn create_token<'a>(
        &'a self,
        _caller: &'a Caller,
        _wanted: CreateToken,
    ) -> Answer<'a, TokenMade> {
        later()
    }

    fn revoke_token<'a>(&'a self, _caller: &'a Caller, _id: &'a str) -> Answer<'a, TokenInfo> {
        later()
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

pub(super) fn later<T>() -> Answer<'static, T> {
    Box::pin(async { Err(Problem::new(501, "Not Implemented", "not in this version")) })
}
