//! How the CA is spoken to: HTTPS only, bounded, and with a memory of its last answer.
//!
//! Promises: an answer is complete within 30 s and at most 1 MiB, or it is a [`Fault`]; its Retry-After
//! is a number that can be counted with; the CA's TLS is trusted by the public roots, or by those of `acme.ca_file`
//! alone. Refuses: plain HTTP, redirects.
//! The last answer is kept because the ACME library drops what an operator needs most: status, Retry-After, date.

use std::future::Future;
use std::io::Read;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{DATE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;

use super::core::WAIT_MAX_S;
use super::fault::Fault;
use super::names::Names;
use crate::ports::Resolver;

/// For one answer of the CA, its body included.
const ANSWER: Duration = Duration::from_secs(30);
/// Half of it: a port that swallows packets is told from a CA that thinks.
const CONNECT: Duration = Duration::from_secs(15);
const BODY_BYTES_MAX: usize = 1024 * 1024;
const URL_CHARS_SHOWN: usize = 200;
/// Of a `ca_file`.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("palisade/", env!("CARGO_PKG_VERSION")));

type Hyper = Client<HttpsConnector<HttpConnector<Names>>, BodyWrapper<Bytes>>;

/// A client for one attempt. Clones share connections and the memory of the last answer.
#[derive(Clone)]
pub struct Http {
    client: Hyper,
    directory_url: Arc<str>,
    seen: Arc<Mutex<Seen>>,
    /// The directory as the CA gave it: the library asks for it with each account.
    directory: Arc<OnceLock<Bytes>>,
}

/// What the CA said last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub status: Option<u16>,
    /// Counted from the answer's own date where it is a date; at most [`WAIT_MAX_S`].
    pub retry_after_s: Option<u64>,
    /// The CA's clock.
    pub date_s: Option<i64>,
    /// The body of an answer that was no success, shortened.
    pub refusal: Option<String>,
    pub directory: Option<DirectoryFacts>,
    /// What was asked, if it was not the directory: the CA named it itself. Fit to be shown.
    pub url: Option<String>,
    /// The URL of what was made.
    pub location: Option<String>,
    pub body_bytes: usize,
}

/// What a directory says beside its URLs (RFC 8555 §7.1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryFacts {
    /// What makes it one: any JSON object has the rest.
    pub new_order: String,
    pub renewal_info: Option<String>,
    #[serde(default)]
    pub meta: Meta,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    #[serde(default)]
    pub external_account_required: bool,
    pub terms_of_service: Option<String>,
}

impl Http {
    /// A client for the CA at `directory_url`.
    ///
    /// # Errors
    /// `ca_file` cannot be used: the sentence says why.
    pub fn new(
        directory_url: &str,
        ca_file: Option<&Path>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, String> {
        let roots = match ca_file {
            Some(path) => file_roots(path)?,
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new_with_resolver(Names(resolver));
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(ANSWER)
            .build(https);
        Ok(Self {
            client,
            directory_url: directory_url.into(),
            seen: Arc::default(),
            directory: Arc::default(),
        })
    }

    /// What the CA said last.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches a document that needs no account, such as the directory.
    ///
    /// # Errors
    /// No answer; an answer of any status is one.
    pub async fn get(&self, url: &str) -> Result<Response<Bytes>, Fault> {
        let request = Request::get(url).body(BodyWrapper::default());
        self.send(request.map_err(|error| Fault::Url(error.to_string()))?).await
    }

    /// The directory, unless this client has fetched it already.
    ///
    /// # Errors
    /// No answer, or none that is a directory.
    pub async fn directory(&self) -> Result<DirectoryFacts, Fault> {
        if let Some(known) = self.seen().directory {
            return Ok(known);
        }
        let url = Arc::clone(&self.directory_url);
        let answer = self.get(&url).await?;
        self.seen().directory.ok_or_else(|| Fault::NoDirectory { status: answer.status().as_u16() })
    }

    async fn send(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, Fault> {
        // What was said before explains nothing about this request.
        let asks_directory = *request.uri() == *self.directory_url;
        let url = (!asks_directory).then(|| shown(request.uri()));
        self.note(|seen| *seen = Seen { directory: seen.directory.take(), url, ..Seen::default() });
        request.headers_mut().insert(USER_AGENT, AGENT);
        if request.uri().scheme() != Some(&http::uri::Scheme::HTTPS) {
            return Err(Fault::Url(format!(
                "{} does not begin with https://",
                shown(request.uri())
            )));
        }
        if asks_directory && let Some(body) = self.directory.get() {
            return Ok(Response::new(body.clone()));
        }
        let asked = host_port(request.uri());
        let answer = tokio::time::timeout(ANSWER, self.exchange(request, &asked)).await;
        let answer = answer
            .map_err(|_| Fault::Silent { from: asked.into(), seconds: ANSWER.as_secs() })??;
        self.remember(&answer, asks_directory);
        if asks_directory && self.seen().directory.is_none() {
            return Err(Fault::NoDirectory { status: answer.status().as_u16() });
        }
        Ok(answer)
    }

    async fn exchange(
        &self,
        request: Request<BodyWrapper<Bytes>>,
        asked: &str,
    ) -> Result<Response<Bytes>, Fault> {
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| Fault::of(&error, asked))?;
        let (mut parts, body) = answer.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| {
            match error.downcast_ref::<http_body_util::LengthLimitError>() {
                Some(_) => Fault::TooLarge { bytes_max: BODY_BYTES_MAX },
                None => Fault::of(&*error, asked),
            }
        })?;
        tame(&mut parts.headers);
        Ok(Response::from_parts(parts, body.to_bytes()))
    }

    fn remember(&self, answer: &Response<Bytes>, is_directory: bool) {
        let success = answer.status().is_success();
        let date_s = date(answer.headers().get(DATE));
        self.note(|seen| {
            seen.status = Some(answer.status().as_u16());
            seen.retry_after_s = retry_after(answer.headers());
            seen.date_s = date_s;
            seen.body_bytes = answer.body().len();
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            seen.location = location.map(str::to_owned);
            seen.refusal =
                (!success).then(|| super::problem::words(&String::from_utf8_lossy(answer.body())));
            if is_directory && success {
                seen.directory = serde_json::from_slice(answer.body()).ok();
                if seen.directory.is_some() {
                    let _ = self.directory.set(answer.body().clone()); // it is the same one
                }
            }
        });
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            let answer = http.send(request).await;
            let answer = answer.map_err(|fault| instant_acme::Error::Other(Box::new(fault)))?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

/// Where a request goes, as people write it.
fn host_port(uri: &http::Uri) -> String {
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443))
}

/// A URL that somebody else has made, for sentences.
fn shown(uri: &http::Uri) -> String {
    let mut text = super::problem::words(&uri.to_string());
    if let Some((cut, _)) = text.char_indices().nth(URL_CHARS_SHOWN) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// The content of a `ca_file`.
pub(super) fn read_roots(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut pem)?;
    Ok(pem)
}

fn file_roots(path: &Path) -> Result<RootCertStore, String> {
    let shown = path.display();
    let pem = read_roots(path).map_err(|error| format!("{shown}: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| format!("{shown} is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{shown}: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("{shown} holds no `BEGIN CERTIFICATE` block"));
    }
    Ok(roots)
}

/// Leaves of Retry-After what anybody may count with: seconds, at most [`WAIT_MAX_S`]. The ACME library adds them to the
/// time of the system clock, whatever they are.
fn tame(headers: &mut HeaderMap) {
    match retry_after(headers) {
        Some(seconds) => headers.insert(RETRY_AFTER, HeaderValue::from(seconds)),
        None => headers.remove(RETRY_AFTER),
    };
}

/// Seconds to wait (RFC 9110 §10.2.3), at most [`WAIT_MAX_S`]. A date is counted from the date of the same answer, so
/// that a wrong clock here does not matter.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(RETRY_AFTER)?;
    let text = value.to_str().ok()?.trim();
    let max = WAIT_MAX_S.unsigned_abs();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(max).min(max)); // more digits than a number has
    }
    let wait = date(Some(value))?.saturating_sub(date(headers.get(DATE))?);
    u64::try_from(wait).ok().map(|wait| wait.min(max))
}

/// Unix seconds of an HTTP date.
fn date(value: Option<&HeaderValue>) -> Option<i64> {
    let time: SystemTime = httpdate::parse_http_date(value?.to_str().ok()?.trim()).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_counted_from_the_answers_own() {
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "120")])), Some(120));
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, " 7 ")])), Some(7));
        let later = "Fri, 31 Dec 1999 23:59:59 GMT";
        let date = (DATE, "Fri, 31 Dec 1999 23:58:59 GMT");
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, later), date.clone()])), Some(60));
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, later)])), None);
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "soon"), date.clone()])), None);
        assert_eq!(retry_after(&headers(&[(RETRY_AFTER, "-3"), date])), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn an_absurd_wait_is_shortened_before_anybody_counts_with_it() {
        let week_s = WAIT_MAX_S.to_string();
        for absurd in ["18446744073709551615", "1000000000000000000", "99999999999999999999999"] {
            let mut answered = headers(&[(RETRY_AFTER, absurd)]);
            tame(&mut answered);
            assert_eq!(answered[RETRY_AFTER], week_s.as_str(), "{absurd}");
            assert_eq!(retry_after(&answered), Some(WAIT_MAX_S.unsigned_abs()));
        }
        let date = (DATE, "Fri, 31 Dec 1999 23:58:59 GMT");
        let far = (RETRY_AFTER, "Fri, 31 Dec 9999 23:59:59 GMT");
        let mut answered = headers(&[far, date.clone()]);
        tame(&mut answered);
        assert_eq!(answered[RETRY_AFTER], week_s.as_str());
        for nonsense in ["-1", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            let mut answered = headers(&[(RETRY_AFTER, nonsense), date.clone()]);
            tame(&mut answered);
            assert_eq!(answered.get(RETRY_AFTER), None, "{nonsense}");
        }
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_by_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("ca.pem");
        let missing = file_roots(&path).expect_err("no file");
        assert!(missing.contains("ca.pem"), "{missing}");
        std::fs::write(&path, "hello").expect("written");
        let empty = file_roots(&path).expect_err("no certificate");
        assert!(empty.contains("BEGIN CERTIFICATE"), "{empty}");
    }

    #[test]
    fn a_directory_tells_of_renewal_windows_and_account_binding() {
        let facts: DirectoryFacts = serde_json::from_str(
            r#"{"newNonce":"n","newOrder":"o","renewalInfo":"https://ca/ari","meta":{"externalAccountRequired":true}}"#,
        )
        .expect("a directory");
        assert_eq!(facts.renewal_info.as_deref(), Some("https://ca/ari"));
        assert!(facts.meta.external_account_required);
        assert!(serde_json::from_str::<DirectoryFacts>("{}").is_err());
    }
}
