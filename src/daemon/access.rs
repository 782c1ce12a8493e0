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
        false
    }

    fn confirm<'a>(&'a self, _caller: &'a Caller, _proof: Proof) -> Answer<'a, String> {
        later()
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

    fn factors(&self, _query: &PageQuery) -> Page<TotpInfo> {
        Page { items: Vec::new(), next: None }
    }

    fn enroll<'a>(&'a self, _caller: &'a Caller, _name: &'a str) -> Answer<'a, TotpSecret> {
        later()
    }

    fn activate<'a>(
        &'a self,
        _caller: &'a Caller,
        _name: &'a str,
        _code: &'a str,
    ) -> Answer<'a, TotpInfo> {
        later()
    }

    fn remove_factor<'a>(&'a self, _caller: &'a Caller, _name: &'a str) -> Answer<'a, TotpInfo> {
        later()
    }

    fn elevate<'a>(&'a self, _caller: &'a Caller, _code: &'a str) -> Answer<'a, Elevated> {
        later()
    }
}

pub(super) fn later<T>() -> Answer<'static, T> {
    Box::pin(async { Err(Problem::new(501, "Not Implemented", "not in this version")) })
}
