//! The document against the routers, the handlers and the manual.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::base::{Capability, Role};
use crate::ops::router;
use crate::ops::sample::Daemon;
use crate::sys::peer::Peer;
use crate::telemetry::history::Resolution;

const DOORS: [Door; 3] = [Door::Control, Door::App, Door::Ops];

fn at(door: Door) -> Router {
    router(door, Arc::new(Daemon::default()))
}

/// Asks as somebody who may do everything there.
async fn ask(door: Door, method: &str, path: &str) -> (http::response::Parts, Body) {
    let uid = if door == Door::App { 3 } else { 0 };
    let peer = Peer { uid, gid: uid, groups: Vec::new() };
    let request = Request::builder().method(method).uri(path).extension(peer);
    let request = request.header("authorization", "Bearer admin").body(Body::empty());
    let response = TowerToHyperService::new(at(door)).call(request.expect("a request")).await;
    response.expect("infallible").into_parts()
}

async fn text(body: Body) -> String {
    let bytes = body.collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Path, method and what is said about it, of every operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &Value)| {
        let item = item.as_object().expect("an item").clone();
        let path = path.clone();
        item.into_iter().map(move |(method, operation)| (path.clone(), method, operation))
    };
    paths.iter().flat_map(of_path).collect()
}

/// A path that can be asked for.
fn filled(path: &str) -> String {
    path.replace("{site}", "a").replace("{name}", "queue").replace("{id}", "a")
}

#[tokio::test]
async fn an_operation_is_answered_at_its_doors_and_at_no_other() {
    let all = operations(&made());
    assert_eq!(all.len(), CALLS.len(), "every call is in the document, and only once");
    for (path, method, operation) in all {
        let doors = operation["x-palisade-doors"].as_array().expect("doors");
        for door in DOORS {
            let (head, _) = ask(door, &method.to_ascii_uppercase(), &filled(&path)).await;
            // Only what stands behind the gate is given an id.
            let answered = head.headers.contains_key("x-request-id");
            let named = doors.iter().any(|name| name == word(door));
            assert_eq!(answered, named, "{method} {path} at {door:?}: {}", head.status);
            if !answered {
                assert!([404, 405].contains(&head.status.as_u16()), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn another_method_of_a_path_in_the_document_is_refused() {
    let document = made();
    for path in document["paths"].as_object().expect("paths").keys() {
        let item = &document["paths"][path];
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if item.get(method.to_ascii_lowercase()).is_none() {
                for door in DOORS {
                    let (head, _) = ask(door, method, &filled(path)).await;
                    let refused = [404, 405].contains(&head.status.as_u16());
                    assert!(refused, "{method} {path} at {door:?}: {}", head.status);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_document_is_the_same_at_every_door() {
    let mut seen = Vec::new();
    for door in DOORS {
        let (head, body) = ask(door, "GET", "/v1/openapi.json").await;
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["content-type"], "application/json");
        seen.push(text(body).await);
    }
    assert!(seen.iter().all(|document| *document == seen[0]));
    let document: Value = serde_json::from_str(&seen[0]).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    assert!(seen[0].len() < 256 * 1024, "{} bytes", seen[0].len());
}

#[test]
fn an_operation_says_everything_that_a_client_needs() {
    let mut names = BTreeSet::new();
    for call in CALLS {
        assert!(names.insert(call.name), "two calls are named {}", call.name);
        assert!(!call.summary.is_empty(), "{} has no summary", call.name);
        assert_eq!(call.path.contains('{'), !call.of.is_empty(), "{}: what is named?", call.name);
        let plain = matches!(call.answers, Answers::Text("text/plain"));
        assert!(!plain, "{} does not say what it answers", call.name);
        assert!(call.takes.is_none() || call.method == http::Method::POST, "{}", call.name);
    }
    let text = made().to_string();
    assert!(!text.contains("[`"), "a link of a comment");
}

#[test]
fn what_a_call_demands_is_written_down() {
    let document = made();
    let create = &document["paths"]["/v1/tokens"]["post"];
    assert_eq!(create["operationId"], "create_token");
    assert_eq!(create["tags"], json!(["access"]));
    assert_eq!(create["x-palisade-role"], "admin");
    assert_eq!(create["x-palisade-doors"], json!(["control", "ops"]));
    assert_eq!(create["x-palisade-confirm"], true);
    assert_eq!(create["security"], json!([{ "bearer": [] }]));
    let body = &create["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["$ref"], "#/components/schemas/CreateToken");
    for status in ["400", "401", "403", "413", "default"] {
        assert!(create["responses"].get(status).is_some(), "{status}");
    }
    assert_eq!(document["paths"]["/health"]["get"]["security"], json!([]));
    assert_eq!(document["paths"]["/v1/activity"]["post"]["security"], json!([]));
    let events = &document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"];
    assert!(events.get("application/x-ndjson").is_some(), "{events}");
    let limit = &document["paths"]["/v1/audit"]["get"]["parameters"][2]["schema"];
    assert_eq!((&limit["minimum"], &limit["maximum"]), (&json!(1), &json!(1000)));
}

/// Bodies may leave out what has a default; a schema of both that differs would be one of them only.
#[test]
fn a_type_that_comes_in_and_goes_out_has_one_schema() {
    let mut schemas = Schemas::new();
    for call in CALLS {
        call.takes.map(|taken| schemas.taken(taken));
        match call.answers {
            Answers::Json(schema) | Answers::Lines(schema) => drop(schemas.answered(schema)),
            Answers::Text(_) => {}
        }
    }
    let taken = schemas.taken.take_definitions(true);
    let answered = schemas.answered.take_definitions(true);
    for (name, schema) in taken {
        let other = answered.get(&name).unwrap_or(&schema);
        assert_eq!(*other, schema, "{name}");
    }
}

fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Texts => "a",
        Kind::Whole(..) => "1",
        Kind::TimeMs => "-1",
        Kind::Word(words) | Kind::Words(words) => words[0],
        Kind::Status => "4xx",
        Kind::Address => "::1",
    }
}

#[tokio::test]
async fn every_parameter_of_the_document_is_known_to_its_call_and_no_other_is() {
    for call in CALLS.iter().filter(|call| !call.query.is_empty()) {
        let path = |name: &str, value: &str| format!("{}?{name}={value}", call.path);
        let (head, _) = ask(Door::Control, "GET", &path("made_up", "1")).await;
        assert_eq!(head.status, 400, "{}", call.name);
        for parameter in call.query {
            let asked = path(parameter.name, example(parameter.kind));
            let (head, body) = ask(Door::Control, "GET", &asked).await;
            if head.status != 200 {
                let problem = text(body).await;
                assert!(!problem.contains("must be"), "{asked}: {problem}");
                assert!(!problem.contains("there are"), "{asked}: {problem}");
            }
            if let Kind::Whole(from, to) = parameter.kind {
                for beyond in [from.checked_sub(1), to.checked_add(1)].into_iter().flatten() {
                    let asked = path(parameter.name, &beyond.to_string());
                    let (head, _) = ask(Door::Control, "GET", &asked).await;
                    assert_eq!(head.status, 400, "{asked}");
                }
            }
        }
    }
}

#[test]
fn words_of_parameters_are_those_of_the_daemon() {
    let Kind::Word(words) = crate::ops::queries::HISTORY[0].kind else { panic!("words") };
    assert_eq!(words, Resolution::ALL.map(Resolution::word));
}

const MANUAL: &str = include_str!("../../docs/API.md");

/// The line of the manual's table about a call.
fn line(call: &Call) -> String {
    let doors: Vec<_> = call.doors.iter().map(|door| word(*door)).collect();
    let role = match (call.open, call.doors) {
        (true, _) => "anybody on ops",
        (_, [Door::App]) => "the app",
        _ => call.role.word(),
    };
    let factor = if call.confirm { "yes" } else { "" };
    format!(
        "| `{} {}` | {} | {} | {role} | {factor} |",
        call.method,
        call.path,
        doors.join(", "),
        call.scope.word(),
    )
    .replace("|  |", "| |")
}

#[test]
fn the_manual_lists_every_call_with_its_demands() {
    let told: Vec<&str> = MANUAL
        .lines()
        .filter(|line| line.starts_with("| `GET ") || line.starts_with("| `POST "))
        .collect();
    let wanted: Vec<String> = CALLS.iter().map(line).collect();
    assert!(told == wanted, "docs/API.md must have these lines:\n{}", wanted.join("\n"));
}

#[test]
fn the_manual_names_every_word_of_the_api() {
    let words = Role::ALL.map(Role::word).into_iter().chain(Scope::ALL.map(Scope::word));
    let words = words.chain(Capability::ALL.map(Capability::key));
    let headers = [API_HEADER, VERSION_HEADER, TOTP_HEADER, ELEVATION_HEADER, TOTP_REQUIRED];
    for name in words.chain(headers) {
        assert!(MANUAL.contains(&format!("`{name}`")), "docs/API.md does not name `{name}`");
    }
}
