//! Connections from `listen.proxy_protocol_from`: the PROXY header in front of everything else.
//!
//! Promises: the header is taken to its last byte and nothing behind it is touched; it has a deadline of its own, as
//! long as a handshake's. Refuses a connection without one. The log hears of a refusal at most once a second and worker.

use std::net::IpAddr;
use std::rc::Rc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::proxy_protocol::{Parsed, V2_MAX, parse};
use super::tls::before;
use super::worker::Worker;
use crate::telemetry::Level;
use crate::telemetry::metrics::ProxyHeader;

/// Most bytes that are looked at together.
const READ_MAX: usize = 512;

/// Why a connection is over before it has begun.
enum Fault {
    /// Closed before its first byte came, as a health check does.
    Absent,
    Invalid(&'static str),
}

/// Whom the proxy at the other end announces: `Some(None)` is the proxy itself. `None` when the connection is over; it
/// is counted why.
pub(super) async fn read(
    worker: &Rc<Worker>,
    tcp: &mut TcpStream,
    proxy: IpAddr,
) -> Option<Option<IpAddr>> {
    let deadline = worker.timers.deadline();
    deadline.arm(worker.timeouts().handshake);
    let (outcome, why) = match before(&deadline, header(tcp)).await {
        Some(Ok(source)) => {
            let own = source.is_none();
            worker.shard.proxy_header(if own { ProxyHeader::Own } else { ProxyHeader::Client });
            return Some(source);
        }
        Some(Err(Fault::Absent)) => (ProxyHeader::Absent, None),
        Some(Err(Fault::Invalid(why))) => (ProxyHeader::Invalid, Some(why)),
        None => (ProxyHeader::Timeout, Some("it did not come within timeout.handshake")),
    };
    worker.shard.proxy_header(outcome);
    if let Some(why) = why {
        complain(worker, proxy, why);
    }
    None
}

/// Looks before it takes, so that what follows the header stays in the socket.
async fn header(tcp: &mut TcpStream) -> Result<Option<IpAddr>, Fault> {
    let mut seen = Vec::with_capacity(READ_MAX);
    loop {
        let taken = seen.len();
        let room = V2_MAX.saturating_sub(taken).clamp(1, READ_MAX);
        seen.resize(taken + room, 0);
        let new = seen.get_mut(taken..).unwrap_or_default();
        let found = tcp.peek(new).await.unwrap_or(0);
        if found == 0 {
            let broken = Fault::Invalid("the connection ended inside the header");
            return Err(if taken == 0 { Fault::Absent } else { broken });
        }
        seen.truncate(taken + found);
        let (bytes, source) = match parse(&seen) {
            Parsed::Partial => (seen.len(), None),
            Parsed::Header { bytes, source } => (bytes, Some(source)),
            Parsed::Invalid(why) => return Err(Fault::Invalid(why)),
        };
        let new = seen.get_mut(taken..bytes).unwrap_or_default();
        if tcp.read_exact(new).await.is_err() {
            return Err(Fault::Invalid("the connection ended inside the header"));
        }
        if let Some(source) = source {
            return Ok(source);
        }
    }
}

fn complain(worker: &Worker, proxy: IpAddr, why: &str) {
    let Some(more) = worker.proxy_complaints.more(worker.timers.now_ms()) else { return };
    worker.shared.log.event(Level::Warn, "proxy_header_refused", |line| {
        line.text("proxy", &proxy.to_string())
            .text("why", why)
            .number("more", more)
            .text("next", "let it send the PROXY protocol, or remove it from proxy_protocol_from");
    });
}
