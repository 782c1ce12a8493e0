//! Why there was no answer from the CA: the connection, its TLS, or a body that is no answer.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use super::names::Unresolved;

/// One request to the CA that got no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the URL cannot be used: {0}")]
    Url(String),
    #[error("{0}")]
    Unresolved(String),
    #[error("the connection was refused")]
    Refused,
    #[error("no answer within {seconds} s")]
    Silent { seconds: u64 },
    /// Neither refused nor answered on the level of TCP.
    #[error("no connection: {0}")]
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
    /// Looks through the chain of causes for the one that an operator can do something about.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        let mut last = error.to_string();
        while let Some(cause) = next {
            if let Some(found) = known(cause) {
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

fn known(error: &(dyn Error + 'static)) -> Option<Fault> {
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
    match io.kind() {
        io::ErrorKind::ConnectionRefused => Some(Fault::Refused),
        io::ErrorKind::TimedOut => Some(Fault::Unreachable("it timed out".into())),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::NetworkDown => Some(Fault::Unreachable(io.to_string())),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Fault::Broken(io.to_string())),
        _ => None,
    }
}

fn of_tls(error: &rustls::Error) -> Fault {
    let words = error.to_string();
    let rustls::Error::InvalidCertificate(why) = error else { return Fault::Tls(words) };
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Fault::Time(words),
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

    #[test]
    fn the_cause_is_found_however_deep_it_is_wrapped() {
        let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(Fault::of(&refused), Fault::Refused);
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(matches!(Fault::of(&wrapped(expired)), Fault::Time(_)));
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert!(matches!(Fault::of(&wrapped(unknown)), Fault::Untrusted(_)));
        let unresolved =
            Unresolved { name: "ca.example".into(), why: io::Error::other("no such name") };
        let Fault::Unresolved(words) = Fault::of(&wrapped(unresolved)) else {
            panic!("not recognised")
        };
        assert_eq!(words, "ca.example does not resolve: no such name");
        assert!(matches!(Fault::of(&io::Error::other("strange")), Fault::Broken(_)));
    }
}
