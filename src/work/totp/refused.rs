//! Why a factor or a code is not taken, and what the caller is told.

use crate::ops::api::Problem;
use crate::ops::api::access::{TOTP_REQUIRED, TOTP_WRONG};
use crate::store::StoreError;
use crate::store::totp::FACTORS_MAX;

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It is no code, so that nobody has guessed.
    NoCode,
    /// No factor has this code now.
    Wrong,
    /// It was right once.
    UsedBefore,
    /// So many codes of the caller, or of everybody, were wrong that none is looked at.
    TooMany {
        wait_s: u64,
    },
    /// The elevation has ended, or is somebody else's.
    NotElevated,
    /// There is nothing to confirm with.
    NoFactor,
    Name,
    Taken,
    Full,
    /// Begun when no factor was there, and now one is.
    NotFirst,
    /// The factor that confirmed it is gone.
    Void,
    NotBegun {
        name: String,
    },
    Unknown {
        name: String,
    },
    /// No secret of a factor can be read.
    Unreadable {
        why: String,
    },
    /// It cannot be written, or there is no randomness.
    Unable {
        why: String,
    },
}

impl Refused {
    /// Whether it is a guess that counts.
    #[must_use]
    pub const fn is_guess(&self) -> bool {
        matches!(self, Self::Wrong | Self::UsedBefore)
    }

    /// For the caller.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let kind = match self {
            Self::NoCode | Self::Wrong | Self::UsedBefore => TOTP_WRONG,
            Self::NotElevated => TOTP_REQUIRED,
            _ => "about:blank",
        };
        let (status, title, detail) = self.words();
        Problem { kind: kind.into(), ..Problem::new(status, title, detail) }
    }

    fn words(&self) -> (u16, &'static str, String) {
        let nothing = "nothing was changed";
        match self {
            Self::NoCode => (
                403,
                "That is no code",
                "a code has six digits; this was not looked at and does not count as a guess".into(),
            ),
            Self::Wrong => (
                403,
                "Wrong code",
                "no second factor has this code now\nwait for the next code and try again; if that is wrong too, \
                 compare the clocks of the device and of this machine (timedatectl)"
                    .into(),
            ),
            Self::UsedBefore => (
                403,
                "The code was used already",
                "a code works once\nwait for the next one, at most 30 s".into(),
            ),
            Self::TooMany { wait_s } => (
                429,
                "Too many wrong codes",
                format!("no code of yours is looked at for a while\nwait {wait_s} s, then try again"),
            ),
            Self::NotElevated => (
                403,
                "A code is needed",
                "the elevation has ended, or was given to somebody else\nelevate again, or send a code".into(),
            ),
            Self::NoFactor => (
                409,
                "There is no second factor",
                "no call wants a code\n`palisade totp enroll NAME` makes a factor".into(),
            ),
            Self::Name => (
                422,
                "No name for a second factor",
                "it has 1 to 64 letters, digits, -, _ and .".into(),
            ),
            Self::Taken => (
                409,
                "There is a second factor of this name",
                "remove it first, or choose another name".into(),
            ),
            Self::Full => (
                409,
                "Too many second factors",
                format!("there are {FACTORS_MAX}; remove one first"),
            ),
            Self::NotFirst => void("it was begun without a code, and by now there is a second factor"),
            Self::Void => void("the second factor that confirmed it was removed meanwhile"),
            Self::NotBegun { name } => (
                404,
                "No enrolment waits",
                format!("no enrolment of {name:?} waits for its first code; it may be over 10 minutes old, or the factor that confirmed it was removed\nenroll it again"),
            ),
            Self::Unknown { name } => {
                (404, "There is no such second factor", format!("none is called {name:?}\npalisade totp list shows those there are"))
            }
            Self::Unreadable { why } => (
                503,
                "The second factors cannot be read",
                format!("{why}\n{nothing}; with the daemon stopped root may remove one: palisade totp remove NAME --state DIR"),
            ),
            Self::Unable { why } => (503, "Not now", format!("{why}\n{nothing}")),
        }
    }
}

fn void(why: &str) -> (u16, &'static str, String) {
    (409, "The enrolment is void", format!("{why}\nenroll it again"))
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Unable { why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_reason_is_indented_by_itself() {
        let why = || "the disk is full".to_owned();
        for refused in [
            Refused::NoCode,
            Refused::Wrong,
            Refused::UsedBefore,
            Refused::TooMany { wait_s: 7 },
            Refused::NotElevated,
            Refused::NoFactor,
            Refused::NotFirst,
            Refused::NotBegun { name: why() },
            Refused::Unknown { name: why() },
            Refused::Unreadable { why: why() },
            Refused::Unable { why: why() },
        ] {
            let detail = refused.problem().detail.unwrap_or_default();
            assert!(detail.lines().all(|line| line.trim() == line), "{detail}");
        }
    }

    #[test]
    fn the_ways_to_refuse_a_code_can_be_told_apart() {
        let told = |refused: Refused| {
            let problem = refused.problem();
            (problem.status, problem.kind)
        };
        assert_eq!(told(Refused::Wrong), (403, TOTP_WRONG.into()));
        assert_eq!(told(Refused::NoCode), (403, TOTP_WRONG.into()));
        assert!(!Refused::NoCode.is_guess() && Refused::Wrong.is_guess());
        assert_eq!(told(Refused::UsedBefore), (403, TOTP_WRONG.into()));
        assert_eq!(told(Refused::NotElevated), (403, TOTP_REQUIRED.into()));
        assert_eq!(told(Refused::TooMany { wait_s: 7 }), (429, "about:blank".into()));
        let problem = Refused::TooMany { wait_s: 7 }.problem();
        assert!(problem.detail.is_some_and(|detail| detail.contains("wait 7 s")));
    }
}
