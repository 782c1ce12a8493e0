//! What went wrong in an attempt, before anybody has thought about why.
//!
//! Promises: the CA's own words are kept as they are, but for characters that steer the display and beyond [`WORDS_MAX`] bytes.

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
    /// Palisade itself.
    Defect,
}

impl Class {
    pub const ALL: [Self; 8] = [
        Self::Ca,
        Self::Network,
        Self::Validation,
        Self::RateLimited,
        Self::State,
        Self::Config,
        Self::Clock,
        Self::Defect,
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
            Self::Defect => "defect",
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
    Fault(Box<Fault>),
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
        offered: Box<[String]>,
    },
    Wildcard,
    /// What was issued is not what was ordered.
    Issued,
    /// The attempt panicked; `again` if it had gone on with an order already, which may be what it stumbles over.
    Defect {
        again: bool,
    },
}

/// A URL that the CA named, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub url: String,
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
    /// What was asked, where it is not the directory but what the CA named itself.
    pub asked: Option<Box<Asked>>,
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
            asked: None,
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
                    let class = match (fault, &seen.url) {
                        (Fault::Time(_), _) => Class::Clock,
                        (Fault::Url(_), None) => Class::Config,
                        (Fault::Url(_) | Fault::TooLarge { .. }, Some(_)) => Class::Ca,
                        _ => Class::Network,
                    };
                    let detail = match &seen.url {
                        Some(url) => format!("{url}: {fault}"),
                        None => fault.to_string(),
                    };
                    Self::new(What::Fault(Box::new(fault.clone())), class, detail)
                }
                None => Self::answer(error, seen),
            },
            Error::Crypto | Error::KeyRejected => Self::state(error.to_string()),
            _ => Self::answer(error, seen),
        };
        trouble.status = trouble.status.or(seen.status);
        trouble.retry_after_s = seen.retry_after_s;
        trouble.asked = seen.url.clone().map(|url| Box::new(Asked { url }));
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

    /// The URL that failed, unless it was the directory's.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.asked.as_deref().map(|asked| asked.url.as_str())
    }

    /// Whether the order stands and the next attempt may go on with it.
    #[must_use]
    pub const fn leaves_order(&self) -> bool {
        matches!(
            self.what,
            What::Fault(_)
                | What::Slow
                | What::State
                | What::Clock
                | What::Defect { again: false }
        )
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

/// Somebody else's words, fit to be shown: nothing that steers a terminal or turns a line around, at most
/// [`WORDS_MAX`] bytes.
#[must_use]
pub fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(WORDS_MAX));
    for character in text.trim().chars() {
        let shown = if character.is_control() || is_format(character) { ' ' } else { character };
        if out.len() + shown.len_utf8() > WORDS_MAX {
            out.push('…');
            break;
        }
        out.push(shown);
    }
    out
}

/// Characters that nobody sees and that change how others are shown: Unicode's category Cf as far as it does that, with
/// the separators of lines and paragraphs.
const fn is_format(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cas_words_are_bounded_and_steer_no_terminal() {
        assert_eq!(words("  a\u{1b}[31mb\r\n\u{9b}c "), "a [31mb   c");
        // Right-to-left override and isolate: "cba.exe" would be shown as "exe.abc".
        assert_eq!(words("a\u{202e}b\u{2066}c\u{200b}d\u{feff}"), "a b c d ");
        assert_eq!(words("größe 尺寸 مرحبا 👍"), "größe 尺寸 مرحبا 👍");
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
