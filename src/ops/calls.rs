//! Every call there is: its path, who may make it through which door, what it takes, and what answers it.
//!
//! The routers of all doors and the OpenAPI document are made from this list, so no call exists without its demands.

use axum::routing::{MethodRouter, get, post};
use http::Method;
use schemars::JsonSchema;

use super::api::access::{
    CreateToken, Elevated, EnrollTotp, TokenInfo, TokenMade, TotpCode, TotpInfo, TotpSecret, WhoAmI,
};
use super::api::activity::{self as reports, Activity, Recorded};
use super::api::audit::{AuditMark, AuditPage, AuditVerdict};
use super::api::errors::{HiddenError, HiddenErrorDetail};
use super::api::live::{Event, Explanation, History};
use super::api::page::Page;
use super::api::switches::SetCapability;
use super::api::upstreams::UpstreamStatus;
use super::api::{
    BODY_BYTES_MAX, CapabilityStatus, CertificateInfo, Health, ImportCertificate, KeyRotation,
    LocalCa, Reloaded, Signal, SiteStatus, Status,
};
use super::caller::Door;
use super::control::{Asked, Daemon};
use super::queries::{self, Parameter};
use super::{access, activity, audit, basic, errors, live, openapi, switches};
use crate::base::{Role, Scope};

/// A call.
pub(super) struct Call {
    pub method: Method,
    pub path: &'static str,
    /// In words of the audit log and of the OpenAPI document (`operationId`).
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    pub doors: &'static [Door],
    /// Anybody may make it on the ops address.
    pub open: bool,
    pub role: Role,
    pub scope: Scope,
    /// It destroys or grants something: it wants a second factor once there is one.
    pub confirm: bool,
    /// What the name in its path is of, where there is one.
    pub of: &'static str,
    pub query: &'static [Parameter],
    /// Its body; absent where it takes none.
    pub takes: Option<SchemaOf>,
    /// Of its body.
    pub bytes_max: usize,
    pub answers: Answers,
    /// Refusals of its own, beside those of every call: status, and when.
    pub refuses: &'static [(u16, &'static str)],
    pub serve: fn() -> MethodRouter<Daemon>,
}

/// The schema of a type, its parts added to those that the generator has.
pub(super) type SchemaOf = fn(&mut schemars::SchemaGenerator) -> schemars::Schema;

fn schema_of<T: JsonSchema>(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<T>()
}

/// What a call answers when all is well.
#[derive(Clone, Copy)]
pub(super) enum Answers {
    Json(SchemaOf),
    /// One JSON object per line, until somebody ends it.
    Lines(SchemaOf),
    /// Text of this media type.
    Text(&'static str),
}

/// Text that Prometheus reads.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const OPERATORS: &[Door] = &[Door::Control, Door::Ops];
const EVERYWHERE: &[Door] = &[Door::Control, Door::App, Door::Ops];
const APP: &[Door] = &[Door::App];

impl Call {
    const fn new(
        method: Method,
        path: &'static str,
        name: &'static str,
        serve: fn() -> MethodRouter<Daemon>,
    ) -> Self {
        Self {
            method,
            path,
            name,
            summary: "",
            doors: OPERATORS,
            open: false,
            role: Role::Viewer,
            scope: Scope::Status,
            confirm: false,
            of: "",
            query: &[],
            takes: None,
            bytes_max: BODY_BYTES_MAX,
            answers: Answers::Text("text/plain"),
            refuses: &[],
            serve,
        }
    }

    const fn get(
        path: &'static str,
        name: &'static str,
        serve: fn() -> MethodRouter<Daemon>,
    ) -> Self {
        Self::new(Method::GET, path, name, serve)
    }

    const fn post(
        path: &'static str,
        name: &'static str,
        serve: fn() -> MethodRouter<Daemon>,
    ) -> Self {
        Self::new(Method::POST, path, name, serve)
    }

    /// For the record of a refusal.
    pub fn asked<'a>(&self, path: &'a str) -> Asked<'a> {
        Asked { name: self.name, path, changes: self.method != Method::GET }
    }

    const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    const fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    const fn doors(mut self, doors: &'static [Door]) -> Self {
        self.doors = doors;
        self
    }

    /// For monitors, which carry no token.
    const fn open(mut self) -> Self {
        self.open = true;
        self.doors = EVERYWHERE;
        self
    }

    const fn confirmed(mut self) -> Self {
        self.confirm = true;
        self
    }

    const fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    /// What the name in the path is of.
    const fn of(mut self, of: &'static str) -> Self {
        self.of = of;
        self
    }

    const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    const fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(schema_of::<T>);
        self
    }

    const fn at_most(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }

    const fn answers<T: JsonSchema>(mut self) -> Self {
        self.answers = Answers::Json(schema_of::<T>);
        self
    }

    /// Answers lines until somebody ends it.
    const fn streams<T: JsonSchema>(mut self) -> Self {
        self.answers = Answers::Lines(schema_of::<T>);
        self
    }

    const fn text(mut self, media_type: &'static str) -> Self {
        self.answers = Answers::Text(media_type);
        self
    }

    const fn refuses(mut self, refuses: &'static [(u16, &'static str)]) -> Self {
        self.refuses = refuses;
        self
    }
}

/// In the order of documents.
pub(super) static CALLS: &[Call] = &[
    Call::get("/health", "health", || get(basic::health))
        .open()
        .summary("How the daemon is, for people and monitors")
        .answers::<Health>(),
    Call::get("/healthz", "healthz", || get(basic::live))
        .open()
        .summary("Whether the process answers")
        .answers::<Signal>(),
    Call::get("/api/_health/live", "health_live", || get(basic::live))
        .open()
        .summary("The same as /healthz")
        .answers::<Signal>(),
    Call::get("/readyz", "readyz", || get(basic::ready))
        .open()
        .summary("Whether traffic should be sent here")
        .answers::<Signal>()
        .refuses(NOT_READY),
    Call::get("/api/_health/ready", "health_ready", || get(basic::ready))
        .open()
        .summary("The same as /readyz")
        .answers::<Signal>()
        .refuses(NOT_READY),
    Call::get("/metrics", "metrics", || get(basic::metrics))
        .open()
        .summary("Metrics for Prometheus")
        .text(OPENMETRICS),
    Call::get("/v1/openapi.json", "openapi", || get(openapi::document))
        .doors(EVERYWHERE)
        .summary("This document")
        .answers::<serde_json::Map<String, serde_json::Value>>(),
    Call::get("/v1/whoami", "whoami", || get(access::whoami))
        .doors(EVERYWHERE)
        .summary("Who is asking, and what they may do")
        .answers::<WhoAmI>(),
    Call::get("/v1/status", "status", || get(basic::status))
        .summary("What runs and what needs attention")
        .answers::<Status>(),
    Call::get("/v1/sites", "sites", || get(basic::sites))
        .summary("Every site with its certificate, by name")
        .query(queries::PAGE)
        .answers::<Page<SiteStatus>>(),
    Call::get("/v1/upstreams", "upstreams", || get(basic::upstreams))
        .summary("Every upstream with what is known of it, by name")
        .query(queries::PAGE)
        .answers::<Page<UpstreamStatus>>(),
    Call::post("/v1/reload", "reload", || post(basic::reload))
        .scope(Scope::Config)
        .role(Role::Operator)
        .summary("Take the configuration anew; on any error the running one stays")
        .answers::<Reloaded>()
        .refuses(&[(422, "The configuration is refused; `detail` has the whole report")]),
    Call::get("/v1/certificates", "certificates", || get(basic::certificates))
        .scope(Scope::Certificates)
        .summary("The certificate of every site, by the site's name")
        .query(queries::PAGE)
        .answers::<Page<CertificateInfo>>(),
    Call::post("/v1/certificates/{site}/renew", "renew_certificate", || post(basic::renew))
        .scope(Scope::Certificates)
        .role(Role::Operator)
        .summary("Order a site's certificate now; answers when the attempt has ended")
        .of("Name of the site")
        .answers::<CertificateInfo>()
        .refuses(&[
            (404, "There is no such site, or palisade does not order its certificate"),
            (409, "The site's certificate is imported, or the order was given up"),
            (502, "The CA refused; `detail` has its words, what is likely and what to do"),
            (503, "The daemon is stopping, or its state cannot be written"),
            (504, "The attempt takes longer than a call may; it goes on"),
        ]),
    Call::post("/v1/certificates/{site}/import", "import_certificate", || post(basic::import))
        .scope(Scope::Certificates)
        .role(Role::Admin)
        .confirmed()
        .summary("Take a certificate that was made elsewhere")
        .of("Name of the site")
        .takes::<ImportCertificate>()
        .answers::<CertificateInfo>()
        .refuses(&[
            (404, "There is no such site, or palisade does not keep its certificate"),
            (422, "The certificate or its key cannot be used"),
            (503, "The state cannot be written"),
        ]),
    Call::get("/v1/local-ca", "local_ca", || get(basic::local_ca))
        .scope(Scope::Certificates)
        .summary("The root certificate of the local CA")
        .answers::<LocalCa>()
        .refuses(&[(404, "No site uses the local CA")]),
    Call::post("/v1/crypto/rotate", "rotate_keys", || post(basic::rotate))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed()
        .summary("Seal every secret under a new data key")
        .answers::<KeyRotation>()
        .refuses(&[(503, "The keys were not rotated; what was sealed can still be read")]),
    Call::get("/v1/events", "events", || get(live::events))
        .scope(Scope::Live)
        .summary("What happens from now on, as a stream")
        .query(queries::EVENTS)
        .streams::<Event>()
        .refuses(&[(503, "Too many watch already, or the daemon is about to end")]),
    Call::get("/v1/history", "history", || get(live::history))
        .scope(Scope::Live)
        .summary("What happened until now, in points of one length")
        .query(queries::HISTORY)
        .answers::<History>(),
    Call::get("/v1/explain", "explain", || get(live::explain))
        .scope(Scope::Live)
        .summary("What a request would meet by the configuration in force; nothing is sent")
        .query(queries::EXPLAIN)
        .answers::<Explanation>(),
    Call::get("/v1/errors", "errors", || get(errors::list))
        .scope(Scope::Live)
        .role(Role::Operator)
        .summary("Answers of apps that `hide_errors` kept from clients, newest first")
        .query(queries::PAGE)
        .answers::<Page<HiddenError>>(),
    Call::get("/v1/errors/{id}", "error", || get(errors::one))
        .scope(Scope::Live)
        .role(Role::Operator)
        .summary("What the app said to one request, which its client did not get")
        .of("Id of the request")
        .answers::<HiddenErrorDetail>()
        .refuses(&[(404, "Nothing is kept of this request")]),
    Call::get("/v1/audit", "audit", || get(audit::page))
        .scope(Scope::Audit)
        .summary("Records of the audit log, oldest first")
        .query(queries::AUDIT)
        .answers::<AuditPage>()
        .refuses(&[(503, "The audit log cannot be read")]),
    Call::post("/v1/audit/verify", "verify_audit", || post(audit::verify))
        .scope(Scope::Audit)
        .role(Role::Operator)
        .summary("Follow the whole audit log; that it is broken is an answer")
        .answers::<AuditVerdict>()
        .refuses(&[(503, "The audit log cannot be read, or its key cannot")]),
    Call::get("/v1/audit/checkpoint", "audit_checkpoint", || get(audit::checkpoint))
        .scope(Scope::Audit)
        .role(Role::Operator)
        .summary("A signed mark of the last record of the audit log")
        .answers::<AuditMark>()
        .refuses(&[(409, "The audit log is empty"), (503, "The audit log cannot be signed now")]),
    Call::get("/v1/capabilities", "capabilities", || get(switches::list))
        .scope(Scope::Capabilities)
        .summary("Every capability with its mode, by name")
        .query(queries::PAGE)
        .answers::<Page<CapabilityStatus>>(),
    Call::post("/v1/capabilities/{name}", "set_capability", || post(switches::set))
        .scope(Scope::Capabilities)
        .role(Role::Admin)
        .confirmed()
        .summary("Switch a capability, for a while or until somebody says otherwise")
        .of("Name of the capability")
        .takes::<SetCapability>()
        .answers::<CapabilityStatus>()
        .refuses(&[
            (404, "There is no such capability"),
            (409, "An emergency flag holds it, or nothing obeys it in this version"),
            STATE,
        ]),
    Call::get("/v1/tokens", "tokens", || get(access::tokens))
        .scope(Scope::Access)
        .role(Role::Admin)
        .summary("Every token, by its id; no secrets")
        .query(queries::PAGE)
        .answers::<Page<TokenInfo>>(),
    Call::post("/v1/tokens", "create_token", || post(access::create_token))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed()
        .summary("Make a token; the only answer that has its secret")
        .takes::<CreateToken>()
        .answers::<TokenMade>()
        .refuses(&[(409, "There are too many, or one of this name"), NO_NAME, STATE]),
    Call::post("/v1/tokens/{id}/revoke", "revoke_token", || post(access::revoke_token))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed()
        .summary("End a token")
        .of("Id of the token")
        .answers::<TokenInfo>()
        .refuses(&[(404, "There is no such token"), STATE]),
    Call::get("/v1/totp", "factors", || get(access::factors))
        .scope(Scope::Access)
        .role(Role::Admin)
        .summary("Every second factor, by name; no secrets")
        .query(queries::PAGE)
        .answers::<Page<TotpInfo>>(),
    Call::post("/v1/totp", "enroll_totp", || post(access::enroll))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed()
        .summary("Begin a second factor; the only answer that has its secret")
        .takes::<EnrollTotp>()
        .answers::<TotpSecret>()
        .refuses(&[(409, "There are too many, or one of this name"), NO_NAME, STATE]),
    Call::post("/v1/totp/{name}/activate", "activate_totp", || post(access::activate))
        .scope(Scope::Access)
        .role(Role::Admin)
        .summary("Let a second factor count, by a code of it")
        .of("Name of the second factor")
        .takes::<TotpCode>()
        .answers::<TotpInfo>()
        .refuses(&[(404, "There is no such second factor"), STATE]),
    Call::post("/v1/totp/{name}/remove", "remove_totp", || post(access::remove_factor))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed()
        .summary("Remove a second factor")
        .of("Name of the second factor")
        .answers::<TotpInfo>()
        .refuses(&[(404, "There is no such second factor"), STATE]),
    Call::post("/v1/elevation", "elevate", || post(access::elevate))
        .role(Role::Operator)
        .summary("Give a code once, and what stands for codes for a while")
        .takes::<TotpCode>()
        .answers::<Elevated>(),
    Call::post("/v1/activity", "activity", || post(activity::record))
        .scope(Scope::Activity)
        .doors(APP)
        .summary("Write down what a user of the app has done; on disk when it answers")
        .takes::<Activity>()
        .at_most(reports::BODY_BYTES_MAX)
        .answers::<Recorded>()
        .refuses(&[(422, "The report cannot be written down as it is"), STATE]),
];

const NOT_READY: &[(u16, &str)] = &[(503, "Why not, in `detail`")];
const NO_NAME: (u16, &str) = (422, "The name is none");
const STATE: (u16, &str) = (503, "The state cannot be written");
