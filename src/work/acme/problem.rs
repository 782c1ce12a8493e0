//! What went wrong in an attempt, before anybody has thought about why.
//!
//! Promises: the CA's own words are kept as they are, but for control characters and beyond [`WORDS_MAX`] bytes.

use instant_acme::{Error, Problem};

use super::fault::Fault;
use super::http::Seen;
use super::settings::ChallengeKind;
use crate::base::Host;
use crate::store::StoreError;

/// Of a CA's words; a problem document is a sentence or two.
const WORDS_MAX: usize = 2048;
const URN: &str = "urn:ietf:params:acme:error:";

/// For metrics, and for what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The CA answered and would not.
    Ca,
    /// The CA could not be asked.
    Network,
    /// The CA could not see that the name is ours.
    Validation,
    RateLimited,
    /// This machine cannot write or read its state.
    State,
    /// The configuration, or a file that it names.
    Config,
    /// This clock and the CA's cannot both be right.
    Clock,
}

impl Class {
    pub const ALL: [Self; 7] = [
        Self::Ca,
        Self::Network,
        Self::Validation,
        Self::RateLimited,
        Self::State,
        Self::Config,
        Self::Clock,
    ];

    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Network => "network",
            Self::Validation => "validation",
            Self::RateLimited => "rate_limited",
            Self::State => "state",
            Self::Config => "config",
            Self::Clock => "clock",
        }
    }
}

/// Where an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A problem document (RFC 8555 §6.7).
    Problem,
    /// An answer that is neither success nor a problem document.
    Answer,
    /// No answer.
    Fault(Fault),
    /// The order took longer than an attempt may.
    Slow,
    /// Nothing can be written, or a secret cannot be read back.
    State,
    /// This clock and the CA's differ too much.
    Clock,
    CaFile,
    Eab,
    Profile {
        listed: Vec<String>,
    },
    /// None of the configured challenges is offered for a name.
    NoChallenge {
        offered: Vec<String>,
    },
    Wildcard,
    /// What was issued is not what was ordered.
    Issued,
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Trouble {
    pub what: What,
    pub class: Class,
    /// `urn:ietf:params:acme:error:…`
    pub kind: Option<String>,
    pub detail: String,
    pub status: Option<u16>,
    pub retry_after_s: Option<u64>,
    /// The name and challenge that failed, if it was a validation.
    pub name: Option<Host>,
    pub challenge: Option<ChallengeKind>,
    /// The other challenge failed too.
    pub both: bool,
}

impl Trouble {
    #[must_use]
    pub fn new(what: What, class: Class, detail: impl AsRef<str>) -> Self {
        Self {
            what,
            class,
            kind: None,
            detail: words(detail.as_ref()),
            status: None,
            retry_after_s: None,
            name: None,
            challenge: None,
            both: false,
        }
    }

    #[must_use]
    pub fn state(detail: impl AsRef<str>) -> Self {
        Self::new(What::State, Class::State, detail)
    }

    /// From a problem document.
    #[must_use]
    pub fn of_problem(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().map(words);
        let class = match kind.as_deref().and_then(|kind| kind.strip_prefix(URN)) {
            Some("rateLimited") => Class::RateLimited,
            Some("connection" | "dns" | "incorrectResponse" | "tls") => Class::Validation,
            _ => Class::Ca,
        };
        let mut detail = problem.detail.clone().unwrap_or_default();
        for part in &problem.subproblems {
            if !detail.is_empty() {
                detail.push_str("; ");
            }
            detail.push_str(&part.to_string());
        }
        if detail.is_empty() {
            detail.push_str("the CA gave no details");
        }
        Self { kind, status: problem.status, ..Self::new(What::Problem, class, detail) }
    }

    /// From what the ACME library says, and what the CA said last on the wire.
    #[must_use]
    pub fn of(error: &Error, seen: &Seen) -> Self {
        let mut trouble = match error {
            Error::Api(problem) => Self::of_problem(problem),
            Error::Other(inner) => match inner.downcast_ref::<Fault>() {
                Some(fault) => {
                    let class = match fault {
                        Fault::Time(_) => Class::Clock,
                        Fault::Url(_) => Class::Config,
                        _ => Class::Network,
                    };
                    Self::new(What::Fault(fault.clone()), class, fault.to_string())
                }
                None => Self::answer(error, seen),
            },
            Error::Crypto | Error::KeyRejected => Self::state(error.to_string()),
            _ => Self::answer(error, seen),
        };
        trouble.status = trouble.status.or(seen.status);
        trouble.retry_after_s = seen.retry_after_s;
        match trouble.status {
            Some(429) => trouble.class = Class::RateLimited,
            Some(500..) => trouble.class = Class::Network, // it passes
            _ => {}
        }
        trouble
    }

    /// An answer that the library could not make sense of.
    fn answer(error: &Error, seen: &Seen) -> Self {
        let status = seen.status.unwrap_or_default();
        let detail = match &seen.refusal {
            Some(body) if body.is_empty() => format!("the CA answers {status}"),
            Some(body) => format!("the CA answers {status}: {body}"),
            None => format!("the CA's answer cannot be used: {error}"),
        };
        let class = if status >= 500 { Class::Network } else { Class::Ca };
        Self::new(What::Answer, class, detail)
    }

    /// The last part of the problem type: `rateLimited`.
    #[must_use]
    pub fn short_kind(&self) -> Option<&str> {
        self.kind.as_deref()?.strip_prefix(URN)
    }

    /// Whether the order stands and the next attempt may go on with it.
    #[must_use]
    pub const fn leaves_order(&self) -> bool {
        matches!(self.what, What::Fault(_) | What::Slow | What::State | What::Clock)
            || matches!(self.class, Class::Network | Class::RateLimited)
            // A success that nobody can read, as a proxy's page has it, says nothing about the order.
            || matches!((&self.what, self.status), (What::Answer, Some(200..=299)))
    }

    /// At this name, by this challenge.
    #[must_use]
    pub fn at(mut self, name: &Host, challenge: ChallengeKind) -> Self {
        self.name = Some(name.clone());
        self.challenge = Some(challenge);
        if self.class == Class::Ca && !self.leaves_order() {
            self.class = Class::Validation;
        }
        self
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::state(error.to_string())
    }
}

/// Somebody else's words, fit to be shown: no control characters, at most [`WORDS_MAX`] bytes.
#[must_use]
pub fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(WORDS_MAX));
    for character in text.trim().chars() {
        let shown = if character.is_control() { ' ' } else { character };
        if out.len() + shown.len_utf8() > WORDS_MAX {
            out.push('…');
            break;
        }
        out.push(shown);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cas_words_are_bounded_and_steer_no_terminal() {
        assert_eq!(words("  a\u{1b}[31mb\r\n\u{9b}c "), "a [31mb   c");
        let long = words(&"é".repeat(4000));
        assert!(long.len() <= WORDS_MAX + '…'.len_utf8(), "{}", long.len());
        assert!(long.ends_with('…'));
    }

    #[test]
    fn a_problem_keeps_type_words_and_parts() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"Some were rejected","status":400,
                "subproblems":[{"type":"urn:ietf:params:acme:error:rejectedIdentifier","detail":"no",
                "identifier":{"type":"dns","value":"example.net"}}]}"#,
        )
        .expect("a problem document");
        let trouble = Trouble::of_problem(&problem);
        assert_eq!(trouble.short_kind(), Some("malformed"));
        assert_eq!(trouble.status, Some(400));
        assert!(trouble.detail.starts_with("Some were rejected; for \"example.net\": no"));
        assert_eq!(trouble.class, Class::Ca);
    }

    #[test]
    fn an_answer_without_a_problem_document_is_told_by_its_status() {
        let error = Error::Str("no order URL found");
        let seen = Seen {
            status: Some(503),
            retry_after_s: Some(120),
            refusal: Some("<html>down</html>".into()),
            ..Seen::default()
        };
        let trouble = Trouble::of(&error, &seen);
        assert_eq!(trouble.class, Class::Network);
        assert_eq!(trouble.detail, "the CA answers 503: <html>down</html>");
        assert_eq!(trouble.retry_after_s, Some(120));
        assert!(trouble.leaves_order());
    }

    #[test]
    fn a_page_in_place_of_an_answer_leaves_the_order_and_a_refusal_does_not() {
        let seen = |status| Seen { status: Some(status), ..Seen::default() };
        let error = Error::Str("no JSON");
        assert!(Trouble::of(&error, &seen(200)).leaves_order());
        assert!(!Trouble::of(&error, &seen(404)).leaves_order());
    }
}
