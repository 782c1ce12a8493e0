//! Who makes a call, and through which door.

use crate::base::audit::{Actor, By, Source};
use crate::base::{Role, Scope};

/// Where a call comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The control socket.
    Control,
    /// The app's socket.
    App,
    /// The ops address.
    Ops,
}

/// Whoever makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub actor: Actor,
    pub door: Door,
    pub role: Role,
    /// Groups of calls; empty is all that the role may make.
    pub scopes: Vec<Scope>,
    pub request_id: String,
    /// Name of the second factor that confirmed the call, if one did.
    pub confirmed: Option<String>,
}

impl Caller {
    /// As the audit log has it.
    #[must_use]
    pub fn by(&self) -> By {
        By {
            actor: self.actor.clone(),
            source: match self.door {
                Door::Control => Source::Control,
                Door::App => Source::App,
                Door::Ops => Source::Ops,
            },
            request_id: Some(self.request_id.clone()),
            confirmed: self.confirmed.clone(),
        }
    }

    /// As screens name it.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.actor {
            Actor::System => "palisade".to_owned(),
            Actor::Uid { user: Some(user), .. } | Actor::App { user: Some(user), .. } => {
                user.clone()
            }
            Actor::Uid { uid, .. } | Actor::App { uid, .. } => uid.to_string(),
            Actor::Token { name, .. } => name.clone(),
            Actor::Client { ip, .. } => ip.clone(),
        }
    }
}

/// What confirms a call.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// A code that was not used before.
    Code(String),
    /// What an elevation gave.
    Elevation(String),
}
