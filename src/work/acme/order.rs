//! One attempt to get a certificate: account, order, proof, download.
//!
//! Promises: each step is stored before the CA is asked for it, so that after a crash the order goes on where its URL
//! was known, and at most one more order is placed where it was not. Nothing is ordered that could not be stored
//! (promise 6). Rejected nonces and authorizations that are valid already are normal (5).
//! Bounds: [`ATTEMPT`] for all of it; the CA's Retry-After is obeyed within that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use instant_acme::{
    Account, CertificateIdentifier, Error, Identifier, NewOrder, Order, OrderStatus,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::gate::Gate;
use super::http::Http;
use super::problem::{Class, Trouble, What};
use super::settings::{Acme, ChallengeKind, Directory};
use super::{Parts, account, core, issued};
use crate::base::Host;
use crate::store::sealed::{ORDER_KEYS, Sealed};
use crate::store::{Health, certs};
use crate::telemetry::Level;
use crate::work::certs::Certificate;

/// For one attempt at one CA.
pub(super) const ATTEMPT: Duration = Duration::from_secs(180);
/// The library tries each request three times; with as many rounds, half of all nonces may be rejected.
pub(super) const NONCE_ROUNDS: u32 = 8;

/// Repeats a request whose nonce was rejected, and explains every other error by the CA's last answer.
macro_rules! patient {
    ($http:expr, $request:expr) => {{
        let mut rounds = 0;
        loop {
            match $request.await {
                Err(error)
                    if $crate::work::acme::order::is_bad_nonce(&error)
                        && rounds < $crate::work::acme::order::NONCE_ROUNDS =>
                {
                    rounds += 1;
                }
                answer => {
                    break answer.map_err(|error| {
                        $crate::work::acme::problem::Trouble::of(&error, &$http.seen())
                    });
                }
            }
        }
    }};
}
pub(super) use patient;

pub(super) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem)
        if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce"))
}

/// What all attempts share.
pub(super) struct Tools {
    pub(super) parts: Parts,
    pub(super) gate: Gate,
    /// Held while an account is looked up or made.
    pub(super) accounts: tokio::sync::Mutex<()>,
    /// About the account, for the operator: the last one.
    pub(super) warning: Mutex<Option<String>>,
}

impl Tools {
    pub(super) fn now_s(&self) -> i64 {
        i64::try_from(self.parts.clock.unix().as_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn warn(&self, sentence: Option<String>) {
        *self.warning.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    /// Uniform; zero where the machine has no randomness, which is the start of every window.
    pub(super) fn random(&self) -> u32 {
        let mut bytes = [0; 4];
        let _ = self.parts.entropy.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }
}

/// What is to be got, where and how.
pub(super) struct Job {
    pub(super) site: Host,
    pub(super) names: Vec<Host>,
    pub(super) acme: Acme,
    pub(super) eab_hmac: Option<Vec<u8>>,
    pub(super) directory: Directory,
    pub(super) rehearsal: bool,
    /// In the order of trying; never empty.
    pub(super) challenges: Vec<ChallengeKind>,
    /// DER of the certificate that is replaced, if it is from this directory.
    pub(super) replaces: Option<Vec<u8>>,
    /// The order that was on its way when the last attempt ended.
    pub(super) unfinished: Option<certs::Order>,
    /// Says what is being done now.
    pub(super) say: Box<dyn Fn(&str) + Send + Sync>,
}

/// What was got.
pub(super) struct Got {
    pub(super) certificate: Certificate,
    pub(super) key: Zeroizing<Vec<u8>>,
    /// What the CA was convinced by; `None` where it asked nothing.
    pub(super) challenge: Option<ChallengeKind>,
}

/// Gets a certificate.
pub(super) async fn issue(tools: &Tools, job: &Job) -> Result<Got, Trouble> {
    match tokio::time::timeout(ATTEMPT, Box::pin(with_account(tools, job))).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Trouble::new(
            What::Slow,
            Class::Network,
            format!("not finished after {} s", ATTEMPT.as_secs()),
        )),
    }
}

/// An account that the CA has forgotten is made anew, once.
async fn with_account(tools: &Tools, job: &Job) -> Result<Got, Trouble> {
    match attempt(tools, job).await {
        Err(trouble) if trouble.short_kind() == Some("accountDoesNotExist") => {
            account::forget(tools, job).await?;
            attempt(tools, job).await
        }
        outcome => outcome,
    }
}

async fn attempt(tools: &Tools, job: &Job) -> Result<Got, Trouble> {
    if let Some(wildcard) = job.names.iter().find(|name| name.is_wildcard()) {
        let detail = format!("{wildcard} is a wildcard");
        return Err(Trouble::new(What::Wildcard, Class::Config, detail));
    }
    // Promise 6: not even asked while nothing could be stored; the commit of the order proves it again.
    if let Health::Refusing { why, .. } = tools.parts.store.health() {
        return Err(Trouble::state(format!("the state cannot be written: {why}")));
    }
    (job.say)("asking the CA");
    let resolver = Arc::clone(&tools.parts.resolver);
    let http = Http::new(&job.directory.url, job.acme.ca_file.as_deref(), resolver)
        .map_err(|why| Trouble::new(What::CaFile, Class::Config, why))?;
    let asked = http.directory().await;
    let seen = http.seen();
    asked.map_err(|fault| Trouble::of(&Error::Other(Box::new(fault)), &seen))?;
    if let Some(detail) = core::clock_trouble(tools.now_s(), seen.date_s) {
        return Err(Trouble::new(What::Clock, Class::Clock, detail));
    }
    let account = account::obtain(tools, job, &http).await?;
    let run = Run { tools, job, http, account };
    run.profile()?;
    run.all_challenges().await
}

/// One attempt with its account.
pub(super) struct Run<'a> {
    pub(super) tools: &'a Tools,
    pub(super) job: &'a Job,
    pub(super) http: Http,
    pub(super) account: Account,
}

type Secret = Zeroizing<Vec<u8>>;

impl Run<'_> {
    fn profile(&self) -> Result<(), Trouble> {
        let Some(wanted) = self.wanted_profile() else { return Ok(()) };
        let mut listed: Vec<String> =
            self.account.profiles().map(|profile| profile.name.to_owned()).collect();
        if listed.iter().any(|name| name == wanted) {
            return Ok(());
        }
        listed.sort();
        let detail = format!("{} has no profile {wanted}", self.job.directory.name);
        Err(Trouble::new(What::Profile { listed }, Class::Config, detail))
    }

    fn wanted_profile(&self) -> Option<&str> {
        self.job.acme.profile.as_deref()
    }

    /// Goes on with the unfinished order, then tries one challenge after the other, each with an order of its own.
    async fn all_challenges(&self) -> Result<Got, Trouble> {
        let key = self.stored_key().await?;
        let mut standing = match &key {
            Some(_) => self.resume().await?,
            None => None,
        };
        let mut known_key = key;
        let mut failed: Vec<Trouble> = Vec::new();
        for (at, challenge) in self.job.challenges.iter().enumerate() {
            let (order, key) = match (standing.take(), known_key.take()) {
                (Some(order), Some(key)) => (order, key),
                (_, key) => self.place(key).await?,
            };
            known_key = Some(key.clone());
            match self.complete(order, &key, *challenge).await {
                Ok(got) => return Ok(got),
                Err(trouble) => {
                    let more = at + 1 < self.job.challenges.len();
                    let next = more && trouble.class == Class::Validation;
                    failed.push(trouble);
                    if !next {
                        break;
                    }
                }
            }
        }
        Err(merge(failed))
    }

    /// The private key of the unfinished order, if it is the order that is wanted.
    async fn stored_key(&self) -> Result<Option<Secret>, Trouble> {
        let same = |order: &&certs::Order| {
            order.directory == self.job.directory.url
                && order.rehearsal == self.job.rehearsal
                && order.profile.as_deref() == self.wanted_profile()
                && order.names.iter().map(String::as_str).eq(self
                    .job
                    .names
                    .iter()
                    .map(Host::as_str))
        };
        match self.job.unfinished.as_ref().filter(same) {
            Some(_) => unseal(self.tools, ORDER_KEYS, self.job.site.as_str()),
            None => Ok(None),
        }
    }

    /// The unfinished order as the CA knows it; `None` if it has no URL yet or has come to nothing.
    async fn resume(&self) -> Result<Option<Order>, Trouble> {
        let Some(url) = self.job.unfinished.as_ref().and_then(|order| order.url.clone()) else {
            return Ok(None);
        };
        match patient!(self.http, self.account.order(url.clone())) {
            Ok(mut order) => {
                if order.state().status == OrderStatus::Invalid {
                    return Ok(None);
                }
                self.tools.parts.log.event(Level::Info, "certificate_order_resumed", |line| {
                    line.text("site", self.job.site.as_str()).text("order", &url);
                });
                Ok(Some(order))
            }
            Err(trouble) if trouble.short_kind() == Some("accountDoesNotExist") => Err(trouble),
            Err(trouble) if trouble.leaves_order() => Err(trouble),
            Err(_) => Ok(None), // expired and forgotten
        }
    }

    /// Places a new order: stored with its key first, then with the URL that the CA gave it.
    async fn place(&self, key: Option<Secret>) -> Result<(Order, Secret), Trouble> {
        let (tools, job) = (self.tools, self.job);
        (job.say)("placing an order");
        let key = match key {
            Some(key) => key,
            None => new_key()?,
        };
        let replaces = self.replaces();
        let mut record = certs::Order {
            site: job.site.to_string(),
            names: job.names.iter().map(Host::to_string).collect(),
            directory: job.directory.url.clone(),
            url: None,
            replaces: replaces.as_ref().map(ToString::to_string),
            profile: self.wanted_profile().map(str::to_owned),
            rehearsal: job.rehearsal,
            created_at_s: tools.now_s(),
        };
        let sealed = seal(tools, ORDER_KEYS, &record.site, key.clone()).await?;
        tools.parts.store.put_order(record.clone(), Some(sealed)).await?;
        tools.gate.pass().await;
        tools.parts.store.order_placed(&record.directory, tools.now_s()).await?;
        let order = match self.new_order(replaces.clone()).await {
            Err(trouble) if replaces.is_some() && may_stand_alone(&trouble) => {
                tools.gate.pass().await;
                record.replaces = None;
                tools.parts.store.order_placed(&record.directory, tools.now_s()).await?;
                self.new_order(None).await?
            }
            outcome => outcome?,
        };
        record.url = Some(order.url().to_owned());
        // The CA has it now; without the URL a crash would cost one more order, which is no reason to stop here.
        let _ = tools.parts.store.put_order(record, None).await;
        Ok((order, key))
    }

    async fn new_order(
        &self,
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<Order, Trouble> {
        let names: Vec<Identifier> = self.job.names.iter().map(identifier).collect();
        let mut request = NewOrder::new(&names);
        if let Some(replaces) = replaces {
            request = request.replaces(replaces);
        }
        if let Some(profile) = self.wanted_profile() {
            request = request.profile(profile);
        }
        match patient!(self.http, self.account.new_order(&request)) {
            // It was placed all the same: RFC 9773 §5 wants `replaces` repeated, and some CAs leave it out.
            Err(trouble) if trouble.detail.contains("replaces field mismatch") => {
                match self.http.seen().location {
                    Some(url) => patient!(self.http, self.account.order(url.clone())),
                    None => Err(trouble),
                }
            }
            outcome => outcome,
        }
    }

    /// The certificate that is replaced, in the form of RFC 9773 §5, if the CA knows what that means.
    fn replaces(&self) -> Option<CertificateIdentifier<'static>> {
        self.http.seen().directory?.renewal_info?;
        let der = CertificateDer::from(self.job.replaces.clone()?);
        CertificateIdentifier::try_from(&der).ok().map(CertificateIdentifier::into_owned)
    }

    /// Takes an order from wherever it is to its certificate.
    async fn complete(
        &self,
        mut order: Order,
        key: &Secret,
        challenge: ChallengeKind,
    ) -> Result<Got, Trouble> {
        let mut proven = None;
        let mut status = order.state().status;
        if status == OrderStatus::Pending {
            proven = self.prove(&mut order, challenge).await?;
            status = order.state().status;
        }
        if status == OrderStatus::Ready {
            (self.job.say)("the CA is issuing");
            let csr = request(&self.job.names, key)?;
            patient!(self.http, order.finalize_csr(&csr))?;
        }
        self.poll(&mut order, &[OrderStatus::Valid, OrderStatus::Invalid]).await?;
        if let Some(problem) = order.state().error.as_ref() {
            return Err(Trouble::of_problem(problem));
        }
        let pem = patient!(self.http, order.certificate())?
            .ok_or_else(|| Trouble::new(What::Slow, Class::Network, "the CA is still issuing"))?;
        if !pem.contains("BEGIN CERTIFICATE") {
            // The certificate is there all the same: the next attempt asks for it again.
            let detail = format!("the CA's answer is no certificate: {pem}");
            let status = self.http.seen().status;
            return Err(Trouble { status, ..Trouble::new(What::Answer, Class::Ca, detail) });
        }
        let (now_s, ca_now_s) = (self.tools.now_s(), self.http.seen().date_s);
        let checked = issued::delivered(pem.as_bytes(), key, &self.job.names, now_s, ca_now_s);
        let certificate = checked.map_err(|why| Trouble::new(What::Issued, Class::Ca, why))?;
        Ok(Got { certificate, key: key.clone(), challenge: proven })
    }
}

fn identifier(name: &Host) -> Identifier {
    name.ip().map_or_else(|| Identifier::Dns(name.to_string()), Identifier::Ip)
}

/// Whether an order refused with `replaces` may be placed without it: replaced already, or not this account's.
fn may_stand_alone(trouble: &Trouble) -> bool {
    matches!(
        trouble.short_kind(),
        Some("alreadyReplaced" | "malformed" | "unauthorized" | "conflict")
    )
}

/// Both failures in one, where two challenges were tried.
fn merge(failed: Vec<Trouble>) -> Trouble {
    let detail = match failed.as_slice() {
        [_, _, ..] => failed
            .iter()
            .map(|trouble| match trouble.challenge {
                Some(challenge) => format!("{}: {}", challenge.word(), trouble.detail),
                None => trouble.detail.clone(),
            })
            .collect::<Vec<_>>()
            .join("; "),
        _ => String::new(),
    };
    let first = failed.first().cloned();
    match failed.into_iter().next_back() {
        None => Trouble::new(What::State, Class::Config, "acme.challenges is empty"),
        Some(last) if detail.is_empty() => last,
        // What the first challenge met is nearly always what the second met too, except where it was not offered.
        Some(last) => Trouble {
            detail: super::problem::words(&detail),
            both: true,
            ..if last.what == What::Problem { last } else { first.unwrap_or(last) }
        },
    }
}

fn new_key() -> Result<Secret, Trouble> {
    let pair = KeyPair::generate().map_err(|why| Trouble::state(format!("no new key: {why}")))?;
    Ok(Zeroizing::new(pair.serialize_der()))
}

/// The certificate signing request: names only, no subject.
fn request(names: &[Host], key: &[u8]) -> Result<Vec<u8>, Trouble> {
    let made = || -> Result<Vec<u8>, rcgen::Error> {
        let pair = KeyPair::try_from(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))?;
        let mut params =
            CertificateParams::new(names.iter().map(Host::to_string).collect::<Vec<_>>())?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&pair)?.der().to_vec())
    };
    made().map_err(|why| Trouble::state(format!("no signing request: {why}")))
}

/// Seals on a thread that may wait: counting ahead can take a commit.
pub(super) async fn seal(
    tools: &Tools,
    table: &'static str,
    row: &str,
    secret: Secret,
) -> Result<Sealed, Trouble> {
    let (keyring, row) = (Arc::clone(&tools.parts.keyring), row.to_owned());
    let sealed = tokio::task::spawn_blocking(move || keyring.seal(table, &row, &secret)).await;
    sealed
        .map_err(|_| Trouble::state("sealing a key was interrupted"))?
        .map_err(|error| Trouble::state(error.to_string()))
}

pub(super) fn unseal(
    tools: &Tools,
    table: &'static str,
    row: &str,
) -> Result<Option<Secret>, Trouble> {
    let Some(sealed) = tools.parts.store.sealed(table, row)? else { return Ok(None) };
    let opened = tools.parts.keyring.unseal(table, row, &sealed);
    opened.map(Some).map_err(|error| Trouble::state(error.to_string()))
}
