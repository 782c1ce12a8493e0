//! Every path of both routers, and what they refuse.

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::ops::{api, sample::Daemon};

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
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.extension(crate::ops::caller::Peer(0));
    let request = request.body(body.into()).expect("a request");
    let response = TowerToHyperService::new(router).call(request).await.expect("infallible");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    (head, String::from_utf8(body.to_vec()).expect("text"))
}

fn ops(ready: bool) -> Router {
    ops_router(Arc::new(Daemon { ready, reloads: true }))
}

fn control(reloads: bool) -> Router {
    control_router(Arc::new(Daemon { ready: true, reloads }))
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
        ("GET", "/v1/status", "host", "localhost", 404),
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
async fn nothing_about_certificates_or_keys_changes_by_a_get_or_on_the_ops_address() {
    let paths = [
        "/v1/certificates/app.example.com/renew",
        "/v1/certificates/app.example.com/import",
        "/v1/crypto/rotate",
    ];
    for path in paths {
        assert_eq!(ask(control(true), "GET", path, &[]).await.0.status, 405, "{path}");
        let (head, _) = ask(ops(true), "POST", path, &[("host", "localhost")]).await;
        assert_eq!(head.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_refused_peer_gets_the_refusal_whatever_it_asks() {
    let problem = auth::peer(1001, 1000).expect_err("refused");
    for path in ["/v1/status", "/v1/reload", "/"] {
        let (head, body) = ask(refusal_router(problem.clone()), "POST", path, &[]).await;
        assert_eq!(head.status, 403);
        assert_eq!(serde_json::from_str::<Problem>(&body).expect("a problem"), problem);
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
