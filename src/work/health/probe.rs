//! One question to an upstream: a connection of its own, a GET, and what came of it.
//!
//! Promises: the whole takes at most its limit; connecting is part of it. Bounds: [`HEAD_MAX`] of an answer's head and
//! [`BODY_MAX`] of its body, after which the connection is closed whatever else comes.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Target;
use crate::base::units::HumanDuration;
use crate::config::settings::{Protocol, UpstreamAddr};
use crate::ports::handshake::TlsFault;
use crate::ports::{Dial, Unresolved, dial, names};

const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("palisade-health/", env!("CARGO_PKG_VERSION")));
const HEAD_MAX: u32 = 32 * 1024;
/// Read so that an app need not notice that nobody wants it.
const BODY_MAX: u32 = 16 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub path: String,
    pub host: String,
    /// For everything, connecting included.
    pub limit: Duration,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no answer within {0}")]
    Late(HumanDuration),
    #[error("{0}")]
    Unresolved(#[from] Unresolved),
    #[error("{}", dial::words(.0))]
    Connect(io::Error),
    #[error("{0}")]
    Tls(#[from] TlsFault),
    #[error("what it answered is no HTTP: {0}")]
    NotHttp(hyper::Error),
    #[error("the question cannot be put: {0}")]
    Question(#[from] http::Error),
}

/// Asks, and returns the status of the answer.
///
/// # Errors
/// See [`Failure`].
pub async fn ask(dial: &dyn Dial, target: &Target, question: &Question) -> Result<u16, Failure> {
    let asked = tokio::time::timeout(question.limit, exchange(dial, target, question));
    asked.await.unwrap_or(Err(Failure::Late(HumanDuration(question.limit))))
}

async fn exchange(dial: &dyn Dial, target: &Target, question: &Question) -> Result<u16, Failure> {
    match &target.endpoint.addr {
        UpstreamAddr::Unix(path) => {
            let stream = dial.unix(path).await.map_err(Failure::Connect)?;
            secured(stream, target, question).await
        }
        UpstreamAddr::Tcp { host, port } => {
            let addresses = names::addresses(target.name.as_deref(), host, *port).await?;
            let stream = dial::any(dial, &addresses).await.map_err(Failure::Connect)?;
            secured(stream, target, question).await
        }
    }
}

async fn secured<S>(stream: S, target: &Target, question: &Question) -> Result<u16, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let protocol = target.endpoint.protocol;
    if target.endpoint.tls.is_none() {
        return spoken(stream, protocol, "http", question).await;
    }
    // What was to be secured is never asked in the clear.
    let handshake = target.tls.as_ref().ok_or(TlsFault::NobodyTrusted)?;
    spoken(handshake.shake(stream).await?, protocol, "https", question).await
}

async fn spoken<S>(
    stream: S,
    protocol: Protocol,
    scheme: &str,
    question: &Question,
) -> Result<u16, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let handshake =
                http1::Builder::new().max_buf_size(HEAD_MAX as usize).handshake(io).await;
            let (mut sender, connection) = handshake.map_err(Failure::NotHttp)?;
            let request = request(&question.path)
                .header(HOST, &question.host)
                .header(CONNECTION, "close")
                .body(Empty::<Bytes>::new())?;
            driven(async move { status(sender.send_request(request).await).await }, connection)
                .await
        }
        Protocol::Http2 => {
            let handshake = http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(HEAD_MAX)
                .initial_stream_window_size(BODY_MAX)
                .handshake(io)
                .await;
            let (mut sender, connection) = handshake.map_err(Failure::NotHttp)?;
            let uri = Uri::builder()
                .scheme(scheme)
                .authority(question.host.as_str())
                .path_and_query(question.path.as_str())
                .build()?;
            let request = request(uri).version(Version::HTTP_2).body(Empty::<Bytes>::new())?;
            driven(async move { status(sender.send_request(request).await).await }, connection)
                .await
        }
    }
}

fn request<U>(uri: U) -> http::request::Builder
where
    U: TryInto<Uri>,
    U::Error: Into<http::Error>,
{
    Request::builder().method(Method::GET).uri(uri).header(USER_AGENT, AGENT)
}

/// Runs the connection beside the exchange on it; the exchange knows when it has ended.
async fn driven<T>(
    exchange: impl Future<Output = T>,
    connection: impl Future<Output = Result<(), hyper::Error>>,
) -> T {
    let driving = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        answer = exchange => answer,
        never = driving => match never {},
    }
}

/// The status, once the body was read as far as anybody cares.
async fn status(answer: Result<Response<Incoming>, hyper::Error>) -> Result<u16, Failure> {
    let (head, mut body) = answer.map_err(Failure::NotHttp)?.into_parts();
    let mut read = 0;
    while read < BODY_MAX as usize {
        match body.frame().await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(1, |data| data.len().max(1)),
            // The head has said it all.
            Some(Err(_)) | None => break,
        }
    }
    Ok(head.status.as_u16())
}
