//! What is known of the addresses of one name: written by whoever asks DNS, read by every connection that is opened.
//!
//! Promises: looking is one load of a pointer, and whether anything has changed one load of a number; nobody waits for
//! DNS except for the first answer of all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::Unresolved;

/// The addresses to try, in order, or why there are none.
pub type Known = Result<Arc<[IpAddr]>, Unresolved>;

/// A name and its addresses.
#[derive(Debug)]
pub struct Name {
    host: Box<str>,
    known: ArcSwapOption<Known>,
    version: AtomicU64,
    told: Notify,
}

impl Name {
    #[must_use]
    pub fn new(host: &str) -> Arc<Self> {
        Arc::new(Self {
            host: host.into(),
            known: ArcSwapOption::empty(),
            version: AtomicU64::new(0),
            told: Notify::new(),
        })
    }

    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether anybody has answered yet.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known.load().is_some()
    }

    /// Another number whenever the addresses are others.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether a connection to `address` goes where the name leads. While that is not known, it does.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match self.known.load().as_deref() {
            None => true,
            Some(Ok(addresses)) => addresses.contains(&address),
            Some(Err(_)) => false,
        }
    }

    /// What is known now; waits only if nobody has ever answered.
    pub async fn known(&self) -> Known {
        loop {
            let told = self.told.notified();
            if let Some(known) = self.known.load().as_deref() {
                return known.clone();
            }
            told.await;
        }
    }

    /// The addresses that it is known to have now.
    #[must_use]
    pub fn addresses(&self) -> Option<Arc<[IpAddr]>> {
        self.known.load().as_deref()?.as_ref().ok().cloned()
    }

    /// Takes an answer.
    pub fn tell(&self, known: Known) {
        if self.known.load().as_deref() == Some(&known) {
            return;
        }
        self.known.store(Some(Arc::new(known)));
        self.version.fetch_add(1, Ordering::Release);
        self.told.notify_waiters();
    }
}

/// Where to connect to for a host and its port; `name` where somebody has to be asked for its addresses.
///
/// # Errors
/// Why there are none.
pub async fn addresses(
    name: Option<&Name>,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Unresolved> {
    let ips = match name {
        Some(name) => name.known().await?,
        None => literal(host).unwrap_or_default().into(),
    };
    Ok(ips.iter().map(|ip| (*ip, port).into()).collect())
}

/// The addresses of a host that nobody has to be asked for: an address itself, or a name of this machine (RFC 6761
/// §6.3).
#[must_use]
pub fn literal(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(ip) = host.parse() {
        return Some(vec![ip]);
    }
    let bare = host.strip_suffix('.').unwrap_or(host);
    let last = bare.rsplit('.').next().unwrap_or(bare);
    last.eq_ignore_ascii_case("localhost")
        .then(|| vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Known {
        Ok(texts.iter().map(|text| text.parse::<IpAddr>().expect("an address")).collect())
    }

    #[tokio::test]
    async fn only_the_first_answer_is_waited_for() {
        let name = Name::new("app.example");
        let waiting = name.known();
        let telling = async { name.tell(addresses(&["192.0.2.1"])) };
        let (known, ()) = tokio::join!(waiting, telling);
        assert_eq!(known, addresses(&["192.0.2.1"]));
        assert_eq!(name.known().await, addresses(&["192.0.2.1"]));
    }

    #[test]
    fn the_version_changes_with_the_addresses_and_not_with_the_asking() {
        let name = Name::new("app.example");
        assert!(name.has("192.0.2.1".parse().expect("an address")), "nothing is known against it");
        name.tell(addresses(&["192.0.2.1"]));
        let first = name.version();
        name.tell(addresses(&["192.0.2.1"]));
        assert_eq!(name.version(), first);
        name.tell(addresses(&["192.0.2.2"]));
        assert_ne!(name.version(), first);
        assert!(!name.has("192.0.2.1".parse().expect("an address")));
        name.tell(Err(Unresolved::Missing));
        assert!(!name.has("192.0.2.2".parse().expect("an address")));
    }

    #[test]
    fn addresses_and_this_machine_need_no_dns() {
        assert_eq!(literal("192.0.2.1").map(|ips| ips.len()), Some(1));
        assert_eq!(literal("2001:db8::1").map(|ips| ips.len()), Some(1));
        for host in ["localhost", "LOCALHOST", "localhost.", "app.localhost"] {
            assert!(literal(host).is_some_and(|ips| ips.iter().all(IpAddr::is_loopback)), "{host}");
        }
        assert_eq!(literal("localhost.example"), None);
        assert_eq!(literal("app"), None);
    }
}
