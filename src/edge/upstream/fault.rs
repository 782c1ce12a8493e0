//! Why an exchange with the app broke, in words for the log. The client learns none of it.
//!
//! Promises: where the scheme in front of the address is the cause, the words name the right one, and nothing else;
//! where it may be, they ask.

use h2::Reason;
use rustls::AlertDescription;

use super::chunked::{LINE_MAX, TRAILERS_MAX};
use super::head::{FIELDS_MAX, HEAD_MAX, INTERIM_MAX};
use super::trouble::Trouble;
use crate::base::Broke;
use crate::config::settings::{Endpoint, Protocol};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the connection ended before a response came")]
    Closed,
    #[error("the connection ended inside the head of the response")]
    CutHead,
    #[error("the connection ended inside the body of the response")]
    CutBody,
    #[error("what it sent is no HTTP/1 response")]
    NotHttp,
    #[error("the head of its response has more than {HEAD_MAX} bytes")]
    HeadTooLong,
    #[error("the head of its response has more than {FIELDS_MAX} fields")]
    TooManyFields,
    #[error("a line of its response ends with LF alone")]
    BareLf,
    #[error("a field of its response is malformed")]
    Field,
    #[error("its response has both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    #[error("its response has a Content-Length that is no number, or several that differ")]
    Length,
    #[error("its response has another Transfer-Encoding than chunked")]
    Coding,
    #[error("its response is HTTP/1.0 with Transfer-Encoding")]
    CodingInOld,
    #[error("it sent more than {INTERIM_MAX} interim responses")]
    InterimFlood,
    #[error("a chunk of its response is malformed, or its first line longer than {LINE_MAX} bytes")]
    Chunk,
    #[error("the trailers of its response are malformed, or longer than {TRAILERS_MAX} bytes")]
    Trailers,
    #[error("it speaks HTTP/2")]
    SpeaksHttp2,
    #[error("it speaks HTTP/1.1")]
    SpeaksHttp1,
    #[error("it speaks TLS")]
    SpeaksTls,
    /// With an alert, after the handshake had succeeded.
    #[error("it ended the connection with the TLS alert {0:?}")]
    Alert(AlertDescription),
    #[error("what it sent breaks the rules of HTTP/2 ({0:?})")]
    NotHttp2(Reason),
    #[error("it reset the request ({0:?})")]
    Reset(Reason),
    #[error("it refused the request before it looked at it (REFUSED_STREAM or GOAWAY)")]
    Refused,
    #[error("nothing came on the connection, not even the answer to a PING")]
    Mute,
    /// The record of the request body knows more.
    #[error("the request body broke off")]
    RequestBody,
}

impl Fault {
    #[must_use]
    pub const fn trouble(self) -> Trouble {
        match self {
            Self::SpeaksHttp2 | Self::SpeaksHttp1 | Self::SpeaksTls | Self::NotHttp2(_) => {
                Trouble::Protocol
            }
            _ => Trouble::Broke,
        }
    }

    /// In words, with what the scheme of the upstream has to do with it. `fresh`: it was the first exchange of its
    /// connection, and the upstream has not been heard of before.
    pub fn why(self, endpoint: &Endpoint, fresh: bool) -> String {
        let (multiplexed, tls) = (endpoint.protocol == Protocol::Http2, endpoint.tls.is_some());
        let hint = match self {
            Self::SpeaksHttp2 if tls => ": write h2:// in front of its address",
            Self::SpeaksHttp2 => ": write h2c:// in front of its address",
            Self::SpeaksHttp1 if tls => ": write https:// in front of its address",
            Self::SpeaksHttp1 => ": leave h2c:// away",
            Self::SpeaksTls if multiplexed => ": write h2:// in front of its address",
            Self::SpeaksTls => ": write https:// in front of its address, or h2:// for HTTP/2",
            Self::Alert(alert) if wants_certificate(alert) => {
                ": it wants a client certificate, which palisade has none of; let it take requests without one"
            }
            Self::Closed if fresh => match (multiplexed, tls) {
                (false, false) => "; does it speak TLS? write https:// in front of its address",
                (false, true) => "; does it speak HTTP/2 only? write h2:// in front of its address",
                (true, false) => {
                    "; does it speak TLS? write h2:// in front of its address; or HTTP/1.1? leave h2c:// away"
                }
                (true, true) => "",
            },
            _ => "",
        };
        format!("{self}{hint}")
    }

    /// The words say what to do already: the app's own log knows no more.
    pub const fn is_decisive(self) -> bool {
        match self {
            Self::SpeaksHttp2 | Self::SpeaksHttp1 | Self::SpeaksTls => true,
            Self::Alert(alert) => wants_certificate(alert),
            _ => false,
        }
    }
}

/// What servers say to a client that has no certificate (RFC 8446 §6.2; older ones say that they got a bad one).
const fn wants_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
    )
}

impl From<Fault> for Broke {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed | Fault::Refused | Fault::Alert(_) => Self::Silent,
            Fault::CutHead
            | Fault::CutBody
            | Fault::RequestBody
            | Fault::Reset(_)
            | Fault::Mute => Self::Midway,
            Fault::NotHttp
            | Fault::SpeaksHttp2
            | Fault::SpeaksHttp1
            | Fault::SpeaksTls
            | Fault::NotHttp2(_)
            | Fault::HeadTooLong
            | Fault::TooManyFields
            | Fault::BareLf
            | Fault::Field
            | Fault::LengthAndCoding
            | Fault::Length
            | Fault::Coding
            | Fault::CodingInOld
            | Fault::InterimFlood
            | Fault::Chunk
            | Fault::Trailers => Self::Nonsense,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::{UpstreamAddr, UpstreamTls};

    fn endpoint(protocol: Protocol, tls: bool) -> Endpoint {
        let addr = UpstreamAddr::Tcp { host: "127.0.0.1".into(), port: 3000 };
        let tls = tls.then(|| UpstreamTls { name: "app.internal".into(), ca_file: None });
        Endpoint { addr, protocol, tls }
    }

    #[test]
    fn a_wrong_scheme_is_answered_with_the_right_one() {
        use Protocol::{Http1, Http2};
        let cases = [
            (Fault::SpeaksTls, Http1, false, "write https://"),
            (Fault::SpeaksTls, Http2, false, "write h2://"),
            (Fault::SpeaksHttp1, Http2, false, "leave h2c:// away"),
            (Fault::SpeaksHttp1, Http2, true, "write https://"),
            (Fault::SpeaksHttp2, Http1, false, "write h2c://"),
            (Fault::SpeaksHttp2, Http1, true, "write h2://"),
        ];
        for (fault, protocol, tls, hint) in cases {
            let why = fault.why(&endpoint(protocol, tls), false);
            assert!(why.contains(hint) && fault.is_decisive(), "{why}");
        }
    }

    #[test]
    fn a_close_without_a_byte_asks_only_while_nothing_was_heard() {
        use Protocol::{Http1, Http2};
        for (protocol, tls, hint) in [
            (Http1, false, "does it speak TLS? write https://"),
            (Http1, true, "does it speak HTTP/2 only? write h2://"),
            (Http2, false, "does it speak TLS? write h2://"),
        ] {
            let why = Fault::Closed.why(&endpoint(protocol, tls), true);
            assert!(why.contains(hint) && !Fault::Closed.is_decisive(), "{why}");
            assert!(!Fault::Closed.why(&endpoint(protocol, tls), false).contains("://"), "{why}");
        }
    }

    #[test]
    fn an_alert_is_named_and_a_missing_certificate_explained() {
        let alert = |alert| Fault::Alert(alert).why(&endpoint(Protocol::Http1, true), false);
        assert!(
            alert(AlertDescription::CertificateRequired).contains("wants a client certificate")
        );
        assert_eq!(
            alert(AlertDescription::InternalError),
            "it ended the connection with the TLS alert InternalError"
        );
    }
}
