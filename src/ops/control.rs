//! What the daemon offers to its operators; implemented by the composition root.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::api::access::{CreateToken, Elevated, TokenInfo, TokenMade, TotpInfo, TotpSecret};
use super::api::activity::{Activity, Recorded};
use super::api::audit::{AuditMark, AuditPage, AuditQuery, AuditVerdict};
use super::api::live::{ExplainQuery, Explanation};
use super::api::page::{Page, PageQuery};
use super::api::switches::SetCapability;
use super::api::upstreams::UpstreamStatus;
use super::api::{
    CapabilityStatus, CertificateInfo, ImportCertificate, KeyRotation, LocalCa, Problem, Reloaded,
    SiteStatus, Status,
};
use super::caller::{Caller, Proof};
use crate::base::{Capability, Role, Scope};
use crate::sys::peer::Peer;
use crate::telemetry::events::Hub;
use crate::telemetry::history::History;
use crate::telemetry::originals::Originals;

/// What a call comes to: the answer, or the problem that the caller gets instead.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

pub(super) type Daemon = Arc<dyn Control>;

/// Whoever a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub id: String,
    pub name: String,
    pub role: Role,
    /// Empty is all that the role may make.
    pub scopes: Vec<Scope>,
}

/// A call that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// As documents name it.
    pub name: &'static str,
    /// As it was asked for, with the name of a site or of whatever else it is about.
    pub path: &'a str,
    /// It is more than a look.
    pub changes: bool,
}

/// Who may do what.
pub trait Access: Send + Sync + 'static {
    /// What a user may do on the control socket; nothing where it may not even ask.
    fn role(&self, peer: &Peer) -> Option<Role>;
    /// Whether a user may speak as the app.
    fn is_app(&self, peer: &Peer) -> bool;
    /// Whoever holds the token.
    ///
    /// # Errors
    /// Nobody does, or it has expired.
    fn holder(&self, token: &str) -> Result<Holder, Problem>;
    /// Whether the token with this id still counts.
    fn stands(&self, token: &str) -> bool;
    /// Whether calls that destroy or grant something want a second factor.
    fn wants_factor(&self) -> bool;
    /// Uses a proof for a call up, if it is a code; answers the name of the factor.
    fn confirm<'a>(
        &'a self,
        caller: &'a Caller,
        call: &'static str,
        proof: Proof,
    ) -> Answer<'a, String>;
    /// A call was refused for who made it. Bounded: what comes too often is counted only.
    fn refused(&self, caller: &Caller, call: Asked<'_>, why: &Problem);

    fn tokens(&self, query: &PageQuery) -> Page<TokenInfo>;
    fn create_token<'a>(&'a self, caller: &'a Caller, wanted: CreateToken)
    -> Answer<'a, TokenMade>;
    fn revoke_token<'a>(&'a self, caller: &'a Caller, id: &'a str) -> Answer<'a, TokenInfo>;

    fn factors(&self, query: &PageQuery) -> Page<TotpInfo>;
    fn enroll<'a>(&'a self, caller: &'a Caller, name: &'a str) -> Answer<'a, TotpSecret>;
    fn activate<'a>(
        &'a self,
        caller: &'a Caller,
        name: &'a str,
        code: &'a str,
    ) -> Answer<'a, TotpInfo>;
    fn remove_factor<'a>(&'a self, caller: &'a Caller, name: &'a str) -> Answer<'a, TotpInfo>;
    fn elevate<'a>(&'a self, caller: &'a Caller, code: &'a str) -> Answer<'a, Elevated>;
}

/// Runtime switches.
pub trait Switches: Send + Sync + 'static {
    fn capabilities(&self) -> Vec<CapabilityStatus>;
    fn set_capability<'a>(
        &'a self,
        caller: &'a Caller,
        name: Capability,
        wanted: SetCapability,
    ) -> Answer<'a, CapabilityStatus>;
}

pub trait Control: Access + Switches {
    fn status(&self) -> Status;
    /// By name.
    fn sites(&self, query: &PageQuery) -> Page<SiteStatus>;
    /// By name.
    fn upstreams(&self, query: &PageQuery) -> Page<UpstreamStatus>;
    /// By the names of their sites.
    fn certificates(&self, query: &PageQuery) -> Page<CertificateInfo>;
    /// # Errors
    /// No site uses the local CA.
    fn local_ca(&self) -> Result<LocalCa, Problem>;
    /// Swaps whole or not at all; 422 when the configuration is refused. The future may be dropped at any
    /// `await` (the daemon stops, the client takes too long), so the swap itself must not await.
    fn reload<'a>(&'a self, caller: &'a Caller) -> Answer<'a, Reloaded>;
    /// Attempts the certificate of a site now and answers when the attempt has ended. Dropping the future does not
    /// end the attempt.
    fn renew_certificate<'a>(
        &'a self,
        caller: &'a Caller,
        site: &'a str,
    ) -> Answer<'a, CertificateInfo>;
    /// Takes a certificate made elsewhere.
    fn import_certificate<'a>(
        &'a self,
        caller: &'a Caller,
        site: &'a str,
        import: ImportCertificate,
    ) -> Answer<'a, CertificateInfo>;
    /// Seals every secret under a new data key.
    fn rotate_keys<'a>(&'a self, caller: &'a Caller) -> Answer<'a, KeyRotation>;
    /// A fresh id for a call.
    fn request_id(&self) -> String;
    /// Writes down what the app reports; it is on disk when this answers.
    fn activity<'a>(&'a self, caller: &'a Caller, activity: Activity) -> Answer<'a, Recorded>;
    /// # Errors
    /// The audit log cannot be read.
    fn audit(&self, query: &AuditQuery) -> Result<AuditPage, Problem>;
    /// Follows the whole audit log; may take seconds.
    ///
    /// # Errors
    /// It cannot be read; that it is broken is an answer.
    fn verify_audit(&self) -> Answer<'_, AuditVerdict>;
    /// A signed checkpoint for the last record.
    fn audit_checkpoint(&self) -> Answer<'_, AuditMark>;
    /// # Errors
    /// Why no traffic should be sent here, a sentence each.
    fn readiness(&self) -> Result<(), Vec<String>>;
    /// OpenMetrics text.
    fn metrics(&self) -> String;
    /// Where events come from.
    fn events(&self) -> &Arc<Hub>;
    fn history(&self) -> &History;
    /// Answers that clients did not get.
    fn originals(&self) -> &Originals;
    /// What a request would meet.
    ///
    /// # Errors
    /// The query is no request.
    fn explain(&self, query: &ExplainQuery) -> Result<Explanation, Problem>;
}
