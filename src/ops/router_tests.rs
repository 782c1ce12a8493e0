//! Every path of both routers, and what they refuse.

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::*;
use crate::base::Role;
use crate::ops::api;
use crate::ops::sample::{Daemon, root};
use crate::sys::peer::Peer;

async fn ask(
    router: Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (http::response::Parts, String) {
    ask_with(router, method, path, headers, "").await
}

async fn ask_with(
    router: Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (http::response::Parts, String) {
    ask_as(router, root(), (method, path), headers, body).await
}

async fn ask_as(
    router: Router,
    peer: Peer,
    asked: (&str, &str),
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> (http::response::Parts, String) {
    let (head, body) = answered(router, peer, asked, headers, body).await.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head, String::from_utf8(body.to_vec()).expect("text"))
}

async fn answered(
    router: Router,
    peer: Peer,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Response {
    let mut request = http::Request::builder().method(method).uri(path).extension(peer);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).expect("a request");
    TowerToHyperService::new(router).call(request).await.expect("infallible")
}

fn ops(ready: bool) -> Router {
    router(Door::Ops, Arc::new(Daemon { ready, ..Daemon::default() }))
}

fn control(reloads: bool) -> Router {
    router(Door::Control, Arc::new(Daemon { reloads, ..Daemon::default() }))
}

#[tokio::test]
async fn the_ops_address_answers_monitors() {
    for path in
        ["/health", "/healthz", "/readyz", "/api/_health/live", "/api/_health/ready", "/metrics"]
    {
        let (head, body) = ask(ops(true), "GET", path, &[("host", "127.0.0.1:9180")]).await;
        assert_eq!(head.status, 200, "{path}: {body}");
        assert_eq!(head.headers["palisade-api"], "1");
        assert_eq!(head.headers["cache-control"], "no-store");
        assert_eq!(head.headers["x-content-type-options"], "nosniff");
    }
    let (_, body) = ask(ops(true), "GET", "/health", &[]).await;
    assert_eq!(body, r#"{"status":"ok","version":"0.1.0","uptime_s":1051259}"#);
    let (head, _) = ask(ops(true), "GET", "/metrics", &[]).await;
    assert!(
        head.headers["content-type"]
            .to_str()
            .expect("text")
            .starts_with("application/openmetrics-text")
    );
}

#[tokio::test]
async fn a_daemon_that_is_not_ready_says_why_and_stays_alive() {
    for path in ["/readyz", "/api/_health/ready"] {
        let (head, body) = ask(ops(false), "GET", path, &[]).await;
        assert_eq!(head.status, 503);
        let problem: Problem = serde_json::from_str(&body).expect("a problem");
        assert_eq!(problem.detail.as_deref(), Some("draining; no certificate"));
    }
    assert_eq!(ask(ops(false), "GET", "/healthz", &[]).await.0.status, 200);
}

#[tokio::test]
async fn a_call_has_an_id_and_nobody_gets_no_answer() {
    let (head, _) = ask(control(true), "POST", "/v1/reload", &[]).await;
    assert_eq!(
        (head.status.as_u16(), &head.headers["x-request-id"]),
        (200, &"019-id".parse().expect("a value"))
    );
    let request = http::Request::post("/v1/reload").body(Body::empty()).expect("a request");
    let response = TowerToHyperService::new(control(true)).call(request).await.expect("infallible");
    assert_eq!(response.status(), 403);
    for (method, path, status) in [
        ("GET", "/v1/audit?after=3&limit=2", 200),
        ("GET", "/v1/audit?limit=1001", 400),
        ("POST", "/v1/audit/verify", 503),
        ("GET", "/v1/audit/checkpoint", 409),
    ] {
        assert_eq!(ask(control(true), method, path, &[]).await.0.status, status, "{path}");
    }
}

#[tokio::test]
async fn other_paths_methods_and_names_are_problems() {
    let cases = [
        ("GET", "/v1/status", "host", "localhost", 401),
        ("GET", "/nothing", "host", "localhost", 404),
        ("POST", "/health", "host", "localhost", 405),
        ("GET", "/health", "host", "attacker.example", 403),
        ("GET", "/nothing", "host", "attacker.example", 403),
        ("GET", "/health", "origin", "https://attacker.example", 403),
    ];
    for (method, path, name, value, status) in cases {
        let (head, body) = ask(ops(true), method, path, &[(name, value)]).await;
        assert_eq!(head.status, status, "{method} {path} {name}: {value}");
        assert_eq!(head.headers["content-type"], "application/problem+json");
        assert_eq!(head.headers["palisade-api"], "1");
        assert_eq!(head.headers["cache-control"], "no-store");
        let problem: Problem = serde_json::from_str(&body).expect("a problem");
        assert_eq!(problem.status, status);
    }
}

#[tokio::test]
async fn a_refused_configuration_is_a_422() {
    let (head, body) = ask(control(false), "POST", "/v1/reload", &[]).await;
    assert_eq!(head.status, 422);
    assert!(body.contains("error: no site"), "{body}");
    let (head, _) = ask(control(true), "GET", "/v1/reload", &[]).await;
    assert_eq!(head.status, 405, "a GET must change nothing");
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_call_is_refused_and_not_repeated() {
    let path = "/v1/certificates/app.example.com/import";
    let large = "x".repeat(api::BODY_BYTES_MAX + 1);
    let cases = [
        (large.as_str(), 413),
        ("", 400),
        ("{\"cert_pem\":\"hunter2\"}", 400),
        ("[\"hunter2\"]", 400),
        ("{\"cert_pem\":\"hunter2\",\"key_pem\":\"hunter2\"}", 422),
    ];
    for (sent, status) in cases {
        let (head, body) = ask_with(control(true), "POST", path, &[], sent.to_owned()).await;
        assert_eq!(head.status, status, "{body}");
        assert_eq!(serde_json::from_str::<Problem>(&body).expect("a problem").status, status);
        assert!(!body.contains("hunter2"), "{body}");
    }
    let good = r#"{"cert_pem":"CERTIFICATE","key_pem":"PRIVATE KEY"}"#;
    assert_eq!(ask_with(control(true), "POST", path, &[], good).await.0.status, 200);
}

#[tokio::test]
async fn nothing_about_certificates_or_keys_changes_by_a_get_or_without_a_token() {
    let paths = [
        "/v1/certificates/app.example.com/renew",
        "/v1/certificates/app.example.com/import",
        "/v1/crypto/rotate",
    ];
    for path in paths {
        assert_eq!(ask(control(true), "GET", path, &[]).await.0.status, 405, "{path}");
        let (head, _) = ask(ops(true), "POST", path, &[("host", "localhost")]).await;
        assert_eq!(head.status, 401, "{path}");
        assert_eq!(head.headers["www-authenticate"], "Bearer realm=\"palisade\"");
    }
}

fn user(uid: u32) -> Peer {
    Peer { uid, gid: uid, groups: Vec::new() }
}

/// Every call, at every door, by everyone: what the list demands is what happens.
#[tokio::test]
async fn no_call_is_made_by_somebody_who_may_not_make_it() {
    for call in CALLS {
        let path = call.path.replace("{site}", "a").replace("{name}", "queue").replace("{id}", "a");
        for door in [Door::Control, Door::App, Door::Ops] {
            for (uid, role) in [
                (0, Some(Role::Admin)),
                (1, Some(Role::Operator)),
                (2, Some(Role::Viewer)),
                (9, None),
            ] {
                let routes = router(door, Arc::new(Daemon::default()));
                let token = format!("Bearer {}", role.map_or("nobody", Role::word));
                let headers = [("authorization", token.as_str())];
                let asked = (call.method.as_str(), path.as_str());
                let status = answered(routes, user(uid), asked, &headers, "").await.status();
                let status = status.as_u16();
                let here = call.doors.contains(&door);
                let open = here && door == Door::Ops && call.open;
                let may = here && door != Door::App && role.is_some_and(|role| role >= call.role);
                if open || may {
                    assert!(![401, 403, 405].contains(&status), "{} {uid} {status}", call.name);
                } else {
                    assert!([401, 403, 404, 405].contains(&status), "{} {uid} {status}", call.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_app_makes_its_calls_and_no_others() {
    let app = || router(Door::App, Arc::new(Daemon::default()));
    let body = r#"{"action":"order.refund"}"#;
    let (head, _) = ask_as(app(), user(3), ("POST", "/v1/activity"), &[], body).await;
    assert_eq!(head.status, 200);
    assert_eq!(ask_as(app(), user(0), ("POST", "/v1/activity"), &[], body).await.0.status, 403);
    for call in CALLS.iter().filter(|call| !call.doors.contains(&Door::App)) {
        let asked = (call.method.as_str(), call.path);
        let status = ask_as(app(), user(3), asked, &[], "").await.0.status;
        assert!([404, 405].contains(&status.as_u16()), "{}", call.name);
    }
}

#[tokio::test]
async fn a_scope_narrows_a_token() {
    let ask = async |token: &str, path: &str| {
        let headers = [("authorization", format!("bearer {token}"))];
        let headers = [("authorization", headers[0].1.as_str())];
        ask(ops(true), "GET", path, &headers).await.0.status.as_u16()
    };
    assert_eq!(ask("viewer/audit", "/v1/audit").await, 200);
    assert_eq!(ask("admin/audit", "/v1/status").await, 403);
    assert_eq!(ask("viewer", "/v1/status").await, 200);
    assert_eq!(ask("nobody", "/v1/status").await, 401);
}

#[tokio::test]
async fn a_call_that_grants_something_wants_a_code_once_there_is_a_factor() {
    let routes = || router(Door::Control, Arc::new(Daemon { factor: true, ..Daemon::default() }));
    let (head, body) = ask(routes(), "POST", "/v1/crypto/rotate", &[]).await;
    let problem: Problem = serde_json::from_str(&body).expect("a problem");
    assert_eq!((head.status.as_u16(), problem.kind.as_str()), (403, "urn:palisade:totp-required"));
    let code = |code| [("palisade-totp", code)];
    assert_eq!(ask(routes(), "POST", "/v1/crypto/rotate", &code("1")).await.0.status, 403);
    assert_eq!(ask(routes(), "POST", "/v1/crypto/rotate", &code("123456")).await.0.status, 200);
    assert_eq!(ask(routes(), "POST", "/v1/reload", &[]).await.0.status, 200, "not this one");
}

#[tokio::test]
async fn a_page_says_which_comes_next_and_refuses_what_is_none() {
    let (_, body) = ask(control(true), "GET", "/v1/capabilities?limit=2", &[]).await;
    let page: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(page["next"], "queue");
    let path = "/v1/capabilities?after=queue&limit=2";
    let (_, body) = ask(control(true), "GET", path, &[]).await;
    assert!(body.contains("rate_limit"), "{body}");
    for path in ["/v1/capabilities?limit=0", "/v1/tokens?limit=501", "/v1/totp?page=1"] {
        assert_eq!(ask(control(true), "GET", path, &[]).await.0.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_site_that_is_no_text_is_refused_with_a_problem_document() {
    for call in ["renew", "import"] {
        let path = format!("/v1/certificates/%ff%fe/{call}");
        let (head, body) = ask(control(true), "POST", &path, &[]).await;
        assert_eq!(head.status, 400, "{body}");
        assert_eq!(head.headers["content-type"], "application/problem+json");
        assert!(body.contains("not UTF-8"), "{body}");
    }
}

#[tokio::test]
async fn the_app_reports_at_its_own_door_and_is_told_which_field_is_wrong() {
    let app = |uid| Peer { uid, gid: uid, groups: Vec::new() };
    let at = |door| router(door, Arc::new(Daemon::default()));
    let call = ("POST", "/v1/activity");
    let good = r#"{"action": "order.refund", "user": "ada"}"#;
    let (head, body) = ask_as(at(Door::App), app(3), call, &[], good).await;
    assert_eq!((head.status.as_u16(), body.as_str()), (200, r#"{"request_id":"019-id"}"#));
    assert_eq!(ask_as(at(Door::App), app(4), call, &[], good).await.0.status, 403);
    for door in [Door::Control, Door::Ops] {
        assert_eq!(ask_as(at(door), root(), call, &[], good).await.0.status, 404);
    }
    let bad = r#"{"action": "order.refund", "amount": "S3cret"}"#;
    let (head, body) = ask_as(at(Door::App), app(3), call, &[], bad).await;
    assert!(head.status == 400 && body.contains("there is no field `amount`"), "{body}");
    assert!(!body.contains("S3cret"), "{body}");
    let large = "x".repeat(api::activity::BODY_BYTES_MAX + 1);
    let (head, body) = ask_as(at(Door::App), app(3), call, &[], large).await;
    assert!(head.status == 413 && body.contains("256 KiB"), "{body}");
}

/// A body that is there when it is asked for; what happens before that is told.
fn late(text: &'static str, before: impl Fn() + Send + 'static) -> Body {
    Body::new(http_body_util::Full::new(bytes::Bytes::from_static(text.as_bytes())).map_frame(
        move |frame| {
            before();
            frame
        },
    ))
}

#[tokio::test]
async fn whoever_loses_a_token_while_the_body_is_on_its_way_does_nothing_and_uses_no_code_up() {
    let import = ("POST", "/v1/certificates/app.example.com/import");
    let good = r#"{"cert_pem":"CERTIFICATE","key_pem":"PRIVATE KEY"}"#;
    let headers = [("authorization", "Bearer admin"), ("palisade-totp", "123456")];
    for (revoke, status, codes) in [(false, 200, 1), (true, 401, 0)] {
        let daemon = Daemon { factor: true, ..Daemon::default() };
        let (revoked, looked) = (Arc::clone(&daemon.revoked), Arc::clone(&daemon.codes));
        let body = late(good, move || revoked.store(revoke, Ordering::SeqCst));
        let routes = router(Door::Ops, Arc::new(daemon));
        let (head, body) = ask_as(routes, root(), import, &headers, body).await;
        assert_eq!(head.status, status, "{body}");
        assert_eq!(looked.load(Ordering::SeqCst), codes);
    }
}

#[tokio::test]
async fn whoever_loses_a_role_while_the_body_is_on_its_way_does_nothing() {
    let daemon = Daemon::default();
    let revoked = Arc::clone(&daemon.revoked);
    let body = late(r#"{"code":"123456"}"#, move || revoked.store(true, Ordering::SeqCst));
    let routes = router(Door::Control, Arc::new(daemon));
    let (head, body) = ask_as(routes, user(1), ("POST", "/v1/elevation"), &[], body).await;
    assert_eq!(head.status, 403, "{body}");
}

#[tokio::test]
async fn whoever_is_unknown_is_asked_for_no_body_and_a_code_waits_for_it() {
    let routes = |daemon: Daemon| router(Door::Ops, Arc::new(daemon));
    let call = ("POST", "/v1/tokens");
    let never = || late("{}", || panic!("it was read"));
    let (head, _) = ask_as(routes(Daemon::default()), root(), call, &[], never()).await;
    assert_eq!(head.status, 401);
    let daemon = Daemon { factor: true, ..Daemon::default() };
    let looked = Arc::clone(&daemon.codes);
    let headers = [("authorization", "Bearer admin"), ("palisade-totp", "123456")];
    let large = "x".repeat(api::BODY_BYTES_MAX + 1);
    let (head, _) = ask_as(routes(daemon), root(), call, &headers, large).await;
    assert_eq!((head.status.as_u16(), looked.load(Ordering::SeqCst)), (413, 0));
}

#[tokio::test]
async fn a_field_that_a_call_does_not_know_is_refused_and_nothing_happens() {
    let calls = [
        (
            "/v1/tokens",
            r#"{"name":"ci","role":"viewer"}"#,
            r#"{"name":"ci","role":"viewer","scope":["status"]}"#,
        ),
        (
            "/v1/tokens",
            r#"{"name":"ci","role":"viewer"}"#,
            r#"{"name":"ci","role":"viewer","expires_s":60}"#,
        ),
        ("/v1/capabilities/queue", r#"{"mode":"off"}"#, r#"{"mod":"off"}"#),
        ("/v1/capabilities/queue", r#"{"mode":"off"}"#, r#"{"mode":"off","for":60}"#),
        ("/v1/totp", r#"{"name":"phone"}"#, r#"{"name":"phone","nam":"x"}"#),
        ("/v1/totp/phone/activate", r#"{"code":"1"}"#, r#"{"code":"1","x":1}"#),
        ("/v1/elevation", r#"{"code":"1"}"#, r#"{"code":"1","x":1}"#),
        (
            "/v1/certificates/app.example.com/import",
            r#"{"cert_pem":"CERTIFICATE","key_pem":"PRIVATE KEY"}"#,
            r#"{"cert_pem":"CERTIFICATE","key_pem":"PRIVATE KEY","chain_pem":""}"#,
        ),
    ];
    for (path, good, bad) in calls {
        assert_ne!(ask_with(control(true), "POST", path, &[], good).await.0.status, 400, "{good}");
        assert_eq!(ask_with(control(true), "POST", path, &[], bad).await.0.status, 400, "{bad}");
    }
}
