//! The answers to a CA's questions, as the request path finds them: lock-free, and empty nearly always.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;

use crate::base::Host;

/// Path in front of a token (RFC 8555 §8.3).
pub const HTTP_PREFIX: &str = "/.well-known/acme-challenge/";
/// ALPN protocol of a validation (RFC 8737 §4).
pub const ALPN: &[u8] = b"acme-tls/1";

/// Answers for all names that are being validated.
#[derive(Default)]
pub struct Challenges {
    current: ArcSwap<Answers>,
    /// Held while a changed copy is made.
    change: Mutex<()>,
}

#[derive(Default, Clone)]
struct Answers {
    /// By name and token: the key authorization.
    http: HashMap<(Host, Box<str>), Arc<str>>,
    /// By name: the validation certificate.
    tls: HashMap<Host, Arc<CertifiedKey>>,
}

impl Challenges {
    /// The body for a token, if this name is being validated with it.
    #[must_use]
    pub fn http(&self, host: &Host, token: &str) -> Option<Arc<str>> {
        let answers = self.current.load();
        if answers.http.is_empty() {
            return None;
        }
        answers.http.get(&(host.clone(), token.into())).cloned()
    }

    /// The certificate for a TLS-ALPN-01 validation of this name.
    #[must_use]
    pub fn tls(&self, host: &Host) -> Option<Arc<CertifiedKey>> {
        self.current.load().tls.get(host).cloned()
    }

    /// Answers for a token of HTTP-01.
    pub fn put_http(&self, host: &Host, token: &str, authorization: &str) {
        let key = (host.clone(), Box::from(token));
        self.change(|answers| {
            answers.http.insert(key, authorization.into());
        });
    }

    /// Answers a TLS-ALPN-01 validation.
    pub fn put_tls(&self, host: &Host, certificate: Arc<CertifiedKey>) {
        self.change(|answers| {
            answers.tls.insert(host.clone(), certificate);
        });
    }

    /// Forgets everything about a name.
    pub fn remove(&self, host: &Host) {
        self.change(|answers| {
            answers.http.retain(|(name, _), _| name != host);
            answers.tls.remove(host);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        let _held = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Answers::clone(&self.current.load());
        change(&mut answers);
        self.current.store(Arc::new(answers));
    }
}
