//! A defect in one request ends that connection and no other: a real worker, a real client, a defect in connecting.

use std::io::{Read, Write};

use super::sample::{self, Client, DEFECT, Edge, app};

fn client(edge: &Edge, alpn: &str) -> Client {
    sample::client(edge.https, &edge.roots, "app.localhost", &[alpn])
}

fn get(client: &mut Client, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: app.localhost\r\n\r\n");
    client.write_all(request.as_bytes()).expect("sent");
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\nok") && matches!(client.read(&mut byte), Ok(1)) {
        seen.push(byte[0]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

/// HEADERS of `GET /defect`, every field a literal.
fn h2_defect() -> Vec<u8> {
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "app.localhost"),
        (":path", "/defect"),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let length = u8::try_from(block.len()).expect("short");
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let head: &[u8] = &[0, 0, length, 1, 5, 0, 0, 0, 1];
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", settings, head, &block].concat()
}

#[test]
fn a_panic_ends_its_own_connection_and_is_logged() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = app();
    let sites = format!(
        "[site.\"app.localhost\"]\nupstream = \"{app}\"\n\
         [site.\"app.localhost\".route.\"/defect\"]\nupstream = \"{DEFECT}\"\n"
    );
    let edge = Edge::start(dir.path(), "app.localhost", &sites);
    let mut bystander = client(&edge, "http/1.1");
    assert!(get(&mut bystander, "/").ends_with("ok"));
    for _ in 0..2 {
        let mut victim = client(&edge, "http/1.1");
        assert_eq!(get(&mut victim, "/defect"), "", "its connection ends");
        let mut victim = client(&edge, "h2");
        victim.write_all(&h2_defect()).expect("sent");
        let mut seen = Vec::new();
        // Whatever was said before; what matters is that the connection ends.
        let end = victim.read_to_end(&mut seen);
        let timed_out =
            |kind| matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
        assert!(!end.is_err_and(|error| timed_out(error.kind())));
        assert!(get(&mut bystander, "/").ends_with("ok"), "on the same worker");
    }
    drop(bystander);
    let log = edge.stop(dir.path());
    assert_eq!(log.matches("\"status_code\":500").count(), 4, "{log}");
    assert_eq!(log.matches("\"aborted\":\"panic\"").count(), 4, "{log}");
}
