//! What the app reports about its own users.
//!
//! Promises: any bytes are an activity or are refused with the field that is wrong; a refusal never repeats a value.
//! Bounds: [`BODY_BYTES_MAX`], [`FACTS_MAX`] facts a side; longer texts are cut as in every record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::{self, NO_OBJECT, shown};
use crate::base::audit::{
    ActionName, ActionNameError, By, Fact, Facts, Intent, Outcome, is_fact_name,
};

/// Largest body of the call.
pub const BODY_BYTES_MAX: usize = 256 << 10;
/// Facts before, and facts after.
pub const FACTS_MAX: usize = 32;
/// The fact that `user` becomes.
const USER: &str = "user";

/// `POST /v1/activity` on the app's socket. Becomes a record of the audit log with `app.` in front of its action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// Such as `order.refund`: lower-case words of letters, digits and `_`, joined by dots; at most 64 bytes.
    pub action: String,
    #[serde(default)]
    pub subject: Option<String>,
    /// Whose doing it is, in the app's words. Becomes the fact `user`: who spoke is the app, by the kernel's word.
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub before: Facts,
    #[serde(default)]
    pub after: Facts,
    /// `done` where it is absent.
    #[serde(default)]
    pub outcome: Option<Outcome>,
    #[serde(default)]
    pub why: Option<String>,
}

/// The answer: it is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recorded {
    pub request_id: String,
}

/// Why some bytes are no activity. Names are repeated, values never.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("{NO_OBJECT}")]
    NoObject,
    #[error(
        "there is no field `{0}`: an activity has action, subject, user, before, after, outcome and why"
    )]
    Unknown(String),
    #[error("`action` is missing; it says what was done, such as \"order.refund\"")]
    NoAction,
    #[error("`action` is no name of an action: {0}")]
    Action(#[from] ActionNameError),
    #[error("`{0}` must be a text")]
    NoText(&'static str),
    #[error("`outcome` must be \"done\" or \"refused\"")]
    Outcome,
    #[error("`{0}` must be an object of facts")]
    NoFacts(&'static str),
    #[error("`{0}` has more than {FACTS_MAX} facts")]
    Facts(&'static str),
    #[error("`{0}.{1}`: the name of a fact has 1 to 64 of a-z, 0-9 and _")]
    FactName(&'static str, String),
    #[error("`{0}.{1}` must be a whole number, a text or a list of texts")]
    Fact(&'static str, String),
    #[error("`after.user` and `user` are the same fact; leave one out")]
    UserTwice,
}

impl Activity {
    /// The activity of a body.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, Wrong> {
        let fields = body::fields(bytes).map_err(|_| Wrong::NoObject)?;
        let mut read = Self {
            action: String::new(),
            subject: None,
            user: None,
            before: Facts::new(),
            after: Facts::new(),
            outcome: None,
            why: None,
        };
        for (name, value) in fields {
            match name.as_str() {
                "action" => {
                    let action = text("action", value)?.ok_or(Wrong::NoAction)?;
                    action.parse::<ActionName>()?;
                    read.action = action;
                }
                "subject" => read.subject = text("subject", value)?,
                USER => read.user = text(USER, value)?,
                "why" => read.why = text("why", value)?,
                "outcome" => read.outcome = outcome(value)?,
                "before" => read.before = facts("before", value)?,
                "after" => read.after = facts("after", value)?,
                _ => return Err(Wrong::Unknown(shown(&name))),
            }
        }
        if read.action.is_empty() {
            return Err(Wrong::NoAction);
        }
        if read.user.is_some() && read.after.contains_key(USER) {
            return Err(Wrong::UserTwice);
        }
        Ok(read)
    }

    /// As the audit log has it.
    ///
    /// # Errors
    /// `action` is none: it was made here and not read.
    pub fn intent(&self, at_ms: i64, by: By) -> Result<Intent, Wrong> {
        let action: ActionName = self.action.parse()?;
        let mut intent = Intent::new(at_ms, by, &action.of_app());
        if let Some(subject) = &self.subject {
            intent = intent.on(subject);
        }
        for (name, fact) in &self.before {
            intent = intent.before(name, short(fact));
        }
        for (name, fact) in &self.after {
            intent = intent.after(name, short(fact));
        }
        if let Some(user) = &self.user {
            intent = intent.after(USER, user.as_str());
        }
        let done = self.outcome.unwrap_or(Outcome::Done);
        let intent = intent.refused(self.why.as_deref().unwrap_or_default());
        let why = intent.why.filter(|_| self.why.is_some());
        Ok(Intent { outcome: done, why, ..intent })
    }
}

/// A text that may be absent; `null` is absent too.
fn text(name: &'static str, value: Value) -> Result<Option<String>, Wrong> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(Wrong::NoText(name)),
    }
}

fn outcome(value: Value) -> Result<Option<Outcome>, Wrong> {
    let word = match value {
        Value::Null => return Ok(None),
        Value::String(word) => word,
        _ => return Err(Wrong::Outcome),
    };
    let known = Outcome::ALL.into_iter().find(|outcome| outcome.word() == word);
    known.map(Some).ok_or(Wrong::Outcome)
}

fn facts(side: &'static str, value: Value) -> Result<Facts, Wrong> {
    let facts: Map<String, Value> = match value {
        Value::Null => return Ok(Facts::new()),
        Value::Object(facts) => facts,
        _ => return Err(Wrong::NoFacts(side)),
    };
    if facts.len() > FACTS_MAX {
        return Err(Wrong::Facts(side));
    }
    let fact = |(name, value): (String, Value)| {
        if !is_fact_name(&name) {
            return Err(Wrong::FactName(side, shown(&name)));
        }
        match serde_json::from_value(value) {
            Ok(fact) => Ok((name, fact)),
            Err(_) => Err(Wrong::Fact(side, name)),
        }
    };
    facts.into_iter().map(fact).collect()
}

fn short(fact: &Fact) -> Fact {
    match fact {
        Fact::Number(number) => Fact::Number(*number),
        Fact::Text(text) => Fact::from(text.as_str()),
        Fact::Lines(lines) => Fact::from(&lines[..]),
    }
}

#[cfg(test)]
#[path = "activity_tests.rs"]
mod tests;
