//! The calls about the audit log.

use axum::extract::State as Shared;
use axum::response::Response;
use http::Uri;

use super::api::Problem;
use super::api::audit::{AuditQuery, RECORDS_MAX};
use super::control::Daemon;
use super::live::{Pairs, pairs};
use super::router::answer;

/// `GET /v1/audit`
pub(super) async fn page(Shared(daemon): Shared<Daemon>, uri: Uri) -> Response {
    let query = pairs(&uri).and_then(query);
    answer(query.and_then(|query| daemon.audit(&query)))
}

/// `POST /v1/audit/verify`
pub(super) async fn verify(Shared(daemon): Shared<Daemon>) -> Response {
    answer(daemon.verify_audit().await)
}

/// `GET /v1/audit/checkpoint`
pub(super) async fn checkpoint(Shared(daemon): Shared<Daemon>) -> Response {
    answer(daemon.audit_checkpoint().await)
}

/// What is asked for. An unknown name or value is a mistake, not a filter that lets everything through.
fn query(pairs: Pairs) -> Result<AuditQuery, Problem> {
    let mut query = AuditQuery::default();
    for (name, value) in pairs {
        let bad = |must: &str| Problem::new(400, "Bad Request", format!("{name} must be {must}"));
        let time = |value: &str| value.parse().map_err(|_| bad("a time in Unix milliseconds"));
        match name.as_str() {
            "after" => query.after = value.parse().map_err(|_| bad("the number of a record"))?,
            "before" => {
                query.before = Some(value.parse().map_err(|_| bad("the number of a record"))?);
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=RECORDS_MAX).contains(limit));
                query.limit = Some(limit.ok_or_else(|| bad("from 1 to 1000"))?);
            }
            "action" => query.action = Some(value),
            "actor" => query.actor = Some(value),
            "subject" => query.subject = Some(value),
            "since_ms" => query.since_ms = Some(time(&value)?),
            "until_ms" => query.until_ms = Some(time(&value)?),
            "text" => query.text = Some(value),
            _ => {
                let known =
                    "after, before, limit, action, actor, subject, since_ms, until_ms, text";
                let detail = format!("`{name}` is no filter; there are {known}");
                return Err(Problem::new(400, "Bad Request", detail));
            }
        }
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<AuditQuery, String> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        query(pairs).map_err(|problem| problem.detail.unwrap_or_default())
    }

    #[test]
    fn filters_are_read_and_mistakes_are_named() {
        let query = asked(&[("after", "7"), ("limit", "1000"), ("actor", "0"), ("since_ms", "-5")]);
        let query = query.expect("a query");
        assert_eq!((query.after, query.limit, query.since_ms), (7, Some(1000), Some(-5)));
        assert_eq!(query.before, None, "the oldest first");
        let back = asked(&[("before", "18446744073709551615")]).expect("a query");
        assert_eq!(back, AuditQuery { before: Some(u64::MAX), ..AuditQuery::default() });
        assert!(asked(&[("before", "last")]).expect_err("refused").contains("number of a record"));
        assert_eq!(asked(&[("limit", "0")]).expect_err("refused"), "limit must be from 1 to 1000");
        assert!(asked(&[("since", "1h")]).expect_err("refused").contains("`since` is no filter"));
    }
}
