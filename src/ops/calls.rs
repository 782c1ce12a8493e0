//! Every call there is: its path, who may make it through which door, and what answers it.
//!
//! The routers of all doors and the OpenAPI document are made from this list, so no call exists without its demands.

use axum::routing::{MethodRouter, get, post};
use http::Method;

use super::caller::Door;
use super::control::{Asked, Daemon};
use super::{access, activity, audit, basic, live, switches};
use crate::base::{Role, Scope};

/// A call.
pub(super) struct Call {
    pub method: Method,
    pub path: &'static str,
    /// In words of the audit log and of the OpenAPI document (`operationId`).
    pub name: &'static str,
    pub doors: &'static [Door],
    /// Anybody may make it on the ops address.
    pub open: bool,
    pub role: Role,
    pub scope: Scope,
    /// It destroys or grants something: it wants a second factor once there is one.
    pub confirm: bool,
    pub serve: fn() -> MethodRouter<Daemon>,
}

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
            doors: OPERATORS,
            open: false,
            role: Role::Viewer,
            scope: Scope::Status,
            confirm: false,
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
    pub fn asked(&self) -> Asked {
        Asked { name: self.name, changes: self.method != Method::GET }
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
}

/// In the order of documents.
pub(super) static CALLS: &[Call] = &[
    Call::get("/health", "health", || get(basic::health)).open(),
    Call::get("/healthz", "healthz", || get(basic::live)).open(),
    Call::get("/api/_health/live", "health_live", || get(basic::live)).open(),
    Call::get("/readyz", "readyz", || get(basic::ready)).open(),
    Call::get("/api/_health/ready", "health_ready", || get(basic::ready)).open(),
    Call::get("/metrics", "metrics", || get(basic::metrics)).open(),
    Call::get("/v1/whoami", "whoami", || get(access::whoami)).doors(EVERYWHERE),
    Call::get("/v1/status", "status", || get(basic::status)),
    Call::post("/v1/reload", "reload", || post(basic::reload))
        .scope(Scope::Config)
        .role(Role::Operator),
    Call::get("/v1/certificates", "certificates", || get(basic::certificates))
        .scope(Scope::Certificates),
    Call::post("/v1/certificates/{site}/renew", "renew_certificate", || post(basic::renew))
        .scope(Scope::Certificates)
        .role(Role::Operator),
    Call::post("/v1/certificates/{site}/import", "import_certificate", || post(basic::import))
        .scope(Scope::Certificates)
        .role(Role::Admin)
        .confirmed(),
    Call::get("/v1/local-ca", "local_ca", || get(basic::local_ca)).scope(Scope::Certificates),
    Call::post("/v1/crypto/rotate", "rotate_keys", || post(basic::rotate))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed(),
    Call::get("/v1/events", "events", || get(live::events)).scope(Scope::Live),
    Call::get("/v1/history", "history", || get(live::history)).scope(Scope::Live),
    Call::get("/v1/explain", "explain", || get(live::explain)).scope(Scope::Live),
    Call::get("/v1/audit", "audit", || get(audit::page)).scope(Scope::Audit),
    Call::post("/v1/audit/verify", "verify_audit", || post(audit::verify))
        .scope(Scope::Audit)
        .role(Role::Operator),
    Call::get("/v1/audit/checkpoint", "audit_checkpoint", || get(audit::checkpoint))
        .scope(Scope::Audit)
        .role(Role::Operator),
    Call::get("/v1/capabilities", "capabilities", || get(switches::list))
        .scope(Scope::Capabilities),
    Call::post("/v1/capabilities/{name}", "set_capability", || post(switches::set))
        .scope(Scope::Capabilities)
        .role(Role::Admin)
        .confirmed(),
    Call::get("/v1/tokens", "tokens", || get(access::tokens))
        .scope(Scope::Access)
        .role(Role::Admin),
    Call::post("/v1/tokens", "create_token", || post(access::create_token))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed(),
    Call::post("/v1/tokens/{id}/revoke", "revoke_token", || post(access::revoke_token))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed(),
    Call::get("/v1/totp", "factors", || get(access::factors))
        .scope(Scope::Access)
        .role(Role::Admin),
    Call::post("/v1/totp", "enroll_totp", || post(access::enroll))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed(),
    Call::post("/v1/totp/{name}/activate", "activate_totp", || post(access::activate))
        .scope(Scope::Access)
        .role(Role::Admin),
    Call::post("/v1/totp/{name}/remove", "remove_totp", || post(access::remove_factor))
        .scope(Scope::Access)
        .role(Role::Admin)
        .confirmed(),
    Call::post("/v1/elevation", "elevate", || post(access::elevate)).role(Role::Operator),
    Call::post("/v1/activity", "activity", || post(activity::record))
        .scope(Scope::Activity)
        .doors(APP),
];
