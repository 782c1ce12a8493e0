//! gRPC from end to end, by its own library on both sides: unary and streams in every direction, status in trailers, and a
//! client that goes away and ends the work of the app with that.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Authority, Daemon, Place, Service, palisade, peer};

fn grpc() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    let mut command = peer(&python.display().to_string(), "tests/run --install");
    command.env_clear().arg(root.join("tests/it/support/rpc.py"));
    command
}

/// What a client of the library hears from an app behind this daemon.
fn asked(daemon: &Daemon) -> Value {
    let mut client = grpc();
    client.args(["ask", &daemon.https().to_string()]).arg(daemon.root()).arg("app.localhost");
    let exit = palisade(&mut client);
    assert_eq!(exit.code, 0, "{exit:?}\n{:#?}", daemon.access_lines());
    exit.json()
}

/// What it has to hear, whatever lies in between.
fn everything() -> Value {
    let replies: Vec<String> = (0..20).map(|number| format!("re: {number}")).collect();
    let digits: usize = (0..300).map(|number: usize| number.to_string().len()).sum();
    json!({
        "unary": "echo hello asked",
        "trailing": { "x-trailing": "'behind'", "x-bytes-bin": "b'\\x00\\xff'" },
        "fails": "NOT_FOUND: nobody of the name it",
        "unknown": "UNIMPLEMENTED: Method not found!",
        "rows": 300,
        "bytes": 300 * 10_000 + digits,
        "upload": "900000",
        "chat": replies,
        "first": "one",
        "cancelled": "yes",
        "late": "DEADLINE_EXCEEDED",
    })
}

#[test]
fn a_grpc_app_in_the_clear_is_what_it_is_without_a_proxy() {
    let app = Service::start(grpc().arg("serve"));
    let daemon = Daemon::site("app.localhost", &format!("h2c://127.0.0.1:{}", app.first_line));
    assert_eq!(asked(&daemon), everything());
}

#[test]
fn a_grpc_app_behind_tls_is_what_it_is_without_a_proxy() {
    let place = Place::new();
    let authority = Authority::new();
    let roots = place.path("roots.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let (cert, key) = authority.write(place.dir(), "app", &["localhost"]);
    let app = Service::start(grpc().arg("serve").arg(cert).arg(key));
    place.configure(&format!(
        "[site.\"app.localhost\"]\nupstream = \"h2://localhost:{}\"\nupstream_tls = {{ ca_file = \"{}\" }}",
        app.first_line,
        roots.display()
    ));
    let daemon = place.start();
    assert_eq!(asked(&daemon), everything());
}

#[test]
fn a_grpc_app_that_is_named_as_http1_is_found_out() {
    let app = Service::start(grpc().arg("serve"));
    let daemon = Daemon::site("app.localhost", &format!("127.0.0.1:{}", app.first_line));
    let answer = daemon.curl(&["https://app.localhost/t.T/Unary", "--data", "x"]);
    assert_eq!(answer.status, 502, "{answer:?}");
    let lines = daemon.wait_for_requests(1);
    assert_eq!(lines[0]["denied"], "upstream_broke", "{lines:?}");
    let why = lines[0]["why"].as_str().unwrap_or_default();
    assert!(why.ends_with("it speaks HTTP/2: write h2c:// in front of its address"), "{why}");
}
