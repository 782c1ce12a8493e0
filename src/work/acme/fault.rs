//! Why there was no answer from the CA: the connection, its TLS, or a body that is no answer.

use std::error::Error;
use std::io;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::names::Unresolved;
use crate::base::timestamp::rfc3339;

/// One request to the CA that got no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the URL cannot be used: {0}")]
    Url(String),
    #[error("{0}")]
    Unresolved(String),
    #[error("{by} refused the connection")]
    Refused { by: Box<str> },
    #[error("no answer from {from} within {seconds} s")]
    Silent { from: Box<str>, seconds: u64 },
    /// Neither refused nor answered on the level of TCP.
    #[error("no connection to {0}")]
    Unreachable(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the CA's own certificate is not trusted here: {0}")]
    Untrusted(String),
    #[error(
        "the CA's server shows a CA certificate as its own, which no client accepts (CaUsedAsEndEntity)"
    )]
    CaAsServer,
    /// Not yet valid or expired, by this machine's clock.
    #[error("the CA's own certificate is not valid at this time: {0}")]
    Time(String),
    #[error("TLS with the CA failed: {0}")]
    Tls(String),
    #[error("the answer is larger than {bytes_max} bytes")]
    TooLarge { bytes_max: usize },
    #[error("the directory URL answers {status}, and not with an ACME directory")]
    NoDirectory { status: u16 },
}

impl Fault {
    /// Looks through the chain of causes for the one that an operator can do something about. `asked` is the host and
    /// port that the request went to.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static), asked: &str) -> Self {
        let mut next = Some(error);
        let mut last = error.to_string();
        while let Some(cause) = next {
            if let Some(found) = known(cause, asked) {
                return found;
            }
            last = cause.to_string();
            next = inner(cause);
        }
        Self::Broken(last)
    }
}

/// The cause of an error. An `io::Error` hides the error that it wraps from `source`, so that is asked first.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .map(|wrapped| wrapped as &(dyn Error + 'static))
        .or_else(|| error.source())
}

fn known(error: &(dyn Error + 'static), asked: &str) -> Option<Fault> {
    if let Some(unresolved) = error.downcast_ref::<Unresolved>() {
        return Some(Fault::Unresolved(unresolved.to_string()));
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(tls));
    }
    let io = error.downcast_ref::<io::Error>()?;
    if io.get_ref().is_some_and(|wrapped| wrapped.is::<rustls::Error>()) {
        return None; // one step further in
    }
    let unreachable = |why: &str| Some(Fault::Unreachable(format!("{asked}: {why}")));
    match io.kind() {
        io::ErrorKind::ConnectionRefused => Some(Fault::Refused { by: asked.into() }),
        io::ErrorKind::TimedOut => unreachable("it timed out"),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NetworkDown => unreachable(&io.to_string()),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Fault::Broken(io.to_string())),
        _ => None,
    }
}

fn of_tls(error: &rustls::Error) -> Fault {
    let words = error.to_string();
    let rustls::Error::InvalidCertificate(why) = error else { return Fault::Tls(words) };
    let date = |time: &UnixTime| rfc3339(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    match why {
        CertificateError::ExpiredContext { time, not_after } => {
            Fault::Time(format!("it ended on {}, and it is {} here", date(not_after), date(time)))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            Fault::Time(format!("it begins on {}, and it is {} here", date(not_before), date(time)))
        }
        CertificateError::Expired => Fault::Time("it has ended".into()),
        CertificateError::NotValidYet => Fault::Time("it has not begun".into()),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Fault::Untrusted(words),
        // rustls has no variant of its own for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            Fault::CaAsServer
        }
        _ => Fault::Tls(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(error: impl Error + Send + Sync + 'static) -> io::Error {
        io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn of(error: &io::Error) -> Fault {
        Fault::of(error, "ca.example:443")
    }

    #[test]
    fn a_certificate_out_of_its_time_is_told_with_dates_and_no_seconds() {
        let at = |s| UnixTime::since_unix_epoch(std::time::Duration::from_secs(s));
        let (time, not_after) = (at(1_800_000_000), at(1_768_464_000));
        let expired = CertificateError::ExpiredContext { time, not_after };
        let words = of(&wrapped(rustls::Error::InvalidCertificate(expired))).to_string();
        let wanted = "it ended on 2026-01-15T08:00:00Z, and it is 2027-01-15T08:00:00Z here";
        assert!(words.ends_with(wanted), "{words}");
        let (time, not_before) = (at(1_768_464_000), at(1_800_000_000));
        let early = CertificateError::NotValidYetContext { time, not_before };
        let words = of(&wrapped(rustls::Error::InvalidCertificate(early))).to_string();
        let wanted = "it begins on 2027-01-15T08:00:00Z, and it is 2026-01-15T08:00:00Z here";
        assert!(words.ends_with(wanted), "{words}");
    }

    #[test]
    fn the_cause_is_found_however_deep_it_is_wrapped() {
        let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        let by = "ca.example:443".into();
        assert_eq!(Fault::of(&refused, "ca.example:443"), Fault::Refused { by });
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(matches!(of(&wrapped(expired)), Fault::Time(_)));
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(matches!(of(&wrapped(unknown)), Fault::Untrusted(_)));
        let unresolved =
            Unresolved { name: "ca.example".into(), why: crate::ports::Unresolved::Missing };
        let Fault::Unresolved(words) = of(&wrapped(unresolved)) else { panic!("not recognised") };
        assert_eq!(words, "ca.example does not resolve: there is no such name in DNS");
        assert!(matches!(of(&io::Error::other("strange")), Fault::Broken(_)));
    }
}
