//! What a test tells the CA and what the CA tells the test.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::issue::{Issued, Window};
use super::server::Shared;

/// The kinds of request, and `Validation` for the CA's own visit to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Directory,
    NewNonce,
    NewAccount,
    Account,
    NewOrder,
    Order,
    Authorization,
    Challenge,
    Finalize,
    Certificate,
    RenewalInfo,
    Revoke,
    Validation,
}

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing: this one is served, the next meets what is queued behind.
    Pass,
    /// A problem document; its kind without the prefix `urn:ietf:params:acme:error:`.
    Problem { status: u16, kind: String, detail: String, retry_after: Option<String> },
    /// No answer, for as long as the CA lives.
    Hang,
    /// The connection ends without an answer, and nothing was done.
    Close,
    /// Everything is done, and the connection ends without an answer.
    LoseAnswer,
    /// 200 with a page for people.
    Garbage,
    /// The nonce is rejected, whatever it is.
    BadNonce,
}

impl Fault {
    pub fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let (kind, detail) = (kind.to_owned(), detail.to_owned());
        Self::Problem { status, kind, detail, retry_after: None }
    }

    /// A limit of the CA, with seconds or a date to wait until.
    pub fn rate_limited(detail: &str, retry_after: &str) -> Self {
        let (kind, detail) = ("rateLimited".to_owned(), detail.to_owned());
        Self::Problem { status: 429, kind, detail, retry_after: Some(retry_after.to_owned()) }
    }
}

/// Where a request stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It was read, and nothing was done.
    Before,
    /// Everything was done, and the answer was not sent.
    After,
}

/// Whether the CA looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// It connects to the daemon as RFC 8555 and RFC 8737 say.
    Real,
    /// It believes.
    Believe,
}

/// A kind of certificate that an order may ask for.
#[derive(Debug, Clone)]
pub struct Profile {
    pub name: String,
    pub lifetime_s: i64,
}

/// How the CA behaves while nothing goes wrong.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// How long certificates live from their first to their last second.
    pub lifetime_s: i64,
    /// How old they are when they are issued: more than the lifetime makes them expired ones.
    pub age_s: i64,
    /// The CA's clock against the machine's.
    pub clock_ahead_s: i64,
    pub validation: Validation,
    /// From how many places it validates.
    pub perspectives: usize,
    /// Which challenges it offers, in this order.
    pub challenges: Vec<&'static str>,
    pub http: SocketAddr,
    pub https: SocketAddr,
    /// Whether an authorization serves later orders too.
    pub reuse_authorizations: bool,
    /// How often an order says `processing` after it was finalized.
    pub processing_polls: u32,
    /// Retry-After, in seconds, with answers that the client has to ask for again.
    pub poll_retry_after_s: Option<u32>,
    /// Whether there is renewal information.
    pub ari: bool,
    /// Its Retry-After.
    pub ari_retry_after: Option<String>,
    /// The window of every certificate that has none of its own.
    pub window: Option<Window>,
    pub profiles: Vec<Profile>,
    /// Key id and key of the only external account.
    pub external_account: Option<(String, Vec<u8>)>,
    /// It cuts every connection.
    pub down: bool,
}

impl Knobs {
    pub(super) fn at(http: SocketAddr, https: SocketAddr) -> Self {
        Self {
            lifetime_s: 90 * 86_400,
            age_s: 3_600,
            clock_ahead_s: 0,
            validation: Validation::Real,
            perspectives: 3,
            challenges: vec!["http-01", "dns-01", "tls-alpn-01"],
            http,
            https,
            reuse_authorizations: false,
            processing_polls: 1,
            poll_retry_after_s: None,
            ari: true,
            ari_retry_after: Some("21600".to_owned()),
            window: None,
            profiles: Vec::new(),
            external_account: None,
            down: false,
        }
    }
}

/// One request, or one visit of the CA to the daemon.
#[derive(Debug, Clone)]
pub struct Asked {
    pub endpoint: Endpoint,
    pub path: String,
    /// The payload of the signed request; null for POST-as-GET and for plain GET.
    pub payload: Value,
    /// The status of the answer, once it is given; 0 where the connection ended without one.
    pub status: Option<u16>,
    /// The problem in the answer.
    pub problem: Option<String>,
}

/// Everything that happened.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub requests: Vec<Asked>,
    /// Accounts made, not those found again.
    pub accounts: usize,
    /// Contacts of the last account that was made or updated.
    pub contacts: Vec<String>,
    /// Orders made: their payloads.
    pub orders: Vec<Value>,
    /// Orders finalized.
    pub finalized: usize,
    /// Certificates issued, the oldest first.
    pub certificates: Vec<Issued>,
    /// Validations that ended: name, challenge, and what was wrong.
    pub validations: Vec<(String, String, Option<String>)>,
    /// Holds that a request has reached, by number.
    pub(super) held: Vec<usize>,
}

impl Seen {
    /// How many requests of a kind came in.
    pub fn asked(&self, endpoint: Endpoint) -> usize {
        self.requests.iter().filter(|asked| asked.endpoint == endpoint).count()
    }

    /// How many of them got an answer or lost their connection.
    pub fn answered(&self, endpoint: Endpoint) -> usize {
        let of_kind = self.requests.iter().filter(|asked| asked.endpoint == endpoint);
        of_kind.filter(|asked| asked.status.is_some()).count()
    }

    /// The problems that were answered, in order, without their prefix.
    pub fn problems(&self) -> Vec<String> {
        self.requests.iter().filter_map(|asked| asked.problem.clone()).collect()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for asked in &self.requests {
            let status = asked.status.map_or("held".to_owned(), |status| status.to_string());
            let problem = asked.problem.as_deref().unwrap_or_default();
            writeln!(f, "  {} {} {status} {problem}", asked.path, asked.payload)?;
        }
        for (name, kind, wrong) in &self.validations {
            writeln!(f, "  validated {name} by {kind}: {}", wrong.as_deref().unwrap_or("ok"))?;
        }
        writeln!(f, "  {} certificates", self.certificates.len())
    }
}

/// Faults and holds that are still to come.
#[derive(Default)]
pub(super) struct Script {
    faults: HashMap<Endpoint, VecDeque<Fault>>,
    standing: HashMap<Endpoint, Fault>,
    holds: BTreeMap<usize, (Endpoint, Moment, watch::Receiver<Verdict>)>,
    holds_made: usize,
}

impl Script {
    pub(super) fn queue(&mut self, at: Endpoint, fault: Fault) {
        self.faults.entry(at).or_default().push_back(fault);
    }

    pub(super) fn always(&mut self, at: Endpoint, fault: Fault) {
        self.standing.insert(at, fault);
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
        self.standing.clear();
    }

    pub(super) fn next_fault(&mut self, at: Endpoint) -> Fault {
        let queued = self.faults.get_mut(&at).and_then(VecDeque::pop_front);
        queued.or_else(|| self.standing.get(&at).cloned()).unwrap_or(Fault::Pass)
    }

    pub(super) fn take_hold(
        &mut self,
        at: Endpoint,
        moment: Moment,
    ) -> Option<(usize, watch::Receiver<Verdict>)> {
        let matches = |held: &(Endpoint, Moment, _)| held.0 == at && held.1 == moment;
        let number =
            self.holds.iter().find(|(_, held)| matches(held)).map(|(number, _)| *number)?;
        self.holds.remove(&number).map(|(_, _, verdict)| (number, verdict))
    }
}

/// What becomes of a request that stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Wait,
    GoOn,
    Cut,
}

/// A request that stops, or will; it goes on when this is dropped.
pub struct Hold {
    shared: Arc<Shared>,
    number: usize,
    verdict: watch::Sender<Verdict>,
}

pub(super) fn hold(shared: &Arc<Shared>, at: Endpoint, moment: Moment) -> Hold {
    let (verdict, receiver) = watch::channel(Verdict::Wait);
    let mut state = shared.lock();
    state.script.holds_made += 1;
    let number = state.script.holds_made;
    state.script.holds.insert(number, (at, moment, receiver));
    drop(state);
    Hold { shared: Arc::clone(shared), number, verdict }
}

impl Hold {
    /// Waits until a request has stopped here.
    pub fn wait(&self) {
        self.shared.wait(|state| state.seen.held.contains(&self.number).then_some(()));
    }

    /// Lets it go on.
    pub fn release(self) {
        let _ = self.verdict.send(Verdict::GoOn);
    }

    /// Ends its connection instead.
    pub fn cut(self) {
        let _ = self.verdict.send(Verdict::Cut);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.verdict.send_if_modified(|verdict| {
            let waits = *verdict == Verdict::Wait;
            *verdict = if waits { Verdict::GoOn } else { *verdict };
            waits
        });
    }
}
