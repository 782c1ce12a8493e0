//! The OpenAPI document of a real daemon, as programs of others read it, and the daemon's answers against it.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Daemon, Upstream, curl, peer};

/// What a door answers, with its head.
fn asked(socket: &Path, target: &str) -> (u16, String, Value) {
    let socket = socket.display().to_string();
    let url = format!("http://localhost{target}");
    let answer = curl(None, &["--globoff", "--unix-socket", &socket, &url]);
    let media = answer.field("content-type").unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&answer.body);
    (answer.status, media, body.unwrap_or_else(|error| panic!("{target}: {error}: {answer:?}")))
}

/// Faults of the document, and of each answer.
fn judged(document: &Value, answers: &[Value]) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    let mut command = peer(&python.display().to_string(), "tests/run --install");
    command.env_clear().arg(root.join("tests/it/support/openapi.py"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("runs");
    let question = json!({ "document": document, "answers": answers }).to_string();
    let mut input = child.stdin.take().expect("piped");
    input.write_all(question.as_bytes()).expect("taken");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the judge failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_document_and_real_answers_hold_before_an_outside_judge() {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    assert_eq!(daemon.curl(&["https://app.localhost/"]).status, 200);
    daemon.reload();
    let (status, media, document) = asked(&daemon.control(), "/v1/openapi.json");
    assert_eq!((status, media.as_str()), (200, "application/json"));
    let targets = [
        "/health",
        "/healthz",
        "/readyz",
        "/v1/openapi.json",
        "/v1/whoami",
        "/v1/status",
        "/v1/sites",
        "/v1/upstreams",
        "/v1/certificates",
        "/v1/local-ca",
        "/v1/history?resolution=1s",
        "/v1/explain?url=https://app.localhost/a",
        "/v1/audit",
        "/v1/audit/checkpoint",
        "/v1/capabilities",
        "/v1/tokens",
        "/v1/totp",
        // Refusals.
        "/v1/audit?limit=0",
        "/v1/history",
        "/v1/explain?url=nothing",
    ];
    let answer = |target: &&str| {
        let (status, media, body) = asked(&daemon.control(), target);
        let refusal =
            if target.contains("limit=0") || media.contains("problem") { 400 } else { 200 };
        assert_eq!(status, refusal, "{target}: {body}");
        let path = target.split('?').next().unwrap_or_default();
        json!({ "method": "get", "path": path, "status": status.to_string(), "media": media, "body": body })
    };
    let mut answers: Vec<Value> = targets.iter().map(answer).collect();
    let records = answers.iter().find(|answer| answer["path"] == "/v1/audit").expect("asked");
    assert!(!records["body"]["items"].as_array().expect("a page").is_empty(), "{records}");
    let found = judged(&document, &answers);
    assert_eq!(found["document"], json!([]));
    for (target, faults) in targets.iter().zip(found["answers"].as_array().expect("a list")) {
        assert_eq!(*faults, json!([]), "{target}");
    }
    // The judge sees what is wrong.
    let status = answers.iter_mut().find(|answer| answer["path"] == "/v1/status").expect("asked");
    status["body"]["pid"] = json!("4242");
    status["body"]["made_up"] = json!(1);
    let found = judged(&document, std::slice::from_ref(status));
    assert_eq!(found["answers"][0].as_array().map(Vec::len), Some(2), "{found}");
    let mut broken = document;
    broken["paths"]["/v1/status"]["get"]["responses"] = json!({});
    broken["paths"]["/v1/audit"]["get"]["parameters"][0]["in"] = json!("nowhere");
    assert_ne!(judged(&broken, &[])["document"], json!([]));
}
