//! Ports of 127.0.0.1 that are known before anybody listens on them.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A free port that stays out of everybody's reach but theirs who are told its number, also while the daemon on it
/// is down: a socket is bound to it and never listens, and whoever binds with `SO_REUSEADDR` may join.
pub struct Port {
    number: u16,
    _bound: Socket,
}

impl Port {
    pub fn reserve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        // Only now: while binding, it would let the system hand out a port that another test has reserved.
        socket.set_reuse_address(true).expect("SO_REUSEADDR");
        let address = socket.local_addr().expect("an address");
        let number = address.as_socket_ipv4().expect("IPv4").port();
        Self { number, _bound: socket }
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

/// Ports that the daemon is told to listen on, and that CAs connect to; they are the daemon's also between two lives.
pub struct Doors {
    http: Port,
    https: Port,
}

impl Doors {
    pub fn reserve() -> Self {
        Self { http: Port::reserve(), https: Port::reserve() }
    }

    pub fn http(&self) -> SocketAddr {
        self.http.address()
    }

    pub fn https(&self) -> SocketAddr {
        self.https.address()
    }
}
