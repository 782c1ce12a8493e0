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

/// What a CA asks for.
pub enum Answer {
    /// HTTP-01: the key authorization for a token.
    Http(Host, Box<str>, Arc<str>),
    /// TLS-ALPN-01: the validation certificate.
    Tls(Host, Arc<CertifiedKey>),
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
        self.put([Answer::Http(host.clone(), token.into(), authorization.into())]);
    }

    /// Answers a TLS-ALPN-01 validation.
    pub fn put_tls(&self, host: &Host, certificate: Arc<CertifiedKey>) {
        self.put([Answer::Tls(host.clone(), certificate)]);
    }

    /// Takes all answers of an order in one change: each change copies what is there.
    pub fn put(&self, new: impl IntoIterator<Item = Answer>) {
        self.change(|answers| {
            for answer in new {
                match answer {
                    Answer::Http(host, token, authorization) => {
                        answers.http.insert((host, token), authorization);
                    }
                    Answer::Tls(host, certificate) => {
                        answers.tls.insert(host, certificate);
                    }
                }
            }
        });
    }

    /// Forgets everything about these names.
    pub fn remove(&self, hosts: &[Host]) {
        if hosts.is_empty() {
            return;
        }
        self.change(|answers| {
            answers.http.retain(|(name, _), _| !hosts.contains(name));
            answers.tls.retain(|name, _| !hosts.contains(name));
        });
    }

    fn change(&self, change: impl FnOnce(&mut Answers)) {
        let _held = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = Answers::clone(&self.current.load());
        change(&mut answers);
        self.current.store(Arc::new(answers));
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    fn host(name: &str) -> Host {
        name.parse().expect("a host")
    }

    fn certificate() -> Arc<CertifiedKey> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).expect("a key");
        Arc::new(CertifiedKey::new(Vec::new(), signing))
    }

    #[test]
    fn a_token_is_answered_for_its_own_name_only() {
        let challenges = Challenges::default();
        assert_eq!(challenges.http(&host("a.example"), "t1"), None);
        challenges.put_http(&host("a.example"), "t1", "t1.thumb");
        assert_eq!(challenges.http(&host("a.example"), "t1").as_deref(), Some("t1.thumb"));
        assert_eq!(challenges.http(&host("b.example"), "t1"), None);
        assert_eq!(challenges.http(&host("a.example"), "t2"), None);
        assert_eq!(challenges.http(&host("a.example"), ""), None);
    }

    #[test]
    fn removing_a_name_leaves_the_others() {
        let challenges = Challenges::default();
        for name in ["a.example", "b.example"] {
            challenges.put_http(&host(name), "t1", "one");
            challenges.put_http(&host(name), "t2", "two");
            challenges.put_tls(&host(name), certificate());
        }
        challenges.remove(&[host("a.example")]);
        assert_eq!(challenges.http(&host("a.example"), "t1"), None);
        assert!(challenges.tls(&host("a.example")).is_none());
        assert_eq!(challenges.http(&host("b.example"), "t2").as_deref(), Some("two"));
        assert!(challenges.tls(&host("b.example")).is_some());
    }

    #[test]
    fn changes_from_many_threads_are_all_kept() {
        let challenges = Challenges::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let challenges = &challenges;
                scope.spawn(move || {
                    for at in 0..50 {
                        let name = host(&format!("n{thread}-{at}.example"));
                        challenges.put_http(&name, "t", "answer");
                        if at % 2 == 0 {
                            challenges.remove(&[name]);
                        }
                    }
                });
            }
        });
        let left = challenges.current.load().http.len();
        assert_eq!(left, 100);
    }
}
