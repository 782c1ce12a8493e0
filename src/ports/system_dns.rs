//! Names as this machine resolves them: the hosts file, then the DNS servers of the configuration or of resolv.conf.
//!
//! Promises: both files are read again when they have changed; an answer comes with the time that it holds; what DNS
//! says about a name is told from DNS saying nothing. Bounds: two tries of a server, a few seconds each.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts, ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

use super::{Pending, Resolved, Resolver, SILENT, Unresolved, names};

const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];
/// The hosts file has no time to live, and looking costs nothing.
const HOSTS_VALID: Duration = Duration::from_secs(5);
/// A server that has not answered by then will hardly do so.
const TRY_MAX: Duration = Duration::from_secs(3);
const TRIES_MAX: usize = 2;

/// The resolver of this machine. Without servers of its own it asks those of resolv.conf.
#[derive(Default)]
pub struct SystemResolver {
    servers: ArcSwap<Vec<SocketAddr>>,
    /// Made of the files as they were, and of the servers as they are.
    made: Mutex<Option<Arc<Made>>>,
}

struct Made {
    stamp: Stamp,
    servers: Arc<Vec<SocketAddr>>,
    hosts: Hosts,
    dns: Result<TokioResolver, String>,
}

/// Inode, length, and time of the last change of each file, if it is there.
type Stamp = [Option<(u64, u64, i64, i64)>; FILES.len()];

fn stamp() -> Stamp {
    FILES.map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
    })
}

impl SystemResolver {
    /// Asks these servers from now on, those of the system if there are none; true if they are others than before.
    pub fn ask(&self, servers: &[SocketAddr]) -> bool {
        let others = **self.servers.load() != servers;
        if others {
            self.servers.store(Arc::new(servers.to_vec()));
        }
        others
    }

    fn made(&self) -> Arc<Made> {
        let servers = self.servers.load_full();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp();
        if let Some(made) = made.as_ref()
            && made.stamp == now
            && Arc::ptr_eq(&made.servers, &servers)
        {
            return Arc::clone(made);
        }
        let dns = build(&servers);
        let hosts = Hosts::from_system().unwrap_or_default();
        let new = Arc::new(Made { stamp: now, servers, hosts, dns });
        *made = Some(Arc::clone(&new));
        new
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Pending<'a, Result<Resolved, Unresolved>> {
        Box::pin(async move {
            if let Some(addresses) = names::literal(host) {
                return Ok(Resolved { addresses, valid_for: Duration::MAX });
            }
            let name = Name::from_str_relaxed(host).map_err(|_| Unresolved::Missing)?;
            let made = self.made();
            if let Some(addresses) = made.in_hosts_file(&name) {
                return Ok(Resolved { addresses, valid_for: HOSTS_VALID });
            }
            let dns = made.dns.as_ref().map_err(|why| Unresolved::NoAnswer(why.clone()))?;
            let (v6, v4) = tokio::join!(
                dns.lookup(name.clone(), RecordType::AAAA),
                dns.lookup(name.clone(), RecordType::A),
            );
            answer(v6, v4)
        })
    }

    fn servers(&self) -> Vec<String> {
        let made = self.made();
        if !made.servers.is_empty() {
            return made.servers.iter().map(ToString::to_string).collect();
        }
        let system = read_system_conf().map(|(config, _)| config);
        let servers = system.as_ref().map(ResolverConfig::name_servers).unwrap_or_default();
        servers.iter().map(|server| server.ip.to_string()).collect()
    }
}

impl Made {
    fn in_hosts_file(&self, name: &Name) -> Option<Vec<IpAddr>> {
        let of = |kind| {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
            lookup.as_ref().map(addresses).unwrap_or_default()
        };
        let found = in_turn(of(RecordType::AAAA), of(RecordType::A));
        (!found.is_empty()).then_some(found)
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let system = read_system_conf();
    let (config, mut options) = match (system, servers.is_empty()) {
        (Ok(system), true) => system,
        (Err(error), true) => {
            return Err(format!(
                "/etc/resolv.conf names no DNS server ({error}); put that right, or name one with dns.servers"
            ));
        }
        // Its search list and options hold for other servers, too.
        (Ok((system, options)), false) => (with_servers(&system, servers), options),
        (Err(_), false) => {
            (with_servers(&ResolverConfig::default(), servers), ResolverOpts::default())
        }
    };
    options.timeout = options.timeout.min(TRY_MAX);
    options.attempts = options.attempts.min(TRIES_MAX);
    // Whoever asks keeps what it needs, with its time to live.
    options.cache_size = 0;
    options.preserve_intermediates = true;
    options.num_concurrent_reqs = 1;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build().map_err(|error| error.to_string())
}

fn with_servers(system: &ResolverConfig, servers: &[SocketAddr]) -> ResolverConfig {
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    let (domain, search) = (system.domain().cloned(), system.search().to_vec());
    ResolverConfig::from_parts(domain, search, servers.collect())
}

/// What both questions together say: addresses if there is one, else that there is none if DNS says so.
fn answer(
    v6: Result<Lookup, NetError>,
    v4: Result<Lookup, NetError>,
) -> Result<Resolved, Unresolved> {
    let ttl = [&v6, &v4].into_iter().flatten().flat_map(|lookup| lookup.answers());
    let ttl_s = ttl.map(|record| record.ttl).min().unwrap_or(0);
    let of = |lookup: &Result<Lookup, NetError>| lookup.as_ref().map(addresses).unwrap_or_default();
    let addresses = in_turn(of(&v6), of(&v4));
    if !addresses.is_empty() {
        return Ok(Resolved { addresses, valid_for: Duration::from_secs(ttl_s.into()) });
    }
    let faults = [v6.err(), v4.err()].into_iter().flatten().map(|error| fault(&error));
    // That one family has no address says nothing about the other, which could not be asked for.
    let worst = faults.max_by_key(|fault| !fault.is_answer());
    Err(worst.unwrap_or(Unresolved::NoAddress))
}

fn fault(error: &NetError) -> Unresolved {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Unresolved::Missing,
            ResponseCode::NoError => Unresolved::NoAddress,
            code => Unresolved::NoAnswer(format!("the DNS server answered {code}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Unresolved::NoAnswer(format!("the DNS server answered {code}"))
        }
        NetError::Timeout => Unresolved::NoAnswer(SILENT.into()),
        error => Unresolved::NoAnswer(format!("DNS could not be asked: {error}")),
    }
}

fn addresses(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

/// One of each family after the other (RFC 8305 §4).
fn in_turn(v6: Vec<IpAddr>, v4: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut all = Vec::with_capacity(v6.len() + v4.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_so_that_one_that_is_broken_costs_one_attempt() {
        let ips = |texts: &[&str]| -> Vec<IpAddr> {
            texts.iter().map(|text| text.parse().expect("an address")).collect()
        };
        assert_eq!(
            in_turn(ips(&["2001:db8::1", "2001:db8::2"]), ips(&["192.0.2.1"])),
            ips(&["2001:db8::1", "192.0.2.1", "2001:db8::2"])
        );
        assert_eq!(in_turn(Vec::new(), ips(&["192.0.2.1"])), ips(&["192.0.2.1"]));
    }

    #[tokio::test]
    async fn addresses_and_this_machine_are_known_without_any_server() {
        let resolver = SystemResolver::default();
        resolver.ask(&["127.0.0.1:1".parse().expect("an address")]);
        for host in ["192.0.2.7", "localhost", "app.localhost"] {
            assert!(resolver.resolve(host).await.is_ok(), "{host}");
        }
        assert_eq!(resolver.resolve("a..b").await, Err(Unresolved::Missing));
    }
}
