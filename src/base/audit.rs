//! What is written down about a change: by whom, from where, what it was before and after. Never a secret.
//!
//! Bounds: texts of [`TEXT_BYTES_MAX`] bytes and lists of [`LINES_MAX`] lines; what is longer is cut and says so. A whole
//! change fits into [`JSON_BYTES_MAX`].

mod fit;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::fit::JSON_BYTES_MAX;

/// Longest text.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Longest list.
pub const LINES_MAX: usize = 100;

/// The names of what this version writes down.
pub mod action {
    pub const DAEMON_START: &str = "daemon.start";
    pub const DAEMON_STOP: &str = "daemon.stop";
    pub const CONFIG_RELOAD: &str = "config.reload";
    pub const CONFIG_RELOAD_REFUSED: &str = "config.reload_refused";
    pub const CERTIFICATE_ISSUE: &str = "certificate.issue";
    pub const CERTIFICATE_RENEW: &str = "certificate.renew";
    pub const CERTIFICATE_IMPORT: &str = "certificate.import";
    pub const CERTIFICATE_FILES: &str = "certificate.files";
    pub const CERTIFICATE_ADOPT: &str = "certificate.adopt";
    pub const CRYPTO_ROTATE: &str = "crypto.rotate";
    /// A call that was refused for who made it, or for a wrong code.
    pub const ACCESS_REFUSED: &str = "access.refused";
    pub const TOKEN_CREATE: &str = "token.create";
    pub const TOKEN_REVOKE: &str = "token.revoke";
    pub const TOTP_ENROLL: &str = "totp.enroll";
    pub const TOTP_REMOVE: &str = "totp.remove";
    pub const TOTP_ELEVATE: &str = "totp.elevate";
    pub const CAPABILITY_SET: &str = "capability.set";
    pub const CAPABILITY_LAPSE: &str = "capability.lapse";
}

/// Longest [`ActionName`].
pub const NAME_BYTES_MAX: usize = 64;

/// The name of an action that somebody else has thought of: the app, or whoever wrote the configuration. Lower-case
/// words joined by dots, such as `order.refund`. In the log it stands behind a word that says whose it is, so that it
/// can never be taken for one of the actions above.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActionName(String);

/// Why a text is no [`ActionName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActionNameError {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("only a-z, 0-9, _ and dots may stand in it")]
    Letter,
    #[error("a dot stands at its beginning, at its end or beside another one")]
    Dot,
}

impl ActionName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the app says that it did, as the log has it.
    #[must_use]
    pub fn of_app(&self) -> String {
        format!("app.{}", self.0)
    }

    /// What palisade saw on a route, as the log has it.
    #[must_use]
    pub fn of_route(&self) -> String {
        format!("route.{}", self.0)
    }
}

impl std::str::FromStr for ActionName {
    type Err = ActionNameError;

    fn from_str(text: &str) -> Result<Self, ActionNameError> {
        if text.is_empty() {
            return Err(ActionNameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(ActionNameError::TooLong);
        }
        if !text.bytes().all(|byte| is_word(byte) || byte == b'.') {
            return Err(ActionNameError::Letter);
        }
        if text.split('.').any(str::is_empty) {
            return Err(ActionNameError::Dot);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Whether a fact may have this name, when it comes from the app.
#[must_use]
pub fn is_fact_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_word)
}

const fn is_word(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')
}

/// Who wanted a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// palisade itself, or whoever may send it signals.
    System,
    /// A user of this machine, by the kernel's word.
    Uid {
        uid: u32,
        /// Name of the user, if it had one at that moment.
        user: Option<String>,
    },
    /// Whoever holds a token.
    Token { id: String, name: String },
    /// The app, by the user that it runs as.
    App { uid: u32, user: Option<String> },
    /// Somebody at the fronted site.
    Client {
        ip: String,
        /// Who that is for the app, if it is known.
        user: Option<String>,
    },
}

impl Actor {
    /// Who that is, in a word or two.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Uid { uid, user: None } => format!("uid {uid}"),
            Self::Uid { uid, user: Some(user) } => format!("{user} ({uid})"),
            Self::Token { id, name } => format!("token {name} ({id})"),
            Self::App { uid, user: None } => format!("app {uid}"),
            Self::App { user: Some(user), .. } => format!("app {user}"),
            Self::Client { ip, user: None } => ip.clone(),
            Self::Client { ip, user: Some(user) } => format!("{user} ({ip})"),
        }
    }
}

/// How the wish came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The control socket.
    Control,
    /// The ops address.
    Ops,
    /// The app's socket.
    App,
    /// A request that was proxied.
    Edge,
    Signal,
    /// A certificate that was due.
    Acme,
    /// What palisade looks at from time to time.
    Schedule,
    /// Whoever starts the process.
    Process,
}

impl Source {
    pub const ALL: [Self; 8] = [
        Self::Control,
        Self::Ops,
        Self::App,
        Self::Edge,
        Self::Signal,
        Self::Acme,
        Self::Schedule,
        Self::Process,
    ];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Ops => "ops",
            Self::App => "app",
            Self::Edge => "edge",
            Self::Signal => "signal",
            Self::Acme => "acme",
            Self::Schedule => "schedule",
            Self::Process => "process",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// Nothing was changed.
    Refused,
}

impl Outcome {
    pub const ALL: [Self; 2] = [Self::Done, Self::Refused];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

/// On whose behalf something is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    pub actor: Actor,
    pub source: Source,
    /// Of the call, if it was one.
    pub request_id: Option<String>,
    /// Name of the second factor that confirmed it, if one did.
    #[serde(default)]
    pub confirmed: Option<String>,
}

impl By {
    /// palisade of its own accord, or on a signal, whose sender the kernel does not name.
    #[must_use]
    pub const fn system(source: Source) -> Self {
        Self { actor: Actor::System, source, request_id: None, confirmed: None }
    }
}

/// One thing that is known about a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Fact {
    Number(i64),
    Text(String),
    Lines(Vec<String>),
}

/// What is known about a state, by name.
pub type Facts = BTreeMap<String, Fact>;

/// A change that was made or refused, before it has its place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub at_ms: i64,
    pub by: By,
    pub action: String,
    /// What was changed: a site, a key, a file.
    pub subject: Option<String>,
    pub before: Facts,
    pub after: Facts,
    pub outcome: Outcome,
    /// Why it was refused.
    pub why: Option<String>,
}

impl Intent {
    /// Something that was done; the rest is added to it.
    #[must_use]
    pub fn new(at_ms: i64, by: By, action: &str) -> Self {
        Self {
            at_ms,
            by,
            action: cut(action),
            subject: None,
            before: Facts::new(),
            after: Facts::new(),
            outcome: Outcome::Done,
            why: None,
        }
    }

    #[must_use]
    pub fn on(self, subject: &str) -> Self {
        Self { subject: Some(cut(subject)), ..self }
    }

    #[must_use]
    pub fn before(mut self, name: &str, fact: impl Into<Fact>) -> Self {
        self.before.insert(name.to_owned(), fact.into());
        self
    }

    #[must_use]
    pub fn after(mut self, name: &str, fact: impl Into<Fact>) -> Self {
        self.after.insert(name.to_owned(), fact.into());
        self
    }

    /// It was refused; only the first line of `why` is kept.
    #[must_use]
    pub fn refused(self, why: &str) -> Self {
        let why = Some(cut(why.lines().next().unwrap_or_default()));
        Self { outcome: Outcome::Refused, why, ..self }
    }
}

impl From<i64> for Fact {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(cut(text))
    }
}

impl From<&[String]> for Fact {
    fn from(lines: &[String]) -> Self {
        let mut kept: Vec<String> = lines.iter().take(LINES_MAX).map(|line| cut(line)).collect();
        if let Some(more) = lines.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
            kept.push(format!("… and {more} more"));
        }
        Self::Lines(kept)
    }
}

fn cut(text: &str) -> String {
    super::cut(text, TEXT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let lines: Vec<String> = (0..LINES_MAX + 2).map(|n| n.to_string()).collect();
        let Fact::Lines(kept) = Fact::from(&lines[..]) else { panic!("lines") };
        assert_eq!((kept.len(), kept.last().map(String::as_str)), (101, Some("… and 2 more")));
        let Fact::Text(text) = Fact::from(&*"ä".repeat(TEXT_BYTES_MAX)) else { panic!("text") };
        assert!(text.len() <= TEXT_BYTES_MAX + 3 && text.ends_with("ä…"));
    }

    #[test]
    fn an_action_is_lower_case_words_joined_by_dots() {
        for name in ["refund", "order.refund", "a", "0.1._", &"a".repeat(NAME_BYTES_MAX)] {
            let parsed: ActionName = name.parse().expect(name);
            assert_eq!(parsed.as_str(), name);
            assert_eq!(
                (parsed.of_app(), parsed.of_route()),
                (format!("app.{name}"), format!("route.{name}"))
            );
        }
        let why = |name: &str| name.parse::<ActionName>().expect_err(name);
        assert_eq!(why(""), ActionNameError::Empty);
        assert_eq!(why(&"a".repeat(NAME_BYTES_MAX + 1)), ActionNameError::TooLong);
        for name in ["Refund", "a b", "a-b", "ä", "a\n", "a/b"] {
            assert_eq!(why(name), ActionNameError::Letter, "{name:?}");
        }
        for name in [".", ".a", "a.", "a..b"] {
            assert_eq!(why(name), ActionNameError::Dot, "{name}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_first_line_of_its_reason() {
        let intent =
            Intent::new(1, By::system(Source::Signal), "x.y").on("s").refused("no\nline 2");
        assert_eq!((intent.outcome, intent.why.as_deref()), (Outcome::Refused, Some("no")));
    }
}
