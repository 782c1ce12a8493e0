//! What kind of failure an upstream had, and what somebody does about it.
//!
//! Promises: the next step of a kind is the same wherever it is told.

/// Why an upstream is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody listens there.
    Refused,
    /// Connecting took too long.
    Unreached,
    /// It took a request and did not answer in time.
    Late,
    /// It broke the connection, or what it said cannot be understood.
    Broke,
    /// The handshake failed. The reason names the step.
    Tls,
    /// Its name has no address. The reason names the step.
    Name,
    /// It speaks something else. The reason names the step.
    Protocol,
    /// Its health check fails.
    Check,
}

impl Trouble {
    /// Whether a connection that succeeds shows that it is over.
    #[must_use]
    pub const fn ends_by_connecting(self) -> bool {
        matches!(self, Self::Refused | Self::Unreached | Self::Name)
    }

    /// What somebody does, and what palisade does by itself. `others`: whether requests have somewhere else to go.
    #[must_use]
    pub fn next(self, others: bool) -> String {
        let step = match self {
            Self::Refused => "see whether the app runs and listens there",
            Self::Unreached => "see whether its machine is up and no firewall is in between",
            Self::Late => "see in the app's own log what it waits for",
            Self::Broke => "look into the app's own log",
            Self::Tls | Self::Name | Self::Protocol => "put right what the reason names",
            Self::Check => "see what the app answers to its health check",
        };
        let elsewhere = if others { "; requests go to other upstreams meanwhile" } else { "" };
        let back = match self {
            Self::Check => "palisade asks again by itself",
            kind if kind.ends_by_connecting() => {
                "palisade sees by itself when it can be reached again"
            }
            _ => "the first request after each pause finds out whether it is back",
        };
        format!("{step}{elsewhere}; {back}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_follows_from_what_failed_and_from_who_is_left() {
        let refused = "see whether the app runs and listens there; palisade sees by itself when it can be reached again";
        assert_eq!(Trouble::Refused.next(false), refused);
        let tls = Trouble::Tls.next(true);
        assert!(!tls.contains("log") && tls.contains("requests go to other upstreams"), "{tls}");
        assert!(Trouble::Late.next(false).ends_with("finds out whether it is back"));
        assert!(!Trouble::Broke.ends_by_connecting(), "it listens while it breaks");
    }
}
