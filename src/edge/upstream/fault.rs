//! Why an exchange with the app broke, in words for the log. The client learns none of it.

use h2::Reason;

use super::chunked::{LINE_MAX, TRAILERS_MAX};
use super::head::{FIELDS_MAX, HEAD_MAX, INTERIM_MAX};
use super::trouble::Trouble;
use crate::base::Broke;

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
    #[error("it speaks HTTP/2: write h2c:// in front of its address")]
    SpeaksHttp2,
    #[error("it speaks TLS: write https:// or h2:// in front of its address")]
    SpeaksTls,
    #[error("what it sent breaks the rules of HTTP/2 ({0:?}); leave h2 away if it speaks HTTP/1.1")]
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
            Self::SpeaksHttp2 | Self::SpeaksTls | Self::NotHttp2(_) => Trouble::Protocol,
            _ => Trouble::Broke,
        }
    }
}

impl From<Fault> for Broke {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed | Fault::Refused => Self::Silent,
            Fault::CutHead
            | Fault::CutBody
            | Fault::RequestBody
            | Fault::Reset(_)
            | Fault::Mute => Self::Midway,
            Fault::NotHttp
            | Fault::SpeaksHttp2
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
