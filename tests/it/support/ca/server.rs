//! The CA's endpoint: HTTPS on a port of 127.0.0.1, served from a thread of its own.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, Runtime};
use tokio_rustls::TlsAcceptor;

use super::issue::{Authority, now};
use super::jose::Signed;
use super::orders::{Book, Standing};
use super::protocol::{Refusal, Reply, Request, answer};
use super::script::{Asked, Endpoint, Fault, Knobs, Moment, Script, Seen, Validation, Verdict};
use super::validate::{Proof, Wrong, http_01, tls_alpn_01};
use crate::support::{certs, deadline, left};

/// Everything that the test and the server both see.
pub struct State {
    pub knobs: Knobs,
    pub script: Script,
    pub book: Book,
    pub issuer: Authority,
    pub seen: Seen,
    pub distortion: Option<Distortion>,
}

/// Changes an answer before it is sent.
pub type Distortion = Box<dyn Fn(Endpoint, &mut Reply) + Send>;

pub struct Shared {
    base: String,
    state: Mutex<State>,
    pub changed: Condvar,
    runtime: Handle,
}

/// The thread behind the endpoint; dropping it ends every connection and every request that hangs.
pub struct Server(Option<Runtime>);

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

pub fn start(endpoint: &certs::Issued, knobs: Knobs) -> (Arc<Shared>, Server) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let base = format!("https://{}", listener.local_addr().expect("an address"));
    let chain = CertificateDer::pem_slice_iter(endpoint.cert.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(endpoint.key.as_bytes()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .expect("versions")
    .with_no_client_auth()
    .with_single_cert(chain.map(|der| der.expect("PEM")).collect(), key)
    .expect("a certificate");

    let (script, book, seen) = (Script::default(), Book::default(), Seen::default());
    let state = State { knobs, script, book, issuer: Authority::new(), seen, distortion: None };
    let shared = Arc::new(Shared {
        base,
        state: Mutex::new(state),
        changed: Condvar::new(),
        runtime: runtime.handle().clone(),
    });
    let theirs = Arc::clone(&shared);
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).expect("a listener");
        theirs.accept(listener, TlsAcceptor::from(Arc::new(config))).await;
    });
    (shared, Server(Some(runtime)))
}

impl Shared {
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Waits until `look` finds something.
    pub fn wait<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let ends = deadline();
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return found;
            }
            let wait = left(ends);
            if wait.is_zero() {
                drop(state);
                panic!("the CA at {} has not seen what it should have", self.base);
            }
            state = self.changed.wait_timeout(state, wait).unwrap().0;
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, tls: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            if self.lock().knobs.down {
                continue;
            }
            let (shared, tls) = (Arc::clone(&self), tls.clone());
            self.runtime.spawn(async move {
                // A client that goes away is what many tests are about.
                let _ = shared.connection(stream, tls).await;
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, tls: TlsAcceptor) -> io::Result<()> {
        let stream = TokioIo::new(tls.accept(stream).await?);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&self);
            // On its own: what the CA has begun it finishes, also when its client is gone.
            let work = self.runtime.spawn(shared.request(request));
            async move { work.await.unwrap_or(Err(Cut)) }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        let served = connection.serve_connection(stream, service).await;
        served.map_err(io::Error::other)
    }

    async fn request(
        self: Arc<Self>,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Cut> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let Some((endpoint, id)) = Endpoint::of(head.uri.path()) else {
            return Ok(self.put(Reply::refusal(&Refusal::not_found())));
        };
        let signed = serde_json::from_slice(&body).ok().and_then(|jws| Signed::parse(&jws));
        let payload = signed.as_ref().map_or(Value::Null, |signed| signed.payload.clone());
        let number = self.arrived(endpoint, head.uri.path(), payload);
        let request = Request {
            base: &self.base,
            endpoint,
            method: head.method.as_str(),
            path: head.uri.path(),
            id,
            signed: signed.as_ref(),
        };
        let reply = self.reply(&request).await;
        self.left(number, reply.as_ref().ok());
        reply.map(|reply| self.put(reply))
    }

    async fn reply(self: &Arc<Self>, request: &Request<'_>) -> Result<Reply, Cut> {
        self.pause(request.endpoint, Moment::Before).await?;
        let fault = {
            let mut state = self.lock();
            let down = state.knobs.down;
            if down { Fault::Close } else { state.script.next_fault(request.endpoint) }
        };
        let refusal = match &fault {
            Fault::Hang => std::future::pending().await,
            Fault::Close => return Err(Cut),
            Fault::Garbage => {
                let page = "<html><title>We will be back soon</title></html>".to_owned();
                return Ok(Reply::text(200, "text/html", page));
            }
            Fault::BadNonce => Some(Refusal::bad_nonce()),
            Fault::Problem { .. } => fault.refusal(),
            Fault::Pass | Fault::LoseAnswer => None,
        };
        let mut reply = match refusal {
            Some(refusal) => Reply::refusal(&refusal),
            None => {
                let mut state = self.lock();
                let answered = answer(&mut state, request);
                let mut reply = answered.unwrap_or_else(|refusal| Reply::refusal(&refusal));
                if let Some(distort) = &state.distortion {
                    distort(request.endpoint, &mut reply);
                }
                reply
            }
        };
        self.changed.notify_all();
        if let Some((authorization, kind)) = reply.validate.take() {
            self.runtime.spawn(Arc::clone(self).validate(authorization, kind));
        }
        self.pause(request.endpoint, Moment::After).await?;
        if matches!(fault, Fault::LoseAnswer) { Err(Cut) } else { Ok(reply) }
    }

    /// Stops where the test wants it.
    async fn pause(&self, endpoint: Endpoint, moment: Moment) -> Result<(), Cut> {
        let Some((number, mut verdict)) = self.lock().script.take_hold(endpoint, moment) else {
            return Ok(());
        };
        self.lock().seen.held.push(number);
        self.changed.notify_all();
        let verdict = verdict.wait_for(|verdict| *verdict != Verdict::Wait).await;
        match verdict.map(|verdict| *verdict) {
            Ok(Verdict::Cut) => Err(Cut),
            _ => Ok(()),
        }
    }

    fn arrived(&self, endpoint: Endpoint, path: &str, payload: Value) -> usize {
        let mut state = self.lock();
        let path = path.to_owned();
        state.seen.requests.push(Asked { endpoint, path, payload, status: None, problem: None });
        let number = state.seen.requests.len() - 1;
        drop(state);
        self.changed.notify_all();
        number
    }

    fn left(&self, number: usize, reply: Option<&Reply>) {
        let mut state = self.lock();
        let asked = &mut state.seen.requests[number];
        asked.status = Some(reply.map_or(0, |reply| reply.status));
        let problem = reply.filter(|reply| reply.content_type == "application/problem+json");
        asked.problem = problem.and_then(|reply| {
            let document: Value = serde_json::from_str(&reply.body).ok()?;
            document["type"].as_str()?.rsplit(':').next().map(str::to_owned)
        });
        drop(state);
        self.changed.notify_all();
    }

    fn put(&self, reply: Reply) -> hyper::Response<Full<Bytes>> {
        let (nonce, date) = {
            let mut state = self.lock();
            let now = u64::try_from(now(&state.knobs)).expect("after 1970");
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
            (state.book.fresh_nonce(), httpdate::fmt_http_date(date))
        };
        let mut response = hyper::Response::builder()
            .status(reply.status)
            .header("content-type", reply.content_type)
            .header("replay-nonce", nonce)
            .header("date", date)
            .header("link", format!("<{}/dir>;rel=\"index\"", self.base));
        for (name, value) in reply.headers {
            response = response.header(name, value);
        }
        response.body(Full::new(Bytes::from(reply.body))).expect("a response")
    }

    /// Looks at the daemon and decides.
    async fn validate(self: Arc<Self>, number: usize, kind: String) {
        let path = format!("validation of {number} by {kind}");
        let asked = self.arrived(Endpoint::Validation, &path, Value::Null);
        let (proof, knobs) = {
            let state = self.lock();
            let authorization = &state.book.authorizations[number];
            let (name, token) = (authorization.name.clone(), authorization.token.clone());
            let key_authorization = state.book.key_authorization(number);
            (Proof { name, token, key_authorization }, state.knobs.clone())
        };
        if self.pause(Endpoint::Validation, Moment::Before).await.is_err() {
            return;
        }
        let fault = self.lock().script.next_fault(Endpoint::Validation);
        let looked = match (fault.refusal(), knobs.validation) {
            (Some(refusal), _) => Err(refusal),
            (None, Validation::Believe) => Ok(()),
            (None, Validation::Real) => {
                look(&proof, &kind, &knobs).await.map_err(|(kind, detail)| {
                    let status = if kind == "unauthorized" { 403 } else { 400 };
                    Refusal::new(status, kind, detail)
                })
            }
        };
        let _: Result<(), Cut> = self.pause(Endpoint::Validation, Moment::After).await;
        let wrong = looked.as_ref().err().map(|refusal| refusal.detail.clone());
        {
            let mut state = self.lock();
            state.seen.validations.push((proof.name, kind, wrong));
            let authorization = &mut state.book.authorizations[number];
            authorization.standing =
                if looked.is_ok() { Standing::Valid } else { Standing::Invalid };
            authorization.error = looked.as_ref().err().map(Refusal::document);
        }
        let verdict = looked.map_or_else(
            |refusal| Reply::refusal(&refusal),
            |()| Reply::text(200, "text/plain", String::new()),
        );
        self.left(asked, Some(&verdict));
    }
}

/// From every perspective; all have to agree.
async fn look(proof: &Proof, kind: &str, knobs: &Knobs) -> Result<(), Wrong> {
    for _ in 0..knobs.perspectives {
        match kind {
            "http-01" => http_01(proof, knobs.http).await?,
            "tls-alpn-01" => tls_alpn_01(proof, knobs.https).await?,
            other => return Err(("dns", format!("no {other} record was found"))),
        }
    }
    Ok(())
}

impl Fault {
    /// What a fault says, where it is a problem.
    fn refusal(&self) -> Option<Refusal> {
        let Self::Problem { status, kind, detail, retry_after } = self else { return None };
        let mut refusal = Refusal::new(*status, kind, detail.clone());
        refusal.retry_after.clone_from(retry_after);
        Some(refusal)
    }
}
