//! The typed client of the control socket: what the command line and tests speak.
//!
//! Promises: every call ends within its time; an answer of another API version is never misread.
//! Bounds: calls of at most 2 MiB, answers of at most 4 MiB.

mod errors;
mod lists;
mod stream;
mod tokens;
mod totp;
mod switches;

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::api::audit::{AuditMark, AuditPage, AuditQuery, AuditVerdict};
use super::api::live::{EventsQuery, ExplainQuery, Explanation, History};
use super::api::{
    API_HEADER, API_VERSION, CertificateInfo, ImportCertificate, KeyRotation, LocalCa, Problem,
    Reloaded, Status, VERSION_HEADER,
};

pub use stream::EventStream;

const CONNECT_TIME: Duration = Duration::from_secs(2);
const CALL_TIME: Duration = Duration::from_secs(10);
/// A reload reads files and loads certificates first.
const RELOAD_TIME: Duration = Duration::from_secs(90);
/// An order at a CA; the daemon answers before this is over, whatever the CA does.
const RENEW_TIME: Duration = Duration::from_secs(290);
/// Writes to the state, which may wait for a slow disk.
const IMPORT_TIME: Duration = Duration::from_secs(60);
/// Every secret is sealed and written anew.
const ROTATE_TIME: Duration = Duration::from_secs(290);
/// May wait for a verification that is under way.
const AUDIT_TIME: Duration = Duration::from_secs(60);
/// The whole log is read.
const VERIFY_TIME: Duration = Duration::from_secs(290);
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
const VERSION_BYTES_MAX: usize = 64;

/// Why there is no answer, or not the hoped-for one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no palisade answers at {}: {why}", path.display())]
    Unreachable { path: PathBuf, why: String },
    /// A daemon may well be there.
    #[error("the control socket {} may not be used: permission denied", path.display())]
    NotPermitted { path: PathBuf },
    #[error("palisade at {} accepted the call and did not answer within {after_s} s", path.display())]
    Silent { path: PathBuf, after_s: u64 },
    #[error("{}", .0.detail.as_deref().unwrap_or(&.0.title))]
    Refused(Problem),
    #[error("this command speaks version {API_VERSION} of the API, the daemon {}", theirs.as_deref().map_or_else(|| "names none".to_owned(), |theirs| format!("version {theirs}")))]
    Version { theirs: Option<String> },
    /// What was asked for may have been done, or not; that matters where it changes something.
    #[error("the connection ended before palisade had answered{}", if *changes { ": the outcome is unknown" } else { "" })]
    Cut { changes: bool },
    #[error("the answer of the daemon cannot be understood: {0}")]
    Garbled(String),
}

/// A way to one daemon. Connects anew for each call.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
    carried: totp::Carried,
    heard: Heard,
}

/// The version of palisade that the daemon has named first. Shared by clones of a client.
#[derive(Debug, Clone, Default)]
struct Heard(Arc<OnceLock<String>>);

impl Heard {
    /// Takes it from an answer; one that is no version has not been said.
    fn hear(&self, head: &http::response::Parts) {
        let text = head.headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok());
        if let Some(text) = text.filter(|text| text.len() <= VERSION_BYTES_MAX) {
            self.0.get_or_init(|| text.to_owned());
        }
    }
}

impl Client {
    /// A daemon by its control socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), carried: totp::Carried::default(), heard: Heard::default() }
    }

    /// Which palisade the daemon is, once it has answered; one that is too old does not say.
    #[must_use]
    pub fn daemon_version(&self) -> Option<&str> {
        self.heard.0.get().map(String::as_str)
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// As every call: no daemon, a refusal, another version.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.call(Method::GET, "/v1/status", Bytes::new(), CALL_TIME).await
    }

    /// # Errors
    /// [`ClientError::Refused`] with status 422 when the configuration is not taken.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.call(Method::POST, "/v1/reload", Bytes::new(), RELOAD_TIME).await
    }

    /// # Errors
    /// As every call; refused when no site uses the local CA.
    pub async fn local_ca(&self) -> Result<LocalCa, ClientError> {
        self.call(Method::GET, "/v1/local-ca", Bytes::new(), CALL_TIME).await
    }

    /// Attempts the certificate of a site now; the answer comes when the attempt has ended, which takes minutes.
    ///
    /// # Errors
    /// As every call; refused with the CA's words when the attempt failed.
    pub async fn renew_certificate(&self, site: &str) -> Result<CertificateInfo, ClientError> {
        let path = format!("/v1/certificates/{}/renew", segment(site));
        self.call(Method::POST, &path, Bytes::new(), RENEW_TIME).await
    }

    /// Hands over a certificate made elsewhere.
    ///
    /// # Errors
    /// As every call; refused with status 422 when the pair cannot be used.
    pub async fn import_certificate(
        &self,
        site: &str,
        import: &ImportCertificate,
    ) -> Result<CertificateInfo, ClientError> {
        let path = format!("/v1/certificates/{}/import", segment(site));
        let body = serde_json::to_vec(import).map_err(|_| {
            ClientError::Garbled("the certificate cannot be written as JSON".to_owned())
        })?;
        self.call(Method::POST, &path, body.into(), IMPORT_TIME).await
    }

    /// Seals every secret under a new data key.
    ///
    /// # Errors
    /// As every call; a rotation that was cut off is finished by the next.
    pub async fn rotate_keys(&self) -> Result<KeyRotation, ClientError> {
        self.call(Method::POST, "/v1/crypto/rotate", Bytes::new(), ROTATE_TIME).await
    }

    /// Records of the audit log.
    ///
    /// # Errors
    /// As every call.
    pub async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, ClientError> {
        let (after, limit) = (query.after.to_string(), query.limit.map(|limit| limit.to_string()));
        let before = query.before.map(|before| before.to_string());
        let (since, until) =
            (query.since_ms.map(|t| t.to_string()), query.until_ms.map(|t| t.to_string()));
        let query = query_string([
            ("after", Some(after.as_str())),
            ("before", before.as_deref()),
            ("limit", limit.as_deref()),
            ("action", query.action.as_deref()),
            ("actor", query.actor.as_deref()),
            ("subject", query.subject.as_deref()),
            ("since_ms", since.as_deref()),
            ("until_ms", until.as_deref()),
            ("text", query.text.as_deref()),
        ]);
        self.call(Method::GET, &format!("/v1/audit{query}"), Bytes::new(), AUDIT_TIME).await
    }

    /// Whether the audit log is as it was written.
    ///
    /// # Errors
    /// As every call; that it is broken is an answer.
    pub async fn verify_audit(&self) -> Result<AuditVerdict, ClientError> {
        self.call(Method::POST, "/v1/audit/verify", Bytes::new(), VERIFY_TIME).await
    }

    /// A signed checkpoint for the last record of the audit log.
    ///
    /// # Errors
    /// As every call.
    pub async fn audit_checkpoint(&self) -> Result<AuditMark, ClientError> {
        self.call(Method::GET, "/v1/audit/checkpoint", Bytes::new(), AUDIT_TIME).await
    }

    /// What happens from now on.
    ///
    /// # Errors
    /// As every call; refused when too many watch already, or a filter is none.
    pub async fn events(&self, query: &EventsQuery) -> Result<EventStream, ClientError> {
        EventStream::open((self.path.clone(), &self.heard), self.connect().await?, query).await
    }

    /// What happened until now, in points of `1s`, `10s` or `1m`.
    ///
    /// # Errors
    /// As every call; refused when there is no such resolution.
    pub async fn history(&self, resolution: &str) -> Result<History, ClientError> {
        let query = query_string([("resolution", Some(resolution))]);
        self.call(Method::GET, &format!("/v1/history{query}"), Bytes::new(), CALL_TIME).await
    }

    /// What a request would meet by the configuration in force.
    ///
    /// # Errors
    /// As every call; refused when the query is no request.
    pub async fn explain(&self, query: &ExplainQuery) -> Result<Explanation, ClientError> {
        let named = [
            ("url", Some(query.url.as_str())),
            ("method", query.method.as_deref()),
            ("ip", query.ip.as_deref()),
        ];
        let headers = query.headers.iter().map(|header| ("header", Some(header.as_str())));
        let query = query_string(named.into_iter().chain(headers));
        self.call(Method::GET, &format!("/v1/explain{query}"), Bytes::new(), CALL_TIME).await
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        timeout(CONNECT_TIME, UnixStream::connect(&self.path))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| self.unreachable(&error))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        time: Duration,
    ) -> Result<T, ClientError> {
        let mut request = asking(method, path, body)?;
        if let Some((name, value)) = self.carried.field()? {
            request.headers_mut().insert(name, value);
        }
        let stream = self.connect().await?;
        match timeout(time, send(stream, &self.heard, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Silent { path: self.path.clone(), after_s: time.as_secs() }),
        }
    }

    fn unreachable(&self, error: &io::Error) -> ClientError {
        // A plain file refuses connections as a socket does that nobody listens at.
        let is_socket =
            || fs::metadata(&self.path).is_ok_and(|found| found.file_type().is_socket());
        let why = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                return ClientError::NotPermitted { path: self.path.clone() };
            }
            io::ErrorKind::NotFound => "there is no such socket".to_owned(),
            io::ErrorKind::ConnectionRefused if !is_socket() => "it is no socket".to_owned(),
            io::ErrorKind::ConnectionRefused => {
                "the socket was left behind by a daemon that is gone".to_owned()
            }
            io::ErrorKind::TimedOut => "it does not accept connections".to_owned(),
            _ => error.to_string(),
        };
        ClientError::Unreachable { path: self.path.clone(), why }
    }
}

fn asking(method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(http::header::HOST, "localhost").body(Full::new(body));
    request.map_err(|error| ClientError::Garbled(error.to_string()))
}

/// One call over any stream.
///
/// # Errors
/// Everything but [`ClientError::Unreachable`] and [`ClientError::Silent`]: the caller owns the connection and the time.
/// [`ClientError::Cut`] where the daemon ended in the middle.
async fn send<T, S>(
    stream: S,
    heard: &Heard,
    request: Request<Full<Bytes>>,
) -> Result<T, ClientError>
where
    T: DeserializeOwned,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let changes = request.method() != Method::GET;
    let broken = |error: &hyper::Error| broken(error, changes);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        heard.hear(&head);
        let body =
            Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| match error
                .downcast_ref::<hyper::Error>(
            ) {
                Some(error) => broken(error),
                None => ClientError::Garbled(error.to_string()), // longer than any answer
            })?;
        read(&head, &body.to_bytes())
    };
    // The connection moves the bytes; it ends when the answer is read, and its errors show there.
    tokio::join!(answer, connection).0
}

/// Whether the connection ended, or something else than HTTP came over it.
fn broken(error: &hyper::Error, changes: bool) -> ClientError {
    let ended = error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<io::Error>);
    if ended { ClientError::Cut { changes } } else { ClientError::Garbled(error.to_string()) }
}

/// A text as one segment of a path, or as a value of a query: only what is unreserved stands as it is (RFC 3986 §2.3).
fn segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}

/// Only an answer of the same version can be understood.
fn version(head: &http::response::Parts) -> Result<(), ClientError> {
    let theirs = head.headers.get(API_HEADER).map(|value| value.to_str().unwrap_or("?"));
    if theirs == Some(API_VERSION) {
        return Ok(());
    }
    Err(ClientError::Version { theirs: theirs.map(str::to_owned) })
}

/// `?name=value&…` of what is there, or nothing.
fn query_string<'a>(pairs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&segment(value));
    }
    text
}

fn read<T: DeserializeOwned>(head: &http::response::Parts, body: &[u8]) -> Result<T, ClientError> {
    version(head)?;
    let garbled = |error: serde_json::Error| ClientError::Garbled(error.to_string());
    if head.status == StatusCode::OK {
        return serde_json::from_slice(body).map_err(garbled);
    }
    Err(ClientError::Refused(serde_json::from_slice(body).map_err(garbled)?))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
