//! `audit`: who changed what, and whether the log of it is as it was written.
//!
//! Promises: an export is verified without a daemon; a broken log ends with exit code 1 and the number of the record.
//! Bounds: pages of 1000 records; a follower asks once a second.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::audit_args::{
    AuditExportArgs, AuditFilter, AuditSearchArgs, AuditTailArgs, AuditVerifyArgs,
};
use super::audit_words::{checked, record_line, told, verdict_page};
use super::connect::{ask, fail, tell_as};
use super::{Exit, Output};
use crate::config::Environment;
use crate::ops::api::audit::{AuditLine, AuditPage, AuditQuery, RECORDS_MAX};
use crate::ops::{Client, ClientError};
use crate::work::audit::{export, line};

/// Between two questions of a follower.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn tail(args: &AuditTailArgs, environment: &Environment, out: &Output) -> Exit {
    let json = args.client.json;
    let call = |client: Client| async move {
        let last =
            client.audit(&AuditQuery { limit: Some(1), ..AuditQuery::default() }).await?.last;
        let after = last.saturating_sub(args.lines);
        let query = AuditQuery { after, ..AuditQuery::default() };
        let mut last = show(&client, query, json, out).await?;
        while let (Some(after), true) = (last, args.follow) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            last = show(&client, AuditQuery { after, ..AuditQuery::default() }, json, out).await?;
        }
        Ok(())
    };
    ended(ask(&args.client, environment, call), json, out)
}

pub(super) fn search(args: &AuditSearchArgs, environment: &Environment, out: &Output) -> Exit {
    let json = args.client.json;
    let query = query(&args.filter);
    let call = |client: Client| {
        let query = query.clone();
        async move { show(&client, query, json, out).await.map(drop) }
    };
    ended(ask(&args.client, environment, call), json, out)
}

fn ended(outcome: Result<(), ClientError>, json: bool, out: &Output) -> Exit {
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) => fail(&error, json, out),
    }
}

fn query(filter: &AuditFilter) -> AuditQuery {
    AuditQuery {
        action: filter.action.clone(),
        actor: filter.actor.clone(),
        subject: filter.subject.clone(),
        since_ms: filter.since.map(|time| time.0),
        until_ms: filter.until.map(|time| time.0),
        text: filter.text.clone(),
        ..AuditQuery::default()
    }
}

/// Shows what a query finds, to the end of the log. Answers the number to go on behind; `None`: nobody reads any more.
async fn show(
    client: &Client,
    query: AuditQuery,
    json: bool,
    out: &Output,
) -> Result<Option<u64>, ClientError> {
    pages(client, query, |page| {
        page.records.iter().all(|record| {
            if json { out.json_line(record) } else { out.stream(&record_line(record)) }
        })
    })
    .await
}

/// Calls `each` with every page, until it has enough.
async fn pages(
    client: &Client,
    mut query: AuditQuery,
    mut each: impl FnMut(AuditPage) -> bool,
) -> Result<Option<u64>, ClientError> {
    loop {
        let page = client.audit(&query).await?;
        let (next, last) = (page.next, page.last);
        if !each(page) {
            return Ok(None);
        }
        match next {
            Some(next) => query.after = next,
            None => return Ok(Some(last)),
        }
    }
}

pub(super) fn export(args: &AuditExportArgs, environment: &Environment, out: &Output) -> Exit {
    let since_ms = args.since.map(|time| time.0);
    let call = |client: Client| async move {
        // Signed first, and written up to there: what comes meanwhile is for the next export.
        let end = client.audit_checkpoint().await?;
        let query = AuditQuery { limit: Some(RECORDS_MAX), since_ms, ..AuditQuery::default() };
        let mut begun = false;
        let whole = pages(&client, query, |page| {
            let stub = page.stub.filter(|_| !begun && since_ms.is_none());
            begun = true;
            let records = page.records.into_iter().filter(|record| record.seq <= end.seq);
            let mut lines = stub
                .map(AuditLine::Stub)
                .into_iter()
                .chain(records.map(Box::new).map(AuditLine::Record));
            lines.all(|line| out.json_line(&line))
        });
        if whole.await?.is_some() {
            let _ = out.json_line(&AuditLine::Checkpoint(end)); // whoever left knows it
        }
        Ok(())
    };
    // What is written is for a program in any case.
    ended(ask(&args.client, environment, call), false, out)
}

pub(super) fn verify(args: &AuditVerifyArgs, environment: &Environment, out: &Output) -> Exit {
    let json = args.client.json;
    if let (Some(path), Some(key)) = (&args.file, &args.key) {
        return verify_export(path, key, json, out);
    }
    match ask(&args.client, environment, |client| async move { client.verify_audit().await }) {
        Ok(verdict) => {
            if json {
                out.json(&verdict);
            } else {
                out.page(&verdict_page(&verdict));
            }
            if verdict.broken.is_none() { Exit::Done } else { Exit::Failed }
        }
        Err(error) => fail(&error, json, out),
    }
}

fn verify_export(path: &Path, key: &str, json: bool, out: &Output) -> Exit {
    let Some(key) = line::bytes32(key) else {
        let why = "--key wants the 64 hexadecimal digits of the public key\n  \
                   palisade audit verify tells it, where the export was made";
        return tell_as(why, Exit::Usage, json, out);
    };
    let failed = |why: String| {
        if json {
            out.json(&json!({ "whole": false, "error": why, "exit_code": Exit::Failed as u8 }));
        } else {
            out.complain(format!("error: {} is not whole: {why}", path.display()));
        }
        Exit::Failed
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return failed(format!("it cannot be read: {error}")),
    };
    match export::verify(BufReader::new(file), key) {
        Ok(whole) if json => out.json(&checked(&whole)),
        Ok(whole) => out.page(&told(&whole)),
        Err(fault) => return failed(fault.to_string()),
    }
    Exit::Done
}
