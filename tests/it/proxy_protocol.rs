//! Proxies that pass bytes on and say with a PROXY header whose they are; and who is nobody's proxy.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::support::wire::{drain, send};
use crate::support::{Connection, Daemon, Upstream, curl, peer, plain};

const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

/// Everything on this machine is a listed proxy.
fn site(app: &Upstream, listen: &str) -> Daemon {
    Daemon::start(&format!(
        "proxy_protocol_from = [\"127.0.0.1\"]\n{listen}\n\
         [site.\"app.localhost\"]\nupstream = \"{}\"",
        app.address()
    ))
}

fn v1(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6 ::1" } else { "TCP4 127.0.0.1" };
    let (family, to) = family.split_once(' ').unwrap();
    format!("PROXY {family} {client} {to} 4711 443\r\n").into_bytes()
}

/// A header of version 2 for a client with an IPv4 address, with a TLV.
fn v2(command: u8, client: [u8; 4]) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n";
    let fixed = [0x20 | command, 0x11, 0, 17];
    let ports = [0x12, 0x67, 1, 0xbb];
    let tlv = [4, 0, 2, 0, 0];
    [&start[..], &fixed, &client, &[127, 0, 0, 1], &ports, &tlv].concat()
}

fn begin(daemon: &Daemon, header: &[u8]) -> TcpStream {
    let mut tcp = plain(daemon.https()).unwrap();
    send(&mut tcp, header);
    tcp
}

fn over(daemon: &Daemon, tcp: TcpStream, alpn: &str) -> std::io::Result<Connection> {
    daemon.client().alpn(&[alpn]).connect_over(tcp, "app.localhost")
}

/// The client that the app is told after this header.
fn told(daemon: &Daemon, app: &Upstream, header: &[u8]) -> String {
    let before = app.requests().len();
    let mut connection = over(daemon, begin(daemon, header), "http/1.1").unwrap();
    assert_eq!(connection.get("app.localhost", "/").unwrap().status, 200);
    let seen = app.wait_for_requests(before + 1);
    seen[before].field("x-forwarded-for").unwrap().to_owned()
}

fn outcomes(daemon: &Daemon, outcome: &str) -> String {
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    let name = format!("palisade_proxy_headers_total{{outcome=\"{outcome}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{metrics}")).to_owned()
}

#[test]
fn the_announced_client_is_the_client_in_the_log_and_for_the_app() {
    let app = Upstream::text("ok");
    let daemon = site(&app, "");
    assert_eq!(told(&daemon, &app, &v1("203.0.113.9")), "203.0.113.9");
    assert_eq!(told(&daemon, &app, &v1("2001:db8::9")), "2001:db8::9");
    assert_eq!(told(&daemon, &app, &v1("::ffff:203.0.113.9")), "203.0.113.9");
    assert_eq!(told(&daemon, &app, &v2(1, [203, 0, 113, 10])), "203.0.113.10");
    assert_eq!(told(&daemon, &app, &v2(0, [203, 0, 113, 10])), "127.0.0.1", "LOCAL");
    assert_eq!(told(&daemon, &app, b"PROXY UNKNOWN\r\n"), "127.0.0.1");
    let lines = daemon.wait_for_requests(6);
    let mut clients: Vec<_> =
        lines.iter().map(|line| line["client_ip"].as_str().unwrap()).collect();
    clients.sort_unstable(); // two workers write them
    let (own, others) = clients.split_at(2);
    assert_eq!(own, ["127.0.0.1", "127.0.0.1"]);
    assert_eq!(others, ["2001:db8::9", "203.0.113.10", "203.0.113.9", "203.0.113.9"]);
    assert_eq!((outcomes(&daemon, "client"), outcomes(&daemon, "own")), ("4".into(), "2".into()));
}

#[test]
fn a_header_in_pieces_or_together_with_what_follows_is_the_same_header() {
    let app = Upstream::text("ok");
    let daemon = site(&app, "");
    // In pieces: each is there before the next one is sent, since the handshake before it has ended.
    let header = v2(1, [203, 0, 113, 9]);
    let mut tcp = begin(&daemon, &header[..3]);
    for byte in &header[3..] {
        send(&mut tcp, [*byte]);
    }
    let mut connection = over(&daemon, tcp, "http/1.1").unwrap();
    assert_eq!(connection.get("app.localhost", "/").unwrap().status, 200);
    assert_eq!(app.only_request().field("x-forwarded-for"), Some("203.0.113.9"));
    // Together: the plain port answers the request behind the header.
    let mut tcp = plain(daemon.http()).unwrap();
    let request = b"GET /a HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n";
    send(&mut tcp, [&v1("203.0.113.10")[..], request].concat());
    assert!(drain(&mut tcp) > 0);
    let redirected = daemon.wait_for_line(|line| line["status_code"] == 308);
    assert_eq!(redirected["client_ip"], "203.0.113.10");
}

#[test]
fn a_listed_proxy_that_sends_no_header_is_closed_counted_and_logged() {
    let app = Upstream::text("ok");
    let daemon = site(&app, "[timeout]\nhandshake = \"300ms\"");
    assert!(daemon.client().connect(daemon.https(), "app.localhost").is_err());
    let refused = daemon.wait_for_event("proxy_header_refused");
    assert_eq!(refused["proxy"], "127.0.0.1");
    let mut open = plain(daemon.http()).unwrap();
    send(&mut open, "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
    assert_eq!(drain(&mut open), 0);
    let mut half = begin(&daemon, b"PROXY TCP4 203.0.113.9 127.0");
    assert_eq!(drain(&mut half), 0, "its deadline");
    drop(begin(&daemon, b""));
    let mut long = begin(&daemon, &[b'P'; 200]);
    assert_eq!(drain(&mut long), 0);
    assert_eq!(
        (outcomes(&daemon, "invalid"), outcomes(&daemon, "timeout")),
        ("3".into(), "1".into())
    );
    assert_eq!(app.connections(), 0);
}

#[test]
fn from_everybody_else_a_header_is_garbage() {
    let app = Upstream::text("ok");
    let daemon = Daemon::start(&format!(
        "proxy_protocol_from = [\"127.0.0.2\"]\n[site.\"app.localhost\"]\nupstream = \"{}\"",
        app.address()
    ));
    let mut secure = begin(&daemon, &v1("203.0.113.9"));
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut secure, &mut said);
    assert_eq!(said, DECODE_ERROR);
    let mut open = plain(daemon.http()).unwrap();
    send(
        &mut open,
        [&v1("203.0.113.9")[..], b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n"].concat(),
    );
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut open, &mut said);
    assert!(said.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(outcomes(&daemon, "client"), "0");
    // Nor does a reload that lists it need a restart.
    let place = daemon.place();
    let text = std::fs::read_to_string(place.config()).unwrap();
    std::fs::write(place.config(), text.replace("\"127.0.0.2\"", "\"127.0.0.0/8\"")).unwrap();
    daemon.reload();
    assert_eq!(told(&daemon, &app, &v1("203.0.113.9")), "203.0.113.9");
}

#[test]
fn caps_count_the_announced_client_and_never_the_proxy() {
    let app = Upstream::text("ok");
    let daemon = site(&app, "[connections]\nper_ip = 1");
    let mut kept = Vec::new();
    for client in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        kept.push(over(&daemon, begin(&daemon, &v1(client)), "http/1.1").unwrap());
    }
    for _ in 0..3 {
        let own = begin(&daemon, b"PROXY UNKNOWN\r\n");
        kept.push(over(&daemon, own, "http/1.1").unwrap());
    }
    assert!(over(&daemon, begin(&daemon, &v1("203.0.113.2")), "http/1.1").is_err());
    for connection in &mut kept {
        assert_eq!(connection.get("app.localhost", "/").unwrap().status, 200);
    }
    let metrics = daemon.curl_ops("/metrics", &[]).text();
    assert!(metrics.contains("palisade_connections_refused_total{cap=\"per_ip\"} 1"), "{metrics}");
}

#[test]
fn an_announced_peer_may_be_a_trusted_proxy_itself() {
    let app = Upstream::text("ok");
    let daemon = site(&app, "trusted_proxies = [\"192.0.2.0/24\"]");
    for (peer, wanted) in [("192.0.2.7", "203.0.113.9"), ("198.51.100.7", "198.51.100.7")] {
        let mut connection = over(&daemon, begin(&daemon, &v1(peer)), "http/1.1").unwrap();
        connection
            .send("GET / HTTP/1.1\r\nHost: app.localhost\r\nForwarded: for=6.6.6.6, for=203.0.113.9\r\n\r\n")
            .unwrap();
        assert_eq!(connection.answer("GET").unwrap().status, 200);
        let seen = app.requests();
        assert_eq!(seen.last().unwrap().fields("x-forwarded-for"), [wanted]);
        let forwarded = format!("for={wanted};host=\"app.localhost\";proto=https");
        assert_eq!(seen.last().unwrap().fields("forwarded"), [forwarded]);
    }
}

/// HAProxy, in front of the daemon on a socket that it is given as standard input (which `-q` would close).
struct HaProxy(Child, std::net::SocketAddr);

impl HaProxy {
    fn start(daemon: &Daemon, how: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let file = daemon.place().path(&format!("{how}.cfg"));
        let config = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 20s\n timeout server 20s\n\
             listen in\n bind fd@0\n server palisade {} {how}\n",
            daemon.https()
        );
        std::fs::write(&file, config).unwrap();
        let mut command: Command = peer("haproxy", "apt-get install haproxy");
        command
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
        Self(command.stderr(Stdio::null()).spawn().expect("haproxy runs"), address)
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy_announces_its_clients_in_both_versions() {
    let app = Upstream::text("ok");
    let daemon = site(&app, "");
    for (how, version) in [("send-proxy", "--http1.1"), ("send-proxy-v2", "--http2")] {
        let haproxy = HaProxy::start(&daemon, how);
        let to = format!("::{}", haproxy.1);
        let args =
            ["--interface", "127.0.0.9", "--connect-to", &to, version, "https://app.localhost/"];
        let answer = curl(Some(&daemon.root()), &args);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "{how}: {}",
            answer.errors
        );
        let seen = app.requests();
        assert_eq!(seen.last().unwrap().field("x-forwarded-for"), Some("127.0.0.9"), "{how}");
    }
}
