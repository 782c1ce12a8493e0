//! Listening sockets: handed over by systemd, or bound here, all of them or none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::owner;
use crate::config::settings::Listen;
use crate::edge::accept::{Listener, Role};
use crate::ops::{self, SocketFile, SocketKind};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Silence before the kernel asks whether the client is still there: a minute and a half to notice that it is not.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_PROBE: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// What the kernel holds for a client that does not read, besides what is on its way.
const UNSENT_MAX: u32 = 128 * 1024;

/// The sockets of one process.
pub struct Sockets {
    pub edge: Vec<Listener>,
    pub ops: TcpListener,
    pub control: UnixListener,
    pub app: UnixListener,
    /// Roles whose sockets were inherited, which a reload cannot move.
    pub inherited: Vec<Role>,
    /// The sockets in the file system that were made here, not handed over.
    pub made: Vec<SocketFile>,
}

/// Binds everything in `listen` that was not inherited.
///
/// # Errors
/// Every address that cannot be had, each with who has it or what to do.
pub fn bind(listen: &Listen, inherited: Vec<(String, OwnedFd)>) -> Result<Sockets, String> {
    let mut faults = Vec::new();
    let Inherited { mut edge, roles, ops, control, app } = by_name(inherited, &mut faults);
    for (role, addrs) in [(Role::Https, &listen.https), (Role::Http, &listen.http)] {
        if roles.contains(&role) {
            continue;
        }
        for addr in addrs {
            match bind_edge(role, *addr) {
                Ok(listener) => edge.push(listener),
                Err(fault) => faults.push(fault),
            }
        }
    }
    let ops =
        ops.map_or_else(|| bind_tcp(listen.ops).map_err(|e| fault("ops", listen.ops, &e)), Ok);
    let mut made = Vec::new();
    let mut unix = |kind, path: &Path, inherited: Option<UnixListener>| {
        if let Some(socket) = inherited {
            return Ok(socket);
        }
        let socket = ops::bind_socket(kind, path).map_err(|error| error.to_string())?;
        made.push(SocketFile::of(path));
        Ok::<_, String>(socket)
    };
    let control = unix(SocketKind::CONTROL, &listen.control, control);
    let app = unix(SocketKind::APP, &listen.app, app);
    match (ops, control, app, faults.is_empty()) {
        (Ok(ops), Ok(control), Ok(app), true) => {
            Ok(Sockets { edge, ops, control, app, inherited: roles, made })
        }
        (ops, control, app, _) => {
            // Ours as long as they are bound: a start that failed leaves nothing behind.
            made.iter().for_each(SocketFile::remove);
            faults.extend([ops.err(), control.err(), app.err()].into_iter().flatten());
            Err(faults.join("\nerror: "))
        }
    }
}

/// What systemd handed over.
#[derive(Default)]
struct Inherited {
    edge: Vec<Listener>,
    roles: Vec<Role>,
    ops: Option<TcpListener>,
    control: Option<UnixListener>,
    app: Option<UnixListener>,
}

fn by_name(sockets: Vec<(String, OwnedFd)>, faults: &mut Vec<String>) -> Inherited {
    let mut inherited = Inherited::default();
    for (name, fd) in sockets {
        let role = match name.as_str() {
            "https" => Role::Https,
            "http" => Role::Http,
            "ops" => {
                inherited.ops = Some(TcpListener::from(fd));
                continue;
            }
            "control" => {
                inherited.control = Some(UnixListener::from(fd));
                continue;
            }
            "app" => {
                inherited.app = Some(UnixListener::from(fd));
                continue;
            }
            other => {
                faults.push(format!(
                    "systemd handed over a socket named {other:?}, which palisade does not know\n  \
                     set FileDescriptorName= of the socket unit to https, http, ops, control or app"
                ));
                continue;
            }
        };
        let socket = TcpListener::from(fd);
        match tune(&SockRef::from(&socket)).and_then(|()| socket.local_addr()) {
            Ok(addr) => inherited.edge.push(Listener { role, addr, socket }),
            Err(error) => faults.push(format!("the inherited socket {name}: {error}")),
        }
        inherited.roles.push(role);
    }
    inherited
}

/// Binds one more address for browsers.
///
/// # Errors
/// The whole message.
pub fn bind_edge(role: Role, addr: SocketAddr) -> Result<Listener, String> {
    let bound = bind_tcp(addr).and_then(|socket| Ok((socket.local_addr()?, socket)));
    match bound {
        Ok((addr, socket)) => Ok(Listener { role, addr, socket }),
        Err(error) => Err(fault(role.word(), addr, &error)),
    }
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    match bind_one(addr) {
        // A machine without IPv6: `[::]` was meant as "everywhere".
        Err(error)
            if addr.ip().is_unspecified()
                && addr.is_ipv6()
                && matches!(
                    rustix::io::Errno::from_io_error(&error),
                    Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
                ) =>
        {
            bind_one(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), addr.port()))
        }
        result => result,
    }
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    tune(&SockRef::from(&socket))?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets what accepted sockets inherit on Linux: one system call instead of one per connection.
fn tune(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // A client that vanished while a tunnel or an event stream is silent is noticed all the same.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_PROBE);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES))?;
    // What a client does not read waits with the app, not in the kernel.
    socket.set_tcp_notsent_lowat(UNSENT_MAX)
}

fn fault(role: &str, addr: SocketAddr, error: &io::Error) -> String {
    let port = addr.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let who = owner::of_port(port)
                .unwrap_or_else(|| "another program (run as root to see which)".into());
            format!(
                "cannot listen on {addr} ({role}): {who} is listening there\n  \
                 stop it, or choose another port: --{role} PORT (`listen.{role}` in the file)"
            )
        }
        io::ErrorKind::PermissionDenied => format!(
            "cannot listen on {addr} ({role}): ports below 1024 need a permission that user id {} lacks\n  \
             either let systemd open the port (socket activation: a palisade.socket with \
             FileDescriptorName={role}),\n  or give the service AmbientCapabilities=CAP_NET_BIND_SERVICE \
             (without systemd: setcap cap_net_bind_service=+ep on the binary),\n  \
             or choose a port above 1023: --{role} {} (`listen.{role}` in the file)",
            rustix::process::geteuid().as_raw(),
            if role == "http" { 8080 } else { 8443 },
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "cannot listen on {addr} ({role}): this machine does not have the address {}\n  \
             see `ip address`; [::] stands for all of them",
            addr.ip()
        ),
        _ => format!(
            "cannot listen on {addr} ({role}): {error}\n  choose another address: --{role} ADDR \
             (`listen.{role}` in the file)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_who_has_it() {
        let taken = bind_one(([127, 0, 0, 1], 0).into()).expect("a free port");
        let addr = taken.local_addr().expect("bound");
        let message = bind_edge(Role::Https, addr).expect_err("it is taken");
        assert!(message.contains(&format!("(pid {}) is listening there", std::process::id())));
        assert!(message.contains("--https PORT"), "{message}");
    }

    #[test]
    fn a_socket_of_systemd_is_tuned_like_our_own() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut faults = Vec::new();
        let inherited = by_name(vec![("https".to_owned(), socket.into())], &mut faults);
        assert_eq!(faults, Vec::<String>::new());
        let socket = SockRef::from(&inherited.edge.first().expect("one").socket);
        assert!(socket.tcp_nodelay().expect("an option"));
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_notsent_lowat().expect("an option"), UNSENT_MAX);
    }

    #[test]
    fn without_permission_both_ways_out_are_named() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let message = fault("https", ([0, 0, 0, 0], 443).into(), &denied);
        assert!(message.contains("socket activation") && message.contains("CAP_NET_BIND_SERVICE"));
    }
}
